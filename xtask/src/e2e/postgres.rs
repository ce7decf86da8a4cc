//! Real PostgreSQL clients and servers: Debian's 15 with `psql`, npm's 18 with psycopg and its libpq 18.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use sealway_demo::backends::{ClientCertificates, Postgres};
use sealway_demo::clients::Client;
use sealway_demo::wire;
use sealway_testkit::LOOPBACK;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::context::Context;
use super::gateway::{Gateway, NOBODY, Options, Route, route};
use super::process::{Output, command, run};

pub(crate) mod server;

use server::{Server, Version};

/// The article's two names, with the server's certificate verified in full.
pub(crate) async fn psql_both_names(context: &Context) -> anyhow::Result<String> {
    let server = Server::start(context, Version::Debian).await?;
    let gateway = start_gateway(context, "psql", server.address).await?;
    for host in [PRIMARY, REPLICA] {
        let flags = format!("sslmode=verify-full sslrootcert={}", context.trust());
        psql(gateway.address, host, &flags, QUERY)
            .await?
            .saying("15.")?
            .saying("TLSv1.3")?
            .success()?;
    }
    let flags = format!("sslmode=verify-full sslrootcert={}", context.trust());
    let wrong = psql(gateway.address, "other.db.example.com", &flags, QUERY)
        .await?
        .failure("SSL")?;
    ensure!(wrong.contains("unrecognized name"), "the alert does not show:\n{wrong}");
    Ok("sslmode=verify-full under both names; an unknown name gets the alert".to_owned())
}

/// Without TLS there is no name: an ErrorResponse that `psql` prints.
pub(crate) async fn psql_plain_text(context: &Context) -> anyhow::Result<String> {
    let gateway = start_gateway(context, "psql-plain", NOBODY).await?;
    let text = psql(gateway.address, PRIMARY, "sslmode=disable", QUERY)
        .await?
        .failure("FATAL")?;
    ensure!(
        text.contains("TLS") || text.contains("SSL"),
        "it does not say what to do:\n{text}"
    );
    Ok(text
        .lines()
        .find(|line| line.contains("FATAL"))
        .unwrap_or_default()
        .trim()
        .to_owned())
}

/// libpq with Kerberos credentials asks for GSSAPI first; this does the same by hand, to a real server.
pub(crate) async fn gss_request(context: &Context) -> anyhow::Result<String> {
    let server = Server::start(context, Version::Debian).await?;
    let gateway = start_gateway(context, "gss", server.address).await?;
    let mut stream = TcpStream::connect(gateway.address).await?;
    for (request, expected) in [(wire::GSSENC_REQUEST, b'N'), (wire::SSL_REQUEST, b'S')] {
        stream.write_all(&request).await?;
        let answer = stream.read_u8().await?;
        ensure!(answer == expected, "answered with byte {answer} instead of {expected}");
    }
    let client = Client::trusting(&context.certificates.authority)?.offering(&[wire::ALPN]);
    let seen = client.handshake(stream, PRIMARY).await?.select().await?;
    ensure!(
        seen.peer.certificate.serial == context.certificates.database.serial(),
        "another certificate: {seen:?}"
    );
    ensure!(seen.answer.backend == "1", "`select 1` gave {}", seen.answer.backend);
    Ok("N, then S, then TLS to the server, whose `select 1` is 1".to_owned())
}

/// libpq 18 in both negotiations, against the server that has both.
pub(crate) async fn psycopg_both_ways(context: &Context) -> anyhow::Result<String> {
    let server = Server::start(context, Version::Npm).await?;
    let gateway = start_gateway(context, "psycopg", server.address).await?;
    let python = context.python().await?;
    for host in [PRIMARY, REPLICA] {
        for negotiation in ["direct", "postgres"] {
            let flags = format!(
                "sslmode=verify-full sslnegotiation={negotiation} sslrootcert={}",
                context.trust()
            );
            let arguments = conninfo(gateway.address, host, &flags);
            let client = command(&python, ["-c", PSYCOPG, &arguments, QUERY]);
            run(client, "")
                .await?
                .saying("18.")?
                .saying("TLSv1.3")?
                .success()
                .with_context(|| negotiation.to_owned())?;
        }
    }
    let by_psql = format!("sslmode=verify-full sslrootcert={}", context.trust());
    psql(gateway.address, PRIMARY, &by_psql, QUERY)
        .await?
        .saying("18.")?
        .success()?;
    Ok("sslmode=verify-full with sslnegotiation=direct and postgres; psql 15 too".to_owned())
}

/// The sample database of the demo is good enough for psql, and for libpq 18 with direct TLS.
pub(crate) async fn sample_database(context: &Context) -> anyhow::Result<String> {
    let identity = &context.certificates.database;
    let sample = Postgres {
        name: "database",
        identity,
        clients: ClientCertificates::Ignored,
    }
    .start(LOOPBACK)
    .await?;
    let gateway = start_gateway(context, "psql-sample", sample.address()).await?;
    let flags = format!("sslmode=verify-full sslrootcert={}", context.trust());
    let text = psql(gateway.address, REPLICA, &flags, "select 1")
        .await?
        .saying("database|replica.db.example.com")?
        .success()?;
    let direct = conninfo(gateway.address, PRIMARY, &format!("sslnegotiation=direct {flags}"));
    let client = command(context.python().await?, ["-c", SIMPLE_QUERY, &direct]);
    run(client, "").await?.saying("primary.db.example.com")?.success()?;
    Ok(text.trim().to_owned())
}

async fn start_gateway(context: &Context, name: &str, backend: SocketAddr) -> anyhow::Result<Gateway> {
    let routes: [Route; 2] = [route(PRIMARY, 0), route(REPLICA, 0)];
    Gateway::start(context, name, &[backend], &routes, Options::default()).await
}

/// What `psql` says of one query.
pub(crate) async fn psql(address: SocketAddr, host: &str, flags: &str, query: &str) -> anyhow::Result<Output> {
    run(
        command("psql", ["-X", "-At", "-c", query, &conninfo(address, host, flags)]),
        "",
    )
    .await
}

fn conninfo(address: SocketAddr, host: &str, flags: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("host={host} hostaddr={ip} port={port} user=demo dbname=postgres connect_timeout=10 {flags}")
}

const PRIMARY: &str = "primary.db.example.com";
const REPLICA: &str = "replica.db.example.com";
/// The server's version, and the TLS version that the server itself sees.
pub(crate) const QUERY: &str = "select current_setting('server_version'), version from pg_stat_ssl where pid = pg_backend_pid()";
const PSYCOPG: &str = "import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    print(*connection.execute(sys.argv[2]).fetchone())";
/// psycopg sends no simple queries by itself, which are all that the sample database answers.
const SIMPLE_QUERY: &str = "import sys, psycopg
connection = psycopg.pq.PGconn.connect(sys.argv[1].encode())
assert connection.status == psycopg.pq.ConnStatus.OK, connection.error_message.decode()
print(connection.exec_(b'select 1').get_value(0, 1).decode())";
