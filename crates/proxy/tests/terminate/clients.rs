//! Client certificates at the gateway.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SerialNumber, date_time_ymd};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, SignatureScheme};
use sealway_core::ClientValidationMode::{AllowInsecureFallback, AllowValidOnly};

use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";

pub(crate) fn identity(
    authority: &Authority,
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
    change(&mut params);
    authority.sign(params, &KeyPair::generate().unwrap())
}

#[tokio::test]
async fn only_valid_clients_are_let_in_and_others_hear_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let trusted = bundle(&authority, vec![revokes_seven(&authority)]);
    let site = Site::echoing(asking(&pair, AllowValidOnly, trusted), &keys([&pair]), &echo);
    let good = identity(&authority, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
    });
    let cases = [
        (None, AlertDescription::CertificateRequired, "client_certificate_missing"),
        (
            Some(identity(&stranger, |_| ())),
            AlertDescription::UnknownCA,
            "client_certificate_unknown_authority",
        ),
        (
            Some(identity(&authority, |params| params.not_after = date_time_ymd(2025, 1, 1))),
            AlertDescription::CertificateExpired,
            "client_certificate_expired",
        ),
        (
            Some(identity(&authority, |params| params.not_before = date_time_ymd(2999, 1, 1))),
            AlertDescription::CertificateExpired,
            "client_certificate_not_yet_valid",
        ),
        (
            Some(identity(&authority, |params| {
                params.serial_number = Some(SerialNumber::from(7))
            })),
            AlertDescription::CertificateRevoked,
            "client_certificate_revoked",
        ),
        (
            Some(identity(&authority, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
            AlertDescription::UnsupportedCertificate,
            "client_certificate_bad",
        ),
    ];
    for (identity, alert, outcome) in cases {
        let client = Arc::new(authority.client_with(identity, rustls::ALL_VERSIONS));
        assert_eq!(alert_of(site.address, NAME, client).await, alert, "{outcome}");
        site.gateway.wait_ended(outcome, 1).await;
        let labels = ["result=\"failure\"", &format!("reason=\"{outcome}\"")];
        assert_eq!(site.gateway.sum("sealway_handshakes_total", &labels), 1, "{outcome}");
    }
    let bare = Arc::new(authority.client_with(None, &[&rustls::version::TLS12]));
    let alert = alert_of(site.address, NAME, bare).await;
    assert_eq!(alert, AlertDescription::CertificateRequired, "TLS 1.2");
    let client = Arc::new(authority.client_with(Some(good), rustls::ALL_VERSIONS));
    let mut stream = tls(site.address, NAME, client).await.unwrap();
    assert_reaches(&mut stream, "echo").await;
}

#[tokio::test]
async fn everybody_is_let_in_where_falling_back_is_allowed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let trusted = bundle(&authority, Vec::new());
    let site = Site::echoing(asking(&pair, AllowInsecureFallback, trusted), &keys([&pair]), &echo);
    let identities = [None, Some(identity(&stranger, |_| ())), Some(identity(&authority, |_| ()))];
    for identity in identities {
        let client: Arc<ClientConfig> = Arc::new(authority.client_with(identity, rustls::ALL_VERSIONS));
        let mut stream = tls(site.address, NAME, client).await.unwrap();
        assert_reaches(&mut stream, "echo").await;
    }
}

/// Shows this certificate, whatever it is.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn certificate_of_version_1_is_let_in_where_falling_back_is_allowed_and_refused_by_its_name_elsewhere() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let shows = Arc::new(Shows(Arc::new(CertifiedKey::new(vec![certificate], key))));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(authority.roots());
        let client = Arc::new(builder.with_client_cert_resolver(Arc::clone(&shows) as _));
        let site = |mode| {
            let trusted = bundle(&authority, Vec::new());
            Site::echoing(asking(&pair, mode, trusted), &keys([&pair]), &echo)
        };
        let falling_back = site(AllowInsecureFallback);
        let mut stream = tls(falling_back.address, NAME, Arc::clone(&client)).await.unwrap();
        assert_reaches(&mut stream, "echo").await;
        let strict = site(AllowValidOnly);
        let alert = alert_of(strict.address, NAME, client).await;
        assert_eq!(alert, AlertDescription::CertificateUnknown);
        strict.gateway.wait_ended("client_certificate_bad", 1).await;
    }
}

/// TEST KEY: public, and trusted by nobody. No library writes certificates of version 1 any more.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBFzCBvwIUYr8PgnZVj14Ljnw+7cMfmqWNubkwCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDb2xkMCAXDTI2MDEwMTAwMDAwMFoYDzIxMjYwMTAxMDAwMDAwWjAOMQww
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQde551T5Ocqb+H
9UGRCNTgeKJ8x2WKytR25wGCVn9qZupl1wi+Bh4j3+QxFTKJ9zpxF6dty4GIavkA
OErrY1vHMAoGCCqGSM49BAMCA0cAMEQCIDrXfeqQl4gK4UBNhCmsSgo9o0UXYgOU
/vzu55Iytn7NAiBfch/2HORcd0EhzvyQX4qzJ84l7puKPeCviO/TmW449Q==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCQr0yDPonMrdUMFb
svqxz5j9J6doZlBhLnSvGzekR4ahRANCAAQde551T5Ocqb+H9UGRCNTgeKJ8x2WK
ytR25wGCVn9qZupl1wi+Bh4j3+QxFTKJ9zpxF6dty4GIavkAOErrY1vH
-----END PRIVATE KEY-----
";

#[tokio::test]
async fn list_that_cannot_be_read_takes_nothing_down_and_hides_no_other() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let lists = vec![b"no list".to_vec(), revokes_seven(&authority)];
    let site = Site::echoing(
        asking(&pair, AllowValidOnly, bundle(&authority, lists)),
        &keys([&pair]),
        &echo,
    );
    let client = |serial: u64| {
        let identity = identity(&authority, |params| params.serial_number = Some(SerialNumber::from(serial)));
        Arc::new(authority.client_with(Some(identity), rustls::ALL_VERSIONS))
    };
    let mut stream = tls(site.address, NAME, client(8)).await.unwrap();
    assert_reaches(&mut stream, "echo").await;
    assert_eq!(
        alert_of(site.address, NAME, client(7)).await,
        AlertDescription::CertificateRevoked
    );
}

#[tokio::test]
async fn more_names_of_authorities_than_a_handshake_holds_break_none() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let mut trusted = (*bundle(&authority, Vec::new())).clone();
    for number in 0..12 {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = format!("{number}{}", "x".repeat(6 * 1024));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        trusted.certificates.push(params.self_signed(&key).unwrap().der().clone());
    }
    let site = Site::echoing(asking(&pair, AllowValidOnly, Arc::new(trusted)), &keys([&pair]), &echo);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Arc::new(authority.client_with(Some(identity(&authority, |_| ())), &[version]));
        let mut stream = tls(site.address, NAME, client).await.unwrap();
        assert_reaches(&mut stream, "echo").await;
    }
}

#[tokio::test]
async fn revocation_list_of_a_namesake_neither_refuses_everybody_nor_hides_another_list() {
    // Authorities of the tests all have the same name.
    let (authority, namesake) = (Authority::new(), Authority::new());
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let lists = vec![revokes_seven(&namesake), revokes_seven(&authority)];
    let site = Site::echoing(
        asking(&pair, AllowValidOnly, bundle(&authority, lists)),
        &keys([&pair]),
        &echo,
    );
    let client = |serial: u64| {
        let identity = identity(&authority, |params| params.serial_number = Some(SerialNumber::from(serial)));
        Arc::new(authority.client_with(Some(identity), rustls::ALL_VERSIONS))
    };
    let mut stream = tls(site.address, NAME, client(8)).await.unwrap();
    assert_reaches(&mut stream, "echo").await;
    assert_eq!(
        alert_of(site.address, NAME, client(7)).await,
        AlertDescription::CertificateRevoked
    );
}
