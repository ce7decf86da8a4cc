//! What a connection holds while it lasts.

use std::collections::BTreeMap;

use sealway_api::ObjectKey;
use sealway_core::{PortPlan, Snapshot, TlsPlan};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::scope::PortScope;

#[tokio::test]
async fn what_a_relayed_connection_holds_is_small() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let shared = Arc::new(Shared::new(Config::default(), Metrics::default()));
    let gateway = ObjectKey::new("infra", "edge");
    let snapshot = Snapshot {
        gateway: gateway.clone(),
        addresses: Vec::new(),
        port_offset: 0,
        trusted_proxies: Vec::new(),
        client_certificate: None,
        client_certificate_headers: Default::default(),
        session_key: None,
        tracing: None,
        ports: BTreeMap::new(),
    };
    let binding = Binding {
        scope: Arc::new(PortScope::new(&gateway, 443, Metrics::default())),
        snapshot: Arc::new(snapshot),
        plan: Arc::new(PortPlan::Tls(TlsPlan::default())),
        servers: Vec::new(),
        tracer: None,
        identity: None,
        state: Default::default(),
    };
    let live = shared.live.enter();
    let peer = client.local_addr().unwrap();
    // The task of a connection is this future and tokio's header; the greeting has a box of its own, freed before the relay.
    let future = serve(client, peer, Arc::new(ArcSwap::from_pointee(binding)), shared, live);
    assert!(size_of_val(&future) <= 1536, "{} bytes", size_of_val(&future));
}
