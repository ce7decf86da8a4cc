//! Sessions: what a client shows so that it gets to the endpoint that it was sent to first (GEP-1619).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use http::HeaderName;
use sealway_api::ObjectKey;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::filters::read_name;
use crate::snapshot::as_optional_duration;

/// The sessions of one owner and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The route or backend that asks for it, in text: what is handed out for one is nothing to another.
    pub owner: String,
    /// What the client shows.
    pub carrier: SessionCarrier,
    /// From the first request; `None`: no limit.
    #[serde(serialize_with = "as_optional_duration", skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<Duration>,
    /// From one request to the next; `None`: no limit.
    #[serde(serialize_with = "as_optional_duration", skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
}

/// What a client shows to go on with its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionCarrier {
    /// A cookie, which browsers keep.
    Cookie {
        /// A token of HTTP.
        name: String,
        /// Its Path: begins with `/`, no `;`.
        path: String,
        /// It says its Max-Age; else the browser forgets it when it is closed. Only with an absolute timeout.
        permanent: bool,
    },
    /// A header of this name, both ways.
    Header(#[serde(serialize_with = "as_name", deserialize_with = "read_name")] HeaderName),
}

impl SessionCarrier {
    /// Whether it can be written into a header as it is.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::Cookie { name, path, .. } => is_cookie_name(name) && is_cookie_path(path),
            Self::Header(_) => true,
        }
    }
}

/// RFC 6265 section 4.1.1: a token of HTTP.
pub(crate) fn is_cookie_name(name: &str) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(&byte))
}

/// What may stand in the attribute, and that browsers take for a path.
pub(crate) fn is_cookie_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';')
}

/// The secret by which the proxies of one Gateway seal what they hand out. Prints masked; no JSON for people has it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<[u8; 32]>);

impl SessionKey {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Of a secret of any length: what is private to an installation, and the same at each of its controllers.
    #[must_use]
    pub fn of_secret(secret: &[u8]) -> Self {
        Self::signed(secret, b"sealway session persistence")
    }

    /// The key of one Gateway.
    #[must_use]
    pub fn of_gateway(&self, gateway: &ObjectKey) -> Self {
        Self::signed(&*self.0, gateway.to_string().as_bytes())
    }

    fn signed(key: &[u8], text: &[u8]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// For whoever seals.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionKey(…)")
    }
}

fn as_name<S: Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_has_a_key_of_its_own_and_none_prints() {
        let secret = SessionKey::of_secret(b"MARKER");
        let gateway = |name: &str| secret.of_gateway(&ObjectKey::new("default", name));
        assert_eq!(gateway("one"), gateway("one"));
        assert_ne!(gateway("one"), gateway("two"));
        assert_ne!(
            SessionKey::of_secret(b"other").of_gateway(&ObjectKey::new("default", "one")),
            gateway("one")
        );
        assert_eq!(format!("{:?}", gateway("one")), "SessionKey(…)");
    }

    #[test]
    fn a_cookie_cannot_break_out_of_its_place() {
        let cookie = |name: &str, path: &str| {
            let (name, path) = (name.to_owned(), path.to_owned());
            SessionCarrier::Cookie {
                name,
                path,
                permanent: false,
            }
            .is_writable()
        };
        assert!(cookie("JSESSIONID", "/") && cookie("a!#$%&'*+-.^_`|~9", "/a b"));
        for (name, path) in [
            ("", "/"),
            ("a=b", "/"),
            ("a;b", "/"),
            ("a b", "/"),
            ("ä", "/"),
            ("a", ""),
            ("a", "b"),
            ("a", "/;x"),
            ("a", "/\r\n"),
        ] {
            assert!(!cookie(name, path), "{name:?} {path:?}");
        }
    }
}
