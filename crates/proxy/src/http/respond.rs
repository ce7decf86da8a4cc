//! One request from its header to its response.
//!
//! The order: hygiene; the trace, where there is one; the listener's filters, which may refuse; lookup; CORS, which may answer a preflight; headers of the connection are stripped and those that tell of it are
//! written; the authorization server; a redirect, which answers; the rule's request headers and rewrite, then the chosen backend's; copies;
//! the backend. On the way back: the backend's response headers, then the rule's, then the authorization server's, then CORS, then the session's.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use sealway_core::{Filters, RuleKind};
use tokio::time::Instant;

use super::activity::Activity;
use super::authorize;
use super::body::{ClientBody, RequestBody, ResponseBody};
use super::client_certificate::ClientCertificateValues;
use super::cors::{self, CorsDecision, CorsHeaders};
use super::forward::{self, Outbound};
use super::forwarded::{self, ConnectionFacts};
use super::hygiene;
use super::lookup::Known;
use super::record::Record;
use super::refusal::{self, HttpReason};
use super::trace;
use super::upgrade::{self, Relay};
use super::{HttpConnection, mirror};
use crate::Shared;

/// A connection as its requests see it.
pub(super) struct Served {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: HttpConnection,
    pub(super) activity: Arc<Activity>,
    pub(super) facts: ConnectionFacts,
    pub(super) certificate: ClientCertificateValues,
    pub(super) https: bool,
    /// What the last request found.
    pub(super) known: Mutex<Known>,
    /// What an HTTP/1.1 connection turns into after its last response.
    pub(super) upgrade: Mutex<Option<Relay>>,
}

/// What a request asks for beside a response.
struct Wishes {
    /// The client's end of an upgrade, and the protocol.
    upgrade: Option<(OnUpgrade, HeaderValue)>,
    /// It was an extended CONNECT (RFC 8441), so 200 says what 101 says otherwise.
    connect: bool,
    grpc: bool,
}

/// How the client wants to hear what the gateway itself has to say.
struct Manner {
    grpc: bool,
    /// Of the rule, once it is known.
    cors: Option<CorsHeaders>,
}

/// Never fails: what goes wrong is a response too.
pub(super) async fn respond(served: Arc<Served>, mut request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
    let begun = served.activity.enter();
    let mut record = Record::new(Arc::clone(&served.activity), Arc::clone(&served.shared.http.nobody), begun);
    let mut wishes = Wishes {
        upgrade: None,
        connect: false,
        grpc: refusal::is_grpc(request.headers()),
    };
    if request.headers().contains_key(UPGRADE) || *request.method() == Method::CONNECT {
        upgrade::wishes(&mut request, &mut wishes.upgrade, &mut wishes.connect);
    }
    let (mut parts, body) = request.into_parts();
    let body = if http_body::Body::is_end_stream(&body) {
        RequestBody::Empty
    } else {
        let patience = served.shared.config.http.body_timeout;
        RequestBody::Client(ClientBody::new(body, served.activity.has_streams(), patience))
    };
    hygiene::join_fields(&mut parts.headers);
    let (version, is_head) = (parts.version, parts.method == Method::HEAD);
    record.ends_by_closing = version == Version::HTTP_10;
    let mut manner = Manner {
        grpc: wishes.grpc,
        cors: None,
    };
    let answered = served.answer(parts, body, wishes, &mut record, &mut manner).await;
    let mut response = answered.unwrap_or_else(|reason| {
        record.reason = Some(reason);
        let mut response = refusal::response(reason, manner.grpc);
        // Without them a script in a browser could not tell a failure from a refusal of CORS.
        if let Some(cors) = &manner.cors {
            cors.apply(response.headers_mut());
        }
        response
    });
    // RFC 9113 section 8.2.2 has no such header; hyper writes what HTTP/1 needs.
    if version == Version::HTTP_11
        && (served.activity.ending.load(Ordering::Relaxed) || response.body().leaves_request_unread())
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    record.code = response.status().as_u16();
    if let Some(span) = &mut record.span {
        span.hear(response.headers());
    }
    if is_head {
        response.body_mut().leave_out();
    }
    Ok(response.map(|body| body.recorded(record)))
}

impl Served {
    async fn answer(
        self: &Arc<Self>,
        mut parts: Parts,
        mut body: RequestBody,
        wishes: Wishes,
        record: &mut Record,
        manner: &mut Manner,
    ) -> Result<Response<ResponseBody>, HttpReason> {
        let target = hygiene::check(&parts);
        if Record::is_logged() {
            let host = target.as_ref().ok().and_then(hygiene::Target::host);
            record.log_request(self.connection.client, host, &parts);
        }
        let target = target?;
        let mut heard = Vec::new();
        let place = self.place()?;
        if let (Some(tracer), Some(tracing)) = (&place.0.tracer, &place.0.snapshot.tracing) {
            record.span = trace::begin(tracer, tracing, self, &mut parts, target.host());
        }
        let before = self.before(&place, target.host());
        let way = if before.is_empty() {
            self.way(place, &parts, target.host(), record)?
        } else {
            // Nothing is held while others are waited for; afterwards things may stand otherwise.
            drop(place);
            self.introduce(&mut parts, target.authority.as_ref());
            for state in &before {
                let Some(auth) = &state.rule.filters.external_auth else {
                    continue;
                };
                let asked = Box::pin(authorize::ask(self, state, auth, &mut parts, &mut body, record));
                match asked.await? {
                    authorize::Verdict::Allowed(changes) => heard.push(changes),
                    authorize::Verdict::Denied(response) => return Ok(*response),
                }
            }
            self.way(self.place()?, &parts, target.host(), record)?
        };
        let rule = Arc::clone(&way.state.rule);
        manner.grpc |= rule.kind == RuleKind::Grpc && wishes.grpc;
        if rule.fault.is_some() {
            return Err(HttpReason::Filter);
        }
        match rule
            .filters
            .cors
            .as_ref()
            .map(|cors| cors::decide(cors, &parts.method, &parts.headers))
        {
            Some(CorsDecision::Preflight(response)) => return Ok(response.map(|()| ResponseBody::empty())),
            Some(CorsDecision::Simple(headers)) => manner.cors = Some(headers),
            None => {}
        }

        // 1. What is said of the connection is ours to say; and the host is the one by which the listener was found, whatever a filter of
        // that listener has made of it.
        if before.is_empty() {
            self.introduce(&mut parts, target.authority.as_ref());
        } else {
            parts.headers.insert(HOST, host_header(target.authority.as_ref()));
        }

        // 2. Who may refuse.
        let verdict = match &rule.filters.external_auth {
            Some(auth) => {
                let asked = Box::pin(authorize::ask(self, &way.state, auth, &mut parts, &mut body, record));
                match asked.await? {
                    authorize::Verdict::Allowed(changes) => Some(changes),
                    authorize::Verdict::Denied(mut response) => {
                        finish(&mut response, &rule.filters, None, manner.cors.as_ref());
                        return Ok(*response);
                    }
                }
            }
            None => None,
        };
        if let Some(mut response) = way.redirect {
            finish(&mut response, &rule.filters, None, manner.cors.as_ref());
            return Ok(response);
        }

        // 3. Towards the backend.
        let (position, backend) = self.backend(&way, record)?;
        let chosen = rule.backends.get(position);
        let of_backend = chosen.map(|chosen| &chosen.filters);
        if chosen.is_some_and(|chosen| chosen.fault.is_some()) {
            return Err(HttpReason::Filter);
        }
        edit(&mut parts, &rule.filters);
        if let Some(filters) = of_backend {
            edit(&mut parts, filters);
        }
        if let Some(target) = way.target {
            parts.uri = Uri::from(target);
        } else if parts.uri.authority().is_some() {
            let target = parts.uri.path_and_query().cloned();
            parts.uri = target.map_or_else(Uri::default, Uri::from);
        }
        if let Some((_, protocol)) = &wishes.upgrade {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, protocol.clone());
        }
        parts.extensions = http::Extensions::new();
        let mirrors = rule
            .filters
            .mirrors
            .iter()
            .chain(of_backend.into_iter().flat_map(|filters| &filters.mirrors));
        mirror::send(self, &way.state, mirrors, &parts, &mut body);
        let (is_upgrade, wishes_connect) = (wishes.upgrade.is_some(), wishes.connect);
        let outbound = Outbound {
            served: self,
            state: &way.state,
            position,
            backend: &backend,
            endpoint: way.visit.as_ref().and_then(|visit| visit.endpoint.as_ref()),
            upgrade: is_upgrade,
            begun: record.begun,
        };
        let request = Box::new(Request::from_parts(parts, body));
        let (mut response, endpoint) = forward::forward(outbound, request, record).await?;
        record.log_endpoint(endpoint);

        // 4. And back.
        if let Some((client, _)) = wishes.upgrade
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            upgrade::accept(self, client, &mut response, wishes.connect);
        } else if response.status().is_informational() || (wishes_connect && response.status().is_success()) {
            // To a client that asked by CONNECT every success would say that the other protocol begins.
            return Err(HttpReason::BackendInvalid);
        } else {
            forwarded::strip_hop_by_hop(response.headers_mut());
        }
        if let Some(filters) = of_backend {
            filters.response_headers.apply(response.headers_mut());
        }
        finish(&mut response, &rule.filters, verdict.as_ref(), manner.cors.as_ref());
        heard.iter().for_each(|changes| changes.apply(response.headers_mut()));
        // Last, so that no filter takes it out.
        if let Some(visit) = way.visit {
            visit.answer(endpoint, &rule, self.https, response.headers_mut());
        }
        Ok(response)
    }

    /// Takes out what is of the connection, and says what is ours to say of it.
    fn introduce(&self, parts: &mut Parts, authority: Option<&HeaderValue>) {
        forwarded::strip_hop_by_hop(&mut parts.headers);
        forwarded::apply(&mut parts.headers, &self.facts, authority);
        self.certificate.apply(&mut parts.headers);
        parts.headers.insert(HOST, host_header(authority));
    }
}

/// HTTP/1.0 need not name one, what goes to backends must.
fn host_header(authority: Option<&HeaderValue>) -> HeaderValue {
    authority.cloned().unwrap_or(HeaderValue::from_static("localhost"))
}

fn edit(parts: &mut Parts, filters: &Filters) {
    filters.request_headers.apply(&mut parts.headers);
    if let Some(host) = filters.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref()) {
        parts.headers.insert(HOST, host.clone());
    }
}

/// What every response of a rule gets.
fn finish(
    response: &mut Response<ResponseBody>,
    filters: &Filters,
    verdict: Option<&super::auth::HeaderChanges>,
    cors: Option<&CorsHeaders>,
) {
    let headers = response.headers_mut();
    filters.response_headers.apply(headers);
    if let Some(changes) = verdict {
        changes.apply(headers);
    }
    if let Some(cors) = cors {
        cors.apply(headers);
    }
}

/// A request's deadline, from its beginning.
pub(super) fn deadline(begun: Instant, timeout: Option<std::time::Duration>) -> Option<Instant> {
    begun.checked_add(timeout?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F, A, B>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Every request has one for as long as it lasts.
    #[test]
    fn future_of_a_request_is_small() {
        assert!(size(respond) <= 3872, "{} bytes", size(respond));
    }
}
