//! A proxy that lies in everything it says gets what is its own Gateway's, and nothing else.

use serde_json::{Value, json};
use tokio::io::duplex;

use super::kit::*;
use crate::message::Down;

#[tokio::test(start_paused = true)]
async fn a_proxy_that_lies_in_every_field_gets_nothing_of_another_gateway() {
    let mut cluster = Cluster::new();
    cluster.gateway("victim", 443);
    cluster.route("victim", "payroll", "payroll.victim-only.test");
    cluster.gateway("evil", 8443);
    cluster.route("evil", "own", "own.evil.test");
    let (server, tokens) = server([("evil", proxy_of("evil", "pod")), ("victim", proxy_of("victim", "pod"))]);
    let published = cluster.published();
    server.publish(&published);
    let of = |name: &str| {
        let mut each = published.iter().filter(move |(object, _)| object.key.name == name);
        each.next().expect("published").1
    };
    let victim = of("victim");
    let content = server.published().get(&gateway("victim")).expect("published").content;
    let parts = sealway_core::Parts::of(&victim.snapshot, &sealway_core::Parts::default());
    let digests: std::collections::BTreeMap<_, _> = parts.digests().collect();
    let victims_key = victim.snapshot.certificates().next().expect("one").content;
    let secret = victim.keys.get(&victims_key).expect("there").key.secret_der();

    let hello = |changes: Value| {
        let mut hello = json!({"say": "hello", "protocol": 1, "token": "evil", "version": "x"});
        for (field, value) in changes.as_object().expect("fields") {
            hello[field] = value.clone();
        }
        hello
    };
    let lies = [
        json!({}),
        json!({"content": content}),
        json!({"gateway": {"namespace": "infra", "name": "victim"}, "instance": "pod", "pod": "pod", "role": "controller"}),
        json!({"version": "infra/victim\n".repeat(1000)}),
        json!({"content": content, "token": "evil\nvictim"}),
        json!({"token": "Victim"}),
        json!({"token": ""}),
    ];
    let afterwards = [
        vec![],
        // It has all that the victim has, save the key; it has nothing; it has what nobody has.
        vec![json!({"say": "held", "parts": digests, "keys": [], "isLast": true})],
        vec![
            json!({"say": "held", "parts": {"head": "0".repeat(32), "../other": "0".repeat(32)}, "keys": [victims_key], "isLast": true}),
        ],
        vec![
            json!({"say": "acknowledged", "revision": 1}),
            json!({"say": "acknowledged", "revision": 1}),
        ],
        vec![
            json!({"say": "refused", "revision": 1, "reason": "again, please"}),
            json!({"say": "held", "parts": {}, "keys": [], "isLast": true}),
        ],
        vec![json!({"say": "proxy", "gateway": {"namespace": "infra", "name": "victim"}, "pod": "pod", "state": null})],
        vec![json!({"say": "allProxies"})],
        vec![json!({"say": "report", "ports": [], "gateway": {"namespace": "infra", "name": "victim"}})],
        vec![hello(json!({"token": "victim"}))],
    ];
    for lie in &lies {
        for said in &afterwards {
            let (near, far) = duplex(1 << 20);
            let served = serve(&server, far);
            let mut hand = ByHand { stream: near };
            hand.say(&hello(lie.clone())).await;
            for message in said {
                hand.say(message).await;
            }
            let mut got = Vec::new();
            // Until it is ended, by the server or as silent.
            while let Some(payload) = hand.next().await {
                got.extend_from_slice(&payload);
            }
            served.await.expect("no panic");
            let has = |bytes: &[u8]| got.windows(bytes.len()).any(|window| window == bytes);
            assert!(!has(secret), "the key of another Gateway for {lie} {said:?}");
            // What it names itself may be named to it as gone.
            assert!(!has(b"victim"), "something of another Gateway for {lie} {said:?}");
            let proxies = server.proxies().borrow().clone();
            assert!(!proxies.contains_key(&gateway("victim")), "{proxies:?}");
        }
    }

    // A token that changes hands while connected ends the connection, and gives nothing.
    let (near, far) = duplex(1 << 20);
    let _served = serve(&server, far);
    let mut hand = ByHand::hello(near, "evil").await;
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    hand.say(&json!({"say": "ping"})).await;
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    hand.say(&json!({"say": "ping"})).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    hand.say(&json!({"say": "token", "token": "victim"})).await;
    let mut last = None;
    while let Some(message) = hand.message().await {
        assert!(!format!("{message:?}").contains("victim"));
        last = Some(message);
    }
    assert!(matches!(last, Some(Down::Rejected { .. })), "{last:?}");
    drop(tokens);
}

#[tokio::test(start_paused = true)]
async fn who_says_what_cannot_be_understood_is_ended() {
    let (server, _) = server([("token", proxy_of("a", "pod"))]);
    for payload in [&b"X"[..], b"", b"{", b"P\x01\x00\x01a", b"K\x01"] {
        for is_first in [true, false] {
            let (near, far) = duplex(1 << 16);
            let served = serve(&server, far);
            let mut hand = match is_first {
                true => ByHand { stream: near },
                false => ByHand::hello(near, "token").await,
            };
            hand.send(payload).await;
            let mut last = None;
            while let Some(message) = hand.message().await {
                last = Some(message);
            }
            assert!(
                matches!(
                    last,
                    Some(Down::Rejected {
                        reason: crate::Rejection::Malformed
                    })
                ),
                "{payload:?} {last:?}"
            );
            served.await.expect("no panic");
        }
    }
}
