//! One request from its header to its response.
//!
//! The order: hygiene; the trace, where there is one; the listener's filters, which may refuse; lookup; CORS, which may answer a preflight; headers of the connection are stripped and those that tell of it are
//! written; the authorization server; a redirect, which answers; the rule's request headers and rewrite, then the chosen backend's; copies;
//! the backend. On the way back: the backend's response headers, then the rule's, then the authorization server's, then CORS, then the session's.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use sealway_core::{
    Backend, Filters, HttpAction, HttpBackend, HttpMatch, ListenerId, NoTrace, PathMatcher, PortPlan, RequestHead, RuleKind,
    Target,
};
use tokio::time::Instant;

use super::activity::Activity;
use super::authorize;
use super::body::{ClientBody, RequestBody, ResponseBody};
use super::client_certificate::ClientCertificateValues;
use super::cors::{self, CorsDecision, CorsHeaders};
use super::forward::{self, Outbound};
use super::forwarded::{self, ConnectionFacts};
use super::hygiene;
use super::record::Record;
use super::redirect::{self, RequestUrl};
use super::refusal::{self, HttpReason};
use super::rewrite;
use super::rule::RuleState;
use super::session::Visit;
use super::trace;
use super::upgrade::{self, Relay};
use super::{HttpConnection, mirror};
use crate::Shared;
use crate::draw;
use crate::listeners::Binding;
use crate::scope::lock;
use crate::tls::ServerTls;

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

/// Kept between requests, which mostly want the same.
#[derive(Default)]
pub(super) struct Known {
    /// The binding, whose place stays its own for as long as this refers to it, and the listener there.
    listener: Option<(Weak<Binding>, Option<ListenerId>)>,
    rule: Option<Arc<RuleState>>,
}

/// See [`Served::place`].
type Place = (arc_swap::Guard<Arc<Binding>>, Option<ListenerId>);

/// Where a request goes.
struct Way {
    state: Arc<RuleState>,
    /// Position of the backend that the draw fell on.
    backend: Option<usize>,
    /// The target towards the backend, when that is another.
    target: Option<PathAndQuery>,
    redirect: Option<Response<ResponseBody>>,
    /// What the client shows of its session with the backend, if there is to be one.
    visit: Option<Box<Visit>>,
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

    /// What the listener asks before a route is looked for; nothing, most times.
    fn before(&self, (binding, listener): &Place, host: Option<&str>) -> Vec<Arc<RuleState>> {
        let rules = binding.plan.before(*listener, host).iter();
        rules.map(|rule| self.shared.http.rule(binding, rule)).collect()
    }

    /// What the socket serves at this moment, and the listener there that this connection came through.
    fn place(&self) -> Result<Place, HttpReason> {
        let binding = self.connection.current.load();
        let listener = self.listener(&binding, &mut lock(&self.known))?;
        Ok((binding, listener))
    }

    /// Takes out what is of the connection, and says what is ours to say of it.
    fn introduce(&self, parts: &mut Parts, authority: Option<&HeaderValue>) {
        forwarded::strip_hop_by_hop(&mut parts.headers);
        forwarded::apply(&mut parts.headers, &self.facts, authority);
        self.certificate.apply(&mut parts.headers);
        parts.headers.insert(HOST, host_header(authority));
    }

    /// Lookup, and all that needs what it found.
    fn way(&self, (binding, listener): Place, parts: &Parts, host: Option<&str>, record: &mut Record) -> Result<Way, HttpReason> {
        let mut known = lock(&self.known);
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let head = RequestHead {
            method: &parts.method,
            host,
            path,
            query,
            headers: &parts.headers,
        };
        let matched: &HttpMatch = match binding.plan.request(listener, &head, &mut NoTrace) {
            HttpAction::Serve { matched, .. } => matched,
            HttpAction::Reject { reason, .. } => return Err(HttpReason::Rejected(reason)),
        };
        let state = match &known.rule {
            Some(state) if state.is_of(&binding, &matched.rule) => Arc::clone(state),
            _ => {
                let state = self.shared.http.rule(&binding, &matched.rule);
                known.rule = Some(Arc::clone(&state));
                state
            }
        };
        drop(known);
        record.counters = Arc::clone(&state.counters);
        let backend = pick(&state);
        let rule = &state.rule;
        let of_backend = backend
            .and_then(|position| rule.backends.get(position))
            .map(|chosen| &chosen.filters);
        let rewrites = [
            of_backend.and_then(|filters| filters.rewrite.as_ref()),
            rule.filters.rewrite.as_ref(),
        ];
        // The backend's own comes later, so it decides.
        let target = rewrites
            .into_iter()
            .flatten()
            .find_map(|rewrite| rewrite::path_and_query(rewrite, &matched.path, path, query))
            .transpose()
            .map_err(|_| HttpReason::InvalidPath)?;
        let redirect = rule.filters.redirect.as_ref();
        let redirect = redirect.map(|redirect| redirected(redirect, &matched.path, host, self, parts));
        let redirect = redirect.transpose()?;
        let visit = backend.and_then(|position| self.visit(&binding, state.rule.backends.get(position)?, parts));
        Ok(Way {
            state,
            backend,
            target,
            redirect,
            visit,
        })
    }

    fn visit(&self, binding: &Binding, chosen: &HttpBackend, parts: &Parts) -> Option<Box<Visit>> {
        let (Some(session), Target::Backend(backend)) = (&chosen.session, &chosen.backend.target) else {
            return None;
        };
        let key = binding
            .snapshot
            .session_key
            .as_ref()
            .or(self.shared.http.session_key.as_ref())?;
        Some(Box::new(Visit::new(session, key, backend, &parts.headers, SystemTime::now())))
    }

    /// The listener that this connection came through, as it is now.
    fn listener(&self, binding: &Arc<Binding>, known: &mut Known) -> Result<Option<ListenerId>, HttpReason> {
        if let Some((known, listener)) = &known.listener
            && std::ptr::eq(known.as_ptr(), Arc::as_ptr(binding))
        {
            return Ok(*listener);
        }
        if !self.connection.is_served_by(binding) {
            self.activity.ending.store(true, Ordering::Relaxed);
            return Err(HttpReason::ListenerChanged);
        }
        let listener = self
            .connection
            .listener
            .as_ref()
            .and_then(|(_, scope)| binding.plan.listener(scope.name()));
        known.listener = Some((Arc::downgrade(binding), listener));
        Ok(listener)
    }

    /// By how much the client sees the Gateway's ports moved: not at all when something in front of the gateway moves them back.
    #[cold]
    fn offset_seen(&self, parts: &Parts) -> u16 {
        let binding = &self.connection.binding;
        let offset = binding.snapshot.port_offset;
        let named = parts.uri.authority().map(http::uri::Authority::as_str);
        let named = named.or_else(|| parts.headers.get(HOST)?.to_str().ok());
        let port: Option<u16> = named.and_then(|named| named.rsplit_once(':')?.1.parse().ok());
        match port == binding.scope.port().checked_add(offset) {
            true => offset,
            false => 0,
        }
    }

    fn backend(&self, way: &Way, record: &mut Record) -> Result<(usize, Arc<Backend>), HttpReason> {
        let position = way.backend.ok_or(HttpReason::NoWeight)?;
        if let Some(chosen) = way.state.rule.backends.get(position) {
            record.log_backend(&chosen.backend.name);
        }
        match way.state.target(position).ok_or(HttpReason::NoWeight)? {
            Target::Backend(backend) => Ok((position, Arc::clone(backend))),
            Target::Refuse(fault) => Err(HttpReason::Backend(*fault)),
        }
    }
}

impl HttpConnection {
    /// Whether what this connection was accepted for is still there: the listener, what it asks of clients, and what backends are told
    /// of this one.
    pub(super) fn is_served_by(&self, now: &Arc<Binding>) -> bool {
        if Arc::ptr_eq(now, &self.binding) {
            return true;
        }
        let (before, after) = (&self.binding.snapshot, &now.snapshot);
        if !Arc::ptr_eq(&now.scope, &self.binding.scope)
            || self.is_trusted(before) != self.is_trusted(after)
            || before.client_certificate_headers != after.client_certificate_headers
        {
            return false;
        }
        let Some((id, scope)) = &self.listener else {
            return matches!(*now.plan, PortPlan::Http(_));
        };
        let servers = &now.servers;
        let (PortPlan::Tls(then), PortPlan::Tls(now)) = (&*self.binding.plan, &*now.plan) else {
            return false;
        };
        let place = now.listeners.iter().position(|listener| listener.name == scope.name());
        let before = then.listeners.get(id.0);
        let after = place.and_then(|place| now.listeners.get(place));
        let (Some(before), Some(after)) = (before, after) else {
            return false;
        };
        Arc::ptr_eq(before, after)
            || match (&before.termination, &after.termination) {
                (Some(before), Some(after)) => {
                    before.client_validation == after.client_validation || self.is_still_good(id.0, place, servers)
                }
                _ => false,
            } && after.requests.is_some()
    }

    /// Whether the client would be let in as who it is by the listener at `place` of `servers`.
    #[cold]
    fn is_still_good(&self, before: usize, place: Option<usize>, servers: &[Option<Arc<ServerTls>>]) -> bool {
        let before = self.binding.servers.get(before).and_then(Option::as_ref);
        let now = place.and_then(|place| servers.get(place)).and_then(Option::as_ref);
        let client = self.handshake.as_ref().and_then(|handshake| handshake.client.as_deref());
        before.zip(now).is_some_and(|(before, now)| now.goes_on_with(before, client))
    }
}

/// HTTP/1.0 need not name one, what goes to backends must.
fn host_header(authority: Option<&HeaderValue>) -> HeaderValue {
    authority.cloned().unwrap_or(HeaderValue::from_static("localhost"))
}

fn pick(state: &RuleState) -> Option<usize> {
    let drawn = match state.total_weight {
        0 => return None,
        1 => 0,
        total => draw::below(total),
    };
    state.rule.pick(drawn)
}

#[cold]
fn redirected(
    redirect: &sealway_core::Redirect,
    matched: &PathMatcher,
    host: Option<&str>,
    served: &Served,
    parts: &Parts,
) -> Result<Response<ResponseBody>, HttpReason> {
    let url = RequestUrl {
        scheme: if served.https { "https" } else { "http" },
        host: host.unwrap_or_default(),
        port: served.connection.binding.scope.port(),
        offset: served.offset_seen(parts),
        path: parts.uri.path(),
        query: parts.uri.query(),
    };
    let location = redirect::location(redirect, matched, &url).ok_or(HttpReason::MissingHost)?;
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    response.headers_mut().insert(http::header::LOCATION, location);
    Ok(response)
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
