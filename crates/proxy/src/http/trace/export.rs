//! Sends spans to a Gateway's collector: OTLP over gRPC, by the same connections that requests go by.
//!
//! In: spans that requests have left in the queue. Out: exports, one after the other, and a count of what became of the spans. Invariant:
//! no request waits for it; an export that fails or takes too long costs its own spans, and is not tried again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use prost::Message as _;
use sealway_core::{ProxyProtocol, Target, Tracing};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::messages::{
    AnyValue, ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue, Resource, ResourceSpans,
    ScopeSpans, Value,
};
use super::queue::{Offered, Queue};
use crate::Shared;
use crate::http::body::{self, RequestBody, ResponseBody};
use crate::http::unary;
use crate::http::upstream::{Channel, Passage, Speak};
use crate::metrics::SpanCounters;
use crate::proxy_protocol;
use crate::scope::lock;
use crate::tls::ClientIdentity;

/// Takes the spans of a Gateway's requests.
pub(crate) struct Tracer {
    gateway: Arc<str>,
    queue: Mutex<Queue>,
    /// Told when there is something to do.
    due: Notify,
    /// Where spans go.
    destination: ArcSwap<Destination>,
    counters: SpanCounters,
    ended: watch::Sender<bool>,
}

/// A collector, and what it sees of us.
pub(crate) struct Destination {
    pub(crate) tracing: Arc<Tracing>,
    pub(crate) identity: Option<Arc<ClientIdentity>>,
}

impl Tracer {
    pub(crate) fn new(gateway: Arc<str>, destination: Destination, counters: SpanCounters) -> Self {
        Self {
            gateway,
            queue: Mutex::default(),
            due: Notify::new(),
            destination: ArcSwap::from_pointee(destination),
            counters,
            ended: watch::Sender::new(false),
        }
    }

    /// Another policy, collector or certificate from now on; what is queued goes there too.
    pub(crate) fn follow(&self, destination: Destination) {
        let last = self.destination.load();
        if !Arc::ptr_eq(&last.tracing, &destination.tracing) || last.identity != destination.identity {
            self.destination.store(Arc::new(destination));
        }
    }

    /// Takes a span, or counts that it could not.
    pub(super) fn offer(&self, span: Bytes) {
        let offered = lock(&self.queue).offer(span, Instant::now());
        match offered {
            Offered::Dropped => drop(self.counters.dropped.inc()),
            Offered::Queued => {}
            Offered::Due => self.due.notify_one(),
        }
    }

    /// Takes no more spans; those that there are go out at once.
    pub(crate) fn close(&self) {
        lock(&self.queue).close();
        self.due.notify_one();
    }

    /// Ready when nothing is left to export after [`Self::close`].
    pub(crate) async fn ended(&self) {
        // The sender is `self`'s.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Exports until it is closed and everything is out.
    pub(crate) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let mut way: Option<Way> = None;
        let mut complaint = Complaint::default();
        loop {
            let batch = lock(&self.queue).take(Instant::now());
            if let Some(batch) = batch {
                let destination = self.destination.load_full();
                let count = batch.len() as u64;
                let exported = match timeout(LONGEST_EXPORT, export(&shared, &destination, &mut way, batch)).await {
                    Ok(exported) => exported,
                    Err(_) => Err("it did not answer in time".to_owned()),
                };
                self.conclude(exported, count, &destination, &mut complaint);
                continue;
            }
            let (due_at, has_ended) = {
                let queue = lock(&self.queue);
                (queue.due_at(), queue.has_ended())
            };
            if has_ended {
                self.ended.send_replace(true);
                return;
            }
            tokio::select! {
                () = self.due.notified() => {}
                () = sleep_until(due_at.unwrap_or_else(Instant::now)), if due_at.is_some() => {}
            }
        }
    }

    /// `exported`: how many of the spans were not taken, or why none.
    fn conclude(&self, exported: Result<u64, String>, count: u64, destination: &Destination, complaint: &mut Complaint) {
        let lost = match &exported {
            Ok(rejected) => (*rejected).min(count),
            Err(_) => count,
        };
        self.counters.exported.inc_by(count - lost);
        self.counters.failed.inc_by(lost);
        let reason = match exported {
            Ok(0) => None,
            Ok(_) => Some("it took only some of them".to_owned()),
            Err(reason) => Some(reason),
        };
        let (gateway, collector) = (&*self.gateway, destination.tracing.collector.name.as_str());
        match (reason, complaint.about(lost > 0, Instant::now())) {
            (Some(reason), Some(Said::Trouble)) => {
                tracing::warn!(gateway, collector, reason, spans = lost, "spans could not be exported");
            }
            (_, Some(Said::Mended)) => tracing::info!(gateway, collector, "spans are exported again"),
            _ => {}
        }
    }
}

/// The way to a collector, held between exports, or its connections would be nobody's.
struct Way {
    destination: Arc<Destination>,
    channel: Arc<Channel>,
}

/// How many of the spans the collector did not take.
async fn export(
    shared: &Arc<Shared>,
    destination: &Arc<Destination>,
    way: &mut Option<Way>,
    batch: Vec<Bytes>,
) -> Result<u64, String> {
    let tracing = &destination.tracing;
    let backend = match &tracing.collector.target {
        Target::Backend(backend) => backend,
        Target::Refuse(fault) => return Err(fault.label().to_owned()),
    };
    let channel = match way {
        Some(known) if Arc::ptr_eq(&known.destination, destination) => Arc::clone(&known.channel),
        _ => {
            let channels = &shared.http.channels;
            let channel = channels.channel(shared, backend, destination.identity.as_ref(), Speak::Http2);
            *way = Some(Way {
                destination: Arc::clone(destination),
                channel: Arc::clone(&channel),
            });
            channel
        }
    };
    let passage = Passage {
        backend,
        connect_timeout: CONNECT_TIMEOUT,
        now: Instant::now(),
        endpoint: None,
        // No client stands behind it.
        proxy_header: backend.proxy_protocol.map(|version| match version {
            ProxyProtocol::V1 => proxy_protocol::emit_v1_unknown(),
            ProxyProtocol::V2 => proxy_protocol::emit_v2_local(),
        }),
    };
    let request = request(tracing, batch);
    let sent = channel.send(shared, Box::new(request.map(RequestBody::full)), &passage, |_, _| {});
    let (response, lease, _) = sent.await.map_err(|failure| match failure.detail.is_empty() {
        true => failure.reason.label().to_owned(),
        false => failure.detail,
    })?;
    let (head, incoming) = response.into_parts();
    let whole = body::collect(ResponseBody::backend(incoming, lease, None), unary::LARGEST_ANSWER).await;
    let whole = whole.map_err(|error| error.to_string())?;
    let whole = whole.ok_or_else(|| "its answer is too large".to_owned())?;
    let response = http::Response::from_parts(head, whole.data);
    let message = unary::answer(&response, whole.trailers.as_deref()).map_err(|fault| fault.to_string())?;
    let answer = ExportTraceServiceResponse::decode(message).map_err(|_| "its answer is malformed".to_owned())?;
    let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    Ok(u64::try_from(rejected).unwrap_or(0))
}

fn request(tracing: &Tracing, spans: Vec<Bytes>) -> http::Request<Bytes> {
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::Text(value.to_owned())),
        }),
    };
    let message = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", &tracing.service_name)],
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "sealway".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                spans,
            }],
        }],
    };
    let mut request = unary::request(METHOD, &tracing.collector.target, &message);
    let headers = request.headers_mut();
    for (name, value) in &tracing.headers {
        headers.insert(name.clone(), value.clone());
    }
    request
}

/// When the log hears of trouble: at its beginning, then once in a while, and when it is over.
#[derive(Debug, Default)]
struct Complaint {
    said: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Trouble,
    Mended,
}

impl Complaint {
    fn about(&mut self, trouble: bool, now: Instant) -> Option<Said> {
        match (trouble, self.said) {
            (false, None) => None,
            (false, Some(_)) => {
                self.said = None;
                Some(Said::Mended)
            }
            (true, Some(said)) if now.saturating_duration_since(said) < QUIET => None,
            (true, _) => {
                self.said = Some(now);
                Some(Said::Trouble)
            }
        }
    }
}

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// For one export, connecting included.
const LONGEST_EXPORT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two complaints.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_trouble_seldom_and_of_its_end_once() {
        let mut complaint = Complaint::default();
        let begun = Instant::now();
        let mut at = |seconds, trouble| complaint.about(trouble, begun + Duration::from_secs(seconds));
        assert_eq!(at(0, false), None);
        assert_eq!(at(1, true), Some(Said::Trouble));
        assert_eq!(at(2, true), None);
        assert_eq!(at(60, true), None);
        assert_eq!(at(61, true), Some(Said::Trouble));
        assert_eq!(at(62, false), Some(Said::Mended));
        assert_eq!(at(63, false), None);
        assert_eq!(at(64, true), Some(Said::Trouble));
    }
}
