//! One connection from top to bottom: greet, look up, connect, open, end TLS or not, relay.
//!
//! In: an accepted socket and the [`Binding`] of the moment. Out: bytes delivered, or a refusal told to the client; one record of
//! it either way. Invariant: hello, buffers and snapshot are gone before the first byte is relayed.

mod greet;
mod open;
mod refuse;
mod requests;
mod terminate;
mod unread;
mod upstream;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sealway_core::{Action, Backend, BackendFault, Forward, NoTrace, PortPlan, TlsListener, UpstreamTls};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::Shared;
use crate::client_hello::ClientHello;
use crate::limits::{LiveGuard, SourceGuard};
use crate::listeners::Binding;
use crate::outcome::{CloseReason, Outcome};
use crate::proxy_protocol::Addresses;
use crate::relay::{End, RelayEnd, Side, relay};
use crate::scope::RouteScope;
use crate::seldom::Seldom;
use crate::socket;
use crate::tls::{HandshakeFault, ServerTls};
use crate::upstream::choose;
use greet::Greeter;
use refuse::Refusal;
use requests::Requests;
use terminate::Terminate;
use upstream::Upstream;

/// Serves one connection to its end.
pub(crate) async fn serve(
    mut client: TcpStream,
    peer: SocketAddr,
    current: Arc<ArcSwap<Binding>>,
    shared: Arc<Shared>,
    live: LiveGuard,
) {
    let binding = current.load_full();
    let mut outcome = if shared.probes.contains(peer) {
        Outcome::probe(Arc::clone(&binding.scope), peer)
    } else {
        Outcome::new(Arc::clone(&binding.scope), peer)
    };
    let is_unread = matches!(*binding.plan, PortPlan::Tcp(_));
    // In boxes of their own, which are freed before the relay: what lasts is small.
    let established = Box::pin(establish(&mut client, binding, &shared, &mut outcome)).await;
    let farewell = match established {
        Ok(Established::Passthrough { mut backend, terms }) => {
            let end = carry(&mut client, &mut backend, &terms, &outcome).await;
            farewell(end, &backend, &mut outcome)
        }
        Ok(Established::Probe(ending)) => {
            Box::pin(terminate::probe(client, *ending, &mut outcome)).await;
            return drop(live);
        }
        Ok(Established::Unread(upstream, terms)) => upstream.carry(&mut client, &terms, &shared, &mut outcome).await,
        Ok(Established::Terminate(terminate)) => {
            Box::pin(terminate.serve(client, &shared, outcome)).await;
            return drop(live);
        }
        Ok(Established::Requests(requests)) => {
            Box::pin(requests.serve(client, current, &shared, outcome)).await;
            return drop(live);
        }
        // Who speaks no TLS is not to be told by an alert of it.
        Err(refusal) if is_unread => refusal.silenced().farewell(&mut outcome, shared.config.rejections),
        Err(refusal) => refusal.farewell(&mut outcome, shared.config.rejections),
    };
    drop(outcome);
    farewell.say(client).await;
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

impl Farewell {
    async fn say(self, mut client: TcpStream) {
        match self {
            Self::Close => {}
            Self::Reset => socket::abort(&client),
            Self::Words(words) => socket::close_gracefully(&mut client, &words).await,
        }
    }
}

/// A connection about which everything is decided.
enum Established {
    /// Its backend has the hello.
    Passthrough { backend: TcpStream, terms: Terms },
    /// The handshake is all that is wanted, and we want it ourselves.
    Probe(Box<Ending>),
    /// Nothing was read of it, and its backend waits.
    Unread(Box<Upstream>, Terms),
    /// TLS is to be ended, and what is inside relayed.
    Terminate(Box<Terminate>),
    /// Requests are to be served.
    Requests(Box<Requests>),
}

/// What a relay goes by.
struct Terms {
    route: Arc<RouteScope>,
    idle_timeout: Option<Duration>,
    _source: Option<SourceGuard>,
}

/// How TLS with a client is ended.
struct Ending {
    server: Arc<ServerTls>,
    /// The hello, and what came after it.
    received: Vec<u8>,
    /// How long the rest of the handshake may take.
    left: Duration,
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
    let greeting = async {
        let mut greeter = Greeter::new(client);
        let introduced = introduce(&mut greeter, &binding, shared, outcome).await?;
        match *binding.plan {
            PortPlan::Tls(_) => greet(greeter, introduced).await.map(Ok),
            PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => Ok(Err((greeter.into_received(), introduced))),
        }
    };
    let greeting = timeout_at(deadline, greeting).await;
    let greeting = match greeting.map_err(|_| Refusal::from(CloseReason::HelloTimeout))?? {
        Ok(greeting) => greeting,
        Err((received, introduced)) => {
            if let PortPlan::Tcp(plan) = &*binding.plan {
                drop(place);
                return unread::establish(client, plan, &binding, (received, introduced), shared, outcome).await;
            }
            if let PortPlan::Http(plan) = &*binding.plan {
                let scope = binding.scope.plain(plan);
                outcome.enter_listener(Arc::clone(&scope));
                if scope.connections() > shared.config.max_connections {
                    return Err(Refusal::silent(CloseReason::ConnectionLimit));
                }
            }
            return Ok(Established::Requests(Box::new(Requests::plain(
                binding,
                received,
                introduced.source,
            ))));
        }
    };

    // 2. The listener, its route, and one of its backends.
    let plan = Arc::clone(&binding.plan);
    let facts = greeting.hello.facts(outcome.client);
    outcome.server_name = greeting.hello.server_name.name().map(Into::into);
    let left = deadline.saturating_duration_since(Instant::now());
    let (forward, server) = match plan.connection(Some(&facts), &mut NoTrace) {
        Action::Passthrough { listener, forward } => {
            outcome.enter_listener(binding.scope.listener(listener));
            (Arc::clone(forward), None)
        }
        Action::Terminate { listener, forward, .. } => {
            outcome.enter_listener(binding.scope.listener(listener));
            let server = server(&binding, listener, &greeting.hello, outcome)?;
            if outcome.is_probe() {
                let received = greeting.received;
                return Ok(Established::Probe(Box::new(Ending { server, received, left })));
            }
            (Arc::clone(forward), Some(server))
        }
        Action::Requests {
            listener: Some((id, listener, _)),
        } => {
            let scope = binding.scope.listener(listener);
            outcome.enter_listener(Arc::clone(&scope));
            if scope.connections() > shared.config.max_connections {
                return Err(CloseReason::ConnectionLimit.into());
            }
            let ending = Ending {
                server: server(&binding, listener, &greeting.hello, outcome)?,
                received: greeting.received,
                left,
            };
            if outcome.is_probe() {
                return Ok(Established::Probe(Box::new(ending)));
            }
            let requests = Requests::encrypted(Arc::clone(&binding), (id, scope), ending, greeting.introduced.source);
            return Ok(Established::Requests(Box::new(requests)));
        }
        // Only a port that has no hello answers so.
        Action::Requests { listener: None } | Action::Relay { .. } => return Err(CloseReason::Abandoned.into()),
        Action::Reject(rejection) => {
            if let Some(listener) = rejection.listener {
                outcome.enter_listener(binding.scope.listener(listener));
            }
            return Err(CloseReason::Rejected(rejection.reason).into());
        }
    };
    let (listener, route) = outcome.enter_route(&forward.route).ok_or(CloseReason::Abandoned)?;
    drop((place, plan));
    if listener.connections() > shared.config.max_connections {
        return Err(CloseReason::ConnectionLimit.into());
    }
    let backend = choose(&forward, outcome)?;
    if server.is_some() && matches!(backend.tls, UpstreamTls::Refused { .. }) {
        return Err(CloseReason::Backend(BackendFault::TlsPolicyInvalid).into());
    }

    // 3. An endpoint that answers.
    let mut stream = reach(&forward, &backend, &route, shared, outcome).await?;

    // 4. What the backend hears first: who connects, PostgreSQL's request; then the hello as it came, or one of our own.
    let opened_by = Instant::now() + forward.connect_timeout;
    let opening = timeout_at(
        opened_by,
        open::open(&mut stream, client, &greeting, &backend, server.is_none(), outcome),
    );
    opening.await.unwrap_or_else(|_| Err(open::timed_out()))?;
    let terms = Terms {
        route,
        idle_timeout: forward.idle_timeout,
        _source: greeting.introduced.source,
    };
    let Some(server) = server else {
        return Ok(Established::Passthrough { backend: stream, terms });
    };
    let ending = Ending {
        server,
        received: greeting.received,
        left,
    };
    let identity = binding.identity.as_ref();
    let upstream = Upstream::open(stream, backend, identity, opened_by, shared, &terms).await?;
    Ok(Established::Terminate(Box::new(Terminate { ending, upstream, terms })))
}

/// A connection to an endpoint of the backend; each that does not answer is counted for the route.
async fn reach(
    forward: &Forward,
    backend: &Arc<Backend>,
    route: &RouteScope,
    shared: &Shared,
    outcome: &mut Outcome,
) -> Result<TcpStream, Refusal> {
    let connected = shared.upstreams.connect(backend, forward.connect_timeout, |endpoint, fault| {
        route.count_connect_failure(fault.label());
        tracing::debug!(%endpoint, fault = fault.label(), "endpoint could not be connected to");
    });
    let (stream, endpoint) = connected.await.map_err(|error| refuse::unreachable(error, outcome))?;
    outcome.endpoint = Some(endpoint);
    Ok(stream)
}

/// What ends the listener's TLS. That it cannot for this hello is said before the handshake, where the alert can be the right one.
fn server(
    binding: &Binding,
    listener: &Arc<TlsListener>,
    hello: &ClientHello,
    outcome: &mut Outcome,
) -> Result<Arc<ServerTls>, Refusal> {
    let PortPlan::Tls(plan) = binding.plan.as_ref() else {
        return Err(CloseReason::Abandoned.into());
    };
    let position = plan.listeners.iter().position(|other| Arc::ptr_eq(other, listener));
    let server = position.and_then(|position| binding.servers.get(position)?.clone());
    let fault = match server {
        None => HandshakeFault::CertificateUnavailable,
        Some(server) => match server.foresee(hello) {
            None => return Ok(server),
            Some(fault) => fault,
        },
    };
    outcome.count_handshake(Err(fault));
    Err(CloseReason::Handshake(fault).into())
}

/// Who connects, as far as it is said before anything else.
struct Introduced {
    /// Both ends as a trusted proxy in front has them.
    proxied: Option<Addresses>,
    source: Option<SourceGuard>,
}

/// What the client sent before anything was decided.
struct Greeting {
    /// The ClientHello and whatever came after it, to be replayed.
    received: Vec<u8>,
    hello: ClientHello,
    /// The client asked for TLS as PostgreSQL's clients do.
    postgres: bool,
    introduced: Introduced,
}

async fn introduce(
    greeter: &mut Greeter<'_>,
    binding: &Binding,
    shared: &Shared,
    outcome: &mut Outcome,
) -> Result<Introduced, Refusal> {
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
    Ok(Introduced { proxied, source })
}

async fn greet(mut greeter: Greeter<'_>, introduced: Introduced) -> Result<Greeting, Refusal> {
    let postgres = greeter.encryption_requests().await?;
    let hello = greeter.hello().await?;
    Ok(Greeting {
        received: greeter.into_received(),
        hello,
        postgres,
        introduced,
    })
}

/// How a relay ended; `None`: its route has drained.
async fn carry(client: &mut impl End, backend: &mut impl End, terms: &Terms, outcome: &Outcome) -> Option<RelayEnd> {
    let closed = pin!(terms.route.life().closed());
    tokio::select! {
        end = relay(client, backend, terms.idle_timeout, &outcome.traffic) => Some(end),
        () = Seldom::new(closed) => None,
    }
}

/// Records how a relay ended, and says how to close.
fn farewell(end: Option<RelayEnd>, backend: &TcpStream, outcome: &mut Outcome) -> Farewell {
    match end {
        None => outcome.end(CloseReason::Drained, None),
        Some(RelayEnd::Closed) => outcome.end(CloseReason::Closed, None),
        Some(RelayEnd::Idle) => outcome.end(CloseReason::IdleTimeout, None),
        Some(RelayEnd::Failed {
            side: Side::Client,
            error,
        }) => {
            outcome.end(CloseReason::ClientFailed, Some(error.to_string()));
            // Nobody reads any more: the backend learns it at once.
            socket::abort(backend);
        }
        Some(RelayEnd::Failed {
            side: Side::Backend,
            error,
        }) => {
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
