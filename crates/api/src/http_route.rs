//! HTTPRoute's own fields (apis/v1/httproute_types.go of v1.7, standard and experimental channel).

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{BackendRef, ParentRef, SessionPersistence};

/// Spec of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// Where the route wants to attach.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it wants the default Gateways too (experimental, GEP-3793); absent or `None`: no.
    pub use_default_gateways: Option<String>,
    /// Host names; empty: every name of the listener.
    pub hostnames: Vec<String>,
    /// In order of writing.
    pub rules: Vec<HttpRouteRule>,
}

/// One rule of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRule {
    /// Optional name, unique in the route.
    pub name: Option<String>,
    /// One of them must hold; none means every request.
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to each request.
    pub filters: Vec<HttpRouteFilter>,
    /// Where requests go, by weight.
    pub backend_refs: Vec<HttpBackendRef>,
    /// How long a request may take (GEP-1742).
    pub timeouts: Option<HttpRouteTimeouts>,
    /// When a request is tried again (GEP-1731).
    pub retry: Option<HttpRouteRetry>,
    /// Whether a client keeps its endpoint (GEP-1619, experimental; deprecated in v1.7 in favour of XBackend).
    pub session_persistence: Option<SessionPersistence>,
}

/// Conditions that must hold together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// Absent: prefix `/`.
    pub path: Option<HttpPathMatch>,
    /// All of them; of equivalent names only the first counts.
    pub headers: Vec<HttpValueMatch>,
    /// All of them; of equal names only the first counts.
    pub query_params: Vec<HttpValueMatch>,
    /// Absent: every method.
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPathMatch {
    /// PathPrefix unless stated.
    #[serde(rename = "type")]
    pub kind: Option<PathMatchType>,
    /// `/` unless stated.
    pub value: Option<String>,
}

open_enum! {
    /// How a path is compared.
    PathMatchType {
        /// Equal, case included.
        Exact = "Exact",
        /// By elements split at `/`.
        PathPrefix = "PathPrefix",
        /// A regular expression over the whole path.
        RegularExpression = "RegularExpression",
    }
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpValueMatch {
    /// Exact unless stated.
    #[serde(rename = "type")]
    pub kind: Option<ValueMatchType>,
    /// Header names are compared without case, query parameters with it.
    pub name: String,
    /// Text or expression.
    pub value: String,
}

open_enum! {
    /// How a header or query parameter is compared.
    ValueMatchType {
        /// Equal, case included.
        Exact = "Exact",
        /// A regular expression over the whole value.
        RegularExpression = "RegularExpression",
    }
}

/// One filter: `kind` says which of the other fields holds. GRPCRoute's filters are a subset.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteFilter {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: HttpFilterType,
    /// For RequestHeaderModifier.
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For ResponseHeaderModifier.
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// For RequestMirror.
    pub request_mirror: Option<HttpRequestMirror>,
    /// For RequestRedirect.
    pub request_redirect: Option<HttpRequestRedirect>,
    /// For URLRewrite.
    pub url_rewrite: Option<HttpUrlRewrite>,
    /// For CORS.
    pub cors: Option<HttpCors>,
    /// For ExternalAuth.
    pub external_auth: Option<HttpExternalAuth>,
    /// For ExtensionRef.
    pub extension_ref: Option<LocalObjectRef>,
}

open_enum! {
    /// Kinds of [`HttpRouteFilter`].
    HttpFilterType {
        /// Cross-origin resource sharing (GEP-1767).
        Cors = "CORS",
        /// An implementation's own; Sealway has none.
        ExtensionRef = "ExtensionRef",
        /// Ask a server first (GEP-1494).
        ExternalAuth = "ExternalAuth",
        /// Change the request's headers.
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Send a copy elsewhere.
        RequestMirror = "RequestMirror",
        /// Answer with a redirect.
        RequestRedirect = "RequestRedirect",
        /// Change the response's headers.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Change host or path towards the backend.
        UrlRewrite = "URLRewrite",
    }
}

impl Default for HttpFilterType {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// A header with a value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpHeader {
    /// Compared without case.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpHeaderFilter {
    /// Replaces all values.
    pub set: Vec<HttpHeader>,
    /// Adds a value.
    pub add: Vec<HttpHeader>,
    /// Removes all values.
    pub remove: Vec<String>,
}

/// What a path becomes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPathModifier {
    /// Which of the other fields holds.
    #[serde(rename = "type")]
    pub kind: PathModifierType,
    /// The new path.
    pub replace_full_path: Option<String>,
    /// What the matched prefix becomes.
    pub replace_prefix_match: Option<String>,
}

open_enum! {
    /// Kinds of [`HttpPathModifier`].
    PathModifierType {
        /// The whole path.
        ReplaceFullPath = "ReplaceFullPath",
        /// The prefix that matched.
        ReplacePrefixMatch = "ReplacePrefixMatch",
    }
}

impl Default for PathModifierType {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// A redirect; what is absent stays as the request has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRequestRedirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host of the Location.
    pub hostname: Option<String>,
    /// Path of the Location.
    pub path: Option<HttpPathModifier>,
    /// Absent: the scheme's well-known port if a scheme is given, else the listener's.
    pub port: Option<u16>,
    /// 301, 302 (default), 303, 307 or 308.
    pub status_code: Option<u16>,
}

/// Changes of host and path.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpUrlRewrite {
    /// Host towards the backend.
    pub hostname: Option<String>,
    /// Path towards the backend.
    pub path: Option<HttpPathModifier>,
}

/// A copy of each request, or of a share of them (GEP-3171); its answers are dropped.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRequestMirror {
    /// Where to; its weight means nothing.
    pub backend_ref: BackendRef,
    /// 0 to 100; absent, with `fraction` absent: all.
    pub percent: Option<i32>,
    /// Instead of `percent`.
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fraction {
    /// At most the denominator.
    pub numerator: i32,
    /// 100 unless stated.
    pub denominator: i32,
}

impl Default for Fraction {
    fn default() -> Self {
        Self {
            numerator: 0,
            denominator: 100,
        }
    }
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCors {
    /// `*`, or origins whose host may begin with a wildcard label.
    pub allow_origins: Vec<String>,
    /// Absent means no.
    pub allow_credentials: Option<bool>,
    /// `*` means all.
    pub allow_methods: Vec<String>,
    /// `*` means all.
    pub allow_headers: Vec<String>,
    /// `*` means all.
    pub expose_headers: Vec<String>,
    /// Seconds for which the answer to a preflight may be kept; 5 unless stated.
    pub max_age: i32,
}

impl Default for HttpCors {
    fn default() -> Self {
        Self {
            allow_origins: Vec::new(),
            allow_credentials: None,
            allow_methods: Vec::new(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            max_age: 5,
        }
    }
}

/// Ask a server whether the request may pass.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpExternalAuth {
    /// What the server speaks.
    pub protocol: ExternalAuthProtocol,
    /// The server; its weight means nothing.
    pub backend_ref: BackendRef,
    /// For GRPC.
    pub grpc: Option<GrpcAuthConfig>,
    /// For HTTP.
    pub http: Option<HttpAuthConfig>,
    /// Whether the server gets the body.
    pub forward_body: Option<ForwardBody>,
}

open_enum! {
    /// What an authorization server speaks.
    ExternalAuthProtocol {
        /// Envoy's ext_authz.
        Grpc = "GRPC",
        /// HTTP: 200 lets the request pass.
        Http = "HTTP",
    }
}

impl Default for ExternalAuthProtocol {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// For authorization over gRPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuthConfig {
    /// Headers that the server gets; none means all.
    pub allowed_headers: Vec<String>,
}

/// For authorization over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuthConfig {
    /// Put before the request's path.
    pub path: String,
    /// Headers that the server gets beside Host, Method, Path, Content-Length and Authorization.
    pub allowed_headers: Vec<String>,
    /// Headers of its answer that the backend gets; none means all but Host.
    pub allowed_response_headers: Vec<String>,
}

/// Whether an authorization server gets the body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardBody {
    /// Bytes; 0 means no body. A larger body is refused.
    pub max_size: i32,
}

/// A reference inside a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalObjectRef {
    /// API group; empty is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A backend with filters of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpBackendRef {
    /// The backend.
    #[serde(flatten)]
    pub backend: BackendRef,
    /// What is done to requests that go there.
    pub filters: Vec<HttpRouteFilter>,
}

/// Durations as GEP-2257 writes them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteTimeouts {
    /// From the request to the end of the response, retries included; zero: none.
    pub request: Option<String>,
    /// For one try; zero: none.
    pub backend_request: Option<String>,
}

/// When a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRetry {
    /// Responses that are retried.
    pub codes: Vec<u16>,
    /// Retries beside the first try; 1 unless stated.
    pub attempts: Option<u32>,
    /// Base of the pause between tries.
    pub backoff: Option<String>,
}
