//! One connection from top to bottom: greet, look up, connect, open, relay.
//!
//! In: an accepted socket and the [`Binding`] of the moment. Out: bytes delivered, or a refusal told to the client; one record of
//! it either way. Invariant: hello, buffers and snapshot are gone before the first byte is relayed.

mod greet;
mod open;
mod refuse;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sealway_core::{Action, Backend, Forward, NoTrace, Target};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::Shared;
use crate::client_hello::ClientHello;
use crate::draw;
use crate::limits::{LiveGuard, SourceGuard};
use crate::listeners::Binding;
use crate::outcome::{CloseReason, Outcome};
use crate::proxy_protocol::Addresses;
use crate::relay::{RelayEnd, Side, relay};
use crate::scope::RouteScope;
use crate::socket;
use greet::Greeter;
use refuse::Refusal;

/// Serves one connection to its end.
pub(crate) async fn serve(mut client: TcpStream, peer: SocketAddr, binding: Arc<Binding>, shared: Arc<Shared>, live: LiveGuard) {
    let mut outcome = Outcome::new(Arc::clone(&binding.scope), peer);
    // In a box of its own, which is freed before the relay: what lasts is small.
    let established = Box::pin(establish(&mut client, binding, &shared, &mut outcome)).await;
    let farewell = match established {
        Ok(mut established) => carry(&mut client, &mut established, &mut outcome).await,
        Err(refusal) => refusal.farewell(&mut outcome, shared.config.rejections),
    };
    drop(outcome);
    match farewell {
        Farewell::Close => {}
        Farewell::Reset => socket::abort(&client),
        Farewell::Words(words) => socket::close_gracefully(&mut client, &words).await,
    }
    drop(live);
}

/// How a client's connection is closed.
enum Farewell {
    /// At once.
    Close,
    /// By a reset, as the backend did.
    Reset,
    /// So that these bytes, and all that were sent before, arrive.
    Words(Cow<'static, [u8]>),
}

/// A connection that has its backend.
struct Established {
    backend: TcpStream,
    route: Arc<RouteScope>,
    idle_timeout: Option<std::time::Duration>,
    _source: Option<SourceGuard>,
}

/// Everything before the relay.
async fn establish(
    client: &mut TcpStream,
    binding: Arc<Binding>,
    shared: &Shared,
    outcome: &mut Outcome,
) -> Result<Established, Refusal> {
    // 1. One deadline and one place for the whole greeting.
    let place = binding
        .scope
        .greet(shared.config.max_connections)
        .ok_or(CloseReason::GreetingLimit)?;
    let deadline = Instant::now() + shared.config.hello_timeout;
    let greeting = timeout_at(deadline, greet(client, &binding, shared, outcome)).await;
    let greeting = greeting.map_err(|_| Refusal::from(CloseReason::HelloTimeout))??;

    // 2. The listener, its route, and one of its backends.
    let plan = Arc::clone(&binding.plan);
    let facts = greeting.hello.facts(outcome.client);
    outcome.server_name = greeting.hello.server_name.name().map(Into::into);
    let forward = match plan.connection(Some(&facts), &mut NoTrace) {
        Action::Passthrough { listener, forward } => {
            outcome.enter_listener(binding.scope.listener(listener));
            outcome.enter_route(binding.scope.listener(listener).route(&forward.route));
            Arc::clone(forward)
        }
        Action::Reject(rejection) => {
            if let Some(listener) = rejection.listener {
                outcome.enter_listener(binding.scope.listener(listener));
            }
            return Err(CloseReason::Rejected(rejection.reason).into());
        }
    };
    drop((place, plan));
    let (listener, route) = outcome.scopes().ok_or(CloseReason::Abandoned)?;
    if listener.connections() > shared.config.max_connections {
        return Err(CloseReason::ConnectionLimit.into());
    }
    let backend = choose(&forward, outcome)?;

    // 3. An endpoint that answers.
    let connected = shared
        .upstreams
        .connect(&backend, forward.connect_timeout, |endpoint, fault| {
            route.count_connect_failure(fault);
            tracing::debug!(%endpoint, fault = fault.label(), "endpoint could not be connected to");
        });
    let (mut stream, endpoint) = connected.await.map_err(|error| refuse::unreachable(error, outcome))?;
    outcome.endpoint = Some(endpoint);

    // 4. What the backend hears first: who connects, PostgreSQL's request, the hello as it came.
    let opening = timeout_at(
        Instant::now() + forward.connect_timeout,
        open::open(&mut stream, client, &greeting, &backend, outcome),
    );
    opening.await.unwrap_or_else(|_| Err(open::timed_out()))?;
    Ok(Established {
        backend: stream,
        route,
        idle_timeout: forward.idle_timeout,
        _source: greeting.source,
    })
}

/// What the client sent before anything was decided.
struct Greeting {
    /// The ClientHello and whatever came after it, to be replayed.
    received: Vec<u8>,
    hello: ClientHello,
    /// Both ends as a trusted proxy in front has them.
    proxied: Option<Addresses>,
    /// The client asked for TLS as PostgreSQL's clients do.
    postgres: bool,
    source: Option<SourceGuard>,
}

async fn greet(client: &mut TcpStream, binding: &Binding, shared: &Shared, outcome: &mut Outcome) -> Result<Greeting, Refusal> {
    let mut greeter = Greeter::new(client);
    let peer: IpAddr = outcome.client.ip().to_canonical();
    let proxied = if binding.snapshot.trusted_proxies.iter().any(|trusted| trusted.contains(&peer)) {
        greeter.proxy_header().await?
    } else {
        None
    };
    if let Some(addresses) = proxied {
        outcome.client = addresses.source;
    }
    let source = shared
        .sources
        .enter(outcome.client.ip())
        .map_err(|_| Refusal::from(CloseReason::SourceLimit))?;
    let postgres = greeter.encryption_requests().await?;
    let hello = greeter.hello().await?;
    Ok(Greeting {
        received: greeter.into_received(),
        hello,
        proxied,
        postgres,
        source,
    })
}

/// Draws a backend by weight. A draw that falls on one that cannot be had is refused.
fn choose(forward: &Forward, outcome: &mut Outcome) -> Result<Arc<Backend>, Refusal> {
    let total = forward.total_weight();
    let drawn = if total > 1 { draw::below(total) } else { 0 };
    let Some(chosen) = forward.pick(drawn) else {
        return Err(CloseReason::Rejected(sealway_core::RejectReason::NoWeight).into());
    };
    outcome.backend = Some(chosen.name.as_str().into());
    match &chosen.target {
        Target::Backend(backend) => Ok(Arc::clone(backend)),
        Target::Refuse(fault) => Err(CloseReason::Backend(*fault).into()),
    }
}

/// Relays until the connection ends or its route has drained.
async fn carry(client: &mut TcpStream, established: &mut Established, outcome: &mut Outcome) -> Farewell {
    let relayed = relay(client, &mut established.backend, established.idle_timeout, &outcome.traffic);
    let end = tokio::select! {
        end = relayed => end,
        () = established.route.closed() => {
            outcome.end(CloseReason::Drained, None);
            return Farewell::Close;
        }
    };
    match end {
        RelayEnd::Closed => outcome.end(CloseReason::Closed, None),
        RelayEnd::Idle => outcome.end(CloseReason::IdleTimeout, None),
        RelayEnd::Failed {
            side: Side::Client,
            error,
        } => {
            outcome.end(CloseReason::ClientFailed, Some(error.to_string()));
            // Nobody reads any more: the backend learns it at once.
            socket::abort(&established.backend);
        }
        RelayEnd::Failed {
            side: Side::Backend,
            error,
        } => {
            outcome.end(CloseReason::BackendFailed, Some(error.to_string()));
            if outcome.traffic.downward.delivered() == 0 {
                return Farewell::Reset;
            }
            // Its last words, an alert most likely, are to arrive; TLS itself tells the client whether the stream was cut.
            return Farewell::Words(Cow::Borrowed(&[]));
        }
    }
    Farewell::Close
}

#[cfg(test)]
mod tests;
