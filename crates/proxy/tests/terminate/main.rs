//! TLS that ends at the gateway, over real sockets: real TLS clients, real backends, everything on the loopback.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test that called it")]

mod backends;
mod certificates;
mod clients;
#[path = "../kit/mod.rs"]
mod kit;
mod refusals;
mod relayed;
mod resumption;
mod revocation;
mod rig;
mod rotation;
