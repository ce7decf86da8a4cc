//! Golden cases: `testdata/<area>/<case>/input.yaml`, valid for `kubectl apply`, with everything else that decides in comments.
//!
//! Manifests are read as `run` and `check` read them, and must be admissible. Only those of area `lenient` are read without admission:
//! they hold what an API server would refuse, which must do no harm should it come. Those of area `refused` hold such manifests too, and
//! show what becomes of the others when they are refused.
//!
//! The first line says which sentence of the specification the case proves. Then, each on a line of its own:
//! `# settings: port-offset=N | bind=IP,… | gateway-bind=NS/NAME=IP,… | reserved=IP:PORT | controller=NAME | crl-failure=hard | cluster`,
//! `# endpoint: NS/SERVICE:PORT=HOST:PORT`, `# bound: ok|in-use|not-permitted|no-such-address IP:PORT` (any of these makes every other
//! socket pending; `# bound: nothing` makes all of them so), `# name: HOST=IP,…` (none: asked without an answer),
//! `# with: FILE` (of `testdata/pki`, read beside the case), `# now: TIME` (2030 unless stated),
//! `# list: NS/CONFIGMAP URL` (its `ca.crl`, as if that distribution point of its `ca.crt` had given it),
//! `# backend-tls: NS/SERVICE:PORT=LABEL [NS/GATEWAY]` (what the data plane saw, with that Gateway's own certificate), `# explain: PORT NAME` (`-` for no name, `!` for a malformed one),
//! `# request: PORT[/SNI] METHOD HOST/PATH[?QUERY] [NAME: VALUE; …]` (`-` for no host; with an SNI the request comes through TLS).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealway_api::{Kind, ObjectKey, ObjectRef, Resource, Resources};
use sealway_core::{
    BackendAddress, BackendPeer, BackendTlsFault, BindFailure, Classes, Compiler, ContentHash, CrlFailure, DistributionPoint,
    EndpointOverride, Observed, Placement, PortSelector, PortState, Ports, Problem, RequestHead, RevocationList, ServerName,
    Settings, Severity, SocketKey, Transport,
};
use sealway_provider::files::{Loaded, Loader, Sources};

/// One case, read.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// `input.yaml` as it stands.
    pub(crate) text: String,
    /// Its objects.
    pub(crate) resources: Resources,
    /// What reading them says.
    pub(crate) problems: Vec<Problem>,
    /// Where everything stands.
    pub(crate) sources: Arc<Sources>,
    /// From its comments.
    pub(crate) settings: Settings,
    /// From its comments.
    pub(crate) observed: Observed,
    /// From its comments.
    pub(crate) questions: Vec<Question>,
}

/// A question to the snapshots.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// `# explain:`
    Connection(Lookup),
    /// `# request:`
    Request(Box<Request>),
}

/// One `# request:` line.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// As written.
    pub(crate) text: String,
    /// The listener's port.
    pub(crate) port: u16,
    /// Given on TLS ports.
    pub(crate) server_name: Option<Lookup>,
    pub(crate) method: Method,
    pub(crate) host: Option<String>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
}

impl Request {
    fn read(text: &str) -> Self {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().expect("PORT[/SNI] METHOD HOST/PATH");
        let (port, method, target) = (word(), word(), word());
        let (port, name) = port.split_once('/').map_or((port, None), |(port, name)| (port, Some(name)));
        let (host, target) = target.split_at(target.find('/').unwrap_or(target.len()));
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let mut headers = HeaderMap::new();
        for line in words.next().unwrap_or_default().split("; ").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("NAME: VALUE");
            headers.append(parse::<HeaderName>(name), parse::<HeaderValue>(value));
        }
        Self {
            text: text.to_owned(),
            port: parse(port),
            server_name: name.map(|name| Lookup {
                transport: Transport::Tcp,
                port: parse(port),
                name: name.to_owned(),
            }),
            method: parse(method),
            host: Some(host.to_owned()).filter(|host| host != "-"),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
        }
    }

    /// What routing needs to know of it.
    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            host: self.host.as_deref(),
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

/// One `# explain:` line.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    /// TCP, save where the question says `53/udp`.
    pub(crate) transport: Transport,
    /// The listener's port.
    pub(crate) port: u16,
    /// As written.
    pub(crate) name: String,
}

impl Lookup {
    /// What the peek would make of the name.
    pub(crate) fn server_name(&self) -> ServerName<'_> {
        match self.name.as_str() {
            "-" => ServerName::Absent,
            "!" => ServerName::Malformed,
            name if name.parse::<IpAddr>().is_ok() => ServerName::Address(name),
            name => ServerName::Name(name),
        }
    }
}

impl Case {
    /// Reads one case; a case that cannot be read is a defect of the case.
    pub(crate) fn read(directory: &Path) -> Self {
        let file = directory.join("input.yaml");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let is_of = |name| directory.parent().is_some_and(|area| area.ends_with(name));
        let loaded = if is_of("lenient") {
            Loaded {
                resources: Arc::new(unadmitted(&text, &file)),
                ..Loaded::default()
            }
        } else {
            let with = text.lines().filter_map(|line| line.strip_prefix("# with: "));
            let pki = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pki");
            let files: Vec<PathBuf> = with.map(|name| pki.join(name)).chain([file]).collect();
            read(&files, is_of("refused"))
        };
        let mut case = Self {
            directory: directory.to_owned(),
            resources: Arc::unwrap_or_clone(loaded.resources),
            problems: loaded.problems,
            sources: loaded.sources,
            settings: Settings::default(),
            observed: Observed::assumed(parse("2030-01-01T00:00:00Z")),
            questions: Vec::new(),
            text,
        };
        for line in case.text.clone().lines().filter_map(|line| line.strip_prefix("# ")) {
            let Some((word, value)) = line.split_once(": ") else {
                continue;
            };
            case.directive(word, value.trim());
        }
        case
    }

    fn directive(&mut self, word: &str, value: &str) {
        match word {
            "settings" => setting(&mut self.settings, value),
            "endpoint" => self.settings.endpoints.push(endpoint(value)),
            "bound" => bound(&mut self.observed.ports, value),
            "name" => {
                let (name, addresses) = value.split_once('=').expect("HOST=IP,…");
                self.observed.names.insert(name.to_owned(), list(addresses));
            }
            "now" => self.observed.now = parse(value),
            "list" => {
                let (name, url) = value.split_once(' ').expect("NS/CONFIGMAP URL");
                let data = &self.resources.config_maps[&key_of(name)].data;
                self.observed
                    .revocation_lists
                    .push(fetched(&data["ca.crt"], &data["ca.crl"], url));
            }
            "backend-tls" => {
                let (backend, label) = value.split_once('=').expect("NS/SERVICE:PORT=LABEL");
                let (service, port) = backend.rsplit_once(':').expect("NS/SERVICE:PORT");
                let (label, gateway) = match label.split_once(' ') {
                    Some((label, gateway)) => (label, Some(gateway)),
                    None => (label, None),
                };
                let peer = BackendPeer {
                    service: key_of(service),
                    port: parse(port),
                    identity: gateway.and_then(|gateway| self.certificate_of(gateway)),
                };
                self.observed.backend_tls.insert(peer, fault(label));
            }
            "explain" => {
                let (port, name) = value.split_once(' ').expect("PORT NAME");
                let (port, transport) = match port.strip_suffix("/udp") {
                    Some(port) => (port, Transport::Udp),
                    None => (port, Transport::Tcp),
                };
                self.questions.push(Question::Connection(Lookup {
                    transport,
                    port: parse(port),
                    name: name.to_owned(),
                }));
            }
            "request" => self.questions.push(Question::Request(Box::new(Request::read(value)))),
            _ => {}
        }
    }
}

impl Case {
    /// What a Gateway shows to backends.
    fn certificate_of(&self, gateway: &str) -> Option<ContentHash> {
        let compiled = Compiler::new(self.settings.clone()).compile(&self.resources, &self.observed);
        let snapshot = &compiled.snapshots[&ObjectRef::of(Kind::Gateway, &key_of(gateway))];
        snapshot.client_certificate.as_ref().map(|served| served.content)
    }
}

/// A list that a distribution point of an authority gave.
pub(crate) fn fetched(authority: &str, list: &str, url: &str) -> Arc<RevocationList> {
    let issuers = CertificateDer::pem_slice_iter(authority.as_bytes()).take(1);
    let point = DistributionPoint {
        url: url.to_owned(),
        issuers: issuers.map(|issuer| issuer.expect("PEM")).collect(),
    };
    Arc::new(RevocationList::fetched(&point, list.as_bytes()).unwrap_or_else(|refusal| panic!("{url}: {refusal}")))
}

/// Every case, by area and name.
pub(crate) fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut cases = Vec::new();
    for area in directories(&root) {
        cases.extend(directories(&area).iter().map(|directory| Case::read(directory)));
    }
    cases
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

fn read(files: &[PathBuf], may_be_refused: bool) -> Loaded {
    let (_, loaded) = Loader::open(files).unwrap_or_else(|error| panic!("{error}"));
    let errors = loaded
        .problems
        .iter()
        .filter(|problem| problem.cause.severity() == Severity::Error);
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    assert!(
        may_be_refused || errors.is_empty(),
        "an API server would refuse this:\n{}",
        errors.join("\n")
    );
    loaded
}

fn unadmitted(text: &str, file: &Path) -> Resources {
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut resources = Resources::default();
    for mut document in documents.into_iter().filter(|document| !document.is_null()) {
        let kind = Kind::from(document["kind"].as_str().expect("kind"));
        if !kind.is_cluster_scoped() && document["metadata"]["namespace"].is_null() {
            document["metadata"]["namespace"] = "default".into();
        }
        match Resource::read(&kind, document) {
            Some(Ok(resource)) => resources.insert(resource),
            Some(Err(error)) => panic!("{}: {kind}: {error}", file.display()),
            None => panic!("{}: {kind} is not read", file.display()),
        }
    }
    resources
}

fn fault(label: &str) -> BackendTlsFault {
    use BackendTlsFault::*;
    let all = [
        UnknownAuthority,
        NameMismatch,
        Expired,
        NotYetValid,
        Revoked,
        RevocationUnknown,
        BadCertificate,
        NotTls,
        ClientCertificateRefused,
        HandshakeRefused,
        Broken,
    ];
    let found = all.into_iter().find(|fault| fault.label() == label);
    found.unwrap_or_else(|| panic!("no such fault: {label}"))
}

fn setting(settings: &mut Settings, value: &str) {
    let (key, value) = value.split_once('=').unwrap_or((value, ""));
    match (key, &mut settings.placement) {
        ("port-offset", Placement::Standalone { port_offset, .. }) => *port_offset = parse(value),
        ("bind", Placement::Standalone { binds, .. }) => *binds = list(value),
        ("gateway-bind", Placement::Standalone { gateway_binds, .. }) => {
            let (gateway, addresses) = value.split_once('=').expect("NS/NAME=IP");
            gateway_binds.insert(key_of(gateway), list(addresses));
        }
        ("reserved", _) => {
            settings.reserved.insert(parse(value));
        }
        ("controller", _) => settings.classes = Classes::Named(value.to_owned()),
        ("crl-failure", _) => {
            assert_eq!(value, "hard", "the other is the default");
            settings.crl_failure = CrlFailure::Hard;
        }
        ("cluster", placement) => *placement = Placement::Cluster,
        (other, _) => panic!("no such setting: {other}"),
    }
}

fn endpoint(value: &str) -> EndpointOverride {
    let (service, address) = value.split_once('=').expect("NS/SERVICE:PORT=HOST:PORT");
    let (service, port) = service.rsplit_once(':').expect("NS/SERVICE:PORT");
    EndpointOverride {
        service: key_of(service),
        port: match port.parse() {
            Ok(number) => PortSelector::Number(number),
            Err(_) => PortSelector::Name(port.to_owned()),
        },
        address: match address.parse() {
            Ok(socket) => BackendAddress::Socket(socket),
            Err(_) => {
                let (host, port) = address.rsplit_once(':').expect("HOST:PORT");
                BackendAddress::Name(host.to_owned(), parse(port))
            }
        },
    }
}

fn bound(ports: &mut Ports, value: &str) {
    if matches!(ports, Ports::Assumed) {
        *ports = Ports::Reported(BTreeMap::new());
    }
    let (Ports::Reported(states), Some((word, socket))) = (ports, value.split_once(' ')) else {
        return;
    };
    let state = match word {
        "ok" => PortState::Bound,
        "in-use" => PortState::Failed(BindFailure::InUse),
        "not-permitted" => PortState::Failed(BindFailure::NotPermitted),
        "no-such-address" => PortState::Failed(BindFailure::NoSuchAddress),
        "other" => PortState::Failed(BindFailure::Other("Too many open files (os error 24)".to_owned())),
        other => panic!("no such state: {other}"),
    };
    let key = SocketKey {
        transport: Transport::Tcp,
        address: parse::<SocketAddr>(socket),
    };
    states.insert(key, state);
}

fn key_of(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').expect("NAMESPACE/NAME");
    ObjectKey::new(namespace, name)
}

fn list<T: FromStr>(text: &str) -> Vec<T>
where
    T::Err: std::fmt::Debug,
{
    text.split(',').filter(|part| !part.is_empty()).map(parse).collect()
}

fn parse<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
}
