//! Copies of requests. They never delay the request, and never fail it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use sealway_core::{Backend, Mirror, Target};
use tokio::time::{Instant, timeout};

use super::body::{RequestBody, copy_channel};
use super::forward::proxy_header;
use super::limits::COPY_TIMEOUT;
use super::respond::Served;
use super::rule::RuleState;
use super::upstream::{Passage, Speak};
use crate::draw;

/// Sends the copies that are due of a request that is ready to go.
pub(super) fn send<'a>(
    served: &Arc<Served>,
    state: &Arc<RuleState>,
    mirrors: impl Iterator<Item = &'a Arc<Mirror>>,
    parts: &Parts,
    body: &mut RequestBody,
) {
    let due: Vec<Arc<Backend>> = mirrors
        .filter(|mirror| is_due(mirror))
        .filter_map(|mirror| backend(mirror))
        .collect();
    if !due.is_empty() {
        start(served, state, due, parts, body);
    }
}

fn is_due(mirror: &Mirror) -> bool {
    mirror.numerator >= mirror.denominator || draw::below(u64::from(mirror.denominator)) < u64::from(mirror.numerator)
}

fn backend(mirror: &Mirror) -> Option<Arc<Backend>> {
    match &mirror.backend.target {
        Target::Backend(backend) => Some(Arc::clone(backend)),
        Target::Refuse(_) => None,
    }
}

#[cold]
fn start(served: &Arc<Served>, state: &Arc<RuleState>, due: Vec<Arc<Backend>>, parts: &Parts, body: &mut RequestBody) {
    let bodies: Vec<RequestBody> = match body {
        RequestBody::Client(client) => {
            let (copies, bodies) = copy_channel(due.len(), &served.shared.http.mirror_bytes);
            client.copy_to(copies);
            bodies.into_iter().map(RequestBody::Copy).collect()
        }
        RequestBody::Full(whole) => due.iter().map(|_| RequestBody::Full(whole.clone())).collect(),
        _ => due.iter().map(|_| RequestBody::Empty).collect(),
    };
    for (backend, body) in due.into_iter().zip(bodies) {
        let http = &served.shared.http;
        let bytes = match &body {
            RequestBody::Full(whole) => u32::try_from(whole.data.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        // As many as there may be are on their way: this one is left out.
        let (Ok(permit), Ok(bytes)) = (
            Arc::clone(&http.mirrors).try_acquire_owned(),
            Arc::clone(&http.mirror_bytes).try_acquire_many_owned(bytes),
        ) else {
            continue;
        };
        let copy = copied(&parts.method, &parts.uri, &parts.headers, body);
        let (served, state) = (Arc::clone(served), Arc::clone(state));
        tokio::spawn(async move {
            let _permits = (permit, bytes);
            let _ = timeout(COPY_TIMEOUT, deliver(&served, &state, &backend, copy)).await;
        });
    }
}

fn copied(method: &Method, target: &Uri, headers: &HeaderMap, body: RequestBody) -> Request<RequestBody> {
    let mut copy = Request::new(body);
    *copy.method_mut() = method.clone();
    *copy.uri_mut() = target.clone();
    let copied = copy.headers_mut();
    *copied = headers.clone();
    // A mirror's answer is thrown away, so there is nothing to turn to after it, and nobody to be asked.
    for name in [CONNECTION, UPGRADE, EXPECT] {
        copied.remove(name);
    }
    copy
}

/// Sends a copy, and reads the answer so that the connection can be used again.
async fn deliver(served: &Arc<Served>, state: &RuleState, backend: &Arc<Backend>, copy: Request<RequestBody>) {
    let channel = state.other_channel(&served.shared, backend, Speak::of_rule(state.rule.kind));
    let passage = Passage {
        backend,
        connect_timeout: CONNECT_TIMEOUT,
        now: Instant::now(),
        endpoint: None,
        proxy_header: proxy_header(served, backend),
    };
    let Ok((response, lease, _)) = channel.send(&served.shared, Box::new(copy), &passage, |_, _| {}).await else {
        return;
    };
    let mut body = super::body::ResponseBody::backend(response.into_body(), lease, None);
    while let Some(Ok(_)) =
        std::future::poll_fn(|context| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), context)).await
    {}
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
