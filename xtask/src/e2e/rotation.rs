//! Certificates that change while clients shake hands: each is served soon, no handshake and no open connection notices.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use sealway_demo::backends::Http;
use sealway_demo::certificates::{Identity, Request};
use sealway_demo::clients::{Client, Session};
use sealway_testkit::{LOOPBACK, free_port, loopback};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::context::Context;
use super::process::{command, excerpt, serve};

/// 100 renewed Secrets, one after the other, each renamed into place.
pub(crate) async fn hundred_times(context: &Context) -> anyhow::Result<String> {
    let authority = &context.certificates.authority;
    let renewed = |_| authority.issue(&Request::server(HOST, &[HOST], SystemTime::now()));
    let identities: Vec<Identity> = (0..=ROTATIONS).map(renewed).collect::<Result<_, _>>()?;
    let backend = Http { name: "shop" }.start(LOOPBACK).await?;

    let directory = context.directory("rotation")?;
    let manifests = directory.join("manifests");
    fs::create_dir_all(&manifests)?;
    let (address, admin) = (loopback(free_port()), loopback(free_port()));
    fs::write(manifests.join("gateway.yaml"), gateway(address.port()))?;
    write_secret(&manifests, identities.first().context("an identity")?)?;
    let mut run = command(&context.binary, ["run", "-f"]);
    run.arg(&manifests).arg("--state-dir").arg(directory.join("state"));
    run.args(["--admin", &admin.to_string(), "--endpoint"]);
    run.arg(format!("e2e/shop:80={}", backend.address()));
    let log = directory.join("log");
    let _gateway = serve(run, &log)?;
    let said = || excerpt(&fs::read_to_string(&log).unwrap_or_default());

    let client = Client::trusting(authority)?.offering(&["http/1.1"]);
    let mut old = connected(&client, address).await.with_context(said)?;
    let mut waits = Vec::with_capacity(ROTATIONS);
    let mut handshakes = 0;
    for (before, after) in identities.iter().zip(identities.iter().skip(1)) {
        let (before, after) = (before.serial(), after.serial());
        write_secret(
            &manifests,
            identities.iter().find(|one| one.serial() == after).context("an identity")?,
        )?;
        let changed = Instant::now();
        loop {
            let session = client
                .connect(address, HOST)
                .await
                .context("a handshake failed")
                .with_context(said)?;
            handshakes += 1;
            match &session.peer.certificate.serial {
                serial if *serial == after => break,
                serial => ensure!(*serial == before, "an older certificate came back: {serial}"),
            }
            ensure!(
                changed.elapsed() < PATIENCE,
                "the renewed certificate is not served; log:\n{}",
                said()
            );
        }
        waits.push(changed.elapsed());
        request(&mut old).await.context("the open connection noticed")?;
    }
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() - 1) * share / 100).copied().unwrap_or_default();
    ensure!(
        at(50) < Duration::from_millis(100),
        "half of the renewed certificates took longer than {:?}",
        at(50)
    );
    Ok(format!(
        "{ROTATIONS} rotations, {handshakes} handshakes, none failed; served after {} ms (median), {} ms (longest)",
        at(50).as_millis(),
        at(100).as_millis()
    ))
}

/// Waits until the gateway shakes hands.
async fn connected(client: &Client, address: SocketAddr) -> anyhow::Result<Session> {
    let started = Instant::now();
    loop {
        match client.connect(address, HOST).await {
            Ok(session) => return Ok(session),
            Err(failure) if started.elapsed() > PATIENCE => bail!("no handshake: {failure}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
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

fn write_secret(directory: &Path, identity: &Identity) -> anyhow::Result<()> {
    let mut yaml =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: shop-cert, namespace: e2e}\ntype: kubernetes.io/tls\nstringData:\n"
            .to_owned();
    for (key, pem) in [("tls.crt", identity.chain_pem()), ("tls.key", identity.key().expose_pem())] {
        yaml.push_str(&format!("  {key}: |\n"));
        for line in pem.lines() {
            yaml.push_str(&format!("    {line}\n"));
        }
    }
    let temporary = directory.join(".secret.new");
    sealway_demo::certificates::write_private(&temporary, yaml.as_bytes())?;
    fs::rename(temporary, directory.join("secret.yaml")).context("secret.yaml")
}

fn gateway(port: u16) -> String {
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
  listeners:
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
const ROTATIONS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(10);
