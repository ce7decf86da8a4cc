//! Revocation lists that come later: asked for, waited for, and in force when they are there.

use std::sync::Arc;

use rcgen::{CrlDistributionPoint, SerialNumber};
use rustls::{AlertDescription, ClientConfig, HandshakeKind};
use sealway_core::ClientValidationMode::AllowValidOnly;
use sealway_core::{BackendAuthorities, BackendTls, BackendTlsFault, CrlFailure, TlsOptions, TlsPlan, TrustBundle, UpstreamTls};

use crate::clients::identity;
use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";
const URL: &str = "http://crl.test/ca.crl";

fn strict(authority: &Authority, lists: Vec<Vec<u8>>) -> Arc<TrustBundle> {
    let bundle = (*bundle(authority, lists)).clone();
    Arc::new(TrustBundle {
        crl_failure: CrlFailure::Hard,
        ..bundle
    })
}

fn list(authority: &Authority, revoked: &[u64]) -> Vec<u8> {
    revocation_list(authority, revoked, 2999)
}

/// A client whose certificate names [`URL`].
fn client(authority: &Authority, serial: u64, version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let identity = identity(authority, |params| {
        params.serial_number = Some(SerialNumber::from(serial));
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![URL.to_owned()],
        }];
    });
    Arc::new(authority.client_with(Some(identity), &[version]))
}

fn asked(gateway: &Gateway) -> Vec<String> {
    gateway
        .proxy
        .wanted_lists()
        .borrow()
        .iter()
        .map(|point| point.url.clone())
        .collect()
}

#[tokio::test]
async fn client_without_a_list_is_refused_with_an_alert_of_its_own_until_the_list_is_there() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let authority = Authority::new();
        let echo = EchoBackend::plain("echo").await;
        let pair = Pair::new(&authority, &[NAME]);
        let site = Site::echoing(
            asking(&pair, AllowValidOnly, strict(&authority, Vec::new())),
            &keys([&pair]),
            &echo,
        );
        let client = client(&authority, 8, version);
        let mut wanted = site.gateway.proxy.wanted_lists();
        let alert = alert_of(site.address, NAME, Arc::clone(&client)).await;
        assert_eq!(alert, AlertDescription::AccessDenied);
        site.gateway.wait_ended("client_certificate_revocation_unknown", 1).await;
        within(wanted.changed()).await.unwrap();
        let point = Arc::clone(&wanted.borrow_and_update()[0]);
        assert_eq!((point.url.as_str(), &*point.issuers), (URL, &[authority.certificate()][..]));
        let trusted = strict(&authority, vec![list(&authority, &[7])]);
        site.publish(echo_plan(asking(&pair, AllowValidOnly, trusted), &echo), &keys([&pair]));
        let mut stream = tls(site.address, NAME, client).await.unwrap();
        assert_reaches(&mut stream, "echo").await;
        let alert = alert_of(site.address, NAME, self::client(&authority, 7, version)).await;
        assert_eq!(alert, AlertDescription::CertificateRevoked);
    }
}

#[tokio::test]
async fn client_without_a_list_is_let_in_by_default_until_a_list_has_it() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let plan = |lists| echo_plan(asking(&pair, AllowValidOnly, bundle(&authority, lists)), &echo);
    let site = Site::start(plan(Vec::new()), &keys([&pair]));
    let client = client(&authority, 7, &rustls::version::TLS13);
    let mut stream = tls(site.address, NAME, Arc::clone(&client)).await.unwrap();
    assert_reaches(&mut stream, "echo").await;
    assert_eq!(asked(&site.gateway), [URL]);
    // It has a ticket by now, which must not help it.
    site.publish(plan(vec![list(&authority, &[7])]), &keys([&pair]));
    assert_eq!(
        alert_of(site.address, NAME, client).await,
        AlertDescription::CertificateRevoked
    );
}

#[tokio::test]
async fn session_goes_on_over_a_new_list_that_does_not_have_its_client() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let plan = |lists| -> TlsPlan { echo_plan(asking(&pair, AllowValidOnly, strict(&authority, lists)), &echo) };
    let site = Site::start(plan(vec![list(&authority, &[])]), &keys([&pair]));
    let client = client(&authority, 8, &rustls::version::TLS13);
    for (lists, kind) in [
        (None, HandshakeKind::Full),
        (Some(vec![list(&authority, &[7])]), HandshakeKind::Resumed),
    ] {
        if let Some(lists) = lists {
            site.publish(plan(lists), &keys([&pair]));
        }
        let mut stream = tls(site.address, NAME, Arc::clone(&client)).await.unwrap();
        assert_reaches(&mut stream, "echo").await;
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
    }
}

#[tokio::test]
async fn backend_without_a_list_is_refused_and_asked_for_too() {
    let authority = Authority::new();
    let pair = Pair::new(&authority, &[NAME]);
    let served = identity(&authority, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("inside.test".try_into().unwrap())];
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![URL.to_owned()],
        }];
    });
    let backend = EchoBackend::with(
        "inside",
        authority.server_with(served, false, rustls::ALL_VERSIONS),
        Before::Nothing,
    )
    .await;
    let plan = |lists| {
        let tls = UpstreamTls::Verified(Arc::new(BackendTls {
            policy: sealway_api::ObjectKey::new("shop", "inside"),
            server_name: "inside.test".to_owned(),
            names: Vec::new(),
            authorities: BackendAuthorities::Bundle(strict(&authority, lists)),
            options: TlsOptions::default(),
        }));
        let target = target_over("inside", [backend.address], None, tls);
        plan_of(vec![ending(
            "tls",
            "",
            termination(vec![pair.slot()]),
            [("", forward("inside", vec![(1, target)]))],
        )])
    };
    let site = Site::start(plan(Vec::new()), &keys([&pair]));
    let client = authority.client(None);
    let alert = alert_of(site.address, NAME, Arc::clone(&client)).await;
    assert_eq!(alert, AlertDescription::InternalError);
    site.gateway.wait_ended("backend_tls_certificate_revocation_unknown", 1).await;
    assert_eq!(asked(&site.gateway), [URL]);
    let faults = site
        .gateway
        .proxy
        .backend_tls()
        .borrow()
        .values()
        .copied()
        .collect::<Vec<_>>();
    assert_eq!(faults, [BackendTlsFault::RevocationUnknown]);
    site.publish(plan(vec![list(&authority, &[])]), &keys([&pair]));
    let mut stream = tls(site.address, NAME, client).await.unwrap();
    assert_reaches(&mut stream, "inside").await;
}
