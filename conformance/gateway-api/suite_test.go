package gatewayapi

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

// The suite as it is; its own flags choose what runs.
func TestGatewayAPI(t *testing.T) {
	conformance.RunConformanceWithOptions(t, conformance.DefaultOptions(t))
}
