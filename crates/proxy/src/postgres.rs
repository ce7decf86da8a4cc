//! The few PostgreSQL messages that come before TLS (PostgreSQL manual, "Message Flow: SSL Session Encryption").
//!
//! In and out: bytes. The gateway answers a client's SSLRequest, reads the ClientHello for its server name, then sends
//! the same SSLRequest to the backend and reads its one-byte answer. Nothing after the start-up phase is looked at.

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
