//! XTelemetryPolicy: what Gateways tell of the requests that pass through them (GEP-4768, experimental).

use serde::Deserialize;

use crate::open_enum::open_enum;
use crate::{BackendRef, Fraction, HttpHeader, ObjectMeta, PolicyStatus, PolicyTarget};

/// Traces of the Gateways that it targets (apisx/v1alpha1/xtelemetrypolicy_types.go).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XTelemetryPolicy {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: XTelemetryPolicySpec,
    /// What the API server remembers; the compiler does not read it.
    pub status: Option<PolicyStatus>,
}

/// See [`XTelemetryPolicy`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XTelemetryPolicySpec {
    /// Which Gateways, in the policy's own namespace.
    pub target_refs: Vec<PolicyTarget>,
    /// Absent: as the implementation has it.
    pub tracing: Option<TracingConfig>,
}

/// Spans of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingConfig {
    /// Whether there are any.
    pub mode: TelemetryMode,
    /// Who receives them; needed when they are enabled.
    pub provider: Option<TracingProvider>,
    /// Share of the traces that begin at the gateway.
    pub sampling_rate: Option<Fraction>,
    /// Of requests that are part of a trace already.
    pub parent_based_sampling: Option<ParentBasedSampling>,
    /// The resource's `service.name`.
    pub service_name: Option<String>,
    /// The name of every span.
    pub span_name: Option<String>,
    /// What every span says beyond what is usual.
    pub attributes: Vec<TelemetryAttribute>,
}

/// A collector of spans.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracingProvider {
    /// A Service's port, or an XBackend.
    pub backend_ref: BackendRef,
    /// Of every export.
    #[serde(default)]
    pub headers: Vec<HttpHeader>,
}

/// What becomes of the decision of the span before.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentBasedSampling {
    /// Whether it is respected.
    pub mode: TelemetryMode,
    /// Share of those that are sampled already; absent: all.
    pub sampling_rate: Option<Fraction>,
}

/// One attribute of every span.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetryAttribute {
    /// As it stands in the span.
    pub name: String,
    /// Where its value is from.
    pub source_type: AttributeSource,
    /// Of a header.
    pub header_name: Option<String>,
    /// The value itself.
    pub literal_value: Option<String>,
    /// An attribute of OpenTelemetry's semantic conventions.
    pub attribute_key: Option<String>,
}

open_enum! {
    /// Modes of tracing, and of sampling by the parent.
    #[derive(Default)]
    TelemetryMode {
        /// It is off.
        Disabled = "Disabled",
        /// It is on.
        Enabled = "Enabled",
        /// As the implementation has it.
        #[default]
        ImplementationDefault = "ImplementationDefault",
    }
}

open_enum! {
    /// Where the value of an attribute is from.
    #[derive(Default)]
    AttributeSource {
        /// A standard attribute under another name.
        Attribute = "Attribute",
        /// A header of the request, or else of the response.
        Header = "Header",
        /// The policy.
        #[default]
        Literal = "Literal",
    }
}
