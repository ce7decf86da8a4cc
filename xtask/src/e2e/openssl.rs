//! `openssl` and `curl` as clients, `openssl s_server` and the sample backends behind the gateway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use sealway_demo::backends::{ClientCertificates, Https};
use sealway_demo::certificates::Identity;
use sealway_demo::output::{CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE};
use sealway_testkit::{LOOPBACK, free_port, loopback};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::context::Context;
use super::gateway::{Gateway, NOBODY, Options, route};
use super::process::{Output, command, excerpt, run, serve};

/// Two `s_server`s behind two names: each name brings its own server's certificate.
pub(crate) async fn passthrough(context: &Context) -> anyhow::Result<String> {
    let payment = Server::start(context, "openssl-payment", &context.certificates.payment, &[]).await?;
    let vault = Server::start(context, "openssl-vault", &context.certificates.vault, &[]).await?;
    let routes = [route(PAYMENT, 0), route(VAULT, 1)];
    let gateway = Gateway::start(
        context,
        "openssl",
        &[payment.address, vault.address],
        &routes,
        Options::default(),
    )
    .await?;
    for (name, identity) in [(PAYMENT, &context.certificates.payment), (VAULT, &context.certificates.vault)] {
        let output = s_client(context, gateway.address, &["-servername", name, "-verify_hostname", name]).await?;
        let output = output.saying("Verify return code: 0 (ok)")?.saying("HTTP/1.0 200 ok")?;
        output.saying(identity.chain_pem().trim())?;
    }
    Ok("each name brings its own certificate, verify return code 0".to_owned())
}

/// A server that insists on a client certificate: served with one, its own alert without.
pub(crate) async fn certificate_required(context: &Context) -> anyhow::Result<String> {
    let trust = context.trust();
    let flags = ["-Verify", "1", "-verify_return_error", "-CAfile", &trust];
    let ledger = Server::start(context, "openssl-required", &context.certificates.ledger, &flags).await?;
    let gateway = Gateway::start(
        context,
        "required",
        &[ledger.address],
        &[route(LEDGER, 0)],
        Options::default(),
    )
    .await?;
    let (certificate, key) = (context.file(CLIENT_CERTIFICATE_FILE), context.file(CLIENT_KEY_FILE));
    let with = [
        "-servername",
        LEDGER,
        "-verify_hostname",
        LEDGER,
        "-cert",
        &certificate,
        "-key",
        &key,
    ];
    s_client(context, gateway.address, &with)
        .await?
        .saying("HTTP/1.0 200 ok")?
        .saying("DNS:order-service.order.svc.cluster.local")?;
    let without = s_client(context, gateway.address, &["-servername", LEDGER]).await?;
    without
        .saying(context.certificates.ledger.chain_pem().trim())?
        .failure("alert certificate required")?;
    Ok("certificate of order-service reached the server; without it the server's alert 116 came back".to_owned())
}

/// A server that asks without insisting takes both.
pub(crate) async fn certificate_optional(context: &Context) -> anyhow::Result<String> {
    let trust = context.trust();
    let flags = ["-verify", "1", "-CAfile", &trust];
    let ledger = Server::start(context, "openssl-optional", &context.certificates.ledger, &flags).await?;
    let gateway = Gateway::start(
        context,
        "optional",
        &[ledger.address],
        &[route(LEDGER, 0)],
        Options::default(),
    )
    .await?;
    let (certificate, key) = (context.file(CLIENT_CERTIFICATE_FILE), context.file(CLIENT_KEY_FILE));
    let with = ["-servername", LEDGER, "-cert", &certificate, "-key", &key];
    s_client(context, gateway.address, &with)
        .await?
        .saying("HTTP/1.0 200 ok")?
        .saying("DNS:order-service.order.svc.cluster.local")?;
    let without = s_client(context, gateway.address, &["-servername", LEDGER]).await?;
    without.saying("HTTP/1.0 200 ok")?.saying("no client certificate available")?;
    Ok("served with a certificate and without".to_owned())
}

/// A name that no route has.
pub(crate) async fn unknown_name(context: &Context) -> anyhow::Result<String> {
    let gateway = Gateway::start(context, "unknown", &[NOBODY], &[route(PAYMENT, 0)], Options::default()).await?;
    let output = s_client(context, gateway.address, &["-servername", "unknown.example.com"]).await?;
    output.failure("alert number 112")?;
    ensure!(
        gateway.log().contains("unknown.example.com"),
        "the log does not name it:\n{}",
        excerpt(&gateway.log())
    );
    Ok("alert 112, and the log names the server name".to_owned())
}

/// A hello without any name.
pub(crate) async fn without_name(context: &Context) -> anyhow::Result<String> {
    let gateway = Gateway::start(context, "nameless", &[NOBODY], &[route(PAYMENT, 0)], Options::default()).await?;
    s_client(context, gateway.address, &["-noservername"])
        .await?
        .failure("alert number 109")?;
    Ok("alert 109".to_owned())
}

/// `--rejections close`: nothing at all comes back.
pub(crate) async fn rejections_close(context: &Context) -> anyhow::Result<String> {
    let options = Options {
        flags: vec!["--rejections".to_owned(), "close".to_owned()],
        ..Options::default()
    };
    let gateway = Gateway::start(context, "close", &[NOBODY], &[route(PAYMENT, 0)], options).await?;
    let output = s_client(context, gateway.address, &["-servername", "unknown.example.com"]).await?;
    let text = output.failure("read 0 bytes")?;
    ensure!(!text.contains("alert number"), "an alert came:\n{text}");
    Ok("closed without an alert".to_owned())
}

/// `curl --resolve` to a sample backend.
pub(crate) async fn curl(context: &Context) -> anyhow::Result<String> {
    let identity = &context.certificates.payment;
    let payment = Https {
        name: "payment",
        identity,
        clients: ClientCertificates::Ignored,
    }
    .start(LOOPBACK)
    .await?;
    let gateway = Gateway::start(
        context,
        "curl",
        &[payment.address()],
        &[route(PAYMENT, 0)],
        Options::default(),
    )
    .await?;
    let port = gateway.address.port();
    let (resolve, url) = (
        format!("{PAYMENT}:{port}:127.0.0.1"),
        format!("https://{PAYMENT}:{port}/health"),
    );
    let curl = command("curl", ["-sS", "--cacert", &context.trust(), "--resolve", &resolve, &url]);
    let text = run(curl, "")
        .await?
        .saying("\"backend\":\"payment\"")?
        .saying(PAYMENT)?
        .success()?;
    Ok(text.trim().to_owned())
}

/// Plain HTTP where TLS is spoken.
pub(crate) async fn curl_plain_http(context: &Context) -> anyhow::Result<String> {
    let gateway = Gateway::start(context, "plain", &[NOBODY], &[route(PAYMENT, 0)], Options::default()).await?;
    let curl = command("curl", ["-sS", "-i", &format!("http://{}/health", gateway.address)]);
    let text = run(curl, "").await?.saying("HTTP/1.1 400")?.text;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// `openssl s_server -www`, which answers each request with a page about its connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _process: Child,
}

impl Server {
    pub(crate) async fn start(context: &Context, name: &str, identity: &Identity, flags: &[&str]) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        let (chain, key) = context.write_identity(identity, &directory)?;
        let address = loopback(free_port());
        let mut server = command(
            "openssl",
            ["s_server", "-www", "-naccept", "1000", "-accept", &address.to_string()],
        );
        server.arg("-cert").arg(chain).arg("-key").arg(key).args(flags);
        let process = serve(server, &directory.join("log"))?;
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_err() {
            if Instant::now() > end {
                bail!("openssl s_server does not listen");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            address,
            _process: process,
        })
    }
}

/// One request by `openssl s_client`, which verifies and prints what it was shown.
async fn s_client(context: &Context, address: SocketAddr, flags: &[&str]) -> anyhow::Result<Output> {
    let mut client = command(
        "openssl",
        [
            "s_client",
            "-ign_eof",
            "-connect",
            &address.to_string(),
            "-CAfile",
            &context.trust(),
        ],
    );
    client.args(flags);
    run(client, "GET / HTTP/1.0\r\n\r\n").await
}

const PAYMENT: &str = "payment.internal.example.com";
const VAULT: &str = "vault.internal.example.com";
const LEDGER: &str = "ledger.internal.example.com";
