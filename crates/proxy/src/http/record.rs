//! The record of one request: what is counted and logged when its response is whole, or given up.
//!
//! Invariant: exactly one count for each request that was understood, by the guard's drop. What only the log needs is kept only when
//! there is a log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::request::Parts;
use tokio::time::Instant;

use super::activity::Activity;
use super::body::BodyFault;
use super::refusal::HttpReason;
use super::trace::{End, Span};
use crate::metrics::RouteCounters;
use crate::outcome::{ACCESS_TARGET, Blame};

/// Counts and logs when dropped.
pub(super) struct Record {
    pub(super) activity: Arc<Activity>,
    pub(super) counters: Arc<RouteCounters>,
    pub(super) begun: Instant,
    pub(super) code: u16,
    pub(super) reason: Option<HttpReason>,
    pub(super) line: Option<Box<Line>>,
    /// Of a request that is traced.
    pub(super) span: Option<Box<Span>>,
    /// The client takes the end of the connection for the end of the response.
    pub(super) ends_by_closing: bool,
    /// The response went out whole.
    whole: bool,
    /// Something was handed out and is not yet known to be taken.
    handed: bool,
}

/// What the access log says beyond what is counted.
pub(super) struct Line {
    client: SocketAddr,
    method: String,
    host: String,
    path: String,
    backend: Option<Box<str>>,
    endpoint: Option<SocketAddr>,
    detail: Option<Box<str>>,
}

impl Record {
    pub(super) fn new(activity: Arc<Activity>, counters: Arc<RouteCounters>, begun: Instant) -> Self {
        Self {
            activity,
            counters,
            begun,
            code: 0,
            reason: None,
            line: None,
            span: None,
            ends_by_closing: false,
            whole: false,
            handed: false,
        }
    }

    /// Whether anybody listens to the access log.
    pub(super) fn is_logged() -> bool {
        tracing::enabled!(target: ACCESS_TARGET, tracing::Level::INFO)
    }

    #[cold]
    pub(super) fn log_request(&mut self, client: SocketAddr, host: Option<&str>, parts: &Parts) {
        self.line = Some(Box::new(Line {
            client,
            method: parts.method.to_string(),
            host: host.unwrap_or_default().to_owned(),
            path: parts.uri.path().to_owned(),
            backend: None,
            endpoint: None,
            detail: None,
        }));
    }

    pub(super) fn log_backend(&mut self, name: &str) {
        if let Some(line) = &mut self.line {
            line.backend = Some(name.into());
        }
    }

    pub(super) fn log_endpoint(&mut self, endpoint: SocketAddr) {
        if let Some(line) = &mut self.line {
            line.endpoint = Some(endpoint);
        }
    }

    pub(super) fn log_detail(&mut self, detail: &str) {
        if let Some(line) = &mut self.line {
            line.detail = Some(detail.into());
        }
    }

    /// The body of the response ended before it was whole.
    #[cold]
    pub(super) fn body_failed(&mut self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        let fault = error.downcast_ref::<BodyFault>();
        self.reason
            .get_or_insert(fault.map_or(HttpReason::BackendClosed, |fault| fault.reason()));
        if self.ends_by_closing {
            self.activity.cut();
        }
        self.log_detail(&error.to_string());
    }

    pub(super) fn delivered(&mut self) {
        self.whole = true;
    }

    /// The body was asked for more; whether it had something.
    pub(super) fn progress(&mut self, handed: bool) {
        if self.activity.has_streams() && (handed || self.handed) {
            self.activity.handed(self.handed, handed, Instant::now());
            self.handed = handed;
        }
    }

    fn log(&self, took: std::time::Duration) {
        let Some(line) = &self.line else { return };
        let reason_text = self.reason.map(|reason| match &line.detail {
            Some(detail) => format!("{}: {detail}", reason.explain()).into(),
            None => reason.explain(),
        });
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let route = Some(self.counters.name()).filter(|name| !name.is_empty());
        let endpoint = line.endpoint.map(tracing::field::display);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: ACCESS_TARGET,
                    client = %line.client,
                    method = line.method,
                    host = line.host,
                    path = line.path,
                    status = self.code,
                    route,
                    backend = line.backend.as_deref(),
                    endpoint,
                    duration_ms = milliseconds,
                    outcome = self.reason.map_or("served", HttpReason::label),
                    side = self.reason.map(|reason| reason.blame().label()),
                    reason = reason_text.as_deref(),
                    "request"
                )
            };
        }
        match self.reason.map(HttpReason::blame) {
            Some(Blame::Backend | Blame::Gateway) => line!(warn),
            Some(Blame::Client) | None => line!(info),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.handed {
            self.activity.handed(true, false, now);
        }
        if !self.whole && self.reason.is_none() {
            let reason = match self.activity.ending.load(Ordering::Relaxed) {
                true => HttpReason::Drained,
                false => HttpReason::ClientGone,
            };
            self.reason = Some(reason);
            if self.code == 0 {
                self.code = reason.status().as_u16();
            }
        }
        let took = now.saturating_duration_since(self.begun);
        self.counters.count(self.code, took);
        if let Some(reason) = self.reason {
            self.counters.count_refusal(reason.label());
        }
        if let Some(span) = self.span.take() {
            span.end(&End {
                code: self.code,
                reason: self.reason,
                route: self.counters.name(),
                took,
            });
        }
        self.activity.leave(now);
        self.log(took);
    }
}
