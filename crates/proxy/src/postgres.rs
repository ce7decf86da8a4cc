//! The few PostgreSQL messages that come before TLS (PostgreSQL manual, "Message Flow: SSL Session Encryption").
//!
//! In and out: bytes. The gateway answers a client's SSLRequest, reads the ClientHello for its server name, then sends
//! the same SSLRequest to the backend and reads its one-byte answer. [`crate::preface`] recognises what clients send;
//! nothing after the start-up phase is looked at.

/// A backend's answer to [`SSL_REQUEST`]. Read one byte and no more: what follows belongs to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SslAnswer {
    /// `S`: TLS may begin.
    Accepted,
    /// `N`: the server has no TLS.
    Refused,
    /// `E`: an ErrorResponse follows; the server could not even ask itself (out of processes, for one).
    Error,
    /// Any other byte: no PostgreSQL server.
    Unexpected(u8),
}

impl SslAnswer {
    /// Reads the answer.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            b'S' => Self::Accepted,
            b'N' => Self::Refused,
            b'E' => Self::Error,
            byte => Self::Unexpected(byte),
        }
    }

    /// A stable name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "postgres_tls_accepted",
            Self::Refused => "postgres_tls_refused",
            Self::Error => "postgres_error",
            Self::Unexpected(_) => "postgres_unexpected_answer",
        }
    }
}

/// A FATAL ErrorResponse with what `psql` and drivers show: `sqlstate` (five characters), `message` and `hint`.
/// NUL bytes, which would end a field early, are left out.
pub fn error_response(sqlstate: &str, message: &str, hint: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [
        (b'S', "FATAL"),
        (b'V', "FATAL"),
        (b'C', sqlstate),
        (b'M', message),
        (b'H', hint),
    ] {
        fields.push(kind);
        fields.extend(text.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let mut response = vec![b'E'];
    // The length counts itself. A text near 4 GiB is not ours to send.
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    response.extend_from_slice(&length.to_be_bytes());
    response.append(&mut fields);
    response
}

/// What a client gets that starts in plain text: without TLS there is no server name to route by.
pub fn plain_text_refused() -> Vec<u8> {
    error_response(
        INVALID_AUTHORIZATION,
        "this gateway takes TLS connections only",
        "Connect with sslmode=verify-full and sslrootcert=<file of the server's CA>, or at least sslmode=require.",
    )
}

/// The request for TLS: length 8, code 1234.5679.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The request for GSSAPI encryption: length 8, code 1234.5680.
pub const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// The answer that TLS may begin.
pub const ACCEPT_TLS: [u8; 1] = *b"S";
/// The answer that the encryption asked for is not to be had; the client may ask for another or give up.
pub const REFUSE_ENCRYPTION: [u8; 1] = *b"N";

/// How often a client may ask for encryption before its ClientHello: libpq asks for GSSAPI once, then for TLS once.
pub const MAX_ENCRYPTION_REQUESTS: usize = 2;

/// SQLSTATE of `invalid_authorization_specification`: what a server with only `hostssl` lines answers as well.
const INVALID_AUTHORIZATION: &str = "28000";

pub(crate) const SSL_REQUEST_CODE: u32 = 80_877_103;
pub(crate) const GSSENC_REQUEST_CODE: u32 = 80_877_104;
pub(crate) const CANCEL_REQUEST_CODE: u32 = 80_877_102;
/// Protocol 3 is today's; 2 ended with PostgreSQL 14 and is recognised to be told the same.
pub(crate) const STARTUP_MAJOR_VERSIONS: [u32; 2] = [2, 3];
/// `MAX_STARTUP_PACKET_LENGTH` of PostgreSQL.
pub(crate) const MAX_STARTUP_BYTES: u32 = 10_000;
/// A process and a secret of four bytes; protocol 3.2 (PostgreSQL 18) takes secrets of up to 256 bytes.
pub(crate) const MIN_CANCEL_BYTES: u32 = 16;
pub(crate) const MAX_CANCEL_BYTES: u32 = 12 + 256;

#[cfg(test)]
mod tests;
