//! Which certificate is shown, by name and by what the client can verify; versions, suites and groups.

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error, NamedGroup, ProtocolVersion, SignatureScheme,
};
use sealway_api::ObjectKey;
use sealway_core::{CertificateSlot, CipherSuite, HostnamePattern, KeyExchangeGroup, TlsOptions, TlsVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::*;
use crate::rig::*;

/// A client that verifies these signature schemes only.
fn client_of(authority: &Authority, schemes: &[SignatureScheme]) -> Arc<ClientConfig> {
    let whole = aws_lc_rs::default_provider();
    let known = whole.signature_verification_algorithms;
    let mapping: Vec<_> = known
        .mapping
        .iter()
        .filter(|(scheme, _)| schemes.contains(scheme))
        .copied()
        .collect();
    let provider = CryptoProvider {
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: known.all,
            mapping: mapping.leak(),
        },
        ..whole
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(builder.with_root_certificates(authority.roots()).with_no_client_auth())
}

#[tokio::test]
async fn exact_name_then_wildcard_then_the_first_of_the_list() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let [wildcard, exact] = [&["*.example.com"], &["a.example.com"]].map(|names| Pair::new(&authority, names));
    let other = Pair::new(&authority, &["elsewhere.example.net"]);
    let slots = vec![other.slot(), wildcard.slot(), exact.slot()];
    let site = Site::echoing(termination(slots), &keys([&other, &wildcard, &exact]), &echo);
    let client = authority.client(None);
    assert_eq!(shown(site.address, "a.example.com", &client).await, *exact.leaf());
    assert_eq!(shown(site.address, "A.Example.Com", &client).await, *exact.leaf());
    assert_eq!(shown(site.address, "b.example.com", &client).await, *wildcard.leaf());
    // None fits: the first answers, and the client finds fault with it.
    let error = tls(site.address, "b.c.example.com", client).await.unwrap_err().to_string();
    assert!(error.contains("elsewhere.example.net"), "{error}");
    site.gateway.wait_ended("certificate_rejected", 1).await;
}

#[tokio::test]
async fn name_with_a_trailing_dot_is_the_same_name() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let [first, named] = [&["first.example.com"], &["named.example.com"]].map(|names| Pair::new(&authority, names));
    let slots = vec![first.slot(), named.slot()];
    let site = Site::echoing(termination(slots), &keys([&first, &named]), &echo);
    let mut client = authority.client_with(None, &[&rustls::version::TLS12]);
    client.resumption = Resumption::disabled();
    let name = ServerName::try_from("named.example.com").unwrap();
    let mut connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(&dotted(&hello, b"named.example.com")).await.unwrap();
    // TLS 1.2 shows certificates in clear text.
    let (mut answer, leaf) = (Vec::new(), named.leaf());
    while !answer.windows(leaf.len()).any(|part| part == &**leaf) {
        assert!(
            within(stream.read_buf(&mut answer)).await.unwrap() > 0,
            "the other certificate"
        );
        assert!(!answer.windows(first.leaf().len()).any(|part| part == &**first.leaf()));
    }
}

/// A hello with a dot behind its server name, and every length one more that counts it.
fn dotted(hello: &[u8], name: &[u8]) -> Vec<u8> {
    let at = hello.windows(name.len()).position(|part| part == name).unwrap();
    let mut dotted = hello.to_vec();
    dotted.insert(at + name.len(), b'.');
    let extensions = {
        // After header of record and handshake, version and random: session, suites, compression.
        let session = 5 + 4 + 2 + 32;
        let suites = session + 1 + usize::from(hello[session]);
        let compression = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
        compression + 1 + usize::from(hello[compression])
    };
    // Record, handshake, all extensions, this one, the list of names, the name; each of two bytes at least, of which the last stands here.
    for low in [4, 8, extensions + 1, at - 6, at - 4, at - 1] {
        let (high, carry) = (low - 1, dotted[low] == 0xff);
        dotted[low] = dotted[low].wrapping_add(1);
        dotted[high] += u8::from(carry);
    }
    dotted
}

#[tokio::test]
async fn signature_schemes_of_the_client_choose_among_certificates_of_one_name() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let name = &["a.example.com"];
    let of = |algorithm| Pair::with(&authority, name, algorithm, None);
    let (ecdsa, rsa) = (of(&rcgen::PKCS_ECDSA_P256_SHA256), of(&rcgen::PKCS_RSA_SHA256));
    let ed25519 = of(&rcgen::PKCS_ED25519);
    let slots = vec![ecdsa.slot(), rsa.slot(), ed25519.slot()];
    let site = Site::echoing(termination(slots), &keys([&ecdsa, &rsa, &ed25519]), &echo);
    for (scheme, pair) in [
        (SignatureScheme::RSA_PSS_SHA256, &rsa),
        (SignatureScheme::ED25519, &ed25519),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &ecdsa),
    ] {
        let client = client_of(&authority, &[scheme]);
        assert_eq!(shown(site.address, name[0], &client).await, *pair.leaf(), "{scheme:?}");
    }
    let client = client_of(&authority, &[SignatureScheme::ECDSA_NISTP384_SHA384]);
    assert_eq!(
        alert_of(site.address, name[0], client).await,
        AlertDescription::HandshakeFailure
    );
    site.gateway.wait_ended("no_shared_signature_scheme", 1).await;
}

#[tokio::test]
async fn broken_secret_refuses_its_own_names_only() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let good = Pair::new(&authority, &["good.example.com"]);
    let broken = CertificateSlot::Broken {
        secret: ObjectKey::new("infra", "broken"),
        names: Some(vec![HostnamePattern::parse(Some("bad.example.com"))]),
    };
    let keyless = Pair::new(&authority, &["keyless.example.com"]);
    let slots = vec![good.slot(), broken];
    let lost = ending("lost", "keyless.example.com", termination(vec![keyless.slot()]), []);
    let lost = sealway_core::TlsListener {
        routes: listener("", "", [("", to("echo", [echo.address]))]).routes,
        ..lost
    };
    let main = ending("tls", "", termination(slots), [("", to("echo", [echo.address]))]);
    let site = Site::start(plan_of(vec![main, lost]), &keys([&good]));
    let client = authority.client(None);
    assert_eq!(shown(site.address, "good.example.com", &client).await, *good.leaf());
    for name in ["bad.example.com", "keyless.example.com"] {
        assert_eq!(
            alert_of(site.address, name, Arc::clone(&client)).await,
            AlertDescription::InternalError
        );
    }
    site.gateway.wait_ended("certificate_unavailable", 2).await;
}

#[tokio::test]
async fn broken_renewal_of_one_algorithm_leaves_the_other_to_serve_the_name() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let rsa = Pair::with(&authority, &["*.example.com"], &rcgen::PKCS_RSA_SHA256, None);
    for names in [Some("*.example.com"), Some("be.example.com"), None] {
        let ecdsa = CertificateSlot::Broken {
            secret: ObjectKey::new("infra", "ecdsa"),
            names: names.map(|name| vec![HostnamePattern::parse(Some(name))]),
        };
        let site = Site::echoing(termination(vec![ecdsa, rsa.slot()]), &keys([&rsa]), &echo);
        let client = authority.client(None);
        assert_eq!(shown(site.address, "be.example.com", &client).await, *rsa.leaf(), "{names:?}");
    }
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_hybrid_group_comes_first() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &["a.example.com"]);
    let site = Site::echoing(termination(vec![pair.slot()]), &keys([&pair]), &echo);
    for (version, group) in [
        (&rustls::version::TLS13, NamedGroup::X25519MLKEM768),
        (&rustls::version::TLS12, NamedGroup::X25519),
    ] {
        let client = Arc::new(authority.client_with(None, &[version]));
        let mut stream = tls(site.address, "a.example.com", client).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), group);
        let suite = session.negotiated_cipher_suite().unwrap().suite().as_str().unwrap();
        assert!(suite.ends_with("AES_128_GCM_SHA256"), "{suite}");
        assert_reaches(&mut stream, "echo").await;
    }
    let counted = |labels: &[&str]| site.gateway.sum("sealway_handshakes_total", labels);
    assert_eq!(
        counted(&["side=\"client\"", "result=\"success\"", "group=\"X25519MLKEM768\""]),
        1
    );
    assert_eq!(counted(&["listener=\"tls\"", "version=\"TLSv1_2\""]), 1);
}

#[tokio::test]
async fn options_of_the_listener_are_honoured() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &["a.example.com"]);
    let mut termination = termination(vec![pair.slot()]);
    termination.options = TlsOptions {
        minimum_version: Some(TlsVersion::Tls13),
        groups: vec![KeyExchangeGroup::Secp384r1],
        ..TlsOptions::default()
    };
    let site = Site::echoing(termination, &keys([&pair]), &echo);
    let stream = tls(site.address, "a.example.com", authority.client(None)).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), NamedGroup::secp384r1);
    let old = Arc::new(authority.client_with(None, &[&rustls::version::TLS12]));
    assert_eq!(
        alert_of(site.address, "a.example.com", old).await,
        AlertDescription::ProtocolVersion
    );
    site.gateway.wait_ended("no_shared_version", 1).await;
}

/// Keeps the stapled response.
#[derive(Debug)]
struct Stapled(Arc<WebPkiServerVerifier>, Mutex<Vec<u8>>);

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.1.lock().unwrap() = ocsp.to_vec();
        self.0.verify_server_cert(leaf, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[tokio::test]
async fn ocsp_response_is_stapled() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::with(
        &authority,
        &["a.example.com"],
        &rcgen::PKCS_ECDSA_P256_SHA256,
        Some(b"all is well"),
    );
    let site = Site::echoing(termination(vec![pair.slot()]), &keys([&pair]), &echo);
    let verifier = WebPkiServerVerifier::builder(authority.roots()).build().unwrap();
    let verifier = Arc::new(Stapled(verifier, Mutex::default()));
    let builder = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
    let client = Arc::new(builder.with_no_client_auth());
    shown(site.address, "a.example.com", &client).await;
    assert_eq!(*verifier.1.lock().unwrap(), b"all is well");
}

#[tokio::test]
async fn nothing_in_common_is_told_by_its_name() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &["a.example.com"]);
    let mut termination = termination(vec![pair.slot()]);
    termination.options = TlsOptions {
        cipher_suites: vec![CipherSuite::Tls13Aes128GcmSha256],
        groups: vec![KeyExchangeGroup::X25519],
        ..TlsOptions::default()
    };
    let site = Site::echoing(termination, &keys([&pair]), &echo);
    let whole = aws_lc_rs::default_provider;
    let cases = [
        (
            CryptoProvider {
                cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
                ..whole()
            },
            "no_shared_suite",
        ),
        (
            CryptoProvider {
                kx_groups: vec![aws_lc_rs::kx_group::SECP384R1],
                ..whole()
            },
            "no_shared_group",
        ),
    ];
    for (provider, outcome) in cases {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let client = Arc::new(builder.with_root_certificates(authority.roots()).with_no_client_auth());
        let alert = alert_of(site.address, "a.example.com", client).await;
        assert_eq!(alert, AlertDescription::HandshakeFailure, "{outcome}");
        site.gateway.wait_ended(outcome, 1).await;
    }
}
