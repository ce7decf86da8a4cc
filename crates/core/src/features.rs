//! Which features of the Gateway API a GatewayClass claims.
//!
//! Job: the sorted list of `status.supportedFeatures` (GEP-2162) and what the installed CRDs are worth. Input: what the API server serves
//! ([`Served`]). Output: names as `pkg/features` of Gateway API v1.7 spells them. Invariant: a feature is claimed exactly when the kinds
//! and fields that it hangs on are there; meshes are left out, because a gateway is none.

use std::collections::BTreeSet;

use sealway_api::Kind;

/// What an API server serves, as far as features hang on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Kinds that are served in a version that is read.
    pub kinds: BTreeSet<Kind>,
    /// `spec.listeners[].filters` of Gateways (experimental channel).
    pub listener_filters: bool,
    /// `spec.addresses[].routability` of Gateways (experimental channel).
    pub address_routability: bool,
    /// `gateway.networking.k8s.io/bundle-version` of the GatewayClass CRD; `None` where no CRDs were asked for (plain manifests).
    pub bundle_version: Option<String>,
}

impl Default for Served {
    /// Everything, as plain manifests may hold it.
    fn default() -> Self {
        Self {
            kinds: KINDS.iter().map(|(kind, _)| kind.clone()).collect(),
            listener_filters: true,
            address_routability: true,
            bundle_version: None,
        }
    }
}

/// The newest release of the Gateway API whose CRDs were tried.
pub const NEWEST_BUNDLE: (u64, u64) = (1, 7);
/// The oldest release whose kinds are read in full.
pub const OLDEST_BUNDLE: (u64, u64) = (1, 1);

/// What the version of the CRDs means (apis/v1/gatewayclass_types.go, GatewayClassConditionStatusSupportedVersion).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BundleFit {
    /// Within what was tried.
    Supported,
    /// Newer than what was tried: served as far as it is understood.
    Newer,
    /// Older than what is read.
    Older,
    /// No version that can be read.
    Unreadable,
}

impl Served {
    /// The features, sorted.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        let mut features: Vec<&str> = KINDS
            .iter()
            .filter(|(kind, _)| self.kinds.contains(kind))
            .flat_map(|(_, features)| features.iter().copied())
            .collect();
        if self.kinds.contains(&Kind::Gateway) {
            if self.listener_filters {
                features.push("GatewayListenerFilters");
            }
            if self.address_routability {
                features.extend(["GatewayAddressRoutability", "GatewayAddressRoutabilityCluster"]);
            }
        }
        features.sort_unstable();
        features
    }

    /// How the version of the CRDs fits; `None` where there are none to ask about.
    #[must_use]
    pub fn bundle_fit(&self) -> Option<BundleFit> {
        let version = self.bundle_version.as_ref()?;
        let mut numbers = version.trim_start_matches('v').split(['.', '-']);
        let mut number = || numbers.next().and_then(|number| number.parse::<u64>().ok());
        Some(match (number(), number()) {
            (Some(major), Some(minor)) if (major, minor) > NEWEST_BUNDLE => BundleFit::Newer,
            (Some(major), Some(minor)) if (major, minor) < OLDEST_BUNDLE => BundleFit::Older,
            (Some(_), Some(_)) => BundleFit::Supported,
            _ => BundleFit::Unreadable,
        })
    }
}

/// Features by the kind without which they are nothing.
const KINDS: [(Kind, &[&str]); 10] = [
    (
        Kind::Gateway,
        &[
            "Gateway",
            "GatewayAddressEmpty",
            "GatewayBackendClientCertificate",
            "GatewayFrontendClientCertificateValidation",
            "GatewayFrontendClientCertificateValidationInsecureFallback",
            "GatewayHTTPListenerIsolation",
            "GatewayHTTPSListenerDetectMisdirectedRequests",
            "GatewayInfrastructure",
            "GatewayPort8080",
            "GatewayRouteHostnameIntersectionPrecedence",
            "GatewayStaticAddresses",
        ],
    ),
    (Kind::ListenerSet, &["ListenerSet"]),
    (Kind::ClusterTrustBundle, &["ClusterTrustBundle"]),
    (Kind::ReferenceGrant, &["ReferenceGrant"]),
    (
        Kind::HttpRoute,
        &[
            "HTTPRoute",
            "HTTPRoute303RedirectStatusCode",
            "HTTPRoute307RedirectStatusCode",
            "HTTPRoute308RedirectStatusCode",
            "HTTPRouteBackendProtocolH2C",
            "HTTPRouteBackendProtocolWebSocket",
            "HTTPRouteBackendRequestHeaderModification",
            "HTTPRouteBackendTimeout",
            "HTTPRouteBackendURLRewrite",
            "HTTPRouteCORS",
            "HTTPRouteDestinationPortMatching",
            "HTTPRouteHostRewrite",
            "HTTPRouteMethodMatching",
            "HTTPRouteNamedRouteRule",
            "HTTPRouteParentRefPort",
            "HTTPRoutePathRedirect",
            "HTTPRoutePathRewrite",
            "HTTPRoutePortRedirect",
            "HTTPRouteQueryParamMatching",
            "HTTPRouteRequestMirror",
            "HTTPRouteRequestMultipleMirrors",
            "HTTPRouteRequestPercentageMirror",
            "HTTPRouteRequestTimeout",
            "HTTPRouteResponseHeaderModification",
            "HTTPRouteRetryCodes",
            "HTTPRouteRetryConnectionError",
            "HTTPRouteSchemeRedirect",
        ],
    ),
    (
        Kind::GrpcRoute,
        &["GRPCRoute", "GRPCRouteNamedRouteRule", "GRPCRouteRequestHeaderModifier"],
    ),
    (Kind::TlsRoute, &["TLSRoute", "TLSRouteModeMixed", "TLSRouteModeTerminate"]),
    (Kind::TcpRoute, &["TCPRoute"]),
    (Kind::UdpRoute, &["UDPRoute"]),
    (Kind::BackendTlsPolicy, &["BackendTLSPolicy", "BackendTLSPolicySANValidation"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_standard_channel_lacks_is_not_claimed() {
        let all = Served::default().features();
        assert!(all.is_sorted() && all.contains(&"GatewayListenerFilters") && all.contains(&"ClusterTrustBundle"));
        let mut served = Served {
            listener_filters: false,
            address_routability: false,
            ..Served::default()
        };
        served.kinds.remove(&Kind::TcpRoute);
        served.kinds.remove(&Kind::UdpRoute);
        served.kinds.remove(&Kind::ClusterTrustBundle);
        let fewer = served.features();
        let lost: Vec<&str> = all.into_iter().filter(|feature| !fewer.contains(feature)).collect();
        assert_eq!(
            lost,
            [
                "ClusterTrustBundle",
                "GatewayAddressRoutability",
                "GatewayAddressRoutabilityCluster",
                "GatewayListenerFilters",
                "TCPRoute",
                "UDPRoute"
            ]
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let fit = |version: &str| {
            Served {
                bundle_version: Some(version.to_owned()),
                ..Served::default()
            }
            .bundle_fit()
        };
        assert_eq!(fit("v1.7.0"), Some(BundleFit::Supported));
        assert_eq!(fit("v1.4.0-rc.1"), Some(BundleFit::Supported));
        assert_eq!(fit("v1.10.0"), Some(BundleFit::Newer));
        assert_eq!(fit("v0.8.1"), Some(BundleFit::Older));
        assert_eq!(fit("main"), Some(BundleFit::Unreadable));
        assert_eq!(Served::default().bundle_fit(), None);
    }
}
