//! Who a client is after the handshake: told only when it is proved, and judged again when a session goes on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use sealway_api::{Kind, ObjectKey, ObjectRef, TlsMode};
use sealway_core::{
    CertificateSlot, ClientValidation, ClientValidationMode, HostnamePattern, KeyMaterial, Keys, ListenerFate, NameIndex,
    PortKey, PortPlan, ServedCertificate, Snapshot, Termination, TlsListener, TlsOptions, TlsPlan, Transport, TrustBundle,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(
    authority: &Authority,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    change(&mut params);
    let certificate = params.signed_by(&key, authority).unwrap();
    (
        certificate.der().clone(),
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
}

/// The configuration of an HTTPS listener that asks for client certificates of `authority`.
fn server(authority: &Authority, mode: ClientValidationMode) -> Arc<ServerTls> {
    let (certificate, key) = issue(authority, "a.example.com", |_| ());
    let content = ContentHash([1; 32]);
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let served = ServedCertificate {
        secret: ObjectKey::new("infra", "cert"),
        content,
        names: vec![HostnamePattern::parse(Some("a.example.com"))],
        serial: String::new(),
        not_before: now,
        not_after: now,
    };
    let authorities = TrustBundle {
        content: ContentHash([2; 32]),
        sources: Vec::new(),
        certificates: vec![authority.der().clone()],
        subjects: Vec::new(),
        revocation_lists: Vec::new(),
        crl_failure: Default::default(),
    };
    let termination = Termination {
        certificates: vec![CertificateSlot::Served(Arc::new(served))],
        client_validation: Some(Arc::new(ClientValidation {
            mode,
            authorities: Arc::new(authorities),
        })),
        options: TlsOptions::default(),
    };
    let listener = TlsListener {
        name: "https".into(),
        hostname: HostnamePattern::Any,
        mode: TlsMode::Terminate,
        fate: ListenerFate::Serves,
        routes: NameIndex::default(),
        termination: Some(Arc::new(termination)),
        requests: Some(Arc::default()),
    };
    let port = PortKey {
        transport: Transport::Tcp,
        port: 443,
    };
    let gateway = ObjectKey::new("infra", "edge");
    let plan = Arc::new(PortPlan::Tls(TlsPlan {
        listeners: vec![Arc::new(listener)],
        names: NameIndex::default(),
    }));
    let snapshot = Snapshot {
        gateway: gateway.clone(),
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        port_offset: 0,
        trusted_proxies: Vec::new(),
        client_certificate: None,
        client_certificate_headers: Default::default(),
        session_key: None,
        tracing: None,
        ports: BTreeMap::from([(port, Arc::clone(&plan))]),
    };
    let material = KeyMaterial {
        chain: vec![certificate],
        key,
        ocsp_response: None,
    };
    let name = ObjectRef::of(Kind::Gateway, &gateway);
    let keys = Keys(BTreeMap::from([(content, Arc::new(material))]));
    let mut configs = ServerConfigs::default();
    configs.follow(
        &BTreeMap::from([(name.clone(), Arc::new(snapshot))]),
        &BTreeMap::from([(name, keys)]),
    );
    configs.servers(&gateway, port, &plan)[0].clone().unwrap()
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    roots
}

fn client(
    authority: &Authority,
    identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    tls13: bool,
) -> TlsConnector {
    let version = if tls13 {
        &rustls::version::TLS13
    } else {
        &rustls::version::TLS12
    };
    let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots(authority));
    let mut config = match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// What the server knows after a handshake with this client.
async fn met(server: &ServerTls, connector: &TlsConnector) -> Result<Handshake, HandshakeFault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = connector.clone();
    let visit = tokio::spawn(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.example.com").unwrap();
        if let Ok(mut stream) = connector.connect(name, socket).await {
            // To the end, so that the ticket has come.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut hello = vec![0; 64];
    let bytes = socket.read(&mut hello).await.unwrap();
    hello.truncate(bytes);
    // The rest as it comes, as the greeting has it.
    let mut parser = crate::client_hello::ClientHelloParser::new();
    while matches!(parser.advance(&hello), crate::client_hello::Progress::NeedMore) {
        let mut more = [0; 4096];
        let bytes = socket.read(&mut more).await.unwrap();
        hello.extend_from_slice(&more[..bytes]);
    }
    let result = match server.accept(socket, &hello).await {
        Ok((_, handshake)) => Ok(handshake),
        Err(failure) => Err(failure.fault),
    };
    visit.await.unwrap();
    result
}

#[tokio::test]
async fn client_is_somebody_only_when_proved_and_a_resumed_session_changes_nothing() {
    let (ours, strangers) = (authority(), authority());
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2025, 1, 1);
    for tls13 in [true, false] {
        let server = server(&ours, ClientValidationMode::AllowInsecureFallback);
        let cases = [
            (None, Ok(None), true),
            (
                Some(issue(&strangers, "mallory", |_| ())),
                Err(HandshakeFault::ClientCertificateUnknownAuthority),
                false,
            ),
            (
                Some(issue(&ours, "old", expired)),
                Err(HandshakeFault::ClientCertificateExpired),
                false,
            ),
            (
                Some(issue(&ours, "order-service", |_| ())),
                Ok(Some("CN=order-service")),
                true,
            ),
        ];
        // Who shows what is not good is asked again: it may have something better by now.
        for (identity, proved, resumes) in cases {
            let connector = client(&ours, identity, tls13);
            for again in [false, true] {
                let handshake = met(&server, &connector).await.unwrap();
                assert_eq!(handshake.resumed, again && resumes);
                assert_eq!(handshake.alpn, Some(Alpn::Http2));
                assert_eq!(handshake.server_name.as_deref(), Some("a.example.com"));
                assert_eq!(handshake.client_fault, proved.err());
                let subject = proved.unwrap_or_default();
                let known = handshake.client.map(|client| client.subject());
                assert!(
                    known
                        .as_deref()
                        .is_none_or(|known| known.contains(subject.unwrap_or("nobody"))),
                    "{known:?}"
                );
                assert_eq!(known.is_some(), subject.is_some());
            }
        }
    }
}

#[test]
fn no_certificate_to_show_is_our_side() {
    let error = rustls::Error::General("no server certificate chain resolved".into());
    assert_eq!(HandshakeFault::of_tls(&error), HandshakeFault::CertificateUnavailable);
}

/// Shows one certificate after the other, as a client does that renews its own.
#[derive(Debug)]
struct Renewing(Mutex<Arc<CertifiedKey>>);

impl Renewing {
    fn new(identity: (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Self::key(identity))))
    }

    fn renew(&self, identity: (CertificateDer<'static>, PrivateKeyDer<'static>)) {
        *self.0.lock().unwrap() = Self::key(identity);
    }

    fn key((certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::from_der(vec![certificate], key, &default_provider()).unwrap())
    }
}

impl ResolvesClientCert for Renewing {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn session_ends_with_its_certificate_and_who_has_a_new_one_comes_in_with_that() {
    let ours = authority();
    let end = SystemTime::now() + Duration::from_secs(3);
    let brief = || issue(&ours, "brief", |params| params.not_after = end.into());
    let mut clients = Vec::new();
    for mode in [
        ClientValidationMode::AllowValidOnly,
        ClientValidationMode::AllowInsecureFallback,
    ] {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let server = server(&ours, mode);
            let identity = Renewing::new(brief());
            let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots(&ours));
            let connector = TlsConnector::from(Arc::new(builder.with_client_cert_resolver(Arc::clone(&identity) as _)));
            for resumed in [false, true] {
                let handshake = met(&server, &connector).await.unwrap();
                assert_eq!((handshake.resumed, handshake.client.is_some()), (resumed, true));
            }
            clients.push((mode, server, identity, connector));
        }
    }
    while SystemTime::now() < end + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (mode, server, identity, connector) in clients {
        match met(&server, &connector).await {
            Ok(handshake) => assert_eq!(
                (mode, handshake.resumed, handshake.client),
                (ClientValidationMode::AllowInsecureFallback, false, None)
            ),
            Err(fault) => assert_eq!(
                (mode, fault),
                (ClientValidationMode::AllowValidOnly, HandshakeFault::ClientCertificateExpired)
            ),
        }
        identity.renew(issue(&ours, "renewed", |_| ()));
        for resumed in [false, true] {
            let handshake = met(&server, &connector).await.unwrap();
            let subject = handshake.client.map(|client| client.subject()).unwrap_or_default();
            assert!(subject.contains("renewed"), "{subject}");
            assert_eq!(handshake.resumed, resumed);
        }
    }
}
