package apply

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// dump writes, below out:
//
//	secrets/NAMESPACE/NAME.json              each Secret that a Certificate names, as a plain Secret
//	status/certificates/NAMESPACE/NAME.json  the status alone; so for issuers
//	status/clusterissuers/NAME.json
//	reference/…                              whole objects and Events, which nothing is compared with
func (c *client) dump(ctx context.Context, out string) error {
	certificates, err := c.list(ctx, certManager("certificates"))
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, certificate := range certificates {
		secret, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName")
		wanted[certificate.GetNamespace()+"/"+secret] = true
	}
	secrets, err := c.list(ctx, secretResource)
	if err != nil {
		return err
	}
	for _, secret := range secrets {
		if !wanted[secret.GetNamespace()+"/"+secret.GetName()] {
			continue
		}
		if err := write(out, "secrets", &secret, plain(&secret)); err != nil {
			return err
		}
	}
	for _, resource := range []string{"certificates", "issuers", "clusterissuers"} {
		objects, err := c.list(ctx, certManager(resource))
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := write(out, filepath.Join("status", resource), &object, object.Object["status"]); err != nil {
				return err
			}
		}
	}
	return c.dumpReference(ctx, out)
}

func (c *client) dumpReference(ctx context.Context, out string) error {
	for _, resource := range []string{"certificates", "certificaterequests"} {
		objects, err := c.list(ctx, certManager(resource))
		if err != nil {
			return err
		}
		for _, object := range objects {
			object.SetManagedFields(nil)
			if err := write(out, filepath.Join("reference", resource), &object, object.Object); err != nil {
				return err
			}
		}
	}
	events, err := c.list(ctx, eventResource)
	if err != nil {
		return err
	}
	for _, event := range events {
		event.SetManagedFields(nil)
		if err := write(out, filepath.Join("reference", "events"), &event, event.Object); err != nil {
			return err
		}
	}
	return nil
}

// plain is the Secret without what only an API server knows.
func plain(secret *unstructured.Unstructured) map[string]any {
	metadata := map[string]any{"name": secret.GetName(), "namespace": secret.GetNamespace()}
	if labels := secret.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	if annotations := secret.GetAnnotations(); len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
		"type": secret.Object["type"], "data": secret.Object["data"],
	}
}

func write(out, below string, object *unstructured.Unstructured, value any) error {
	path := filepath.Join(out, below, object.GetNamespace(), object.GetName()+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
