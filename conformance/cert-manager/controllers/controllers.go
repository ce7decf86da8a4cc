// Package controllers runs cert-manager's own controllers for issuers that need no outside service (CA and self-signed) and
// gateway-shim, with the flags' defaults. Upstream's command is a module of its own that is not published; there is no webhook
// and no cainjector here.
package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	gatewayshim "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/gateways"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	requestsca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	requestsselfsigned "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	// The kinds of issuer register themselves.
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

var names = []string{
	issuers.ControllerName, clusterissuers.ControllerName,
	approver.ControllerName, requestsca.CRControllerName, requestsselfsigned.CRControllerName,
	trigger.ControllerName, keymanager.ControllerName, requestmanager.ControllerName,
	issuing.ControllerName, readiness.ControllerName, revisionmanager.ControllerName,
	gatewayshim.ControllerName,
}

// Run starts the controllers and returns; they end with ctx. The first error of one of them comes through the channel.
func Run(ctx context.Context, kubeconfig string) (<-chan error, error) {
	factory, err := controller.NewContextFactory(ctx, options(kubeconfig))
	if err != nil {
		return nil, err
	}
	var built []controller.Interface
	for _, name := range names {
		one, err := controller.Known()[name](factory)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		built = append(built, one)
	}
	shared, err := factory.Build()
	if err != nil {
		return nil, err
	}
	failed := make(chan error, len(built))
	for i, one := range built {
		go func() {
			if err := one.Run(workers, ctx); err != nil {
				failed <- fmt.Errorf("%s: %w", names[i], err)
			}
		}()
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.GWShared.Start(ctx.Done())
	return failed, nil
}

func options(kubeconfig string) controller.ContextOptions {
	return controller.ContextOptions{
		Kubeconfig: kubeconfig,
		IssuerOptions: controller.IssuerOptions{
			ClusterResourceNamespace: "cert-manager",
		},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		IngressShimOptions: controller.IngressShimOptions{
			DefaultIssuerKind:  "Issuer",
			DefaultIssuerGroup: "cert-manager.io",
		},
		ConfigOptions: controller.ConfigOptions{EnableGatewayAPI: true},
	}
}

// As many as upstream's default for concurrent workers.
const workers = 5
