//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): read from a load balancer in front,
//! written to a backend that asks for it.
//!
//! In: everything received so far. Out: [`Progress`], with the number of bytes that the header takes; what follows is
//! the client's own. Pure, and capped: nothing above [`MAX_HEADER_BYTES`] is waited for.

mod emit;
mod parse;

use std::net::SocketAddr;

pub use emit::{Facts, emit_v1, emit_v1_unknown, emit_v2, emit_v2_local};
pub use parse::parse;

/// What [`parse`] knows after the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The header is not complete.
    NeedMore,
    /// The whole header is there.
    Done(Header),
    /// These bytes are no header that we take.
    Refused(HeaderError),
}

/// A PROXY protocol header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the connection comes from and was sent to, as the sender has it. `None` when it does not say: `UNKNOWN` in
    /// v1; in v2 a `LOCAL` connection (the sender's own health check), an unspecified family or a Unix socket. Then
    /// the connection's own addresses hold.
    pub addresses: Option<Addresses>,
    /// Version 2's further facts; empty in version 1 and without addresses.
    pub extensions: Extensions,
    /// Bytes that the header takes.
    pub length: usize,
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// The TLVs of a version 2 header, kept as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Box<[u8]>);

impl Extensions {
    /// The value of the first TLV of type `kind`, such as [`AUTHORITY`].
    pub fn find(&self, kind: u8) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Types and values in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (kind, value, next) = parse::split_extension(rest)?;
            rest = next;
            Some((kind, value))
        })
    }
}

/// Why bytes are no PROXY protocol header that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderError {
    /// The bytes begin with something else.
    #[error("no PROXY protocol header came first")]
    Missing,
    /// A version 1 line without its end within 107 bytes.
    #[error("the PROXY v1 line is longer than 107 bytes")]
    LineTooLong,
    /// A version 1 line that does not say what it must.
    #[error("the PROXY v1 line is malformed")]
    LineMalformed,
    /// The signature of version 2 with another version number.
    #[error("the PROXY header has the unknown version {version}")]
    UnknownVersion {
        /// That number.
        version: u8,
    },
    /// A command that is neither LOCAL nor PROXY.
    #[error("the PROXY v2 header has the unknown command {command}")]
    UnknownCommand {
        /// Its number.
        command: u8,
    },
    /// An address family and transport that version 2 does not have.
    #[error("the PROXY v2 header has the unknown family and transport {family:#04x}")]
    UnknownFamily {
        /// The byte of both.
        family: u8,
    },
    /// A version 2 header of more than [`MAX_HEADER_BYTES`].
    #[error("the PROXY v2 header states {length} bytes, more than the 4096 allowed")]
    TooLong {
        /// Its length in bytes, without the first 16.
        length: usize,
    },
    /// A version 2 header too short for its addresses.
    #[error("the PROXY v2 header is too short for its addresses")]
    AddressesTruncated,
    /// A TLV that does not fit in the header, or a second checksum.
    #[error("the PROXY v2 header has a malformed TLV")]
    ExtensionMalformed,
    /// A CRC32C that does not fit the header's bytes.
    #[error("the PROXY v2 header's checksum is wrong")]
    Checksum,
}

impl HeaderError {
    /// A stable name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "proxy_header_missing",
            Self::LineTooLong => "proxy_line_too_long",
            Self::LineMalformed => "proxy_line_malformed",
            Self::UnknownVersion { .. } => "proxy_unknown_version",
            Self::UnknownCommand { .. } => "proxy_unknown_command",
            Self::UnknownFamily { .. } => "proxy_unknown_family",
            Self::TooLong { .. } => "proxy_header_too_long",
            Self::AddressesTruncated => "proxy_addresses_truncated",
            Self::ExtensionMalformed => "proxy_extension_malformed",
            Self::Checksum => "proxy_checksum",
        }
    }

    /// What the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Missing => {
                "the load balancer does not send the PROXY protocol: switch it on there, or take its addresses \
                 out of the Gateway's annotation sealway.dev/accept-proxy-protocol"
            }
            Self::LineTooLong
            | Self::LineMalformed
            | Self::UnknownVersion { .. }
            | Self::UnknownCommand { .. }
            | Self::UnknownFamily { .. }
            | Self::TooLong { .. }
            | Self::AddressesTruncated
            | Self::ExtensionMalformed
            | Self::Checksum => "the load balancer's header is broken: see that nothing else rewrites the stream",
        }
    }
}

/// The most bytes that a header can take. Version 1 ends within 107; of version 2 the specification's own example of
/// everything is 500 bytes, and a client certificate as a TLV fits.
pub const MAX_HEADER_BYTES: usize = V2_FIXED_BYTES + MAX_V2_BYTES;

/// TLV type: the application protocol.
pub const ALPN: u8 = 0x01;
/// TLV type: the name that the client asked for, as in SNI.
pub const AUTHORITY: u8 = 0x02;

/// Signature, version and command, family and transport, length.
const V2_FIXED_BYTES: usize = 16;
const MAX_V2_BYTES: usize = 4096;
/// Begins version 2; chosen so that no text protocol takes it for its own.
pub(crate) const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Begins version 1.
pub(crate) const V1_SIGNATURE: &[u8; 6] = b"PROXY ";

const LOCAL: u8 = 0;
const PROXY: u8 = 1;
// Address family in the upper half, transport in the lower.
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const UDP_OVER_IPV4: u8 = 0x12;
const TCP_OVER_IPV6: u8 = 0x21;
const UDP_OVER_IPV6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;
/// TLV type: CRC32C over the whole header with these four bytes zero.
const CHECKSUM: u8 = 0x03;

#[cfg(test)]
mod tests;
