//! A request to its backend: one try, or several.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response};
use sealway_core::{Backend, BackendFault, ProxyProtocol, Retry};
use tokio::time::{Instant, sleep, timeout_at};

use super::body::{Replay, RequestBody, ResponseBody, Whole};
use super::budget::Budget;
use super::record::Record;
use super::refusal::HttpReason;
use super::respond::{Served, deadline};
use super::rule::RuleState;
use super::upstream::{Channel, Failure, Outgoing, Passage};
use crate::draw;
use crate::proxy_protocol::{self, Addresses, Facts};

/// Where a request goes, and how.
#[derive(Clone, Copy)]
pub(super) struct Outbound<'a> {
    pub(super) served: &'a Arc<Served>,
    pub(super) state: &'a Arc<RuleState>,
    /// Of the backend in the rule.
    pub(super) position: usize,
    pub(super) backend: &'a Arc<Backend>,
    /// Where the client's session is.
    pub(super) endpoint: Option<&'a SocketAddr>,
    pub(super) upgrade: bool,
    /// When the request began.
    pub(super) begun: Instant,
}

/// The backend's response, and which endpoint it came from.
pub(super) async fn forward(
    outbound: Outbound<'_>,
    request: Outgoing,
    record: &mut Record,
) -> Result<(Response<ResponseBody>, SocketAddr), HttpReason> {
    let rule = &outbound.state.rule;
    let channel = outbound
        .state
        .channel(&outbound.served.shared, outbound.position, outbound.backend, outbound.upgrade);
    let until = deadline(outbound.begun, rule.request_timeout);
    let budget = outbound.state.budget(outbound.position);
    if let Some(budget) = budget {
        budget.count(Instant::now());
    }
    let answered = match &rule.retry {
        Some(retry) if !outbound.upgrade => Box::pin(retried(outbound, &channel, request, (retry, budget), until)).await,
        _ => tried(outbound, &channel, request, until).await,
    };
    answered.map_err(|failure| {
        if let Some(endpoint) = failure.endpoint {
            record.log_endpoint(endpoint);
        }
        record.log_detail(&failure.detail);
        failure.reason
    })
}

/// One try.
async fn tried(
    outbound: Outbound<'_>,
    channel: &Channel,
    request: Outgoing,
    until: Option<Instant>,
) -> Result<(Response<ResponseBody>, SocketAddr), Failure> {
    let Outbound {
        served, state, backend, ..
    } = outbound;
    let now = Instant::now();
    let passage = Passage {
        backend,
        connect_timeout: state.rule.connect_timeout,
        now,
        endpoint: outbound.endpoint,
        proxy_header: proxy_header(served, backend),
    };
    let limit = earlier(
        until.map(|at| (at, HttpReason::RequestTimeout)),
        deadline(now, state.rule.backend_timeout).map(|at| (at, HttpReason::BackendTimeout)),
    );
    // Pinned here, so that it is one future whether there is a deadline or not.
    let sent = pin!(channel.send(&served.shared, request, &passage, |endpoint, fault| {
        served.shared.count_connect_failure(state.counters.name(), fault);
        tracing::debug!(%endpoint, fault, "endpoint could not be connected to");
    }));
    let answered = match limit {
        None => sent.await,
        Some((at, reason)) => timeout_at(at, sent).await.unwrap_or_else(|_| {
            Err(Failure {
                reason,
                detail: String::new(),
                endpoint: None,
                unprocessed: false,
            })
        }),
    };
    let (response, lease, endpoint) = answered?;
    let (mut head, body) = response.into_parts();
    if !is_framed_once(&mut head.headers) {
        return Err(Failure {
            reason: HttpReason::BackendInvalid,
            detail: "its length or transfer coding is not one that can be passed on".to_owned(),
            endpoint: Some(endpoint),
            unprocessed: false,
        });
    }
    // HTTP/2 to a backend is no reason to tell a client of HTTP/1.1 so.
    head.version = http::Version::HTTP_11;
    Ok((
        Response::from_parts(head, ResponseBody::backend(body, lease, limit)),
        endpoint,
    ))
}

/// A length beside chunked is dropped (RFC 9112 section 6.3), or the client would take it for the length of what we send. Two are one too
/// many, and a coding below chunked would stay in the body without a name.
fn is_framed_once(headers: &mut HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        headers.remove(CONTENT_LENGTH);
        return chunked;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let is_number = |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    lengths.next().is_none_or(is_number) && lengths.next().is_none()
}

fn earlier(one: Option<(Instant, HttpReason)>, two: Option<(Instant, HttpReason)>) -> Option<(Instant, HttpReason)> {
    match (one, two) {
        (Some(one), Some(two)) => Some(if one.0 <= two.0 { one } else { two }),
        (one, two) => one.or(two),
    }
}

/// As often as the rule and the backend's budget say, while the body can be sent again and there is time.
async fn retried(
    outbound: Outbound<'_>,
    channel: &Channel,
    request: Outgoing,
    (retry, budget): (&Retry, Option<&Budget>),
    until: Option<Instant>,
) -> Result<(Response<ResponseBody>, SocketAddr), Failure> {
    let (head, body) = request.into_parts();
    let replay = match body {
        RequestBody::Client(body) => Body::Replayed(Replay::new(body)),
        RequestBody::Full(whole) => Body::Full(whole),
        _ => Body::Empty,
    };
    let idempotent = head.method.is_idempotent();
    let mut left = retry.attempts;
    let mut pause = retry.backoff;
    let longest = LONGEST_PAUSE.max(pause);
    let mut next = replay.again();
    loop {
        // The first try always has its body.
        let body = next.take().unwrap_or_default();
        let answered = tried(outbound, channel, Box::new(Request::from_parts(head.clone(), body)), until).await;
        let again = match &answered {
            Ok((response, _)) => retry.codes.binary_search(&response.status().as_u16()).is_ok(),
            Err(failure) => failure.unprocessed || is_worth_another(failure.reason, idempotent, retry),
        };
        if !again || left == 0 {
            return answered;
        }
        let wait = jittered(pause);
        if until.is_some_and(|until| Instant::now() + wait >= until) {
            return answered;
        }
        next = replay.again();
        if next.is_none() {
            return answered;
        }
        if budget.is_some_and(|budget| !budget.permits(Instant::now())) {
            return Err(not_permitted(&answered));
        }
        drop(answered);
        left -= 1;
        pause = pause.saturating_mul(2).min(longest);
        sleep(wait).await;
    }
}

/// What would have been sent again, had the budget of its backend not been spent.
fn not_permitted(answered: &Result<(Response<ResponseBody>, SocketAddr), Failure>) -> Failure {
    let (detail, endpoint) = match answered {
        Ok((response, endpoint)) => (
            format!("the backend answered {}", response.status().as_u16()),
            Some(*endpoint),
        ),
        Err(failure) => {
            let Failure { reason, detail, .. } = failure;
            let detail = if detail.is_empty() {
                String::new()
            } else {
                format!(": {detail}")
            };
            (format!("{}{detail}", reason.label()), failure.endpoint)
        }
    };
    Failure {
        reason: HttpReason::RetryBudget,
        detail,
        endpoint,
        unprocessed: false,
    }
}

enum Body {
    Empty,
    Full(Whole),
    Replayed(Replay),
}

impl Body {
    fn again(&self) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Full(whole) => Some(RequestBody::Full(whole.clone())),
            Self::Replayed(replay) => replay.attempt().map(RequestBody::Attempt),
        }
    }
}

/// What never reached a backend always is (apis/v1/httproute_types.go, HTTPRouteRetry). What may have been worked on, because the
/// connection or the time ended, is sent again only where that does no harm (RFC 9110 section 9.2.2), or the rule asks for it by 504.
fn is_worth_another(reason: HttpReason, idempotent: bool, retry: &Retry) -> bool {
    match reason {
        HttpReason::Connect(_) | HttpReason::BackendTls(_) | HttpReason::Backend(BackendFault::NoEndpoints) => true,
        HttpReason::BackendClosed => idempotent,
        HttpReason::BackendTimeout => idempotent || retry.codes.binary_search(&504).is_ok(),
        _ => false,
    }
}

/// Between half of it and all of it, so that what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX / 2);
    Duration::from_micros(half + draw::below(half.max(1)))
}

/// What a backend that asks for it hears first of who connects.
pub(super) fn proxy_header(served: &Served, backend: &Backend) -> Option<Vec<u8>> {
    let connection = &served.connection;
    let addresses = Addresses {
        source: connection.client,
        destination: connection.local,
    };
    Some(match backend.proxy_protocol? {
        ProxyProtocol::V1 => proxy_protocol::emit_v1(addresses),
        ProxyProtocol::V2 => {
            let handshake = connection.handshake.as_ref();
            proxy_protocol::emit_v2(
                addresses,
                Facts {
                    authority: handshake.and_then(|handshake| handshake.server_name.as_deref()),
                    alpn: None,
                },
            )
        }
    })
}

const LONGEST_PAUSE: Duration = Duration::from_secs(10);
