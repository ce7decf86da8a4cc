//! Snapshots from the controller to its proxies.
//!
//! [`Server`] is the controller's end: it is given a snapshot with keys for each Gateway, tells every proxy of that Gateway what differs
//! from what it has, and says who has what. [`Client`] is a proxy's end: it gives out snapshots, and keeps the last good one while there
//! is no controller. [`relay`] tells the controller that writes statuses of the proxies of the others.
//! Invariants: a proxy gets the parts and keys of the Gateway that its token belongs to, whatever it says; a delta is obeyed whole or not
//! at all; who is slow or silent costs the others nothing; everything has a cap and a deadline.

mod authority;
mod backoff;
mod client;
mod content;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod keep;
mod link;
mod message;
mod relay;
mod server;
#[cfg(test)]
mod tests;
mod tls;

pub use authority::{Authority, AuthorityFault, Leaf};
pub use client::{Client, ClientSettings, Link, LinkFault, Received};
pub use content::Content;
pub use keep::KeptFault;
pub use message::{Rejection, Report, Token};
pub use relay::relay;
pub use server::{
    Acknowledged, Authenticate, Authorised, Peer, Proxies, ProxyState, Published, RefusedDelta, Server, Unauthorised,
};
pub use tls::{SERVER_NAME, TlsFault, server_config};
