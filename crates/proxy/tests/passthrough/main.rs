//! The data plane over real sockets: real TLS clients, real TLS backends, everything on the loopback.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test that called it")]

mod configuration;
#[path = "../kit/mod.rs"]
mod kit;
mod limits;
mod postgres;
mod proxy_protocol;
mod refusals;
mod routing;
