//! Why bytes are refused as a ClientHello: one variant each, with its alert, its label and its hint.

use crate::preface::Preface;

/// Why the bytes of a client are no ClientHello that we pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HelloError {
    /// A plain HTTP request.
    #[error("the client speaks plain HTTP on a TLS port")]
    HttpRequest,
    /// A ClientHello in SSL 2.0 framing.
    #[error("the client sent an SSL 2.0 hello")]
    SslV2Hello,
    /// A PostgreSQL start-up packet where TLS must begin.
    #[error("the client sent a PostgreSQL start-up packet where TLS must begin")]
    PostgresMessage,
    /// A PROXY protocol header that nobody expects here.
    #[error("the client sent a PROXY protocol header that this listener does not expect")]
    ProxyHeader,
    /// Bytes that are neither TLS nor anything else we know.
    #[error("the client's first bytes are not TLS")]
    NotTls,
    /// A record of another content type than handshake.
    #[error("a TLS record of type {content_type} came instead of a ClientHello")]
    UnexpectedRecord {
        /// Its content type: 20 ChangeCipherSpec, 21 alert, 23 application data.
        content_type: u8,
    },
    /// A record whose major version is not 3.
    #[error("a TLS record has the major version {major}")]
    RecordVersion {
        /// That version byte.
        major: u8,
    },
    /// A record of more than 16,384 bytes.
    #[error("a TLS record has {length} bytes, more than the 16384 allowed")]
    RecordTooLong {
        /// Its length in bytes, as its header states it.
        length: usize,
    },
    /// More records without payload than [`super::MAX_EMPTY_RECORDS`].
    #[error("the client sends empty TLS records")]
    TooManyEmptyRecords,
    /// A handshake message of another type.
    #[error("a handshake message of type {kind} came instead of a ClientHello")]
    UnexpectedHandshake {
        /// Its type.
        kind: u8,
    },
    /// A ClientHello of more than [`super::MAX_BODY_BYTES`].
    #[error("the ClientHello has {length} bytes, more than the 65536 allowed")]
    TooLong {
        /// Its length in bytes, as its header states it.
        length: usize,
    },
    /// A part whose length does not fit its content or its place.
    #[error("the ClientHello's {} is malformed", .0.name())]
    Malformed(HelloPart),
    /// More application protocols than [`super::MAX_PROTOCOLS`].
    #[error("the ClientHello offers more than 256 application protocols")]
    TooManyProtocols,
    /// Bytes between the extensions and the end of the hello.
    #[error("the ClientHello has bytes after its extensions")]
    TrailingBytes,
    /// The same extension twice.
    #[error("the ClientHello has the extension {kind} twice")]
    DuplicateExtension {
        /// Its type.
        kind: u16,
    },
    /// Two names of type `host_name`.
    #[error("the ClientHello asks for two host names")]
    DuplicateHostName,
}

/// A part of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HelloPart {
    /// `legacy_version`
    Version,
    /// `random`
    Random,
    /// `legacy_session_id`
    Session,
    /// `cipher_suites`
    CipherSuites,
    /// `legacy_compression_methods`
    Compression,
    /// The list of extensions, or the frame of one.
    Extensions,
    /// The `server_name` extension.
    ServerName,
    /// The `application_layer_protocol_negotiation` extension.
    Alpn,
}

impl HelloPart {
    /// Its name in RFC 8446.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "legacy_version",
            Self::Random => "random",
            Self::Session => "legacy_session_id",
            Self::CipherSuites => "cipher_suites",
            Self::Compression => "legacy_compression_methods",
            Self::Extensions => "extensions",
            Self::ServerName => "server_name extension",
            Self::Alpn => "application_layer_protocol_negotiation extension",
        }
    }
}

impl HelloError {
    /// The error for first bytes that are not TLS.
    pub(super) fn from_preface(preface: Preface) -> Self {
        match preface {
            Preface::Http => Self::HttpRequest,
            Preface::SslV2 => Self::SslV2Hello,
            Preface::PostgresSslRequest | Preface::PostgresGssEncRequest | Preface::PostgresStartup | Preface::PostgresCancel => {
                Self::PostgresMessage
            }
            Preface::ProxyHeader => Self::ProxyHeader,
            Preface::Other | Preface::Tls | Preface::NeedMore => Self::NotTls,
        }
    }

    /// The TLS alert that fits, as numbered in RFC 8446 section 6.
    pub fn alert(self) -> u8 {
        match self {
            Self::HttpRequest
            | Self::PostgresMessage
            | Self::ProxyHeader
            | Self::NotTls
            | Self::UnexpectedRecord { .. }
            | Self::TooManyEmptyRecords
            | Self::UnexpectedHandshake { .. } => UNEXPECTED_MESSAGE,
            Self::SslV2Hello | Self::RecordVersion { .. } => PROTOCOL_VERSION,
            Self::RecordTooLong { .. } => RECORD_OVERFLOW,
            Self::Malformed(_) | Self::TrailingBytes => DECODE_ERROR,
            // What OpenSSL answers to a message beyond its limit.
            Self::TooLong { .. } | Self::TooManyProtocols | Self::DuplicateExtension { .. } | Self::DuplicateHostName => {
                ILLEGAL_PARAMETER
            }
        }
    }

    /// A stable name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::HttpRequest => "http_request",
            Self::SslV2Hello => "ssl2_hello",
            Self::PostgresMessage => "postgres_message",
            Self::ProxyHeader => "proxy_header",
            Self::NotTls => "not_tls",
            Self::UnexpectedRecord { .. } => "unexpected_record",
            Self::RecordVersion { .. } => "record_version",
            Self::RecordTooLong { .. } => "record_too_long",
            Self::TooManyEmptyRecords => "empty_records",
            Self::UnexpectedHandshake { .. } => "unexpected_handshake",
            Self::TooLong { .. } => "hello_too_long",
            Self::Malformed(_) => "malformed_hello",
            Self::TooManyProtocols => "too_many_protocols",
            Self::TrailingBytes => "trailing_bytes",
            Self::DuplicateExtension { .. } => "duplicate_extension",
            Self::DuplicateHostName => "duplicate_host_name",
        }
    }

    /// What the operator or the client's owner can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::HttpRequest => "use https:// in the client, or add an HTTP listener on another port",
            Self::SslV2Hello => "the client is too old or offers SSL 2.0: let it use TLS 1.2 or newer",
            Self::PostgresMessage => "let the client begin TLS: sslmode=require or verify-full",
            Self::ProxyHeader => {
                "if a load balancer in front sends it, name its addresses in the Gateway's annotation \
                 sealway.dev/accept-proxy-protocol"
            }
            Self::NotTls => "this port takes TLS: a protocol without it needs a TCP listener of its own",
            Self::UnexpectedRecord { content_type: ALERT } => "the client gave up by itself: its own log says why",
            Self::UnexpectedRecord { .. } | Self::UnexpectedHandshake { .. } => {
                "the client is in the middle of another TLS connection: look for a proxy that reuses connections"
            }
            Self::RecordVersion { .. } | Self::RecordTooLong { .. } | Self::TooManyEmptyRecords => {
                "the bytes break TLS record framing: look for another protocol or a broken device on the path"
            }
            Self::TooLong { .. } | Self::TooManyProtocols => {
                "the client offers more than any server takes: shorten its extensions"
            }
            Self::Malformed(_) | Self::TrailingBytes | Self::DuplicateExtension { .. } | Self::DuplicateHostName => {
                "the client's TLS library is broken, or someone is probing"
            }
        }
    }
}

/// Record content type of an alert.
const ALERT: u8 = 21;

const UNEXPECTED_MESSAGE: u8 = 10;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
