package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/cert-manager/cert-manager/comparison/manifests"
)

// client creates and lists objects of any kind.
type client struct {
	objects dynamic.Interface
	kinds   *restmapper.DeferredDiscoveryRESTMapper
}

func newClient(config *rest.Config) (*client, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &client{objects, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))}, nil
}

// installCRDs creates those that the controllers look at and waits until they are served.
func (c *client) installCRDs(ctx context.Context, directories []string) error {
	var installed []string
	for _, directory := range directories {
		definitions, err := manifests.Read(directory)
		if err != nil {
			return err
		}
		for _, definition := range definitions {
			if !slices.Contains(wantedCRDs, definition.GetName()) {
				continue
			}
			if err := c.create(ctx, definition); err != nil {
				return err
			}
			installed = append(installed, definition.GetName())
		}
	}
	if len(installed) != len(wantedCRDs) {
		return fmt.Errorf("of %v only %v were found", wantedCRDs, installed)
	}
	for _, name := range installed {
		if err := c.waitServed(ctx, name); err != nil {
			return err
		}
	}
	c.kinds.Reset()
	return nil
}

func (c *client) waitServed(ctx context.Context, name string) error {
	for {
		definition, err := c.objects.Resource(crdResource).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if conditionOf(definition, "Established").status == "True" {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (c *client) create(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := c.kinds.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = c.objects.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resource = c.objects.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	if _, err := resource.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("%s %s/%s: %w", kind.Kind, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// list gives all objects of a resource in all namespaces.
func (c *client) list(ctx context.Context, resource schema.GroupVersionResource) ([]unstructured.Unstructured, error) {
	list, err := c.objects.Resource(resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// pause is between two looks at something that takes time; no outcome rests on its length.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return errors.New("too late")
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

func certManager(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: resource}
}

var (
	crdResource    = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	eventResource  = schema.GroupVersionResource{Version: "v1", Resource: "events"}

	wantedCRDs = []string{
		"certificaterequests.cert-manager.io", "certificates.cert-manager.io",
		"clusterissuers.cert-manager.io", "issuers.cert-manager.io",
		// The issuers' controllers list these too.
		"challenges.acme.cert-manager.io", "orders.acme.cert-manager.io",
		"gatewayclasses.gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io",
		"httproutes.gateway.networking.k8s.io",
	}
)
