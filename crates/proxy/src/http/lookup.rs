//! Where a request goes: the listener that its connection came through, the rule, the backend that the draw falls on.
//!
//! Input: the binding as it is now, and a request. Output: a [`Way`], or why there is none. Invariant: a connection whose listener is not
//! what it was accepted for any more serves nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Response, StatusCode};
use sealway_core::{
    Backend, HttpAction, HttpBackend, HttpMatch, ListenerId, NoTrace, PathMatcher, PortPlan, RequestHead, Target,
};

use super::HttpConnection;
use super::body::ResponseBody;
use super::record::Record;
use super::redirect::{self, RequestUrl};
use super::refusal::HttpReason;
use super::respond::Served;
use super::rewrite;
use super::rule::RuleState;
use super::session::Visit;
use crate::draw;
use crate::listeners::Binding;
use crate::scope::lock;
use crate::tls::ServerTls;

/// Kept between requests, which mostly want the same.
#[derive(Default)]
pub(super) struct Known {
    /// The binding, whose place stays its own for as long as this refers to it, and the listener there.
    listener: Option<(Weak<Binding>, Option<ListenerId>)>,
    rule: Option<Arc<RuleState>>,
}

/// See [`Served::place`].
pub(super) type Place = (arc_swap::Guard<Arc<Binding>>, Option<ListenerId>);

/// Where a request goes.
pub(super) struct Way {
    pub(super) state: Arc<RuleState>,
    /// Position of the backend that the draw fell on.
    pub(super) backend: Option<usize>,
    /// The target towards the backend, when that is another.
    pub(super) target: Option<PathAndQuery>,
    pub(super) redirect: Option<Response<ResponseBody>>,
    /// What the client shows of its session with the backend, if there is to be one.
    pub(super) visit: Option<Box<Visit>>,
}

impl Served {
    /// What the listener asks before a route is looked for; nothing, most times.
    pub(super) fn before(&self, (binding, listener): &Place, host: Option<&str>) -> Vec<Arc<RuleState>> {
        let rules = binding.plan.before(*listener, host).iter();
        rules.map(|rule| self.shared.http.rule(binding, rule)).collect()
    }

    /// What the socket serves at this moment, and the listener there that this connection came through.
    pub(super) fn place(&self) -> Result<Place, HttpReason> {
        let binding = self.connection.current.load();
        let listener = self.listener(&binding, &mut lock(&self.known))?;
        Ok((binding, listener))
    }

    /// Lookup, and all that needs what it found.
    pub(super) fn way(
        &self,
        (binding, listener): Place,
        parts: &Parts,
        host: Option<&str>,
        record: &mut Record,
    ) -> Result<Way, HttpReason> {
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

    pub(super) fn backend(&self, way: &Way, record: &mut Record) -> Result<(usize, Arc<Backend>), HttpReason> {
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
