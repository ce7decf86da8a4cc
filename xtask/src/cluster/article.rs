//! The article in the cluster: its own manifests, what it leaves out, and cert-manager's own controllers.
//!
//! Nobody else serves its GatewayClass, so the gateway does, under the article's controller name. Backends are processes on the node's
//! address with the certificates that cert-manager has issued; clients see them through the Gateway's address.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use sealway_demo::backends::{Backend, ClientCertificates, Https};
use sealway_demo::certificates::{Authority, Identity, PrivateKey};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::installed::{Cluster, condition, until};
use crate::e2e::postgres::server::{Server, Version};
use crate::e2e::postgres::{self, QUERY};
use crate::e2e::process::{command, excerpt, run, serve};
use crate::lab::NODE_IPS;

/// Applies, waits, and asks as the article does.
pub(super) async fn in_the_cluster(cluster: &Cluster) -> anyhow::Result<String> {
    let directory = cluster.context().directory("article")?;
    let authority = Authority::generate("internal-ca", SystemTime::now())?;
    let trust = directory.join("ca.crt");
    fs::write(&trust, authority.certificate_pem())?;
    let log = directory.join("cert-manager.log");
    let mut cert_manager = cert_manager(cluster, &log).await?;

    let kustomization = crate::root().join("xtask/testdata/cluster/article");
    let kustomization = kustomization.display().to_string();
    let build = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", &kustomization];
    cluster.apply(&cluster.kubectl(build).await?).await?;
    cluster.apply(&authorities(&authority)).await?;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "certificates",
        "-A",
        "--all",
        "--timeout=60s",
    ];
    let ready = cluster.kubectl(ready).await;
    ready.with_context(|| format!("cert-manager: {}", excerpt(&fs::read_to_string(&log).unwrap_or_default())))?;
    ensure!(
        cert_manager.try_wait()?.is_none(),
        "cert-manager has ended; its log is {}",
        log.display()
    );

    let _backends = Backends::start(cluster).await?;
    let address = cluster.programmed("gateway-system", "tls-gateway").await?;
    let described = listeners(cluster).await?;
    let routes = routes(cluster).await?;
    clients(address, &trust).await?;
    Ok(format!(
        "{described}; {routes}; at {address} curl reaches payment both ways, openssl vault, psql PostgreSQL under both names"
    ))
}

/// cert-manager's definitions, and its controllers beside the cluster.
async fn cert_manager(cluster: &Cluster, log: &Path) -> anyhow::Result<Child> {
    let programs = cluster.programs()?;
    for entry in fs::read_dir(programs.crds())? {
        let path = entry?.path();
        // The Gateway API's are there, of another channel.
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("cert-manager.io"))
        {
            cluster
                .kubectl(["apply".as_ref(), "--server-side".as_ref(), "-f".as_ref(), path.as_os_str()])
                .await?;
        }
    }
    let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
    cluster.kubectl(established).await?;
    let mut controllers: Command = command(programs.judge(), ["controllers", "-kubeconfig"]);
    controllers.arg(cluster.place().kubeconfig("admin"));
    serve(controllers, log)
}

/// The CA: with its key for the article's Issuer and for the ClusterIssuer, without it for the BackendTLSPolicy.
fn authorities(authority: &Authority) -> String {
    let lines = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let (certificate, key) = (
        lines(authority.certificate_pem()),
        lines(authority.identity().key().expose_pem()),
    );
    let secret = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: internal-ca-keypair, namespace: {namespace}}}\ntype: kubernetes.io/tls\n\
             stringData:\n  tls.crt: |\n{certificate}  tls.key: |\n{key}---\n"
        )
    };
    let config_map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: internal-ca-cert, namespace: payment}}\ndata:\n  ca.crt: |\n{certificate}"
    );
    secret("payment") + &secret("cert-manager") + &config_map
}

/// What stands behind the EndpointSlices.
struct Backends {
    _payment: Backend,
    _vault: Backend,
    _database: Server,
}

impl Backends {
    async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let node: IpAddr = NODE_IPS[0].parse()?;
        let https = async |name, namespace, secret, port| {
            let identity = &issued(cluster, namespace, secret).await?;
            let clients = ClientCertificates::Ignored;
            let backend = Https { name, identity, clients };
            anyhow::Ok(backend.start(SocketAddr::new(node, port)).await?)
        };
        let database = issued(cluster, "database", "database-tls-secret").await?;
        Ok(Self {
            _payment: https("payment", "payment", "payment-tls-secret", 8443).await?,
            _vault: https("vault", "vault", "vault-tls-secret", 8200).await?,
            _database: Server::start_as(cluster.context(), Version::Debian, &database, SocketAddr::new(node, 5432)).await?,
        })
    }
}

/// What cert-manager has written into a Secret.
async fn issued(cluster: &Cluster, namespace: &str, secret: &str) -> anyhow::Result<Identity> {
    let entry = async |name: &str| {
        let template = format!("-o=go-template={{{{index .data {name:?} | base64decode}}}}");
        cluster.kubectl(["get", "secret", secret, "-n", namespace, &template]).await
    };
    let key = PrivateKey::new(entry("tls.key").await?);
    Ok(Identity::new(entry("tls.crt").await?, key))
}

/// `kubectl describe gateway`, for the eye; what it is made of, for the test.
async fn listeners(cluster: &Cluster) -> anyhow::Result<String> {
    let described = cluster
        .kubectl(["describe", "gateway", "tls-gateway", "-n", "gateway-system"])
        .await?;
    let gateway = cluster.get(["-n", "gateway-system", "gateway/tls-gateway"]).await?;
    let listeners = gateway["status"]["listeners"].as_array().cloned().unwrap_or_default();
    let mut names = Vec::new();
    for listener in &listeners {
        for kind in ["Accepted", "Programmed", "ResolvedRefs"] {
            let is_true = condition(&listener["conditions"], kind) == Some("True");
            ensure!(is_true, "{} is not {kind}:\n{described}", listener["name"]);
        }
        names.push(format!(
            "{} ({} routes)",
            listener["name"].as_str().unwrap_or_default(),
            listener["attachedRoutes"]
        ));
    }
    ensure!(listeners.len() == 2, "not two listeners:\n{described}");
    Ok(format!("Accepted and Programmed: {}", names.join(", ")))
}

/// `kubectl get tlsroute -A`, and what the routes' statuses say.
async fn routes(cluster: &Cluster) -> anyhow::Result<String> {
    let table = cluster.kubectl(["get", "tlsroute", "-A"]).await?;
    let shown = ["payment-tls", "vault-tls", "database-tls"]
        .iter()
        .all(|name| table.contains(name));
    ensure!(shown, "kubectl get tlsroute -A:\n{table}");
    let mut last = Value::Null;
    let accepted = until("every route is accepted", STATUS, async || {
        last = cluster.get(["-A", "tlsroutes,httproutes"]).await?;
        let items = last["items"].as_array().cloned().unwrap_or_default();
        let ours = items
            .iter()
            .filter(|route| OURS.contains(&route["metadata"]["namespace"].as_str().unwrap_or_default()));
        let mut parents = ours.map(|route| &route["status"]["parents"][0]["conditions"]);
        Ok(parents.all(|conditions| {
            ["Accepted", "ResolvedRefs"]
                .iter()
                .all(|kind| condition(conditions, kind) == Some("True"))
        }))
    });
    accepted.await.with_context(|| last["items"].to_string())?;
    Ok("every route Accepted".to_owned())
}

/// `curl`, `openssl` and `psql` against the Gateway's address.
async fn clients(address: IpAddr, trust: &Path) -> anyhow::Result<()> {
    let trust = trust.display().to_string();
    for (host, port, path) in [
        ("payment.internal.example.com", 8443, "/"),
        ("payment.example.com", 443, "/api/v1/payments"),
    ] {
        let (resolve, url) = (format!("{host}:{port}:{address}"), format!("https://{host}:{port}{path}"));
        let curl = ["-sS", "--fail", "--cacert", &trust, "--resolve", &resolve, &url];
        let page = run(command("curl", curl), "").await?;
        page.saying("\"backend\":\"payment\"").with_context(|| url)?.success()?;
    }
    let (vault, connect) = ("vault.internal.example.com", format!("{address}:8443"));
    let mut openssl = command(
        "openssl",
        ["s_client", "-connect", &connect, "-servername", vault, "-CAfile", &trust],
    );
    openssl.args(["-verify_return_error", "-verify_hostname", vault, "-ign_eof"]);
    let said = run(openssl, "GET /v1/sys/health HTTP/1.1\r\nhost: vault\r\n\r\n").await?;
    said.saying("Verify return code: 0 (ok)")?.saying("\"sealed\":false")?;
    for host in ["primary.db.example.com", "replica.db.example.com"] {
        let flags = format!("sslmode=verify-full sslrootcert={trust}");
        let row = postgres::psql(SocketAddr::new(address, 8443), host, &flags, QUERY).await?;
        row.saying("15.")?.saying("TLSv1.3")?.success()?;
    }
    Ok(())
}

/// Namespaces of the article.
const OURS: [&str; 3] = ["payment", "vault", "database"];
/// Longest that statuses may take.
const STATUS: Duration = Duration::from_secs(30);
