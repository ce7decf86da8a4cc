//! XBackendTrafficPolicy: how much may be sent again to a Service, and its sessions (GEP-3388, GEP-1619; experimental).

use serde::Deserialize;

use crate::{ObjectMeta, PolicyStatus, PolicyTarget, SessionPersistence};

/// What holds for all traffic to the Services that it targets (apisx/v1alpha1/xbackendtrafficpolicy_types.go).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XBackendTrafficPolicy {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: XBackendTrafficPolicySpec,
    /// What the API server remembers; the compiler does not read it.
    pub status: Option<PolicyStatus>,
}

/// See [`XBackendTrafficPolicy`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XBackendTrafficPolicySpec {
    /// Which Services, in the policy's own namespace; without sections.
    pub target_refs: Vec<PolicyTarget>,
    /// How much may be sent again; absent: as much as the routes' rules say.
    pub retry_constraint: Option<RetryConstraint>,
    /// For rules that have none of their own.
    pub session_persistence: Option<SessionPersistence>,
}

/// Whichever of the two permits more.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryConstraint {
    /// Absent: 20 % of 10 s.
    pub budget: Option<BudgetDetails>,
    /// Absent: 10 in 1 s.
    pub min_retry_rate: Option<RequestRate>,
}

/// A share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetDetails {
    /// 0 to 100; absent: 20.
    pub percent: Option<i64>,
    /// For how long requests count, 1 s to 1 h as GEP-2257 writes durations; absent: 10 s.
    pub interval: Option<String>,
}

/// So many requests in so much time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRate {
    /// 1 to 1,000,000; absent: 10.
    pub count: Option<i64>,
    /// Above zero, at most 1 h; absent: 1 s.
    pub interval: Option<String>,
}
