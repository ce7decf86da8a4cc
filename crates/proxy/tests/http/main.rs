//! HTTP through the data plane over real sockets: real clients, real backends, everything on the loopback.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test that called it")]

#[path = "../kit/mod.rs"]
mod kit;

mod authorization;
mod bodies;
mod client_certificate;
mod cors;
mod encrypted;
mod faults;
mod filters;
mod flood;
mod headers;
mod http_kit;
mod hygiene;
mod lifetime;
mod losses;
mod pools;
#[expect(dead_code, reason = "shared with the tests of ended TLS, which use the rest")]
#[path = "../terminate/rig.rs"]
mod rig;
mod routing;
mod whole;
