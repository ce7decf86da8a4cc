//! Certificates change under handshakes and open connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ClientConfig;
use rustls::client::Resumption;

use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";

fn never_resuming(authority: &Authority) -> Arc<ClientConfig> {
    let mut client = authority.client_with(None, rustls::ALL_VERSIONS);
    client.resumption = Resumption::disabled();
    Arc::new(client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_rotations_fail_no_handshake_and_drop_no_connection() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pairs: Vec<_> = (0..101).map(|_| Pair::new(&authority, &[NAME])).collect();
    let site = Site::echoing(termination(vec![pairs[0].slot()]), &keys([&pairs[0]]), &echo);
    let client = never_resuming(&authority);
    let mut open = tls(site.address, NAME, Arc::clone(&client)).await.unwrap();
    assert_reaches(&mut open, "echo").await;

    // Beside it, clients come all the time; whatever they are shown is one of ours, and none older than one seen before.
    let over = Arc::new(AtomicBool::new(false));
    let visitor = {
        let (over, client, address) = (Arc::clone(&over), Arc::clone(&client), site.address);
        let leaves: Vec<_> = pairs.iter().map(|pair| pair.leaf().clone()).collect();
        tokio::spawn(async move {
            let (mut newest, mut visits) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                let leaf = shown(address, NAME, &client).await;
                let position = leaves.iter().position(|known| *known == leaf).unwrap();
                assert!(position >= newest, "{position} after {newest}");
                newest = position;
                visits += 1;
            }
            visits
        })
    };
    for pair in &pairs[1..] {
        site.publish(echo_plan(termination(vec![pair.slot()]), &echo), &keys([pair]));
        assert_eq!(shown(site.address, NAME, &client).await, *pair.leaf());
    }
    over.store(true, Ordering::SeqCst);
    assert!(within(visitor).await.unwrap() > 0);
    assert_echoes(&mut open).await;
    assert_eq!(
        site.gateway.sum("sealway_handshakes_total", &["result=\"failure\""]),
        0,
        "{}",
        site.gateway.metrics()
    );
}
