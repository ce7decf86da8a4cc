//! The server name that a client asks for (RFC 6066 section 3), judged and normalised once, where it enters.
//!
//! In: the bytes of a `host_name`. Out: a [`ServerName`]. Invariant: [`ServerName::Name`] is lower-case ASCII
//! without a trailing dot, of at most 253 bytes, in labels of 1 to 63 letters, digits, hyphens and underscores.

use std::net::IpAddr;

use sealway_core::ServerName as NameFact;

/// What a ClientHello says about the server that it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// No `server_name` extension, or none with a `host_name`.
    Absent,
    /// A DNS name, in lower case and without its trailing dot. Underscores are taken: such names are in use.
    Name(Box<str>),
    /// An IP address in its usual text form, which RFC 6066 forbids and some clients send all the same.
    Address(Box<str>),
    /// Bytes that are no name.
    Malformed {
        /// What is wrong with them.
        reason: NameError,
        /// The first 64 of them, escaped to printable ASCII, for logs.
        shown: Box<str>,
    },
}

impl ServerName {
    /// Judges the bytes of a `host_name`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match normalise(bytes) {
            Ok(name) => name,
            Err(reason) => {
                let start = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
                Self::Malformed {
                    reason,
                    shown: start.escape_ascii().to_string().into(),
                }
            }
        }
    }

    /// The same as routing takes it.
    pub fn as_fact(&self) -> NameFact<'_> {
        match self {
            Self::Absent => NameFact::Absent,
            Self::Name(name) => NameFact::Name(name),
            Self::Address(address) => NameFact::Address(address),
            Self::Malformed { .. } => NameFact::Malformed,
        }
    }

    /// The DNS name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Absent | Self::Address(_) | Self::Malformed { .. } => None,
        }
    }
}

/// Why a `host_name` is no DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NameError {
    /// No bytes, or a dot alone.
    #[error("the server name is empty")]
    Empty,
    /// More than 253 bytes without the trailing dot.
    #[error("the server name is longer than 253 bytes")]
    TooLong,
    /// Two dots in a row, or one at the start.
    #[error("the server name has an empty label")]
    EmptyLabel,
    /// A label of more than 63 bytes.
    #[error("the server name has a label longer than 63 bytes")]
    LabelTooLong,
    /// A `*`: wildcards are for certificates and listeners, not for clients.
    #[error("the server name has a wildcard")]
    Wildcard,
    /// A byte of value 0.
    #[error("the server name has a NUL byte")]
    Nul,
    /// A byte above 127: names travel in their ASCII form (`xn--…`).
    #[error("the server name has a byte that is not ASCII")]
    NotAscii,
    /// Any other byte that a name cannot have.
    #[error("the server name has the byte {:?}", char::from(*byte))]
    Character {
        /// That byte.
        byte: u8,
    },
}

impl NameError {
    /// A stable name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::EmptyLabel => "empty_label",
            Self::LabelTooLong => "label_too_long",
            Self::Wildcard => "wildcard",
            Self::Nul => "nul",
            Self::NotAscii => "not_ascii",
            Self::Character { .. } => "character",
        }
    }
}

fn normalise(bytes: &[u8]) -> Result<ServerName, NameError> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    if let Some(address) = address(bytes) {
        return Ok(ServerName::Address(address.to_string().into()));
    }
    bytes.iter().try_for_each(|byte| judge(*byte))?;
    for label in bytes.split(|byte| *byte == b'.') {
        match label.len() {
            0 => return Err(NameError::EmptyLabel),
            1..=MAX_LABEL_BYTES => {}
            _ => return Err(NameError::LabelTooLong),
        }
    }
    let name: String = bytes.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    Ok(ServerName::Name(name.into()))
}

fn judge(byte: u8) -> Result<(), NameError> {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => Ok(()),
        b'*' => Err(NameError::Wildcard),
        0 => Err(NameError::Nul),
        128.. => Err(NameError::NotAscii),
        byte => Err(NameError::Character { byte }),
    }
}

/// IPv4, or IPv6 with or without the brackets of a URL.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let bytes = bytes
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .unwrap_or(bytes);
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// RFC 1035 section 2.3.4: 255 bytes on the wire are 253 as text.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// As much of a malformed name as logs show.
const SHOWN_BYTES: usize = 64;
