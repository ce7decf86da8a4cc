//! The data plane: listeners, ClientHello peek, passthrough relay, drain.
//!
//! [`Proxy`] takes snapshots and keeps sockets; `connection` is one connection from top to bottom; [`relay`] moves its bytes; `datagram`
//! is the same for UDP.
//! Nothing here decides who gets what: that is asked of the snapshot.

mod config;
mod connection;
mod datagram;
mod draw;
mod http;
mod limits;
mod listeners;
mod metrics;
mod outcome;
mod probes;
mod proxy;
mod scope;
mod scratch;
mod seldom;
mod socket;
mod tls;
mod upstream;

pub mod client_hello;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod postgres;
pub mod preface;
pub mod proxy_protocol;
pub mod relay;

pub use config::{Config, Rejections, raise_descriptor_limit};
pub use http::{HttpLimits, HttpReason};
pub use metrics::{Metrics, Reload};
pub use outcome::{ACCESS_TARGET, Blame, CloseReason, ConnectFault};
pub use probes::ProbeGuard;
pub(crate) use proxy::Shared;
pub use proxy::{ListenerConnections, Proxy};
pub use tls::HandshakeFault;
