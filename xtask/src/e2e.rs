//! `cargo xtask e2e`: real clients against real servers, through the real binary.
//!
//! Input: words that scenario names must contain (none: every scenario), `--debug` for the unoptimised binary. Output: one line per
//! scenario and a closing line. Everything listens on free loopback ports, lives in one temporary directory and ends with its
//! scenario. What is not from Debian (npm's PostgreSQL 18, Python's psycopg and cryptography, programs of Go modules) is installed once, pinned, below the target
//! directory.

use std::process::ExitCode;

use anyhow::Context as _;

pub(crate) mod cert_manager;
mod certificates;
pub(crate) mod context;
mod example;
mod gateway;
mod idle;
mod keystores;
mod live;
mod openssl;
pub(crate) mod postgres;
pub(crate) mod process;
mod readme;
mod rotation;
mod suites;
mod trust;

use context::Context;
pub(crate) use idle::{backend as idle_backend, clients as idle_clients};

use crate::report::Report;

/// Runs the scenarios; exit status 0 when all of them passed.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("runtime")?;
    runtime.block_on(scenarios(arguments))
}

async fn scenarios(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let debug = arguments.contains(&"--debug");
    let filter: Vec<&str> = arguments.iter().copied().filter(|word| !word.starts_with("--")).collect();
    let context = Context::prepare(debug)?;
    let mut report = Report::new(filter);
    let at = &context;

    report
        .record("openssl reaches openssl by server name", openssl::passthrough(at))
        .await;
    report
        .record("openssl mutual TLS, certificate required", openssl::certificate_required(at))
        .await;
    report
        .record("openssl mutual TLS, certificate optional", openssl::certificate_optional(at))
        .await;
    report
        .record("openssl unknown name gets unrecognized_name", openssl::unknown_name(at))
        .await;
    report
        .record("openssl without name gets missing_extension", openssl::without_name(at))
        .await;
    report
        .record(
            "openssl refusals close without alert when told",
            openssl::rejections_close(at),
        )
        .await;
    report.record("curl reaches a backend by name", openssl::curl(at)).await;
    report
        .record("curl plain HTTP on the TLS port is told so", openssl::curl_plain_http(at))
        .await;

    report
        .record("psql reaches PostgreSQL 15 under both names", postgres::psql_both_names(at))
        .await;
    report
        .record("psql plain text is told to use TLS", postgres::psql_plain_text(at))
        .await;
    report
        .record("GSSENCRequest is refused and TLS follows", postgres::gss_request(at))
        .await;
    report
        .record(
            "psycopg reaches PostgreSQL 18 directly and by request",
            postgres::psycopg_both_ways(at),
        )
        .await;
    report
        .record("psql and libpq 18 reach the sample database", postgres::sample_database(at))
        .await;

    report
        .record("keystores open in Java's keytool", keystores::keytool(at))
        .await;
    report
        .record("keystores open in openssl pkcs12", keystores::openssl(at))
        .await;
    report
        .record("keystores open in Python's cryptography", keystores::cryptography(at))
        .await;

    report.record("README is true", readme::session(at)).await;
    report.record("demo --once passes every row", example::demo_once(at)).await;
    report
        .record("examples/article with demo --backends", example::article_with_backends(at))
        .await;

    report
        .record("certs trust with Debian's store and its clients", trust::system_store(at))
        .await;

    report
        .record(
            "certificates of the article are issued and verified",
            certificates::article::issued(at),
        )
        .await;
    report
        .record(
            "certificates: the article's misplaced issuerRef is explained",
            certificates::article::misplaced_issuer(at),
        )
        .await;

    report
        .record(
            "certificates: a CA is replaced and nobody notices",
            certificates::rollover::authority(at),
        )
        .await;
    report
        .record(
            "certificates: a renewed one is served at once",
            certificates::rollover::renewal(at),
        )
        .await;
    report
        .record(
            "certificates: a backend that does not reload is named",
            certificates::rollover::stale_backend(at),
        )
        .await;
    report
        .record(
            "certificates: a revoked client is out, its connection too",
            certificates::rollover::revocation(at),
        )
        .await;

    report
        .record("100 rotations, no handshake fails", rotation::hundred_times(at))
        .await;
    report
        .record("rotation of the clients' authority", rotation::client_authority(at))
        .await;
    report
        .record("rotation of the backend's authority", rotation::backend_authority(at))
        .await;
    report
        .record("slow senders do not delay a good client", live::slow_senders(at))
        .await;
    report
        .record("1 GiB both ways through 100 reloads", live::transfer_through_reloads(at))
        .await;
    report
        .record("removed route drains, others go on", live::removed_route(at))
        .await;
    report
        .record("SIGTERM drains and a second one ends", live::termination(at))
        .await;
    report
        .record("descriptor limit stops accepting and recovers", live::descriptor_limit(at))
        .await;
    report.record("9500 idle connections hold", idle::hold(at)).await;

    suites(at, &mut report).await;
    cert_manager(at, &mut report).await;

    Ok(report.close())
}

/// The gateway's HTTP and TLS, judged by suites that others wrote.
async fn suites(at: &Context, report: &mut Report<'_>) {
    report
        .record("suite h2spec strict, HTTP/1.1 backend", suites::h2spec::http1(at))
        .await;
    report
        .record("suite h2spec strict, h2c backend", suites::h2spec::h2c(at))
        .await;
    report
        .record("suite gRPC interop, terminated", suites::grpc::terminated(at))
        .await;
    report
        .record("suite gRPC interop, re-encrypted", suites::grpc::reencrypted(at))
        .await;
    report
        .record("suite testssl.sh finds nothing above LOW", suites::testssl::findings(at))
        .await;
    report
        .record("suite curl on every way to every backend", suites::curl::every_way(at))
        .await;
    report
        .record("suite nghttp: several streams", suites::nghttp::nghttp(at))
        .await;
    report.record("suite h2load: 2000 requests", suites::nghttp::h2load(at)).await;
    report
        .record("suite WebSocket: 1000 messages", suites::websocket::messages(at))
        .await;
    report
        .record("suite request smuggling: nothing gets through", suites::smuggling::corpus(at))
        .await;
}

/// The issuer, judged by cert-manager itself.
async fn cert_manager(at: &Context, report: &mut Report<'_>) {
    report
        .record(
            "cert-manager: the judge finds every alteration",
            cert_manager::finds_alterations(at),
        )
        .await;
    report
        .record(
            "cert-manager and the issuer issue the same",
            cert_manager::issues_the_same(at),
        )
        .await;
    report
        .record(
            "cert-manager and the issuer refuse the same",
            cert_manager::refusals::are_the_same(at),
        )
        .await;
}
