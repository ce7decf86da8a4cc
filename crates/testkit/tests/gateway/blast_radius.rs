//! One broken object beside 20 healthy neighbours on the same port: it costs its own name, and nobody else notices anything.
//!
//! Each site has everything of its own: listener, Secret, HTTPRoute, Service, EndpointSlice, BackendTLSPolicy, CA ConfigMap, ReferenceGrant;
//! and in a Namespace of its own a TLSRoute to the same Service and a GRPCRoute, each on a listener that selects that Namespace. A break changes one object of the first site. The neighbours are asked through connections that were open before, and through new
//! ones.

use std::net::SocketAddr;
use std::time::SystemTime;

use sealway_testkit::LOOPBACK;
use sealway_testkit::backends::{ClientCertificates, Https};
use sealway_testkit::certificates::{Authority, Identity, Request};
use sealway_testkit::clients::{Client, Failure, Seen, Session};
use sealway_testkit::gateway::TestGateway;

use crate::calls::{self, Calls};

const NEIGHBOURS: usize = 20;
const PORT: u16 = 8443;

/// The objects of one site.
#[derive(Clone)]
struct Site {
    listener: String,
    /// Listeners of the TLSRoute and the GRPCRoute.
    listeners: String,
    namespace: String,
    tls_route: String,
    grpc_route: String,
    /// Service and EndpointSlice of the GRPCRoute.
    calls: String,
    secret: String,
    route: String,
    service: String,
    slice: String,
    policy: String,
    config_map: String,
    grant: String,
}

impl Site {
    fn new(number: usize, identity: &Identity, authority: &Authority, backend: SocketAddr, calls: SocketAddr) -> Self {
        let object = |version: &str, kind: &str, namespace: &str, rest: &str| {
            format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: site-{number}, namespace: {namespace}}}\n{rest}")
        };
        let group = "gateway.networking.k8s.io/v1";
        let secret = [("tls.crt", identity.chain_pem()), ("tls.key", identity.key().expose_pem())];
        let secret: String = secret.into_iter().map(|(key, pem)| block(key, pem)).collect();
        let (name, port) = (host(number), backend.port());
        let listener = |suffix: &str, protocol: &str, host: &str, from: &str| {
            format!(
                "    - {{name: site-{number}{suffix}, port: {PORT}, protocol: {protocol}, hostname: {host}, allowedRoutes: {{namespaces: {{{from}}}}},\n       tls: {{certificateRefs: [{{name: site-{number}}}]}}}}\n"
            )
        };
        let own = format!("from: Selector, selector: {{matchLabels: {{site: site-{number}}}}}");
        Self {
            listener: listener("", "HTTPS", &name, "from: All"),
            listeners: listener("-tls", "TLS", &tls_host(number), &own) + &listener("-calls", "HTTPS", &grpc_host(number), &own),
            namespace: format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: site-{number}, labels: {{site: site-{number}}}}}\n"
            ),
            tls_route: object(
                group,
                "TLSRoute",
                &format!("site-{number}"),
                &format!(
                    "spec:\n  parentRefs: [{{name: gateway, namespace: default, sectionName: site-{number}-tls}}]\n  hostnames: [{}]\n  rules:\n    - backendRefs: [{{name: site-{number}, namespace: services, port: 443}}]\n",
                    tls_host(number)
                ),
            ),
            grpc_route: object(
                group,
                "GRPCRoute",
                &format!("site-{number}"),
                &format!(
                    "spec:\n  parentRefs: [{{name: gateway, namespace: default, sectionName: site-{number}-calls}}]\n  hostnames: [{}]\n  rules:\n    - backendRefs: [{{name: calls, port: 80}}]\n",
                    grpc_host(number)
                ),
            ),
            calls: format!(
                "---\napiVersion: v1\nkind: Service\nmetadata: {{name: calls, namespace: site-{number}}}\nspec: {{ports: [{{port: 80, appProtocol: kubernetes.io/h2c}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: calls, namespace: site-{number}, labels: {{kubernetes.io/service-name: calls}}}}\naddressType: IPv4\nports: [{{name: \"\", port: {}}}]\nendpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n",
                calls.port()
            ),
            secret: object(
                "v1",
                "Secret",
                "default",
                &format!("type: kubernetes.io/tls\nstringData:\n{secret}"),
            ),
            route: object(
                group,
                "HTTPRoute",
                "routes",
                &format!(
                    "spec:\n  parentRefs: [{{name: gateway, namespace: default, sectionName: site-{number}}}]\n  hostnames: [{name}]\n  rules:\n    - matches: [{{path: {{type: PathPrefix, value: /}}}}]\n      backendRefs: [{{name: site-{number}, namespace: services, port: 443}}]\n"
                ),
            ),
            service: object("v1", "Service", "services", "spec: {ports: [{name: tls, port: 443}]}\n"),
            slice: format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: site-{number}, namespace: services, labels: {{kubernetes.io/service-name: site-{number}}}}}\naddressType: IPv4\nports: [{{name: tls, port: {port}}}]\nendpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n"
            ),
            policy: object(
                group,
                "BackendTLSPolicy",
                "services",
                &format!(
                    "spec:\n  targetRefs: [{{group: \"\", kind: Service, name: site-{number}}}]\n  validation:\n    hostname: {BACKEND}\n    caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: site-{number}}}]\n"
                ),
            ),
            config_map: object(
                "v1",
                "ConfigMap",
                "services",
                &format!("data:\n{}", block("ca.crt", authority.certificate_pem())),
            ),
            grant: object(
                group,
                "ReferenceGrant",
                "services",
                &format!(
                    "spec:\n  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: routes}}, {{group: gateway.networking.k8s.io, kind: TLSRoute, namespace: site-{number}}}]\n  to: [{{group: \"\", kind: Service, name: site-{number}}}]\n"
                ),
            ),
        }
    }
}

fn host(number: usize) -> String {
    format!("site-{number}.example.com")
}

fn tls_host(number: usize) -> String {
    format!("tls-{number}.example.com")
}

fn grpc_host(number: usize) -> String {
    format!("grpc-{number}.example.com")
}

fn block(key: &str, pem: &str) -> String {
    let lines: String = pem.lines().map(|line| format!("    {line}\n")).collect();
    format!("  {key}: |\n{lines}")
}

fn manifests(sites: &[Site]) -> String {
    let mut yaml = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sealway}
spec: {controllerName: sealway.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  gatewayClassName: sealway
  listeners:
"
    .to_owned();
    for site in sites {
        yaml.push_str(&site.listener);
        yaml.push_str(&site.listeners);
    }
    for site in sites {
        for object in [
            &site.secret,
            &site.route,
            &site.service,
            &site.slice,
            &site.policy,
            &site.config_map,
            &site.grant,
            &site.namespace,
            &site.tls_route,
            &site.grpc_route,
            &site.calls,
        ] {
            yaml.push_str(object);
        }
    }
    yaml
}

/// What is broken, and how.
type Break = (&'static str, fn(&mut Site));

/// What costs the site its HTTPRoute's name, at least.
const BREAKS: &[Break] = &[
    ("Secret missing", |site| site.secret.clear()),
    ("Secret not PEM", |site| site.secret = site.secret.replace("BEGIN", "BEGUN")),
    ("Secret of another type of document", |site| {
        site.secret = site.secret.replace("stringData:", "stringData: [\n")
    }),
    ("Secret with another's key", |site| {
        let other = Authority::generate("other", SystemTime::now()).expect("authority");
        let (certificate, _) = site.secret.split_once("  tls.key").expect("a key");
        site.secret = format!("{certificate}{}", block("tls.key", other.identity().key().expose_pem()));
    }),
    ("HTTPRoute missing", |site| site.route.clear()),
    ("HTTPRoute with a regular expression that is none", |site| {
        site.route = site
            .route
            .replace("type: PathPrefix, value: /", "type: RegularExpression, value: \"(\"");
    }),
    ("HTTPRoute with an unknown filter", |site| {
        site.route = site.route.replace("      backendRefs", "      filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Nothing, name: x}}]\n      backendRefs");
    }),
    ("HTTPRoute of another listener", |site| {
        site.route = site.route.replace("sectionName: site-0", "sectionName: none")
    }),
    ("Service missing", |site| site.service.clear()),
    ("Service with another port", |site| {
        site.service = site.service.replace("port: 443", "port: 444")
    }),
    ("EndpointSlice missing", |site| site.slice.clear()),
    ("EndpointSlice not ready", |site| {
        site.slice = site.slice.replace("ready: true", "ready: false")
    }),
    ("BackendTLSPolicy missing", |site| site.policy.clear()),
    ("BackendTLSPolicy for another name", |site| {
        site.policy = site.policy.replace(BACKEND, "other.example.com")
    }),
    ("BackendTLSPolicy with a missing ConfigMap", |site| {
        site.policy = site
            .policy
            .replace("kind: ConfigMap, name: site-0", "kind: ConfigMap, name: none");
    }),
    ("ConfigMap missing", |site| site.config_map.clear()),
    ("ConfigMap without certificate", |site| {
        site.config_map = site.config_map.replace("ca.crt", "ca.txt")
    }),
    ("ConfigMap of another CA", |site| {
        let other = Authority::generate("other", SystemTime::now()).expect("authority");
        let (head, _) = site.config_map.split_once("  ca.crt").expect("a certificate");
        site.config_map = format!("{head}{}", block("ca.crt", other.certificate_pem()));
    }),
    ("ReferenceGrant missing", |site| site.grant.clear()),
    ("ReferenceGrant for another Service", |site| {
        site.grant = site.grant.replace("name: site-0}", "name: none}")
    }),
    ("listener for another name", |site| {
        site.listener = site.listener.replace("hostname: site-0", "hostname: moved")
    }),
    ("listener with an unknown suite", |site| {
        site.listener = site.listener.replace(
            "{certificateRefs",
            "{options: {sealway.dev/cipher-suites: NONE}, certificateRefs",
        );
    }),
    ("listener twice", |site| {
        site.listener += &site.listener.replace("name: site-0, port", "name: site-0-again, port");
    }),
    ("listener of another protocol", |site| {
        site.listener = site.listener.replace("protocol: HTTPS", "protocol: example.com/other")
    }),
];

/// What costs the names of the TLSRoute and the GRPCRoute, or of one of them.
const BREAKS_BESIDE: &[(Break, [bool; 2])] = &[
    (("TLSRoute missing", |site| site.tls_route.clear()), [true, false]),
    (
        ("TLSRoute to another Service", |site| {
            site.tls_route = site
                .tls_route
                .replace("backendRefs: [{name: site-0", "backendRefs: [{name: none")
        }),
        [true, false],
    ),
    (("GRPCRoute missing", |site| site.grpc_route.clear()), [false, true]),
    (
        ("GRPCRoute with an unknown filter", |site| {
            site.grpc_route = site.grpc_route.replace(
                "- backendRefs",
                "- filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Nothing, name: x}}]\n      backendRefs",
            )
        }),
        [false, true],
    ),
    (
        ("Namespace with another label", |site| {
            site.namespace = site.namespace.replace("{site: site-0}", "{site: none}")
        }),
        [true, true],
    ),
    (("Namespace missing", |site| site.namespace.clear()), [true, true]),
];

/// The whole of a site works: its own certificate, its own backend.
async fn ask(session: Session, number: usize) -> Result<Seen, Failure> {
    let seen = session.request(&host(number), "/").await?;
    assert_eq!(seen.answer.sni.as_deref(), Some(BACKEND));
    Ok(seen)
}

/// Connections to the three names of a site.
struct Open {
    number: usize,
    http: Session,
    tls: Session,
    calls: Calls,
}

impl Open {
    async fn new(client: &Client, address: SocketAddr, number: usize) -> Result<Self, Failure> {
        Ok(Self {
            number,
            http: client.connect(address, &host(number)).await?,
            tls: client.connect(address, &tls_host(number)).await?,
            calls: Calls::connect(client, address, grpc_host(number)).await?,
        })
    }

    async fn ask(self) -> Result<Seen, Failure> {
        self.calls.call().await?;
        ask(self.tls, self.number).await?;
        ask(self.http, self.number).await
    }
}

/// Whether new connections to the names of the victim's TLSRoute and GRPCRoute fail.
async fn is_lost(client: &Client, address: SocketAddr) -> [bool; 2] {
    let tls = match client.connect(address, &tls_host(0)).await {
        Ok(session) => ask(session, 0).await.is_err(),
        Err(_) => true,
    };
    let calls = match Calls::connect(client, address, grpc_host(0)).await {
        Ok(calls) => calls.call().await.is_err(),
        Err(_) => true,
    };
    [tls, calls]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broken_object_costs_its_own_name_only() {
    let now = SystemTime::now();
    let authority = Authority::generate("test", now).expect("authority");
    let issue = |names: &[&str]| authority.issue(&Request::server(names[0], names, now)).expect("identity");
    let backend_identity = issue(&[BACKEND]);
    let backend = Https {
        name: "site",
        identity: &backend_identity,
        clients: ClientCertificates::Ignored,
    };
    let backend = backend.start(LOOPBACK).await.expect("backend");
    let calls = calls::backend().await.expect("backend");
    let identities = (0..=NEIGHBOURS).map(|number| issue(&[&host(number), &tls_host(number), &grpc_host(number)]));
    let identities: Vec<Identity> = identities.collect();
    let sites: Vec<Site> = (0..)
        .zip(&identities)
        .map(|(number, identity)| Site::new(number, identity, &authority, backend.address(), calls.address()))
        .collect();
    let sound = manifests(&sites);
    let client = Client::trusting(&authority).expect("client");
    let mut gateway = TestGateway::start(&sound).await;
    let address = gateway.address(PORT);
    let connect = async |number: usize| client.connect(address, &host(number)).await;

    let breaks = BREAKS.iter().map(|each| (each, None));
    let beside = BREAKS_BESIDE.iter().map(|(each, lost)| (each, Some(*lost)));
    for ((what, break_it), beside) in breaks.chain(beside) {
        let victim = Open::new(&client, address, 0).await.expect("victim before").ask().await;
        assert!(victim.is_ok(), "before `{what}`: {victim:?}");
        let mut open = Vec::new();
        for number in 1..=NEIGHBOURS {
            open.push(Open::new(&client, address, number).await.expect("neighbour before"));
        }
        let mut broken = sites.clone();
        break_it(&mut broken[0]);
        let broken = manifests(&broken);
        assert_ne!(broken, sound, "`{what}` changes nothing");
        gateway.apply(&broken).await;

        let victim = match connect(0).await {
            Ok(session) => ask(session, 0).await,
            Err(failure) => Err(failure),
        };
        let is_lost = match beside {
            Some(lost) => victim.is_ok() && is_lost(&client, address).await == lost,
            None => victim.is_err() || is_kept(what),
        };
        assert!(is_lost, "`{what}` did not cost the victim what it should: {victim:?}");
        for open in open {
            let number = open.number;
            let seen = open.ask().await;
            assert!(seen.is_ok(), "`{what}`: open connections of neighbour {number}: {seen:?}");
            let session = connect(number).await;
            let session = session.unwrap_or_else(|failure| panic!("`{what}`: neighbour {number}: {failure}"));
            assert_eq!(
                session.peer.certificate.serial,
                identities[number].serial(),
                "`{what}`: neighbour {number}"
            );
            let seen = ask(session, number).await;
            assert!(seen.is_ok(), "`{what}`: neighbour {number}: {seen:?}");
            if beside.is_some() {
                let again = Open::new(&client, address, number).await.map(Open::ask);
                let again = again.unwrap_or_else(|failure| panic!("`{what}`: neighbour {number}: {failure}"));
                let seen = again.await;
                assert!(seen.is_ok(), "`{what}`: neighbour {number}: {seen:?}");
            }
        }
        gateway.apply(&sound).await;
    }
}

/// What an API server would refuse (a document that is no YAML, two listeners of one name) leaves what was there before in force.
fn is_kept(what: &str) -> bool {
    ["Secret of another type of document", "listener twice"].contains(&what)
}

const BACKEND: &str = "backend.internal";
