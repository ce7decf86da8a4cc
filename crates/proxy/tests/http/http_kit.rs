//! Plans of plain HTTP ports, backends that speak HTTP, and clients.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealway_api::{Kind, ObjectKey, ObjectRef};
use sealway_core::{
    Backend, BackendProtocol, Filters, HostnamePattern, HttpBackend, HttpHost, HttpListener, HttpMatch, HttpPlan, HttpRoutes,
    HttpRule, ListenerFate, NameIndex, PathMatcher, PortKey, PortPlan, RuleKind, Snapshot, Target, Transport, UpstreamTls,
    WeightedBackend,
};
use sealway_proxy::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::kit::{Gateway, free_port, within};

pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

pub(crate) fn nothing() -> Body {
    Empty::new().boxed()
}

/// What a backend heard of a request, body included.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A backend that hears requests and answers what it was told to.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

impl HttpServer {
    /// Answers 200 with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::start(Version::Http1, move |_| Response::new(text(name))).await
    }

    pub(crate) async fn status(status: u16) -> Self {
        Self::start(Version::Http1, move |_| {
            let mut response = Response::new(nothing());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        })
        .await
    }

    pub(crate) async fn start(version: Version, answer: impl Fn(Heard) -> Response<Body> + Send + Sync + 'static) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let answer = Arc::new(answer);
        Self::serve(version, heard, move |request: Request<Incoming>| {
            let (hears, answer) = (Arc::clone(&hears), Arc::clone(&answer));
            async move {
                let (head, body) = request.into_parts();
                let Ok(whole) = body.collect().await else {
                    return Response::new(nothing());
                };
                let heard = Heard {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    trailers: whole.trailers().cloned(),
                    body: whole.to_bytes(),
                };
                hears.lock().unwrap().push(heard.clone());
                answer(heard)
            }
        })
        .await
    }

    /// Inside TLS, where ALPN chooses the version; answers with its name.
    pub(crate) async fn encrypted(name: &'static str, tls: rustls::ServerConfig) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let hears = Arc::clone(&heard);
        Self::listen(heard, move |stream| {
            let (acceptor, hears) = (acceptor.clone(), Arc::clone(&hears));
            async move {
                let stream = acceptor.accept(stream).await.ok()?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let version = if http2 { Version::Http2 } else { Version::Http1 };
                let service = service_fn(move |request: Request<Incoming>| {
                    let heard = Heard {
                        method: request.method().clone(),
                        target: request.uri().to_string(),
                        headers: request.headers().clone(),
                        trailers: None,
                        body: Bytes::new(),
                    };
                    hears.lock().unwrap().push(heard);
                    async move { Ok::<_, Infallible>(Response::new(text(name))) }
                });
                run(version, TokioIo::new(stream), service).await;
                Some(())
            }
        })
        .await
    }

    pub(crate) async fn serve<F, A>(version: Version, heard: Arc<Mutex<Vec<Heard>>>, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        Self::listen(heard, move |stream| {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            run(version, TokioIo::new(stream), service)
        })
        .await
    }

    async fn listen<F, S>(heard: Arc<Mutex<Vec<Heard>>>, serve: F) -> Self
    where
        F: Fn(TcpStream) -> S + Send + Sync + 'static,
        S: Future<Output: Send> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                serving.spawn(serve(stream));
            }
        });
        Self {
            address,
            heard,
            connections,
            task,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Heard {
        self.heard.lock().unwrap().last().unwrap().clone()
    }
}

async fn run<I, S, F>(version: Version, io: TokioIo<I>, service: S)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let _ = match version {
        Version::Http1 => {
            let builder = hyper::server::conn::http1::Builder::new();
            builder.serve_connection(io, service).with_upgrades().await
        }
        Version::Http2 => {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(io, service).await
        }
    };
}

/// A backend of the snapshot with these endpoints.
pub(crate) fn backend(service: &str, endpoints: impl Into<Vec<SocketAddr>>) -> Backend {
    Backend {
        service: ObjectKey::new("shop", service),
        port: 80,
        endpoints: endpoints.into(),
        proxy_protocol: None,
        protocol: BackendProtocol::Unstated,
        tls: UpstreamTls::Plain,
        retry_budget: None,
    }
}

pub(crate) fn to(server: &HttpServer) -> Target {
    Target::Backend(Arc::new(backend(
        &format!("port-{}", server.address.port()),
        [server.address],
    )))
}

pub(crate) fn weighted(weight: u32, target: Target) -> WeightedBackend {
    WeightedBackend {
        name: "shop/backend:80".into(),
        weight,
        target,
    }
}

/// A rule of HTTPRoute `shop/web` with these backends.
pub(crate) fn rule_of(backends: Vec<(u32, Target)>) -> HttpRule {
    HttpRule {
        route: ObjectRef::new(Kind::HttpRoute, "shop", "web"),
        position: 0,
        name: None,
        kind: RuleKind::Http,
        filters: Filters::default(),
        backends: backends
            .into_iter()
            .map(|(weight, target)| HttpBackend {
                backend: weighted(weight, target),
                filters: Filters::default(),
                session: None,
                fault: None,
            })
            .collect(),
        fault: None,
        request_timeout: None,
        backend_timeout: None,
        connect_timeout: Duration::from_secs(5),
        retry: None,
    }
}

pub(crate) fn rule(target: Target) -> HttpRule {
    rule_of(vec![(1, target)])
}

pub(crate) fn matching(path: PathMatcher, rule: HttpRule) -> HttpMatch {
    HttpMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
        rule: Arc::new(rule),
    }
}

pub(crate) fn prefix(path: &str, rule: HttpRule) -> HttpMatch {
    matching(PathMatcher::Prefix(path.into()), rule)
}

pub(crate) fn routes(hosts: impl IntoIterator<Item = (&'static str, Vec<HttpMatch>)>) -> HttpRoutes {
    let mut index = NameIndex::default();
    for (hostname, matches) in hosts {
        index
            .claim(&HostnamePattern::parse(Some(hostname)), Arc::new(HttpHost::new(matches)))
            .unwrap();
    }
    HttpRoutes {
        hosts: index,
        ..HttpRoutes::default()
    }
}

pub(crate) fn http_listener(name: &str, hostname: &str, requests: HttpRoutes) -> HttpListener {
    HttpListener {
        name: name.into(),
        hostname: HostnamePattern::parse(Some(hostname)),
        fate: ListenerFate::Serves,
        requests: Arc::new(requests),
    }
}

pub(crate) fn http_plan(listeners: Vec<HttpListener>) -> PortPlan {
    let mut names = NameIndex::default();
    for (position, listener) in listeners.iter().enumerate() {
        names.claim(&listener.hostname, position).unwrap();
    }
    PortPlan::Http(HttpPlan {
        listeners: listeners.into_iter().map(Arc::new).collect(),
        names,
    })
}

/// One listener for every name with one rule for every path.
pub(crate) fn everything(rule: HttpRule) -> PortPlan {
    http_plan(vec![http_listener("http", "", routes([("", vec![prefix("", rule)])]))])
}

pub(crate) fn http_snapshot(port: u16, plan: PortPlan) -> Snapshot {
    let key = PortKey {
        transport: Transport::Tcp,
        port,
    };
    Snapshot {
        gateway: ObjectKey::new("infra", "edge"),
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        port_offset: 0,
        trusted_proxies: Vec::new(),
        client_certificate: None,
        client_certificate_headers: Default::default(),
        session_key: None,
        tracing: None,
        ports: BTreeMap::from([(key, Arc::new(plan))]),
    }
}

/// A gateway with one plain HTTP port.
pub(crate) fn serving(plan: PortPlan) -> (Gateway, SocketAddr) {
    serving_with(crate::kit::config(), plan)
}

pub(crate) fn serving_with(config: Config, plan: PortPlan) -> (Gateway, SocketAddr) {
    let gateway = Gateway::start(config);
    let port = free_port();
    gateway.publish([http_snapshot(port, plan)]);
    (gateway, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A client's connection of HTTP/1.1.
pub(crate) async fn client1(address: SocketAddr) -> http1::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// A client's connection of HTTP/2, with prior knowledge.
pub(crate) async fn client2(address: SocketAddr) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(nothing()).unwrap()
}

/// The whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn whole(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let collected = within(body.collect()).await.unwrap();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        trailers: collected.trailers().cloned(),
        body: collected.to_bytes(),
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: Request<Body>) -> Answer {
    let mut client = client1(address).await;
    let response = within(client.send_request(request)).await.unwrap();
    whole(response).await
}

pub(crate) async fn ask2(address: SocketAddr, mut request: Request<Body>) -> Answer {
    let host = request.headers_mut().remove("host").unwrap();
    let target = format!("http://{}{}", host.to_str().unwrap(), request.uri());
    *request.uri_mut() = target.parse().unwrap();
    let mut client = client2(address).await;
    let response = within(client.send_request(request)).await.unwrap();
    whole(response).await
}

/// Sends `bytes` as they are, and returns all that comes back until the end, or until `enough` says so.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    String::from_utf8_lossy(&crate::kit::exchange(address, bytes).await).into_owned()
}

/// The status of each response in what came back.
pub(crate) fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer
        .split("\r\n")
        .filter_map(|line| line.split("HTTP/1.1 ").nth(1).or_else(|| line.split("HTTP/1.0 ").nth(1)));
    lines.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// A server as a backend whose Service says what it speaks.
pub(crate) fn speaking(version: Version, server: &HttpServer) -> Target {
    let mut backend = backend(&format!("port-{}", server.address.port()), [server.address]);
    if version == Version::Http2 {
        backend.protocol = BackendProtocol::H2c;
    }
    Target::Backend(Arc::new(backend))
}
