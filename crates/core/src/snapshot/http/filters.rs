//! What filters do to requests and responses, checked and compiled.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::snapshot::{WeightedBackend, text, unexpected};

/// Everything that filters do, each kind at most once but for mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Filters {
    /// Before all else that may refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Arc<Cors>>,
    /// Before the request goes anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<Arc<ExternalAuth>>,
    /// Of the request.
    #[serde(skip_serializing_if = "HeaderEdit::is_empty")]
    pub request_headers: HeaderEdit,
    /// Of the response.
    #[serde(skip_serializing_if = "HeaderEdit::is_empty")]
    pub response_headers: HeaderEdit,
    /// Answers instead of a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Arc<Redirect>>,
    /// Host and path towards the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Arc<Rewrite>>,
    /// Copies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Arc<Mirror>>,
}

impl Filters {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes of headers: set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdit {
    /// Replaces all values.
    #[serde(with = "header_list", default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Adds a value.
    #[serde(with = "header_list", default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Removes all values.
    #[serde(with = "name_list", default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<HeaderName>,
}

impl HeaderEdit {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Makes the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

/// A redirect; what is `None` stays as the request has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host of the Location.
    pub hostname: Option<String>,
    /// Port of the Location; see apis/v1/httproute_types.go, HTTPRequestRedirectFilter, for what `None` means.
    pub port: Option<u16>,
    /// Path of the Location.
    pub path: Option<PathModifier>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Changes of host and path towards the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rewrite {
    /// The new host.
    #[serde(with = "optional_value", default)]
    pub hostname: Option<HeaderValue>,
    /// The new path.
    pub path: Option<PathModifier>,
}

/// What a path becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathModifier {
    /// This path.
    Full(String),
    /// This instead of the prefix that matched.
    Prefix(String),
}

/// A copy of a share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Where to; its weight means nothing.
    pub backend: WeightedBackend,
    /// This many…
    pub numerator: u32,
    /// … of so many; never 0.
    pub denominator: u32,
}

/// Cross-origin resource sharing (GEP-1767; the Fetch standard has the protocol).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Whom to allow.
    pub origins: Vec<CorsOrigin>,
    /// Whether credentials are allowed.
    pub credentials: bool,
    /// Methods; `*` means all.
    pub methods: Vec<String>,
    /// Request headers; `*` means all.
    pub headers: Vec<String>,
    /// Response headers that scripts may read; `*` means all.
    pub expose: Vec<String>,
    /// Seconds for which a preflight's answer may be kept.
    pub max_age: u32,
}

/// Origins that are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CorsOrigin {
    /// `*`.
    Any,
    /// This one, in lower case.
    Exact(String),
    /// Scheme (with `://`), and port (with `:`) or nothing, around a host under the suffix: `https://*.example.com:8443`.
    Wildcard {
        /// As in `https://`.
        scheme: String,
        /// As in `example.com`; empty: every host.
        suffix: String,
        /// As in `:8443`, or empty.
        port: String,
    },
}

/// A server that is asked first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// The server; its weight means nothing.
    pub backend: WeightedBackend,
    /// What it speaks.
    pub protocol: AuthProtocol,
    /// Bytes of the body that it gets; `None`: no body. Larger bodies are refused.
    pub body_limit: Option<usize>,
}

/// What an authorization server speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthProtocol {
    /// Envoy's ext_authz.
    Grpc {
        /// Headers that it gets; empty: all.
        #[serde(with = "name_list")]
        request_headers: Vec<HeaderName>,
    },
    /// HTTP.
    Http {
        /// Put before the request's path.
        path_prefix: String,
        /// Headers that it gets beside Host, Content-Length and Authorization.
        #[serde(with = "name_list")]
        request_headers: Vec<HeaderName>,
        /// Headers of its answer that the backend gets; empty: all but Host.
        #[serde(with = "name_list")]
        response_headers: Vec<HeaderName>,
    },
}

/// Values are visible ASCII: the compiler takes no others.
mod optional_value {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &Option<HeaderValue>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_str(&String::from_utf8_lossy(value.as_bytes())),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderValue>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| HeaderValue::from_str(&text).map_err(|_| unexpected(&text, "a header's value")))
            .transpose()
    }
}

mod header_list {
    use super::*;

    pub(super) fn serialize<S: Serializer>(headers: &[(HeaderName, HeaderValue)], serializer: S) -> Result<S::Ok, S::Error> {
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        serializer.collect_seq(lines)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(HeaderName, HeaderValue)>, D::Error> {
        let lines = Vec::<String>::deserialize(deserializer)?;
        let header = |line: &String| {
            let (name, value) = line.split_once(": ")?;
            Some((
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_str(value).ok()?,
            ))
        };
        let read = |line| header(line).ok_or_else(|| unexpected(line, "a header such as `name: value`"));
        lines.iter().map(read).collect()
    }
}

mod name_list {
    use super::*;

    pub(super) fn serialize<S: Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(HeaderName::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderName>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().map(|name| read(name)).collect()
    }

    pub(super) fn read<E: serde::de::Error>(name: &str) -> Result<HeaderName, E> {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| unexpected(name, "the name of a header"))
    }
}

/// The name of a header.
pub(super) fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    name_list::read(&text(deserializer)?)
}
