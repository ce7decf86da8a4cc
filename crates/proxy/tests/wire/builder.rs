//! Writes ClientHellos of any shape and frames them in records of any size.

use std::path::PathBuf;

use sealway_proxy::client_hello::{ClientHello, ClientHelloParser, Progress};

/// A hello that rustls takes, to be added to.
pub(crate) struct HelloBuilder {
    pub(crate) suites: Vec<u16>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

impl HelloBuilder {
    /// With what TLS 1.3 needs, and no name.
    pub(crate) fn plain() -> Self {
        let extensions = vec![
            (SUPPORTED_GROUPS, vector16(&numbers(&[X25519]))),
            (SIGNATURE_ALGORITHMS, vector16(&numbers(&[0x0403, 0x0804]))),
            (SUPPORTED_VERSIONS, vector8(&numbers(&[0x0304, 0x0303]))),
            (KEY_SHARE, vector16(&key_share(X25519, 32))),
        ];
        Self {
            suites: vec![0x1301, 0xc02f],
            extensions,
        }
    }

    /// The same with a server name.
    pub(crate) fn named(name: &str) -> Self {
        Self::plain().extension(SERVER_NAME, server_name(name))
    }

    pub(crate) fn extension(mut self, kind: u16, data: Vec<u8>) -> Self {
        self.extensions.push((kind, data));
        self
    }

    /// Adds an unknown extension so that the message body has exactly `bytes` bytes.
    pub(crate) fn padded_to(self, bytes: usize) -> Self {
        let missing = bytes - (self.message().len() - 4) - 4;
        self.extension(0xabcd, vec![0x5a; missing])
    }

    /// The handshake message with its header.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0x42; 32]);
        body.extend(vector8(&[0x17; 32]));
        body.extend(vector16(&numbers(&self.suites)));
        body.extend(vector8(&[0]));
        let mut extensions = Vec::new();
        for (kind, data) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(vector16(data));
        }
        body.extend(vector16(&extensions));
        let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut message = vec![1];
        message.extend(length);
        message.extend(body);
        message
    }

    /// The message in records as full as they may be.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        framed(&self.message(), 16_384)
    }
}

/// All that a browser of 2026 sends at once: GREASE as cipher suite, extension, group, key share and version, X25519MLKEM768,
/// an outer ECH, application settings, a permuted order and padding.
pub(crate) fn chrome_like() -> HelloBuilder {
    let mut shares = key_share(0x4a4a, 1);
    shares.extend(key_share(X25519_MLKEM768, 1184 + 32));
    shares.extend(key_share(X25519, 32));
    // Outer (0), HKDF-SHA256 with AES-128-GCM, configuration 7, encapsulated key, payload.
    let mut ech = vec![0, 0, 1, 0, 1, 7];
    ech.extend(vector16(&[0xec; 32]));
    ech.extend(vector16(&[0xcc; 208]));
    let extensions = vec![
        (0x2a2a, vec![]),
        (KEY_SHARE, vector16(&shares)),
        (0x0012, vec![]),                    // signed_certificate_timestamp
        (0x44cd, vector16(&vector8(b"h2"))), // application_settings
        (ALPN, alpn(&[b"h2", b"http/1.1"])),
        (0x001b, vector8(&numbers(&[2]))), // compress_certificate: brotli
        (0xfe0d, ech),
        (0x0017, vec![]), // extended_master_secret
        (
            SUPPORTED_GROUPS,
            vector16(&numbers(&[0x4a4a, X25519_MLKEM768, X25519, 0x0017, 0x0018])),
        ),
        (SERVER_NAME, server_name("payment.internal.example.com")),
        (0x002d, vector8(&[1])), // psk_key_exchange_modes
        (
            SIGNATURE_ALGORITHMS,
            vector16(&numbers(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601])),
        ),
        (SUPPORTED_VERSIONS, vector8(&numbers(&[0x6a6a, 0x0304, 0x0303]))),
        (0x0005, vec![1, 0, 0, 0, 0]), // status_request
        (0x000b, vector8(&[0])),       // ec_point_formats
        (0x0023, vec![]),              // session_ticket
        (0xff01, vec![0]),             // renegotiation_info
        (0x1a1a, vec![0]),
        (0x0015, vec![0; 174]), // padding
    ];
    HelloBuilder {
        suites: vec![0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0x009c, 0x002f],
        extensions,
    }
}

/// `message` in records of at most `size` bytes.
pub(crate) fn framed(message: &[u8], size: usize) -> Vec<u8> {
    let mut records = Vec::new();
    for payload in message.chunks(size) {
        records.extend([22, 3, 1]);
        records.extend(vector16(payload));
    }
    records
}

/// The handshake message in `records`.
pub(crate) fn unframed(mut records: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let Some(([.., high, low], rest)) = records.split_first_chunk::<5>() {
        let (payload, next) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend(payload);
        records = next;
    }
    message
}

/// What the parser says when `bytes` arrive in pieces of `piece`, until it decides.
pub(crate) fn in_pieces(bytes: &[u8], piece: usize) -> Progress {
    let mut parser = ClientHelloParser::new();
    let mut end = 0;
    while end < bytes.len() {
        end = bytes.len().min(end + piece);
        let progress = parser.advance(&bytes[..end]);
        if progress != Progress::NeedMore {
            return progress;
        }
    }
    Progress::NeedMore
}

/// What the parser says when `bytes` arrive at once.
pub(crate) fn at_once(bytes: &[u8]) -> Progress {
    ClientHelloParser::new().advance(bytes)
}

pub(crate) fn done(progress: Progress) -> ClientHello {
    match progress {
        Progress::Done(hello) => hello,
        other => panic!("no hello: {other:?}"),
    }
}

/// Name and bytes of every hello in `testdata/hellos`.
pub(crate) fn committed_hellos() -> Vec<(String, Vec<u8>)> {
    let mut hellos = Vec::new();
    for entry in std::fs::read_dir(hello_folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            hellos.push((name, std::fs::read(path).unwrap()));
        }
    }
    hellos.sort();
    hellos
}

pub(crate) fn hello_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/hellos")
}

pub(crate) fn server_name(name: &str) -> Vec<u8> {
    let mut entry = vec![0];
    entry.extend(vector16(name.as_bytes()));
    vector16(&entry)
}

pub(crate) fn alpn(protocols: &[&[u8]]) -> Vec<u8> {
    vector16(&protocols.iter().flat_map(|protocol| vector8(protocol)).collect::<Vec<_>>())
}

pub(crate) fn vector16(bytes: &[u8]) -> Vec<u8> {
    let mut vector = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    vector.extend(bytes);
    vector
}

fn vector8(bytes: &[u8]) -> Vec<u8> {
    let mut vector = vec![u8::try_from(bytes.len()).unwrap()];
    vector.extend(bytes);
    vector
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn key_share(group: u16, bytes: usize) -> Vec<u8> {
    let mut share = group.to_be_bytes().to_vec();
    share.extend(vector16(&vec![0x99; bytes]));
    share
}

pub(crate) const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

const X25519: u16 = 29;
pub(crate) const X25519_MLKEM768: u16 = 0x11ec;
