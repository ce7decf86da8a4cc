//! The body of a complete ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) as facts.
//!
//! Lengths must be coherent and what decides a route (`server_name`, ALPN) must be well-formed; no extension may come
//! twice. Everything else is the backend's to judge, for a gateway that passes through must not be stricter than the
//! server behind it: unknown and odd values pass, lists that only inform are read as far as they are sound.

use std::net::SocketAddr;

use sealway_core::HelloFacts;

use super::error::{HelloError, HelloPart};
use super::reader::Reader;
use super::server_name::ServerName;

/// What a client offers, owned and small: it is dropped before bytes are relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server that the client wants; with ECH, the outer name.
    pub server_name: ServerName,
    /// Application protocols in the client's order, at most [`MAX_PROTOCOLS`].
    pub alpn: Vec<Box<[u8]>>,
    /// `legacy_version`: the highest version of a client without `supported_versions`.
    pub legacy_version: u16,
    /// The `supported_versions` extension as sent, GREASE included.
    pub supported_versions: Box<[u16]>,
    /// The `supported_groups` extension as sent, GREASE included.
    pub supported_groups: Box<[u16]>,
    /// The groups that the client sent a key share for.
    pub key_shares: Box<[u16]>,
    /// The client sent `encrypted_client_hello`, be it real or GREASE.
    pub encrypted_client_hello: bool,
    /// Bytes of the buffer up to the end of the hello, record headers included.
    pub raw_bytes: usize,
    /// TLS records that the hello came in.
    pub records: u32,
}

impl ClientHello {
    /// What routing needs of it, for a connection from `source`.
    pub fn facts(&self, source: SocketAddr) -> HelloFacts<'_> {
        HelloFacts {
            server_name: self.server_name.as_fact(),
            alpn: &self.alpn,
            source,
        }
    }

    /// Whether the client speaks this version of TLS, as far as the hello tells (RFC 8446 section 4.2.1).
    pub fn speaks(&self, version: u16) -> bool {
        if self.supported_versions.is_empty() {
            version <= self.legacy_version
        } else {
            self.supported_versions.contains(&version)
        }
    }
}

/// Reads `body`, the handshake message without its header. `raw_bytes` and `records` are handed on.
pub(super) fn parse(body: &[u8], raw_bytes: usize, records: u32) -> Result<ClientHello, HelloError> {
    let mut reader = Reader::new(body);
    let legacy_version = reader.number().ok_or(HelloError::Malformed(HelloPart::Version))?;
    reader.take(RANDOM_BYTES).ok_or(HelloError::Malformed(HelloPart::Random))?;
    let session = reader.vector8().filter(|session| session.len() <= MAX_SESSION_BYTES);
    session.ok_or(HelloError::Malformed(HelloPart::Session))?;
    let suites = reader.vector16().filter(|suites| suites.len() % 2 == 0);
    suites.ok_or(HelloError::Malformed(HelloPart::CipherSuites))?;
    reader.vector8().ok_or(HelloError::Malformed(HelloPart::Compression))?;

    let mut hello = ClientHello {
        server_name: ServerName::Absent,
        alpn: Vec::new(),
        legacy_version,
        supported_versions: Box::default(),
        supported_groups: Box::default(),
        key_shares: Box::default(),
        encrypted_client_hello: false,
        raw_bytes,
        records,
    };
    if reader.is_empty() {
        return Ok(hello); // TLS 1.2 and older may come without extensions.
    }
    let extensions = reader.vector16().ok_or(HelloError::Malformed(HelloPart::Extensions))?;
    if !reader.is_empty() {
        return Err(HelloError::TrailingBytes);
    }
    hello.read_extensions(Reader::new(extensions))?;
    Ok(hello)
}

impl ClientHello {
    fn read_extensions(&mut self, mut extensions: Reader<'_>) -> Result<(), HelloError> {
        let mut kinds = Vec::with_capacity(TYPICAL_EXTENSIONS);
        while !extensions.is_empty() {
            let malformed = HelloError::Malformed(HelloPart::Extensions);
            let kind = extensions.number().ok_or(malformed)?;
            let data = extensions.vector16().ok_or(malformed)?;
            kinds.push(kind);
            match kind {
                SERVER_NAME => self.server_name = server_name(data)?,
                ALPN => self.alpn = alpn(data)?,
                SUPPORTED_GROUPS => self.supported_groups = numbers(Reader::new(data).vector16()),
                SUPPORTED_VERSIONS => self.supported_versions = numbers(Reader::new(data).vector8()),
                KEY_SHARE => self.key_shares = key_share_groups(data),
                ENCRYPTED_CLIENT_HELLO => self.encrypted_client_hello = true,
                _ => {}
            }
        }
        // Sorting keeps 16,000 extensions as cheap as twenty.
        kinds.sort_unstable();
        match kinds.iter().zip(kinds.iter().skip(1)).find(|(one, next)| one == next) {
            Some((kind, _)) => Err(HelloError::DuplicateExtension { kind: *kind }),
            None => Ok(()),
        }
    }
}

/// The one `host_name` of the list. Names of other types, which nobody ever defined, are passed over; as their form is
/// unknown (rustls), one without a length of two bytes ends the list.
fn server_name(data: &[u8]) -> Result<ServerName, HelloError> {
    let malformed = HelloError::Malformed(HelloPart::ServerName);
    let mut names = sole_vector(data).map(Reader::new).ok_or(malformed)?;
    let mut found = None;
    while !names.is_empty() {
        let kind = names.byte().ok_or(malformed)?;
        let name = names.vector16();
        if kind != HOST_NAME {
            if name.is_none() {
                break;
            }
        } else if found.replace(name.ok_or(malformed)?).is_some() {
            return Err(HelloError::DuplicateHostName);
        }
    }
    Ok(found.map_or(ServerName::Absent, ServerName::from_bytes))
}

fn alpn(data: &[u8]) -> Result<Vec<Box<[u8]>>, HelloError> {
    let malformed = HelloError::Malformed(HelloPart::Alpn);
    let mut names = sole_vector(data).map(Reader::new).ok_or(malformed)?;
    let mut protocols = Vec::new();
    while !names.is_empty() {
        let name = names.vector8().filter(|name| !name.is_empty()).ok_or(malformed)?;
        if protocols.len() == MAX_PROTOCOLS {
            return Err(HelloError::TooManyProtocols);
        }
        protocols.push(name.into());
    }
    Ok(protocols)
}

/// A vector that fills `data` to its end and is not empty.
fn sole_vector(data: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(data);
    let list = reader.vector16()?;
    (reader.is_empty() && !list.is_empty()).then_some(list)
}

fn numbers(list: Option<&[u8]>) -> Box<[u16]> {
    let mut reader = Reader::new(list.unwrap_or_default());
    std::iter::from_fn(|| reader.number()).collect()
}

fn key_share_groups(data: &[u8]) -> Box<[u16]> {
    let mut shares = Reader::new(Reader::new(data).vector16().unwrap_or_default());
    let share = || {
        let group = shares.number()?;
        shares.vector16()?;
        Some(group)
    };
    std::iter::from_fn(share).collect()
}

/// The most protocols that a client may offer, over ten times what real ones do. Kept apart, 32,000 names of one byte
/// would cost twenty times the hello that brings them.
pub const MAX_PROTOCOLS: usize = 256;

const RANDOM_BYTES: usize = 32;
/// RFC 8446 section 4.1.2: `legacy_session_id<0..32>`; OpenSSL and rustls refuse longer ones.
const MAX_SESSION_BYTES: usize = 32;
/// Browsers send about 18, command line clients about 12.
const TYPICAL_EXTENSIONS: usize = 24;

// Extension types, as IANA lists them.
const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// The only `NameType` of RFC 6066.
const HOST_NAME: u8 = 0;
