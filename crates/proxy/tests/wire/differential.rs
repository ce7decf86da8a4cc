//! Our parser against rustls' `Acceptor` and tls-parser, on real hellos and on mutations of them.

use proptest::prelude::*;
use rustls::server::Acceptor;
use sealway_proxy::client_hello::{ClientHello, HelloError, Progress, ServerName};
use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake};

use crate::builder::{HelloBuilder, at_once, chrome_like, committed_hellos, framed, in_pieces, unframed};

/// What another parser reads in a hello: lower-case name without trailing dot, protocols.
#[derive(Debug, PartialEq)]
struct Reading {
    name: Option<String>,
    alpn: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum RustlsAnswer {
    NeedMore,
    Accepted(Reading),
    Refused,
}

fn rustls_reads(mut bytes: &[u8]) -> RustlsAnswer {
    let mut acceptor = Acceptor::default();
    loop {
        let left = bytes.len();
        if left > 0 && acceptor.read_tls(&mut bytes).is_err() {
            return RustlsAnswer::Refused;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                return RustlsAnswer::Accepted(Reading {
                    name: hello.server_name().map(|name| name.trim_end_matches('.').to_owned()),
                    alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
                });
            }
            Ok(None) if bytes.is_empty() || bytes.len() == left => return RustlsAnswer::NeedMore,
            Ok(None) => {}
            Err(_) => return RustlsAnswer::Refused,
        }
    }
}

/// tls-parser reads one record; it is lenient, so only what it finds counts.
fn tls_parser_reads(message: &[u8]) -> Option<Reading> {
    let (_, TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello))) =
        tls_parser::parse_tls_message_handshake(message).ok()?
    else {
        return None;
    };
    let (_, extensions) = tls_parser::parse_tls_client_hello_extensions(hello.ext.unwrap_or_default()).ok()?;
    let mut reading = Reading {
        name: None,
        alpn: Vec::new(),
    };
    for extension in extensions {
        match extension {
            TlsExtension::SNI(names) => {
                let (_, name) = names.into_iter().find(|(kind, _)| kind.0 == 0)?;
                let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
                reading.name = Some(name.strip_suffix('.').unwrap_or(&name).to_owned());
            }
            TlsExtension::ALPN(protocols) => reading.alpn = protocols.into_iter().map(<[u8]>::to_vec).collect(),
            _ => {}
        }
    }
    Some(reading)
}

fn ours(hello: &ClientHello) -> Reading {
    Reading {
        name: hello.server_name.name().map(str::to_owned),
        alpn: hello.alpn.iter().map(|protocol| protocol.to_vec()).collect(),
    }
}

/// Where rustls accepts, we read the same; where we have a whole hello, rustls does not wait for more of it.
fn agrees_with_rustls(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (at_once(bytes), rustls_reads(bytes)) {
        (Progress::Done(hello), RustlsAnswer::Accepted(reading)) => prop_assert_eq!(ours(&hello), reading),
        // Stricter than rustls with a reason: the first keeps memory down, the others are MUSTs of RFC 8446.
        (
            Progress::Refused(HelloError::TooManyProtocols | HelloError::TooManyEmptyRecords | HelloError::RecordTooLong { .. }),
            _,
        ) => {}
        (Progress::NeedMore | Progress::Done(_), RustlsAnswer::Refused) => {}
        (Progress::NeedMore, RustlsAnswer::NeedMore) | (Progress::Refused(_), RustlsAnswer::Refused) => {}
        // A record that goes on after the hello: rustls waits for its end, we have all that we need.
        (Progress::Done(_), RustlsAnswer::NeedMore) if last_record_is_cut(bytes) => {}
        // rustls waits for whole records before it looks into them, and for any five bytes before it calls them no TLS.
        (Progress::Refused(_), RustlsAnswer::NeedMore) => {}
        (ours, theirs) => prop_assert!(false, "{ours:?} but rustls {theirs:?}"),
    }
    Ok(())
}

fn last_record_is_cut(mut bytes: &[u8]) -> bool {
    while let Some(([.., high, low], rest)) = bytes.split_first_chunk::<5>() {
        let Some(next) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else {
            return true;
        };
        bytes = next;
    }
    false
}

#[test]
fn rustls_reads_the_same_in_real_hellos() {
    for (file, bytes) in committed_hellos() {
        let RustlsAnswer::Accepted(reading) = rustls_reads(&bytes) else {
            panic!("rustls refuses {file}")
        };
        let Progress::Done(hello) = at_once(&bytes) else {
            panic!("{file}")
        };
        assert_eq!(ours(&hello), reading, "{file}");
    }
}

#[test]
fn rustls_reads_the_same_in_reframed_hellos() {
    for message in [
        chrome_like().message(),
        HelloBuilder::named("vault.example.com").padded_to(60_000).message(),
    ] {
        for record in [7, 64, 200, 4096] {
            agrees_with_rustls(&framed(&message, record)).unwrap();
        }
    }
}

#[test]
fn tls_parser_reads_the_same_in_real_hellos() {
    for (file, bytes) in committed_hellos() {
        let Progress::Done(hello) = at_once(&bytes) else {
            panic!("{file}")
        };
        assert_eq!(Some(ours(&hello)), tls_parser_reads(&unframed(&bytes)), "{file}");
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Truncate(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    // Small numbers hit lengths and types more often than any byte would.
    let byte = prop_oneof![any::<u8>(), 0_u8..4, Just(b'.'), Just(b'*')];
    prop_oneof![
        6 => (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (any::<usize>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        2 => any::<usize>().prop_map(Mutation::Remove),
        1 => any::<usize>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len().max(1);
    match *mutation {
        Mutation::Set(at, byte) => {
            if let Some(slot) = bytes.get_mut(at % length) {
                *slot = byte;
            }
        }
        Mutation::Insert(at, byte) => bytes.insert(at % length, byte),
        Mutation::Remove(at) => drop(bytes.drain(at % length..).next()),
        Mutation::Truncate(at) => bytes.truncate(at % length),
    }
}

/// A real hello with some mutations to its message, framed soundly, so that they reach the body's parser.
fn mutated_message() -> impl Strategy<Value = Vec<u8>> {
    let messages: Vec<_> = committed_hellos().iter().map(|(_, bytes)| unframed(bytes)).collect();
    let changes = prop::collection::vec(mutation(), 1..4);
    (prop::sample::select(messages), changes, 1_usize..2000).prop_map(|(mut message, mutations, record)| {
        mutations.iter().for_each(|mutation| mutate(&mut message, mutation));
        framed(&message, record)
    })
}

/// A real hello with some mutations anywhere.
fn mutated_bytes() -> impl Strategy<Value = Vec<u8>> {
    let hellos: Vec<_> = committed_hellos().into_iter().map(|(_, bytes)| bytes).collect();
    (prop::sample::select(hellos), prop::collection::vec(mutation(), 1..4)).prop_map(|(mut bytes, mutations)| {
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        bytes
    })
}

/// Any bytes as `host_name`, most of them near to what names have.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._*-]{0,40}",
        "[0-9.]{1,16}",
        "[0-9a-f:\\[\\]]{2,30}",
        "([a-z]{50,64}\\.){1,5}",
        ".{0,20}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutations_of_messages_agree_with_rustls(bytes in mutated_message()) {
        agrees_with_rustls(&bytes)?;
    }

    #[test]
    fn mutations_anywhere_agree_with_rustls(bytes in mutated_bytes()) {
        agrees_with_rustls(&bytes)?;
    }

    #[test]
    fn any_server_name_agrees_with_rustls(name in any_name()) {
        let bytes = HelloBuilder::named(&name).bytes();
        agrees_with_rustls(&bytes)?;
        let Progress::Done(hello) = at_once(&bytes) else { return Err(TestCaseError::fail("a name refuses no hello")) };
        prop_assert!(hello.server_name != ServerName::Absent);
    }

    #[test]
    fn verdict_does_not_depend_on_the_pieces(bytes in prop_oneof![mutated_bytes(), mutated_message()], piece in 1_usize..300) {
        let whole = at_once(&bytes);
        prop_assert_eq!(&in_pieces(&bytes, 1), &whole);
        prop_assert_eq!(in_pieces(&bytes, piece), whole);
    }
}
