//! The data plane over real sockets: real TLS clients, real TLS backends, everything on the loopback.

mod configuration;
mod kit;
mod limits;
mod postgres;
mod proxy_protocol;
mod refusals;
mod routing;
