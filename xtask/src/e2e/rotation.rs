//! Certificates and authorities that change while clients shake hands: each is served soon, no handshake and no open connection notices.
//!
//! The time is taken from the moment the new file is in its place, so it includes what the watcher waits for other files of the same
//! change (20 ms), reading, compiling and the handshake that sees it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use sealway_demo::backends::{ClientCertificates, Http, Https};
use sealway_demo::certificates::{Authority, Identity, Request};
use sealway_demo::clients::{Client, Failure, Session};
use sealway_testkit::{LOOPBACK, free_port, loopback};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use super::context::Context;
use super::process::{command, excerpt, serve};

/// 100 renewed Secrets, one after the other, each renamed into place.
pub(crate) async fn hundred_times(context: &Context) -> anyhow::Result<String> {
    let authority = &context.certificates.authority;
    let renewed = |_| authority.issue(&Request::server(HOST, &[HOST], SystemTime::now()));
    let identities: Vec<Identity> = (0..=ROTATIONS).map(renewed).collect::<Result<_, _>>()?;
    let backend = Http { name: "shop" }.start(LOOPBACK).await?;
    let first = identities.first().context("an identity")?;
    let gateway = Gateway::start(context, "rotation", backend.address(), "", &[("secret.yaml", secret(first))])?;

    let client = Client::trusting(authority)?.offering(&["http/1.1"]).without_resumption();
    let mut old = gateway.connected(&client).await?;
    let mut waits = Vec::with_capacity(ROTATIONS);
    let mut handshakes = 0;
    for (before, after) in identities.iter().zip(identities.iter().skip(1)) {
        gateway.write("secret.yaml", &secret(after))?;
        let changed = Instant::now();
        let (before, after) = (before.serial(), after.serial());
        loop {
            let session = client.connect(gateway.address, HOST).await.context("a handshake failed");
            handshakes += 1;
            match &session.with_context(|| gateway.said())?.peer.certificate.serial {
                serial if *serial == after => break,
                serial => ensure!(*serial == before, "an older certificate came back: {serial}"),
            }
            gateway.is_in_time(changed)?;
        }
        waits.push(changed.elapsed());
        request(&mut old).await.context("the open connection noticed")?;
    }
    let waits = judged(waits)?;
    Ok(format!(
        "{ROTATIONS} rotations, {handshakes} handshakes, none failed; {waits}"
    ))
}

/// A ConfigMap with another CA for clients, to and fro: who was refused is taken, and who was taken is refused.
pub(crate) async fn client_authority(context: &Context) -> anyhow::Result<String> {
    let server = &context.certificates.authority;
    let (authorities, clients) = two(|authority| {
        let identity = authority.issue(&Request::client("client", &["client.example.com"], SystemTime::now()))?;
        Ok(Client::presenting(server, &identity)?)
    })?;
    let identity = server.issue(&Request::server(HOST, &[HOST], SystemTime::now()))?;
    let backend = Http { name: "shop" }.start(LOOPBACK).await?;
    let frontend =
        "  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: trusted}]}}}}\n";
    let [first, _] = &authorities;
    let files = [("secret.yaml", secret(&identity)), ("trusted.yaml", trusted(first))];
    let gateway = Gateway::start(context, "rotation-clients", backend.address(), frontend, &files)?;
    let refused = |failure: &Failure| matches!(failure, Failure::Alert(_));
    gateway.alternate(&authorities, &clients, refused).await
}

/// A ConfigMap with another CA for the backend, to and fro: 502 becomes 200, and 200 becomes 502.
pub(crate) async fn backend_authority(context: &Context) -> anyhow::Result<String> {
    let authority = &context.certificates.authority;
    let client = Client::trusting(authority)?;
    let (authorities, identities) =
        two(|authority| Ok(authority.issue(&Request::server(INSIDE, &[INSIDE], SystemTime::now()))?))?;
    let [one, _] = &identities;
    let backend = Https {
        name: "shop",
        identity: one,
        clients: ClientCertificates::Ignored,
    };
    let backend = backend.start(LOOPBACK).await?;
    let identity = authority.issue(&Request::server(HOST, &[HOST], SystemTime::now()))?;
    let [first, other] = &authorities;
    let files = [
        ("secret.yaml", secret(&identity)),
        ("trusted.yaml", trusted(first)),
        ("policy.yaml", policy()),
    ];
    let gateway = Gateway::start(context, "rotation-backend", backend.address(), "", &files)?;
    gateway.connected(&client).await?;
    let mut waits = Vec::new();
    for round in 0..CHANGES {
        let is_trusted = round % 2 == 1;
        gateway.write("trusted.yaml", &trusted(if is_trusted { first } else { other }))?;
        let changed = Instant::now();
        loop {
            match client.https(gateway.address, HOST, "/").await {
                Ok(_) if is_trusted => break,
                Err(Failure::Status(502)) if !is_trusted => break,
                Ok(_) | Err(Failure::Status(502)) => gateway.is_in_time(changed)?,
                Err(failure) => bail!("neither 200 nor 502: {failure}\n{}", gateway.said()),
            }
        }
        waits.push(changed.elapsed());
    }
    Ok(format!("{CHANGES} changes; {}", judged(waits)?))
}

/// Two authorities, and what each makes.
fn two<T>(make: impl Fn(&Authority) -> anyhow::Result<T>) -> anyhow::Result<([Authority; 2], [T; 2])> {
    let authorities = [
        Authority::generate("first", SystemTime::now())?,
        Authority::generate("second", SystemTime::now())?,
    ];
    let [one, two] = &authorities;
    let made = [make(one)?, make(two)?];
    Ok((authorities, made))
}

/// Says how long changes took, if that is soon. On a busy machine one may have to wait for its turn: the longest has more room.
fn judged(mut waits: Vec<Duration>) -> anyhow::Result<String> {
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() - 1) * share / 100).copied().unwrap_or_default();
    let told = format!(
        "served after {} ms (median), {} ms (95 of 100), {} ms (longest)",
        at(50).as_millis(),
        at(95).as_millis(),
        at(100).as_millis()
    );
    ensure!(at(95) < SOON && at(100) < LONGEST, "changes took too long: {told}");
    Ok(told)
}

/// A gateway with one HTTPS listener and one route, whose manifests a scenario replaces.
struct Gateway {
    manifests: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    _process: Child,
}

impl Gateway {
    /// `frontend` stands in the Gateway's spec; `files` beside it.
    fn start(
        context: &Context,
        name: &str,
        backend: SocketAddr,
        frontend: &str,
        files: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        let manifests = directory.join("manifests");
        fs::create_dir_all(&manifests)?;
        let (address, admin) = (loopback(free_port()), loopback(free_port()));
        fs::write(manifests.join("gateway.yaml"), gateway(address.port(), frontend))?;
        for (name, text) in files {
            replace(&manifests, name, text)?;
        }
        let mut run = command(&context.binary, ["run", "-f"]);
        run.arg(&manifests).arg("--state-dir").arg(directory.join("state"));
        run.args(["--admin", &admin.to_string(), "--endpoint"]);
        run.arg(format!("e2e/shop:80={backend}"));
        let log = directory.join("log");
        let process = serve(run, &log)?;
        Ok(Self {
            manifests,
            log,
            address,
            _process: process,
        })
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        replace(&self.manifests, name, text)
    }

    fn said(&self) -> String {
        excerpt(&fs::read_to_string(&self.log).unwrap_or_default())
    }

    fn is_in_time(&self, changed: Instant) -> anyhow::Result<()> {
        ensure!(
            changed.elapsed() < PATIENCE,
            "the change is not served; log:\n{}",
            self.said()
        );
        Ok(())
    }

    /// Waits until the gateway shakes hands.
    async fn connected(&self, client: &Client) -> anyhow::Result<Session> {
        let started = Instant::now();
        loop {
            match client.connect(self.address, HOST).await {
                Ok(session) => return Ok(session),
                Err(failure) if started.elapsed() > PATIENCE => bail!("no handshake: {failure}\n{}", self.said()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Trusts one authority, then the other: its client is served and the other's is refused, at once for both.
    async fn alternate(
        &self,
        authorities: &[Authority; 2],
        clients: &[Client; 2],
        refused: impl Fn(&Failure) -> bool,
    ) -> anyhow::Result<String> {
        let [first, _] = clients;
        self.connected(first).await?;
        let mut waits = Vec::new();
        let turns = [(1, 0), (0, 1)].into_iter().cycle().take(CHANGES);
        for (now, before) in turns {
            let at = |position: usize| Some((authorities.get(position)?, clients.get(position)?));
            let ((authority, taken), (_, out)) = at(now).zip(at(before)).context("two of each")?;
            self.write("trusted.yaml", &trusted(authority))?;
            let changed = Instant::now();
            loop {
                match taken.https(self.address, HOST, "/").await {
                    Ok(_) => break,
                    Err(failure) if refused(&failure) => self.is_in_time(changed)?,
                    Err(failure) => bail!("neither served nor refused: {failure}\n{}", self.said()),
                }
            }
            waits.push(changed.elapsed());
            let left = out.https(self.address, HOST, "/").await;
            ensure!(
                left.as_ref().is_err_and(&refused),
                "who is trusted no more was served: {left:?}"
            );
        }
        Ok(format!("{CHANGES} changes; {}", judged(waits)?))
    }
}

/// A request on a connection that stays open.
async fn request(session: &mut Session) -> anyhow::Result<()> {
    let exchange = async {
        let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
        session.stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        // The sample backend's answer is one line of JSON, and it is the only line that ends with a brace.
        while !response.ends_with(b"}\n") {
            ensure!(session.stream.read_buf(&mut response).await? > 0, "closed");
        }
        ensure!(
            response.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&response)
        );
        Ok(())
    };
    tokio::time::timeout(PATIENCE, exchange).await.context("no answer")?
}

fn secret(identity: &Identity) -> String {
    let mut yaml =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: shop-cert, namespace: e2e}\ntype: kubernetes.io/tls\nstringData:\n"
            .to_owned();
    entry(&mut yaml, "tls.crt", identity.chain_pem());
    entry(&mut yaml, "tls.key", identity.key().expose_pem());
    yaml
}

fn trusted(authority: &Authority) -> String {
    let mut yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: trusted, namespace: e2e}\ndata:\n".to_owned();
    entry(&mut yaml, "ca.crt", authority.certificate_pem());
    yaml
}

fn entry(yaml: &mut String, key: &str, pem: &str) {
    yaml.push_str(&format!("  {key}: |\n"));
    yaml.extend(pem.lines().map(|line| format!("    {line}\n")));
}

/// Renames the new file into the place of the old.
fn replace(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let temporary = directory.join(format!(".{name}.new"));
    sealway_demo::certificates::write_private(&temporary, text.as_bytes())?;
    fs::rename(temporary, directory.join(name)).with_context(|| name.to_owned())
}

fn policy() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: shop, namespace: e2e}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: shop}}]
  validation:
    hostname: {INSIDE}
    caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: trusted}}]
"
    )
}

fn gateway(port: u16, frontend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sealway}}
spec: {{controllerName: sealway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway, namespace: e2e}}
spec:
  gatewayClassName: sealway
{frontend}  listeners:
    - name: https
      port: {port}
      protocol: HTTPS
      tls: {{certificateRefs: [{{name: shop-cert}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: e2e}}
spec:
  parentRefs: [{{name: gateway}}]
  hostnames: [{HOST}]
  rules: [{{backendRefs: [{{name: shop, port: 80}}]}}]
"
    )
}

const HOST: &str = "shop.example.com";
const INSIDE: &str = "shop.inside";
const ROTATIONS: usize = 100;
const CHANGES: usize = 20;
/// Within which a change is served, from its file's being in place.
const SOON: Duration = Duration::from_millis(100);
/// Within which every one is, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
