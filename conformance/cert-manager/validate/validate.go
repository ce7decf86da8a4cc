// Package validate asks cert-manager's own webhook code what it thinks of manifests.
package validate

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	acmeinstall "github.com/cert-manager/cert-manager/internal/apis/acme/install"
	"github.com/cert-manager/cert-manager/internal/apis/certmanager"
	"github.com/cert-manager/cert-manager/internal/apis/certmanager/install"
	"github.com/cert-manager/cert-manager/internal/apis/certmanager/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cert-manager/cert-manager/comparison/manifests"
)

// Finding is what is said about one object.
type Finding struct {
	Object   string         `json:"object"`
	Errors   []string       `json:"errors"`
	Warnings []string       `json:"warnings,omitempty"`
	Manifest map[string]any `json:"manifest"`
}

// Run writes the findings of every Certificate, Issuer and ClusterIssuer in the directory, as a JSON array in their order. The
// errors of one object are sorted: some rules walk over maps.
func Run(directory string, out io.Writer) error {
	objects, err := manifests.Read(directory)
	if err != nil {
		return err
	}
	scheme := webhookScheme()
	var findings []Finding
	for _, object := range objects {
		errors, warnings, err := judge(scheme, object)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		name := fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
		finding := Finding{strings.Replace(name, " /", " ", 1), []string{}, warnings, object.Object}
		for _, one := range errors {
			finding.Errors = append(finding.Errors, one.Error())
		}
		slices.Sort(finding.Errors)
		findings = append(findings, finding)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(findings)
}

// webhookScheme holds what the webhook's does, as far as it matters here.
func webhookScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	acmeinstall.Install(scheme)
	return scheme
}

// internal converts v1 into the version that is validated, without setting defaults, as the webhook does
// (pkg/webhook/admission/custom_decoder.go).
func internal(scheme *runtime.Scheme, object *unstructured.Unstructured) (runtime.Object, error) {
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	decoded, _, err := serializer.NewCodecFactory(scheme).UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return nil, err
	}
	return scheme.UnsafeConvertToVersion(decoded, runtime.InternalGroupVersioner)
}

func judge(scheme *runtime.Scheme, object *unstructured.Unstructured) (field.ErrorList, []string, error) {
	decoded, err := internal(scheme, object)
	if err != nil {
		return nil, nil, err
	}
	var errors field.ErrorList
	var warnings []string
	switch decoded.(type) {
	case *certmanager.Certificate:
		errors, warnings = validation.ValidateCertificate(nil, decoded)
	case *certmanager.Issuer:
		errors, warnings = validation.ValidateIssuer(nil, decoded)
	case *certmanager.ClusterIssuer:
		errors, warnings = validation.ValidateClusterIssuer(nil, decoded)
	default:
		return nil, nil, fmt.Errorf("%T is not judged", decoded)
	}
	return errors, warnings, nil
}
