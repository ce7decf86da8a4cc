//! Connections of TCP listeners: to a backend as they come. Nothing of what the client says is read first, since some protocols
//! speak server first; only a trusted proxy's header is waited for.

use std::sync::Arc;

use sealway_core::{Action, NoTrace, RelayPlan, Transport, UpstreamTls};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::refuse::Refusal;
use super::upstream::Upstream;
use super::{Established, Introduced, Terms, open, reach};
use crate::Shared;
use crate::listeners::Binding;
use crate::outcome::{CloseReason, Outcome};
use crate::upstream::choose;

/// Connects to a backend, and hands it what was `received` behind a proxy's header.
pub(super) async fn establish(
    client: &TcpStream,
    plan: &RelayPlan,
    binding: &Binding,
    (received, introduced): (Vec<u8>, Introduced),
    shared: &Shared,
    outcome: &mut Outcome,
) -> Result<Established, Refusal> {
    outcome.enter_listener(binding.scope.relayed(plan, Transport::Tcp));
    let forward = match plan.connection(&mut NoTrace) {
        Action::Relay { forward, .. } => Arc::clone(forward),
        Action::Reject(rejection) => return Err(CloseReason::Rejected(rejection.reason).into()),
        Action::Passthrough { .. } | Action::Terminate { .. } | Action::Requests { .. } => {
            return Err(CloseReason::Abandoned.into());
        }
    };
    let (listener, route) = outcome.enter_route(&forward.route).ok_or(CloseReason::Abandoned)?;
    if listener.connections() > shared.config.max_connections {
        return Err(CloseReason::ConnectionLimit.into());
    }
    let backend = choose(&forward, outcome)?;
    if matches!(backend.tls, UpstreamTls::Refused { .. }) {
        return Err(CloseReason::Backend(sealway_core::BackendFault::TlsPolicyInvalid).into());
    }
    let mut stream = reach(&forward, &backend, &route, shared, outcome).await?;

    let opened_by = Instant::now() + forward.connect_timeout;
    let opening = open::open_unread(&mut stream, client, &introduced, &backend, outcome);
    let opening = timeout_at(opened_by, opening).await;
    opening.unwrap_or_else(|_| Err(open::timed_out()))?;
    let terms = Terms {
        route,
        idle_timeout: forward.idle_timeout,
        _source: introduced.source,
    };
    let mut upstream = Upstream::open(stream, backend, binding.identity.as_ref(), opened_by, shared, &terms).await?;
    if !received.is_empty() {
        let sent = timeout_at(opened_by, upstream.send(&received)).await;
        sent.map_err(|_| open::timed_out())?.map_err(|error| open::failed(&error))?;
        outcome.traffic.upward.add(received.len() as u64);
    }
    Ok(Established::Unread(Box::new(upstream), terms))
}
