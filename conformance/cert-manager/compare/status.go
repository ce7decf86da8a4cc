package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusFacts states a status; for a Certificate also how its times go with the certificate in the Secret.
func (d *dump) statusFacts(say facts, path string, status map[string]any) error {
	say.list("fields", slices.Sorted(maps.Keys(status)))
	key, isCertificate := strings.CutPrefix(path, "status/certificates/")
	times := map[string]string{}
	if isCertificate {
		var err error
		if times, err = d.certificateStatusFacts(say, key, status); err != nil {
			return err
		}
	}
	conditions, _ := status["conditions"].([]any)
	for _, entry := range conditions {
		condition, _ := entry.(map[string]any)
		one := say.below(fmt.Sprint("condition ", condition["type"]))
		for field, value := range condition {
			switch field {
			case "type":
			case "lastTransitionTime":
				_, err := time.Parse(time.RFC3339, fmt.Sprint(value))
				one.say("lastTransitionTime is a time", err == nil)
			case "message":
				one.say("message", normalised(fmt.Sprint(value), times))
			default:
				one.say(field, value)
			}
		}
	}
	return nil
}

// certificateStatusFacts also gives the times of the status, as messages write them, with names for them.
func (d *dump) certificateStatusFacts(say facts, key string, fields map[string]any) (map[string]string, error) {
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	status := &cmapi.CertificateStatus{}
	if err := json.Unmarshal(text, status); err != nil {
		return nil, err
	}
	if status.Revision != nil {
		say.say("revision", *status.Revision)
	}
	if status.FailedIssuanceAttempts != nil {
		say.say("failedIssuanceAttempts", *status.FailedIssuanceAttempts)
	}
	namespace, _, _ := strings.Cut(key, "/")
	if next := status.NextPrivateKeySecretName; next != nil {
		say.say("nextPrivateKeySecretName", generated.ReplaceAllString(*next, "-(5 drawn letters)"))
	}
	if status.NotBefore == nil || status.NotAfter == nil {
		return nil, nil
	}
	certificate := d.certificates[key]
	if certificate == nil {
		return nil, fmt.Errorf("the reference has no Certificate %s", key)
	}
	if leaf := d.known.leaves["secrets/"+namespace+"/"+certificate.Spec.SecretName]; leaf != nil {
		say.say("notBefore and notAfter are the leaf's", leaf.NotBefore.Equal(status.NotBefore.Time) && leaf.NotAfter.Equal(status.NotAfter.Time))
	}
	if ready := conditionTime(status); !ready.IsZero() {
		say.say("notBefore is when it was issued", near(ready, status.NotBefore.Time))
	}
	spec := certificate.Spec
	renewal, _ := pki.RenewalTime(status.NotBefore.Time, status.NotAfter.Time, spec.RenewBefore, spec.RenewBeforePercentage, spec.Renewal)
	say.say("renewalTime is what cert-manager computes for these times", renewal.Equal(status.RenewalTime))
	return map[string]string{
		status.NotBefore.UTC().String(): "(notBefore)",
		status.NotAfter.UTC().String():  "(notAfter)",
		renewalString(status):           "(renewalTime)",
	}, nil
}

func conditionTime(status *cmapi.CertificateStatus) time.Time {
	for _, condition := range status.Conditions {
		if condition.Type == cmapi.CertificateConditionReady && condition.LastTransitionTime != nil {
			return condition.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

func renewalString(status *cmapi.CertificateStatus) string {
	if status.RenewalTime == nil {
		return (&metav1.Time{}).String()
	}
	return status.RenewalTime.UTC().String()
}

func normalised(message string, times map[string]string) string {
	for text, name := range times {
		message = strings.ReplaceAll(message, text, name)
	}
	return message
}

// generated is what Kubernetes appends to a generateName.
var generated = regexp.MustCompile("-[bcdfghjklmnpqrstvwxz2456789]{5}$")
