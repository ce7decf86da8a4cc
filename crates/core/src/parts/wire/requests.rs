//! Rules for requests, and what hostnames make of them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Object, Weighted};
use crate::parts::PartKey;
use crate::snapshot::{
    AuthProtocol, Cors, HeaderEdit, HeaderMatcher, PathMatcher, QueryMatcher, Redirect, Rewrite, RuleFault, RuleKind,
    SessionCarrier,
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct Host {
    /// In order of precedence.
    pub(in crate::parts) matches: Vec<Match>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct Match {
    pub(in crate::parts) path: PathMatcher,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) method: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::parts) headers: Vec<HeaderMatcher>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::parts) query: Vec<QueryMatcher>,
    pub(in crate::parts) rule: PartKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct Rule {
    pub(in crate::parts) route: Object,
    pub(in crate::parts) position: usize,
    pub(in crate::parts) name: Option<String>,
    pub(in crate::parts) kind: RuleKind,
    pub(in crate::parts) filters: Filters,
    pub(in crate::parts) backends: Vec<RuleBackend>,
    pub(in crate::parts) fault: Option<RuleFault>,
    pub(in crate::parts) request_timeout: Option<Duration>,
    pub(in crate::parts) backend_timeout: Option<Duration>,
    pub(in crate::parts) connect_timeout: Duration,
    pub(in crate::parts) retry: Option<Retry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct RuleBackend {
    pub(in crate::parts) backend: Weighted,
    #[serde(default, skip_serializing_if = "Filters::is_empty")]
    pub(in crate::parts) filters: Filters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) session: Option<Session>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) fault: Option<RuleFault>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct Session {
    pub(in crate::parts) owner: String,
    pub(in crate::parts) carrier: SessionCarrier,
    pub(in crate::parts) absolute_timeout: Option<Duration>,
    pub(in crate::parts) idle_timeout: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct Retry {
    pub(in crate::parts) codes: Vec<u16>,
    pub(in crate::parts) attempts: u32,
    pub(in crate::parts) backoff: Duration,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::parts) struct Filters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) cors: Option<Arc<Cors>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) external_auth: Option<ExternalAuth>,
    #[serde(skip_serializing_if = "HeaderEdit::is_empty")]
    pub(in crate::parts) request_headers: HeaderEdit,
    #[serde(skip_serializing_if = "HeaderEdit::is_empty")]
    pub(in crate::parts) response_headers: HeaderEdit,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) redirect: Option<Arc<Redirect>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::parts) rewrite: Option<Arc<Rewrite>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::parts) mirrors: Vec<Mirror>,
}

impl Filters {
    fn is_empty(&self) -> bool {
        let Self {
            cors,
            external_auth,
            request_headers,
            response_headers,
            redirect,
            rewrite,
            mirrors,
        } = self;
        let is_untouched = request_headers.is_empty() && response_headers.is_empty() && mirrors.is_empty();
        is_untouched && cors.is_none() && external_auth.is_none() && redirect.is_none() && rewrite.is_none()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct Mirror {
    pub(in crate::parts) backend: Weighted,
    pub(in crate::parts) numerator: u32,
    pub(in crate::parts) denominator: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::parts) struct ExternalAuth {
    pub(in crate::parts) backend: Weighted,
    pub(in crate::parts) protocol: AuthProtocol,
    pub(in crate::parts) body_limit: Option<usize>,
}
