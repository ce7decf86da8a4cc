use std::net::SocketAddr;

use sealway_demo::backends::{Backend, BackendError, ClientCertificates, Https};
use sealway_demo::clients::{Client, Failure};

use super::*;
use crate::LOOPBACK;

const NAME: &str = "payment.internal.example.com";

struct Fixture {
    authority: Authority,
    client: Client,
}

impl Fixture {
    fn new() -> Self {
        let authority = Authority::generate("internal-ca", SystemTime::now()).expect("authority");
        let client = Client::trusting(&authority).expect("client");
        Self { authority, client }
    }

    async fn start(&self, flaw: Flaw) -> Result<Backend, BackendError> {
        let identity = flaw
            .identity(&self.authority, &[NAME], SystemTime::now())
            .expect("flawed identity");
        Https {
            name: "flawed",
            identity: &identity,
            clients: ClientCertificates::Ignored,
        }
        .start(LOOPBACK)
        .await
    }

    async fn reason(&self, address: SocketAddr) -> rustls::CertificateError {
        match self.client.connect(address, NAME).await {
            Err(Failure::Certificate(reason)) => reason,
            other => panic!("expected a refused certificate, got {other:?}"),
        }
    }
}

/// What a verifying client says of the flaws that a server can be started with; the others do not even start.
#[tokio::test]
async fn every_flaw_is_found_by_whoever_can_see_it() {
    use rustls::CertificateError as Refused;
    let fixture = Fixture::new();
    for flaw in Flaw::ALL {
        let started = fixture.start(flaw).await;
        match flaw {
            Flaw::WrongKey | Flaw::WeakKey | Flaw::WrongOrder | Flaw::Truncated | Flaw::NotPem | Flaw::EmptyKey => {
                assert!(started.is_err(), "{flaw:?} cannot serve");
                continue;
            }
            _ => {}
        }
        let backend = started.unwrap_or_else(|error| panic!("{flaw:?}: {error}"));
        let reason = fixture.reason(backend.address()).await;
        let as_expected = match flaw {
            Flaw::Expired => matches!(reason, Refused::ExpiredContext { .. }),
            Flaw::NotYetValid => matches!(reason, Refused::NotValidYetContext { .. }),
            Flaw::WrongName | Flaw::NoAlternativeName => matches!(reason, Refused::NotValidForNameContext { .. }),
            Flaw::UnknownAuthority => matches!(reason, Refused::BadSignature | Refused::UnknownIssuer),
            Flaw::SelfSigned | Flaw::MissingIntermediate => matches!(reason, Refused::UnknownIssuer),
            Flaw::AuthorityAsLeaf => matches!(reason, Refused::Other(_)),
            Flaw::ClientOnly => matches!(reason, Refused::InvalidPurposeContext { .. }),
            _ => false,
        };
        assert!(as_expected, "{flaw:?}: {reason:?}");
    }
}

#[tokio::test]
async fn sound_identity_is_taken_by_the_same_client() {
    let fixture = Fixture::new();
    let request = Request::server("sound", &[NAME], SystemTime::now());
    let identity = fixture.authority.issue(&request).expect("identity");
    let backend = Https {
        name: "sound",
        identity: &identity,
        clients: ClientCertificates::Ignored,
    };
    let backend = backend.start(LOOPBACK).await.expect("backend");
    assert!(fixture.client.connect(backend.address(), NAME).await.is_ok());
}
