//! A gateway, backends and clients for the tests; each program of tests uses its part of it.

#![allow(dead_code, reason = "no program of tests uses everything")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sealway_api::{Kind, ObjectKey, ObjectRef, TlsMode};
use sealway_core::{
    Backend, BackendProtocol, Forward, HostnamePattern, Keys, ListenerFate, NameIndex, PortKey, PortPlan, ProxyProtocol,
    Snapshot, Target, TlsListener, TlsPlan, Transport, UpstreamTls, WeightedBackend,
};
use sealway_proxy::{Config, Metrics, Proxy};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

/// Fails when `work` hangs.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work)
        .await
        .expect("took longer than 20 s")
}

/// Waits until `is_true`, at most 20 s.
pub(crate) async fn until<What: std::fmt::Display>(what: impl Fn() -> What, mut is_true: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {}", what());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A proxy and what it counted.
pub(crate) struct Gateway {
    pub(crate) proxy: Proxy,
    pub(crate) registry: Registry,
}

impl Gateway {
    pub(crate) fn start(config: Config) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, "test");
        Self {
            proxy: Proxy::new(config, metrics, tokio::runtime::Handle::current()),
            registry,
        }
    }

    /// Starts with one Gateway on one port; returns the port's address too.
    pub(crate) fn serving(config: Config, plan: TlsPlan) -> (Self, SocketAddr) {
        let gateway = Self::start(config);
        let port = free_port();
        gateway.publish([snapshot("edge", port, plan)]);
        (gateway, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    pub(crate) fn publish(&self, snapshots: impl IntoIterator<Item = Snapshot>) {
        self.publish_with(snapshots, &Keys::default());
    }

    /// Each Gateway gets all the keys.
    pub(crate) fn publish_with(&self, snapshots: impl IntoIterator<Item = Snapshot>, keys: &Keys) {
        let by_gateway = snapshots
            .into_iter()
            .map(|snapshot| (ObjectRef::of(Kind::Gateway, &snapshot.gateway), Arc::new(snapshot)));
        let by_gateway: BTreeMap<_, _> = by_gateway.collect();
        let keys = by_gateway.keys().map(|gateway| (gateway.clone(), keys.clone())).collect();
        self.proxy.publish(&by_gateway, &keys);
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// Sum of the samples of `name` whose labels contain all of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.metrics();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')) && labels.iter().all(|label| line.contains(label))
        });
        samples
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Connections that ended with this outcome.
    pub(crate) fn ended(&self, outcome: &str) -> u64 {
        self.sum("sealway_connections_total", &[&format!("outcome=\"{outcome}\"")])
    }

    pub(crate) async fn wait_ended(&self, outcome: &str, times: u64) {
        let what = || format!("{times} connections ended with {outcome}; metrics:\n{}", self.metrics());
        until(what, || self.ended(outcome) >= times).await;
    }
}

pub(crate) fn config() -> Config {
    Config {
        workers: 2,
        ..Config::default()
    }
}

/// One Gateway `infra/<name>` with one TLS port on the loopback.
pub(crate) fn snapshot(name: &str, port: u16, plan: TlsPlan) -> Snapshot {
    let key = PortKey {
        transport: Transport::Tcp,
        port,
    };
    Snapshot {
        gateway: ObjectKey::new("infra", name),
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        port_offset: 0,
        trusted_proxies: Vec::new(),
        client_certificate: None,
        client_certificate_headers: Default::default(),
        session_key: None,
        tracing: None,
        ports: BTreeMap::from([(key, Arc::new(PortPlan::Tls(plan)))]),
    }
}

/// A plan of one listener `tls` for every name, with these routes.
pub(crate) fn plan(routes: impl IntoIterator<Item = (&'static str, Forward)>) -> TlsPlan {
    plan_of(vec![listener("tls", "", routes)])
}

pub(crate) fn plan_of(listeners: Vec<TlsListener>) -> TlsPlan {
    let mut names = NameIndex::default();
    for (position, listener) in listeners.iter().enumerate() {
        names.claim(&listener.hostname, position).unwrap();
    }
    TlsPlan {
        listeners: listeners.into_iter().map(Arc::new).collect(),
        names,
    }
}

pub(crate) fn listener(name: &str, hostname: &str, routes: impl IntoIterator<Item = (&'static str, Forward)>) -> TlsListener {
    let mut index = NameIndex::default();
    for (hostname, forward) in routes {
        index
            .claim(&HostnamePattern::parse(Some(hostname)), Arc::new(forward))
            .unwrap();
    }
    let hostname = HostnamePattern::parse(Some(hostname));
    TlsListener {
        name: name.into(),
        hostname,
        mode: TlsMode::Passthrough,
        fate: ListenerFate::Serves,
        routes: index,
        termination: None,
        requests: None,
    }
}

/// Route `shop/<route>` to backends with weights.
pub(crate) fn forward(route: &str, backends: Vec<(u32, Target)>) -> Forward {
    let named = |(number, (weight, target))| WeightedBackend {
        name: format!("shop/{route}-{number}:443"),
        weight,
        target,
    };
    Forward {
        route: ObjectRef::new(Kind::TlsRoute, "shop", route),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Some(Duration::from_secs(600)),
        backends: backends.into_iter().enumerate().map(named).collect(),
    }
}

/// Route `shop/<route>` to one backend with these endpoints.
pub(crate) fn to(route: &str, endpoints: impl Into<Vec<SocketAddr>>) -> Forward {
    forward(route, vec![(1, target(route, endpoints, None))])
}

pub(crate) fn target(service: &str, endpoints: impl Into<Vec<SocketAddr>>, proxy_protocol: Option<ProxyProtocol>) -> Target {
    target_over(service, endpoints, proxy_protocol, UpstreamTls::Plain)
}

pub(crate) fn target_over(
    service: &str,
    endpoints: impl Into<Vec<SocketAddr>>,
    proxy_protocol: Option<ProxyProtocol>,
    tls: UpstreamTls,
) -> Target {
    let (service, endpoints) = (ObjectKey::new("shop", service), endpoints.into());
    Target::Backend(Arc::new(Backend {
        service,
        port: 443,
        endpoints,
        proxy_protocol,
        protocol: BackendProtocol::Unstated,
        tls,
        retry_budget: None,
    }))
}

/// A certificate authority of one test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn issuer(&self) -> &rcgen::Issuer<'static, KeyPair> {
        &self.0
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        self.sign(
            CertificateParams::new(vec![name.to_owned()]).unwrap(),
            &KeyPair::generate().unwrap(),
        )
    }

    pub(crate) fn sign(&self, params: CertificateParams, key: &KeyPair) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let certificate = params.signed_by(key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        (certificate.der().clone(), key)
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        Arc::new(roots)
    }

    /// A client that trusts this authority, with a certificate of it or without.
    pub(crate) fn client(&self, certificate_for: Option<&str>) -> Arc<ClientConfig> {
        Arc::new(self.client_with(certificate_for.map(|name| self.issue(name)), rustls::ALL_VERSIONS))
    }

    pub(crate) fn client_with(
        &self,
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(self.roots());
        match identity {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }

    /// A server for `name`; with `mutual` it insists on a client certificate of this authority.
    pub(crate) fn server(&self, name: &str, mutual: bool) -> Arc<ServerConfig> {
        self.server_with(self.issue(name), mutual, rustls::ALL_VERSIONS)
    }

    pub(crate) fn server_with(
        &self,
        (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
        mutual: bool,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = if mutual {
            builder.with_client_cert_verifier(rustls::server::WebPkiClientVerifier::builder(self.roots()).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    }
}

/// What happens to a backend's connections before TLS. Returns what was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// A PROXY header up to its line end or stated length.
    ProxyHeader,
    /// PostgreSQL's SSLRequest, answered so.
    SslRequest(u8),
}

/// A TLS backend that greets with its name and then echoes.
pub(crate) struct EchoBackend {
    pub(crate) address: SocketAddr,
    /// What came before TLS, one entry for each connection.
    pub(crate) heard: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for EchoBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EchoBackend {
    pub(crate) async fn start(name: &'static str, authority: &Authority) -> Self {
        Self::with(name, authority.server(name, false), Before::Nothing).await
    }

    pub(crate) async fn with(name: &'static str, tls: Arc<ServerConfig>, before: Before) -> Self {
        Self::of(name, Some(tls), before).await
    }

    /// Without TLS.
    pub(crate) async fn plain(name: &'static str) -> Self {
        Self::of(name, None, Before::Nothing).await
    }

    async fn of(name: &'static str, tls: Option<Arc<ServerConfig>>, before: Before) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let acceptor = tls.map(TlsAcceptor::from);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, hears) = (acceptor.clone(), Arc::clone(&hears));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let first = read_before(&mut stream, before).await?;
                    hears.lock().unwrap().push(first);
                    match acceptor {
                        Some(acceptor) => echo(acceptor.accept(stream).await?, name).await,
                        None => echo(stream, name).await,
                    }
                });
            }
        });
        Self { address, heard, task }
    }

    pub(crate) fn connections(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

async fn read_before(stream: &mut TcpStream, before: Before) -> std::io::Result<Vec<u8>> {
    let mut first = Vec::new();
    match before {
        Before::Nothing => {}
        Before::ProxyHeader => {
            // Byte by byte, so that nothing of TLS is taken.
            loop {
                first.push(stream.read_u8().await?);
                let v2_length = || Some(16 + usize::from(u16::from_be_bytes(first.get(14..16)?.try_into().ok()?)));
                if first.ends_with(b"\r\n") && first.starts_with(b"PROXY")
                    || first[0] == b'\r' && v2_length() == Some(first.len())
                {
                    break;
                }
            }
        }
        Before::SslRequest(answer) => {
            first.resize(8, 0);
            stream.read_exact(&mut first).await?;
            stream.write_all(&[answer]).await?;
        }
    }
    Ok(first)
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, name: &str) -> std::io::Result<()> {
    stream.write_all(name.as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..bytes]).await?;
    }
}

/// A TLS connection to `address` that asks for `name`.
pub(crate) async fn tls(
    address: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    tls_over(TcpStream::connect(address).await?, name, config).await
}

pub(crate) async fn tls_over(
    stream: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    within(TlsConnector::from(config).connect(name, stream)).await
}

/// Reads the backend's greeting and sees that an echo comes back.
pub(crate) async fn assert_reaches(stream: &mut client::TlsStream<TcpStream>, name: &str) {
    let mut greeting = vec![0; name.len()];
    within(stream.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&greeting), name);
    assert_echoes(stream).await;
}

pub(crate) async fn assert_echoes(stream: &mut client::TlsStream<TcpStream>) {
    stream.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    within(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"ping");
}

/// The ClientHello of a rustls client that asks for `name`; an IP address asks for none.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// Sends `bytes` and returns everything that comes back until the end; a reset counts as an end.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // What came before a reset stays in the buffer.
    let _ = within(stream.read_to_end(&mut answer)).await;
    answer
}

/// A fatal alert as a TLS record.
pub(crate) fn alert(description: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description]
}
