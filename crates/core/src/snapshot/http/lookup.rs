//! From a request to its rule.
//!
//! The listener first, by the most specific hostname on the port; then the rules of that listener's routes: those of the most specific
//! route hostname that covers the host, by the specification's precedence, then those of the next hostname.

use std::sync::Arc;

use super::{HttpAction, HttpPlan, HttpRejectReason, HttpRoutes, HttpRule, RequestHead};
use crate::explain::{Step, Trace};
use crate::snapshot::{ListenerFate, ListenerId, TlsPlan};

pub(super) fn plain<'a>(plan: &'a HttpPlan, head: &RequestHead<'_>, trace: &mut impl Trace) -> HttpAction<'a> {
    let found = plan.names.find(head.host).copied();
    let Some((position, listener)) = found.and_then(|position| Some((position, plan.listeners.get(position)?))) else {
        trace.step(|| Step::no_http_listener(plan));
        return reject(None, HttpRejectReason::NoListener);
    };
    trace.step(|| Step::http_listener(plan, listener, head.host));
    let id = ListenerId(position);
    if let ListenerFate::Refuses(reason) = &listener.fate {
        trace.step(|| Step::ListenerRefuses {
            listener: listener.name.clone(),
            reason: reason.clone(),
        });
        return reject(Some(id), HttpRejectReason::ListenerRefuses);
    }
    rule((id, &listener.name), &listener.requests, head, trace)
}

/// See [`crate::snapshot::PortPlan::before`].
pub(super) fn before_plain<'a>(plan: &'a HttpPlan, host: Option<&str>) -> &'a [Arc<HttpRule>] {
    let listener = plan.names.find(host).and_then(|position| plan.listeners.get(*position));
    listener.map_or(&[], |listener| &listener.requests.before)
}

/// See [`crate::snapshot::PortPlan::before`].
pub(super) fn before_encrypted<'a>(plan: &'a TlsPlan, through: Option<ListenerId>, host: Option<&str>) -> &'a [Arc<HttpRule>] {
    let found = plan.names.find(host).copied();
    let found = found.filter(|position| through.is_none_or(|through| through.0 == *position));
    let requests = found.and_then(|position| plan.listeners.get(position)?.requests.as_ref());
    requests.map_or(&[], |requests| &requests.before)
}

pub(super) fn encrypted<'a>(
    plan: &'a TlsPlan,
    through: Option<ListenerId>,
    head: &RequestHead<'_>,
    trace: &mut impl Trace,
) -> HttpAction<'a> {
    let found = plan.names.find(head.host).copied();
    let Some((position, listener)) = found.and_then(|position| Some((position, plan.listeners.get(position)?))) else {
        trace.step(|| Step::no_listener(plan, head.host));
        return reject(through, HttpRejectReason::NoListener);
    };
    let id = ListenerId(position);
    if let Some(through) = through.filter(|through| *through != id) {
        trace.step(|| Step::misdirected(plan, through, listener));
        return reject(Some(through), HttpRejectReason::Misdirected);
    }
    trace.step(|| Step::listener(plan, listener, head.host));
    match &listener.requests {
        Some(requests) => rule((id, &listener.name), requests, head, trace),
        None => {
            trace.step(|| Step::takes_no_requests(listener));
            reject(Some(id), HttpRejectReason::ListenerRefuses)
        }
    }
}

fn reject(listener: Option<ListenerId>, reason: HttpRejectReason) -> HttpAction<'static> {
    HttpAction::Reject { listener, reason }
}

fn rule<'a>(
    (listener, name): (ListenerId, &str),
    routes: &'a HttpRoutes,
    head: &RequestHead<'_>,
    trace: &mut impl Trace,
) -> HttpAction<'a> {
    match routes.hosts.covering(head.host).find_map(|host| host.find(head)) {
        Some(matched) => {
            trace.step(|| Step::rule(routes, matched, head));
            HttpAction::Serve { listener, matched }
        }
        None => {
            trace.step(|| Step::no_rule(name, routes, head));
            reject(Some(listener), HttpRejectReason::NoRoute)
        }
    }
}
