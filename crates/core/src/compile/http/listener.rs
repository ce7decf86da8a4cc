//! Filters of listeners: authorization servers that are asked before a route is looked for (experimental).
//!
//! Input: the Gateways' HTTP and HTTPS listeners. Output: for each filter a rule without backends, in the order of writing. Invariant: a
//! listener of which a filter cannot be understood serves nothing; a server that cannot be had refuses what it should be asked about.

use std::sync::Arc;

use sealway_api::{ObjectMeta, ObjectRef};

use super::super::listeners::takes_requests;
use super::super::routes::Route;
use super::super::world::{GatewayWork, ListenerWork, World};
use super::filters::is_complete;
use super::{Context, DEFAULT_CONNECT_TIMEOUT};
use crate::problem::Cause;
use crate::snapshot::{Filters, HttpRule, RuleKind};

/// Works out the filters of every listener.
pub(in crate::compile) fn listener_filters<'a>(world: &mut World<'a>, gateways: &mut [GatewayWork<'a>]) {
    for gateway in gateways {
        for work in &mut gateway.listeners {
            let set = work.rank.checked_sub(1).and_then(|position| gateway.sets.get(position));
            let metadata = set.map_or(&gateway.gateway.metadata, |set| &set.set.metadata);
            if !work.listener.filters.requests.is_empty() && work.refused.is_none() && takes_requests(work.listener) {
                apply(world, metadata, work);
            }
        }
    }
}

fn apply<'a>(world: &mut World<'a>, metadata: &'a ObjectMeta, work: &mut ListenerWork<'a>) {
    let owner = work.owner.clone();
    // References are resolved as those of a route are: from the namespace of the listener's object.
    let route = Route::of_object(world, &owner, metadata);
    let mut context = Context {
        world,
        route: &route,
        kind: RuleKind::Http,
        unresolved: None,
        fault: None,
    };
    let mut before = Vec::new();
    for (position, filter) in work.listener.filters.requests.iter().enumerate() {
        let at = format!("{}.filters.requests[{position}]", work.field);
        let mut filters = Filters::default();
        if context.filter(&at, filter, false, &mut filters).is_none() && !is_complete(filter) {
            let kind = filter.kind.to_string();
            context.fail(at, Cause::FilterIncomplete { kind });
            continue;
        }
        before.push(Arc::new(rule(&owner, position, filters)));
    }
    let (unresolved, fault) = (context.unresolved.take(), context.fault.take());
    if let Some(unresolved) = unresolved {
        work.unresolved.get_or_insert(unresolved);
    }
    match fault {
        Some(cause) => work.refused = Some(cause),
        None => work.requests.before = before,
    }
}

fn rule(owner: &ObjectRef, position: usize, filters: Filters) -> HttpRule {
    HttpRule {
        route: owner.clone(),
        position,
        name: None,
        kind: RuleKind::Http,
        filters,
        backends: Vec::new(),
        fault: None,
        request_timeout: None,
        backend_timeout: None,
        connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        retry: None,
    }
}
