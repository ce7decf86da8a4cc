package apply

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What an object announces in its label `outcome`; without one it becomes Ready.
const (
	outcomeLabel   = "outcome"
	outcomePending = "pending" // a Certificate that waits for good: for its issuer, or for a Secret
	outcomeFailed  = "failed"  // a Certificate whose issuance failed and backs off
	outcomeUnready = "unready" // an issuer; or a Certificate that is issued and not ready nevertheless
)

// expectsAnnotation of a Gateway names the Certificates that gateway-shim makes for it.
const expectsAnnotation = "expects"

// waitSettled returns when every object has its outcome. What goes on afterwards would be cert-manager changing its mind.
func (c *client) waitSettled(ctx context.Context, objects []*unstructured.Unstructured, failed <-chan error) error {
	for {
		waiting, err := c.unsettled(ctx, objects)
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case err := <-failed:
			return err
		default:
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%w; not settled:\n  %s", err, strings.Join(waiting, "\n  "))
		}
	}
}

// unsettled says of each object that has not got its outcome what it has instead.
func (c *client) unsettled(ctx context.Context, objects []*unstructured.Unstructured) ([]string, error) {
	var waiting []string
	for _, resource := range []string{"issuers", "clusterissuers"} {
		issuers, err := c.list(ctx, certManager(resource))
		if err != nil {
			return nil, err
		}
		for _, issuer := range issuers {
			if !issuerSettled(&issuer) {
				waiting = append(waiting, describe(&issuer))
			}
		}
	}
	requests, err := c.list(ctx, certManager("certificaterequests"))
	if err != nil {
		return nil, err
	}
	answered := map[string]bool{}
	for _, request := range requests {
		if conditionOf(&request, "Ready").status != "" {
			answered[request.GetNamespace()+"/"+request.GetAnnotations()["cert-manager.io/certificate-name"]] = true
		}
	}
	certificates, err := c.list(ctx, certManager("certificates"))
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	for _, certificate := range certificates {
		key := certificate.GetNamespace() + "/" + certificate.GetName()
		present[key] = true
		if !certificateSettled(&certificate, answered[key]) {
			waiting = append(waiting, describe(&certificate))
		}
	}
	return append(waiting, missing(objects, present)...), nil
}

// missing lists the Certificates that Gateways announce and that are not there.
func missing(objects []*unstructured.Unstructured, present map[string]bool) []string {
	var waiting []string
	for _, object := range objects {
		for name := range strings.FieldsSeq(object.GetAnnotations()[expectsAnnotation]) {
			if key := object.GetNamespace() + "/" + name; !present[key] {
				waiting = append(waiting, "Certificate "+key+" of Gateway "+object.GetName())
			}
		}
	}
	return waiting
}

func issuerSettled(issuer *unstructured.Unstructured) bool {
	want := "True"
	if issuer.GetLabels()[outcomeLabel] == outcomeUnready {
		want = "False"
	}
	return conditionOf(issuer, "Ready").status == want
}

// certificateSettled: answered means that its request has got a condition.
func certificateSettled(certificate *unstructured.Unstructured, answered bool) bool {
	ready, issuing := conditionOf(certificate, "Ready"), conditionOf(certificate, "Issuing")
	_, nextKey, _ := unstructured.NestedString(certificate.Object, "status", "nextPrivateKeySecretName")
	switch certificate.GetLabels()[outcomeLabel] {
	case outcomePending:
		return answered && ready.status == "False" && issuing.status == "True" && nextKey
	case outcomeFailed:
		return ready.status == "False" && issuing.status == "False" && !nextKey
	case outcomeUnready:
		return answered && ready.status == "False" && issuing.status == "" && !nextKey
	default:
		return ready.status == "True" && ready.observed == certificate.GetGeneration() && issuing.status == "" && !nextKey
	}
}

type condition struct {
	status, reason, message string
	observed                int64
}

// conditionOf gives the condition of that type, or an empty one.
func conditionOf(object *unstructured.Unstructured, kind string) condition {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, entry := range conditions {
		fields, _ := entry.(map[string]any)
		if fields["type"] != kind {
			continue
		}
		status, _ := fields["status"].(string)
		reason, _ := fields["reason"].(string)
		message, _ := fields["message"].(string)
		observed, _ := fields["observedGeneration"].(int64)
		return condition{status, reason, message, observed}
	}
	return condition{}
}

func describe(object *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	return fmt.Sprintf("%s %s/%s: %v", object.GetKind(), object.GetNamespace(), object.GetName(), conditions)
}
