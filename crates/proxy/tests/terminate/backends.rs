//! Backends that do not prove themselves, and every reason for it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ServerConfig, ServerConnection};
use sealway_api::ObjectKey;
use sealway_core::{
    BackendAuthorities, BackendPeer, BackendTls, BackendTlsFault, Forward, Keys, Snapshot, TlsOptions, TlsVersion, TrustBundle,
    UpstreamTls,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";
const INSIDE: &str = "inside.example.com";

pub(crate) fn policy(server_name: &str, authorities: Arc<TrustBundle>) -> BackendTls {
    BackendTls {
        policy: ObjectKey::new("shop", "policy"),
        server_name: server_name.to_owned(),
        names: Vec::new(),
        authorities: BackendAuthorities::Bundle(authorities),
        options: TlsOptions::default(),
    }
}

/// A gateway whose one backend must keep to this policy; and the gateway's own certificate.
struct Strict {
    site: Site,
    authority: Authority,
    pair: Pair,
}

impl Strict {
    fn start(authority: Authority, backend: SocketAddr, policy: BackendTls, own: Option<&Pair>) -> Self {
        let pair = Pair::new(&authority, &[NAME]);
        let strict = Self {
            site: Site::start(plan_of(Vec::new()), &Keys::default()),
            authority,
            pair,
        };
        strict.publish(backend, policy, own);
        strict
    }

    fn publish(&self, backend: SocketAddr, policy: BackendTls, own: Option<&Pair>) {
        let target = target_over("inside", [backend], None, UpstreamTls::Verified(Arc::new(policy)));
        let listener = ending(
            "tls",
            "",
            termination(vec![self.pair.slot()]),
            [("", forward("inside", vec![(1, target)]))],
        );
        let snapshot = Snapshot {
            client_certificate: own.map(|own| Arc::clone(&own.served)),
            ..snapshot("edge", self.site.address.port(), plan_of(vec![listener]))
        };
        let keys = keys(own.into_iter().chain([&self.pair]));
        self.site.gateway.publish_with([snapshot], &keys);
    }

    /// What went wrong with the certificate that the gateway shows.
    fn fault_with(&self, own: Option<&Pair>) -> Option<BackendTlsFault> {
        let peer = BackendPeer {
            service: ObjectKey::new("shop", "inside"),
            port: 443,
            identity: own.map(|own| own.served.content),
        };
        self.site.gateway.proxy.backend_tls().borrow().get(&peer).copied()
    }

    async fn refuses(&self, fault: BackendTlsFault) {
        let alert = alert_of(self.site.address, NAME, self.authority.client(None)).await;
        assert_eq!(alert, AlertDescription::InternalError, "{fault:?}");
        self.recorded(fault).await;
    }

    async fn recorded(&self, fault: BackendTlsFault) {
        self.site.gateway.wait_ended(&format!("backend_{}", fault.label()), 1).await;
        assert_eq!(self.fault_with(None), Some(fault));
        let reason = format!("reason=\"{}\"", fault.label());
        let failures = self
            .site
            .gateway
            .sum("sealway_handshakes_total", &["side=\"backend\"", &reason]);
        assert_eq!(failures, 1, "{fault:?}");
    }

    async fn reaches(&self) {
        let mut stream = tls(self.site.address, NAME, self.authority.client(None)).await.unwrap();
        assert_reaches(&mut stream, "inside").await;
    }
}

fn server(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(vec![INSIDE.to_owned()]).unwrap();
    change(&mut params);
    let identity = authority.sign(params, &KeyPair::generate().unwrap());
    authority.server_with(identity, false, rustls::ALL_VERSIONS)
}

#[tokio::test]
async fn certificate_that_is_not_good_is_refused_for_what_it_is() {
    use BackendTlsFault::{BadCertificate, Expired, NameMismatch, NotYetValid, Revoked, UnknownAuthority};
    let authority = Authority::new();
    let cases = [
        (server(&Authority::new(), |_| ()), UnknownAuthority),
        (authority.server("other.example.com", false), NameMismatch),
        (
            server(&authority, |params| params.not_after = date_time_ymd(2025, 1, 1)),
            Expired,
        ),
        (
            server(&authority, |params| params.not_before = date_time_ymd(2999, 1, 1)),
            NotYetValid,
        ),
        (
            server(&authority, |params| params.serial_number = Some(SerialNumber::from(7))),
            Revoked,
        ),
        (
            server(&authority, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            BadCertificate,
        ),
    ];
    let trusted = bundle(&authority, vec![revokes_seven(&authority)]);
    let good = EchoBackend::with("inside", server(&authority, |_| ()), Before::Nothing).await;
    let strict = Strict::start(authority, good.address, policy(INSIDE, Arc::clone(&trusted)), None);
    for (server, fault) in cases {
        let bad = EchoBackend::with("inside", server, Before::Nothing).await;
        strict.publish(bad.address, policy(INSIDE, Arc::clone(&trusted)), None);
        strict.refuses(fault).await;
        // A success takes the evidence back.
        strict.publish(good.address, policy(INSIDE, Arc::clone(&trusted)), None);
        strict.reaches().await;
        assert_eq!(strict.fault_with(None), None);
    }
}

#[tokio::test]
async fn self_signed_certificate_is_believed_where_it_is_the_bundle() {
    let mut params = CertificateParams::new(vec![INSIDE.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let authority = Authority::new();
    let key = PrivatePkcs8KeyDer::from(own.key().serialize_der()).into();
    let server = authority.server_with((own.der().clone(), key), false, rustls::ALL_VERSIONS);
    let backend = EchoBackend::with("inside", server, Before::Nothing).await;
    let mut trusted = (*bundle(&authority, Vec::new())).clone();
    trusted.certificates = vec![own.der().clone()];
    let trusted = Arc::new(trusted);
    let strict = Strict::start(authority, backend.address, policy(INSIDE, Arc::clone(&trusted)), None);
    strict.reaches().await;
    // Its name still counts.
    strict.publish(backend.address, policy("other.example.com", trusted), None);
    strict.refuses(BackendTlsFault::NameMismatch).await;
}

/// Shows one certificate after the other.
#[derive(Debug)]
struct Renewing(Mutex<Arc<CertifiedKey>>);

impl Renewing {
    fn renew(&self, authority: &Authority, change: impl FnOnce(&mut CertificateParams)) {
        *self.0.lock().unwrap() = Self::key(authority, change);
    }

    fn key(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Arc<CertifiedKey> {
        let mut params = CertificateParams::new(vec![INSIDE.to_owned()]).unwrap();
        change(&mut params);
        let (certificate, key) = authority.sign(params, &KeyPair::generate().unwrap());
        Arc::new(CertifiedKey::from_der(vec![certificate], key, &aws_lc_rs::default_provider()).unwrap())
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }
}

/// Counts the sessions that go on.
#[derive(Debug)]
struct Tickets(Arc<dyn ProducesTickets>, AtomicUsize);

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.decrypt(ticket)
    }
}

#[tokio::test]
async fn session_ends_with_the_certificate_of_the_backend_and_a_renewed_one_is_taken() {
    let end = SystemTime::now() + Duration::from_secs(3);
    let mut sites = Vec::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let authority = Authority::new();
        let shown = Renewing::key(&authority, |params| params.not_after = end.into());
        let shown = Arc::new(Renewing(Mutex::new(shown)));
        let builder = ServerConfig::builder_with_protocol_versions(&[version]).with_no_client_auth();
        let mut server = builder.with_cert_resolver(Arc::clone(&shown) as _);
        let tickets = Arc::new(Tickets(aws_lc_rs::Ticketer::new().unwrap(), AtomicUsize::new(0)));
        server.ticketer = Arc::clone(&tickets) as _;
        let backend = EchoBackend::with("inside", Arc::new(server), Before::Nothing).await;
        let trusted = bundle(&authority, Vec::new());
        let strict = Strict::start(authority, backend.address, policy(INSIDE, trusted), None);
        strict.reaches().await;
        sites.push((strict, backend, shown, tickets));
    }
    until(|| "the end", || SystemTime::now() > end + Duration::from_secs(1)).await;
    for (strict, _backend, shown, tickets) in sites {
        shown.renew(&strict.authority, |_| ());
        for _ in 0..3 {
            strict.reaches().await;
        }
        assert_eq!(strict.fault_with(None), None);
        assert_eq!(
            tickets.1.load(Ordering::SeqCst),
            2,
            "only the sessions with the new certificate go on"
        );
    }
}

#[tokio::test]
async fn change_of_authorities_counts_at_once() {
    let (authority, next) = (Authority::new(), Authority::new());
    let backend = EchoBackend::with("inside", server(&next, |_| ()), Before::Nothing).await;
    let (old, new) = (bundle(&authority, Vec::new()), bundle(&next, Vec::new()));
    let strict = Strict::start(authority, backend.address, policy(INSIDE, Arc::clone(&new)), None);
    strict.reaches().await;
    strict.publish(backend.address, policy(INSIDE, old), None);
    strict.refuses(BackendTlsFault::UnknownAuthority).await;
    strict.publish(backend.address, policy(INSIDE, new), None);
    strict.reaches().await;
}

#[tokio::test]
async fn authorities_of_the_machine_do_not_know_ours() {
    let authority = Authority::new();
    let backend = EchoBackend::with("inside", server(&authority, |_| ()), Before::Nothing).await;
    let mut policy = policy(INSIDE, bundle(&authority, Vec::new()));
    policy.authorities = BackendAuthorities::System;
    let strict = Strict::start(authority, backend.address, policy, None);
    strict.refuses(BackendTlsFault::UnknownAuthority).await;
}

/// Run by the test below in a process of its own, whose authorities stand in a file.
#[tokio::test]
#[ignore = "a process of its own runs it"]
async fn authorities_of_the_machine_are_believed_inside() {
    let authority = Authority::new();
    let file = std::env::var_os("SSL_CERT_FILE").unwrap();
    std::fs::write(file, pem(&authority.certificate())).unwrap();
    let backend = EchoBackend::with("inside", server(&authority, |_| ()), Before::Nothing).await;
    let mut policy = policy(INSIDE, bundle(&authority, Vec::new()));
    policy.authorities = BackendAuthorities::System;
    let strict = Strict::start(authority, backend.address, policy, None);
    strict.reaches().await;
}

#[tokio::test]
async fn authorities_of_the_machine_are_believed() {
    let file = std::env::temp_dir().join(format!("sealway-authorities-{}.pem", std::process::id()));
    let test = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "backends::authorities_of_the_machine_are_believed_inside",
        ])
        .env("SSL_CERT_FILE", &file)
        .env_remove("SSL_CERT_DIR")
        .output();
    let output = within(test).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn pem(certificate: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A backend that says this to everybody and hangs up.
async fn saying(words: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.readable().await.unwrap();
            let _ = stream.try_read(&mut [0; 4096]);
            let _ = stream.write_all(words).await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn what_is_no_tls_is_told_from_what_breaks() {
    for (words, fault) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], BackendTlsFault::NotTls),
        (b"220 mail.example.com ESMTP\r\n", BackendTlsFault::NotTls),
        (b"", BackendTlsFault::Broken),
    ] {
        let (address, _task) = saying(words).await;
        let authority = Authority::new();
        let policy = policy(INSIDE, bundle(&authority, Vec::new()));
        Strict::start(authority, address, policy, None).refuses(fault).await;
    }
    let authority = Authority::new();
    let plain = EchoBackend::plain("inside").await;
    let policy = policy(INSIDE, bundle(&authority, Vec::new()));
    let strict = Strict::start(authority, plain.address, policy, None);
    strict.refuses(BackendTlsFault::NotTls).await;
}

#[tokio::test]
async fn backend_without_a_common_version_refuses_the_handshake() {
    let authority = Authority::new();
    let identity = authority.sign(
        CertificateParams::new(vec![INSIDE.to_owned()]).unwrap(),
        &KeyPair::generate().unwrap(),
    );
    let old = authority.server_with(identity, false, &[&rustls::version::TLS12]);
    let backend = EchoBackend::with("inside", old, Before::Nothing).await;
    let mut policy = policy(INSIDE, bundle(&authority, Vec::new()));
    policy.options.minimum_version = Some(TlsVersion::Tls13);
    let strict = Strict::start(authority, backend.address, policy, None);
    strict.refuses(BackendTlsFault::HandshakeRefused).await;
}

#[tokio::test]
async fn strict_backend_is_shown_the_gateways_own_certificate() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let authority = Authority::new();
        let identity = authority.sign(
            CertificateParams::new(vec![INSIDE.to_owned()]).unwrap(),
            &KeyPair::generate().unwrap(),
        );
        let mutual = authority.server_with(identity, true, &[version]);
        let backend = EchoBackend::with("inside", mutual, Before::Nothing).await;
        let own = Pair::new(&authority, &["edge.infra"]);
        let trusted = bundle(&authority, Vec::new());
        let strict = Strict::start(authority, backend.address, policy(INSIDE, Arc::clone(&trusted)), None);
        let refused = tls(strict.site.address, NAME, strict.authority.client(None)).await;
        if let Ok(mut stream) = refused {
            // TLS 1.3: the backend judges after the handshake, and nothing was said to the client yet but that it is cut off.
            use tokio::io::AsyncReadExt;
            within(stream.read_to_end(&mut Vec::new())).await.unwrap_err();
        }
        strict.recorded(BackendTlsFault::ClientCertificateRefused).await;
        strict.publish(backend.address, policy(INSIDE, trusted), Some(&own));
        strict.reaches().await;
        until(|| "the fault is over", || strict.fault_with(None).is_none()).await;
        assert_eq!(strict.fault_with(Some(&own)), None);
    }
}

/// A stream that says `handshake_failure` where rustls would say `certificate_required`, which TLS 1.2 has not.
struct AsOpenssl(std::net::TcpStream);

impl Read for AsOpenssl {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for AsOpenssl {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes == alert(116) {
            return self.0.write(&alert(40));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[tokio::test]
async fn handshake_failure_is_for_want_of_a_certificate_when_the_backend_asked_for_one() {
    let authority = Authority::new();
    let identity = authority.sign(
        CertificateParams::new(vec![INSIDE.to_owned()]).unwrap(),
        &KeyPair::generate().unwrap(),
    );
    let mutual = authority.server_with(identity, true, &[&rustls::version::TLS12]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = AsOpenssl(listener.accept().unwrap().0);
        ServerConnection::new(mutual).unwrap().complete_io(&mut stream).unwrap_err();
        stream.0.shutdown(std::net::Shutdown::Write).unwrap();
        // What is left unread would reset the connection before the alert has arrived.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let asked = policy(INSIDE, bundle(&authority, Vec::new()));
    let strict = Strict::start(authority, address, asked, None);
    strict.refuses(BackendTlsFault::ClientCertificateRefused).await;
    within(asking).await.unwrap();

    // One that did not ask has something else against the hello.
    let (address, _task) = saying(&[21, 3, 3, 0, 2, 2, 40]).await;
    let authority = Authority::new();
    let policy = policy(INSIDE, bundle(&authority, Vec::new()));
    let strict = Strict::start(authority, address, policy, None);
    strict.refuses(BackendTlsFault::HandshakeRefused).await;
}

#[tokio::test]
async fn backend_that_says_nothing_has_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Authority::new();
    let pair = Pair::new(&authority, &[NAME]);
    let policy = Arc::new(policy(INSIDE, bundle(&authority, Vec::new())));
    let target = target_over("inside", [silent.local_addr().unwrap()], None, UpstreamTls::Verified(policy));
    let brief = Forward {
        connect_timeout: Duration::from_millis(300),
        ..forward("inside", vec![(1, target)])
    };
    let listener = ending("tls", "", termination(vec![pair.slot()]), [("", brief)]);
    let site = Site::start(plan_of(vec![listener]), &keys([&pair]));
    let strict = Strict { site, authority, pair };
    strict.refuses(BackendTlsFault::Broken).await;
}
