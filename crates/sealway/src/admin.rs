//! The admin and health addresses: liveness, readiness, metrics, statuses, snapshots, certificates and
//! revocation lists over plain HTTP, read-only.
//!
//! Input: the [`View`] that the reconcile loop keeps, what the issuer has issued, and the registry of metrics. Invariant: nothing here can hold key bytes, and a
//! client can neither keep a connection longer than [`CONNECTION_DEADLINE`] nor take more than its share of [`CONNECTIONS_MAX`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use sealway_issuer::Outlook;
use sealway_provider::files::Loaded;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::document::{Document, Report, Summary};
use crate::view::View;

mod certificates;

/// What the handlers read.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// The last compilation.
    pub(crate) view: watch::Receiver<Arc<View>>,
    /// What the issuer has last said.
    pub(crate) outlook: watch::Receiver<Arc<Outlook>>,
    /// The manifests.
    pub(crate) loads: watch::Receiver<Loaded>,
    /// Every metric of the process.
    pub(crate) registry: Arc<Registry>,
}

/// Everything: for `--admin`.
pub(crate) fn admin_router(sources: Sources) -> Router {
    let api = Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/snapshot", get(snapshot))
        .merge(certificates::router())
        .with_state(sources.clone());
    health_router(sources).merge(api)
}

/// What kubelets, load balancers and scrapers need: for `--health`.
pub(crate) fn health_router(sources: Sources) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(sources)
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(sources): State<Sources>) -> Response {
    let view = Arc::clone(&sources.view.borrow());
    let (code, text) = match view.phase {
        phase if !phase.is_ready() => (StatusCode::SERVICE_UNAVAILABLE, phase.text()),
        // A load balancer must not send clients to a gateway that none of them can reach.
        _ if !view.is_reachable => (StatusCode::SERVICE_UNAVAILABLE, "no port could be opened"),
        phase => (StatusCode::OK, phase.text()),
    };
    (code, format!("{text}\n")).into_response()
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &sources.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn status(State(sources): State<Sources>) -> Response {
    let view = Arc::clone(&sources.view.borrow());
    apart(move || {
        let report = Report {
            summary: Summary::of(&view.problems),
            statuses: view.statuses.value(),
            problems: &view.problems,
        };
        Json(Document::new("Status", report)).into_response()
    })
    .await
}

/// What thousands of objects make longer than others should wait.
async fn apart(answer: impl FnOnce() -> Response + Send + 'static) -> Response {
    let answered = tokio::task::spawn_blocking(answer).await;
    answered.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn snapshot(State(sources): State<Sources>) -> Response {
    #[derive(Serialize)]
    struct Snapshots<'a, T> {
        snapshots: &'a T,
    }
    let view = Arc::clone(&sources.view.borrow());
    let content = Snapshots {
        snapshots: &view.snapshots,
    };
    Json(Document::new("Snapshot", content)).into_response()
}

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, peer, router).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin address cannot accept");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION_DEADLINE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "admin connection ended"),
        Err(_) => tracing::debug!(%peer, "admin connection closed at its deadline"),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// A scraper that keeps its connection opens a new one after this long.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);
/// For a whole request head, and so for an idle connection too.
const HEADER_DEADLINE: Duration = Duration::from_secs(15);
const HEADER_BYTES_MAX: usize = 16 * 1024;
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
