//! What the two ends say to each other beside parts and keys, as JSON.
//!
//! The neighbouring version is understood: a field that is not known is ignored, a new one has a default, and a message that is not known
//! is no message.

use std::collections::BTreeMap;
use std::fmt;

use sealway_api::ObjectKey;
use sealway_core::{BackendPeer, BackendTlsFault, ContentHash, PartDigest, PartKey, PortState, SocketKey};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::frame::{FrameFault, Payload};
use crate::server::ProxyState;

/// Of these messages and frames. Another one cannot be spoken with.
pub(crate) const PROTOCOL: u32 = 1;

/// A service account token of a pod, bound to the audience `sealway.dev/feed`. Prints masked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// From a file's text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// For whoever reviews it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// To the controller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "say")]
pub(crate) enum Up {
    /// First of all.
    Hello {
        protocol: u32,
        token: Token,
        version: String,
        /// Of everything that is there; `None`: nothing is.
        #[serde(default)]
        content: Option<Content>,
    },
    /// Some of what is there, when asked.
    Held {
        parts: BTreeMap<PartKey, PartDigest>,
        keys: Vec<ContentHash>,
        is_last: bool,
    },
    /// A token that is good for longer.
    Token { token: Token },
    /// The delta is obeyed, and its ports are open as far as they can be.
    Acknowledged { revision: u64 },
    /// The delta is not.
    Refused { revision: u64, reason: String },
    /// How the data plane is.
    Report(Report),
    /// From another controller: one of its proxies; `None`: it is gone.
    Proxy {
        gateway: ObjectKey,
        pod: String,
        state: Option<Box<ProxyState>>,
    },
    /// Likewise: it has told of all of them.
    AllProxies,
    /// Still there.
    Ping,
    /// Gone for good reason.
    Leave,
    /// Something of another version.
    #[serde(other)]
    Unknown,
}

/// To a proxy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "say")]
pub(crate) enum Down {
    /// The token is good.
    Welcome {
        version: String,
        /// Whose proxy it is of; `None` for controllers.
        #[serde(default)]
        gateway: Option<ObjectKey>,
    },
    /// The connection ends for this reason.
    Rejected { reason: Rejection },
    /// Asks what is there.
    Tell,
    /// Part of a delta: these are gone.
    Remove { parts: Vec<PartKey>, keys: Vec<ContentHash> },
    /// The delta is whole: what came since the last one is to be obeyed, and leads to this content.
    Obey { revision: u64, content: Content },
    /// Still there.
    Ping,
    /// Something of another version.
    #[serde(other)]
    Unknown,
}

/// Why the controller ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rejection {
    /// The token is not good, or of nobody who gets anything.
    Unauthorised,
    /// Nobody can say whether the token is good.
    Unavailable,
    /// The token has expired, and no other came.
    Expired,
    /// Another protocol is spoken.
    Protocol,
    /// Something was said that may not be said.
    Malformed,
    /// The same pod has connected anew.
    Replaced,
    /// A reason of another version.
    #[serde(other)]
    Unknown,
}

impl Rejection {
    /// What mends it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unauthorised => {
                "the pod needs the ServiceAccount and labels that its Gateway's Deployment gives it, and a token with audience sealway.dev/feed"
            }
            Self::Unavailable => "the controller reaches no API server for TokenReview; it is tried again",
            Self::Expired => "the kubelet has not renewed the projected token: look at the node",
            Self::Protocol | Self::Unknown => {
                "controller and proxies must be of neighbouring versions: finish the update of both"
            }
            Self::Malformed => "report it: controller and proxy do not understand each other",
            Self::Replaced => "nothing: it happens when a proxy connects anew before the old connection is known to be dead",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unauthorised => "the token is not that of a proxy",
            Self::Unavailable => "the token cannot be reviewed",
            Self::Expired => "the token has expired",
            Self::Protocol => "another protocol is spoken",
            Self::Malformed => "something was said that cannot be understood",
            Self::Replaced => "the pod has another connection",
            Self::Unknown => "for a reason that this version does not know",
        })
    }
}

/// Bytes of a report: it must fit into a frame together with what else is known of a proxy.
const LARGEST_REPORT: usize = crate::frame::LONGEST / 2;

impl Report {
    /// No longer than a report may be: what is too much is left out.
    pub(crate) fn capped(mut self) -> Self {
        while encode(&self).len() > LARGEST_REPORT {
            self.ports.truncate(self.ports.len() / 2);
            self.backend_tls.truncate(self.backend_tls.len() / 2);
        }
        self
    }
}

/// How a data plane is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// What became of each socket.
    pub ports: Vec<(SocketKey, PortState)>,
    /// What went wrong in the last handshake with each backend.
    pub backend_tls: Vec<(BackendPeer, BackendTlsFault)>,
    /// It takes no new connections.
    pub draining: bool,
}

/// The payload of a message.
pub(crate) fn encode(message: &impl Serialize) -> Payload {
    // No message can fail to be written: its maps have names as keys.
    Payload::new(serde_json::to_vec(message).unwrap_or_default())
}

/// A message; what is JSON and no message of this version is `unknown`.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], unknown: T) -> Result<T, FrameFault> {
    match serde_json::from_slice(bytes) {
        Ok(message) => Ok(message),
        Err(error) if error.is_data() => Ok(unknown),
        Err(_) => Err(FrameFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbouring_version_is_understood() {
        let read = |text: &str| decode(text.as_bytes(), Up::Unknown);
        assert!(matches!(
            read(r#"{"say":"hello","protocol":1,"token":"x","version":"9","mood":"good"}"#),
            Ok(Up::Hello { content: None, .. })
        ));
        assert!(matches!(read(r#"{"say":"sing","song":[1]}"#), Ok(Up::Unknown)));
        assert!(matches!(
            read(r#"{"say":"acknowledged","revision":"seven"}"#),
            Ok(Up::Unknown)
        ));
        assert!(matches!(read(r#"{"say":"report","ports":[]}"#), Ok(Up::Report(_))));
        assert!(read("{").is_err());
        let rejected = decode(br#"{"say":"rejected","reason":"badMood"}"#, Down::Unknown);
        assert!(
            matches!(
                rejected,
                Ok(Down::Rejected {
                    reason: Rejection::Unknown
                })
            ),
            "{rejected:?}"
        );
    }

    #[test]
    fn a_report_fits_into_a_frame() {
        let failed = sealway_core::BindFailure::Other("x".repeat(10_000));
        let socket = SocketKey {
            transport: sealway_core::Transport::Tcp,
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 80)),
        };
        let report = Report {
            ports: vec![(socket, PortState::Failed(failed)); 200],
            ..Report::default()
        };
        let capped = report.clone().capped();
        assert!(!capped.ports.is_empty() && encode(&capped).len() <= LARGEST_REPORT);
        let large = Report {
            ports: report.ports.into_iter().take(1).collect(),
            ..Report::default()
        };
        assert_eq!(large.clone().capped(), large);
    }

    #[test]
    fn a_token_does_not_print() {
        let hello = Up::Token {
            token: Token::new("SECRET\n"),
        };
        assert!(!format!("{hello:?}").contains("SECRET"));
        assert!(String::from_utf8_lossy(&encode(&hello)).contains(r#""SECRET""#));
    }
}
