//! Development only: what tests of every crate share.
//!
//! The demo's CA, backends and clients under shorter paths, certificates with every flaw, backends that misbehave, a gateway in this process, free ports and
//! waiting on conditions. Nothing here ships: crates name this one under `dev-dependencies`.

pub mod faulty;
pub mod flaws;
pub mod gateway;
mod ports;
mod sample;
mod waiting;

pub use ports::{LOOPBACK, free_port, loopback};
pub use sample::sample_certificates;
pub use sealway_demo::{backends, certificates, clients, manifests, output, rows, wire};
pub use waiting::wait_until;
