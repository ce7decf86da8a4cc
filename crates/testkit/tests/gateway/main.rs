//! The whole gateway in one process, from YAML to bytes: every crate but the binary.

mod article;
mod blast_radius;
mod calls;
mod changes;
mod default_gateways;
mod endpoints;
mod manifests;
mod proxy_protocol;
mod refusals;
mod requests;
mod sessions;
mod tcp;
mod traces;
mod traffic_policies;
mod udp;
mod x_backends;
