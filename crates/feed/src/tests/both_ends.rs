//! What one end publishes, the other has, and the first knows.

use std::net::SocketAddr;
use std::sync::Arc;

use sealway_core::{BindFailure, PortState, SocketKey, Transport};

use super::kit::*;
use crate::Report;
use crate::message::{Down, Up};

#[tokio::test]
async fn a_proxy_has_what_was_published_and_the_controller_knows() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    cluster.gateway("b", 8443);
    let (server, _) = server([("token-a", proxy_of("a", "pod-1"))]);
    let published = cluster.published();
    server.publish(&published);
    let Piped {
        client,
        ends,
        files: _files,
        ..
    } = piped(&server, "token-a");

    let first = received(&client, 1).await;
    let wanted = published.values().next().expect("a");
    assert_eq!(first.gateway.key, gateway("a"));
    assert_eq!(first.snapshot, wanted.snapshot);
    // Its own key, and not the other's.
    let named: Vec<_> = wanted
        .snapshot
        .certificates()
        .map(|certificate| certificate.content)
        .collect();
    assert_eq!(first.keys.0.keys().copied().collect::<Vec<_>>(), named);
    assert_eq!(first.keys.get(&named[0]), wanted.keys.get(&named[0]));

    // Nothing is acknowledged before the data plane obeys, and its ports are known by then.
    assert_eq!(proxy_is(&server, "a", "pod-1", |_| true).await.acknowledged, None);
    let socket = SocketKey {
        transport: Transport::Tcp,
        address: SocketAddr::from(([127, 0, 0, 1], 443)),
    };
    let report = Report {
        ports: vec![(socket, PortState::Failed(BindFailure::NotPermitted))],
        ..Report::default()
    };
    client.acknowledge(&first, report.clone());
    let proxy = proxy_is(&server, "a", "pod-1", |proxy| proxy.acknowledged.is_some()).await;
    assert_eq!(proxy.report, report);
    assert_eq!(proxy.acknowledged.as_ref(), server.published().get(&gateway("a")));

    // A change of one part leaves the rest the same, and the same snapshot under a new revision is acknowledged at once.
    cluster.route("a", "shop", "shop.test");
    server.publish(&cluster.published());
    let second = received(&client, 2).await;
    assert_ne!(second.snapshot, first.snapshot);
    assert!(Arc::ptr_eq(
        second.keys.get(&named[0]).expect("there"),
        first.keys.get(&named[0]).expect("there")
    ));
    client.acknowledge(&second, Report::default());
    server.publish(&cluster.published());
    let proxy = proxy_is(&server, "a", "pod-1", |proxy| {
        proxy.acknowledged.is_some_and(|it| it.revision == 3)
    })
    .await;
    assert_eq!(proxy.acknowledged.expect("there").content, second.content);

    // A certificate that is renewed: the old key is gone.
    cluster.gateway("a", 443);
    server.publish(&cluster.published());
    let third = received(&client, 4).await;
    assert_eq!(third.keys.0.len(), 1);
    assert!(third.keys.get(&named[0]).is_none());

    // Who leaves is forgotten.
    client.leave();
    assert!(ends.await.expect("no panic").is_ok());
    until(&mut server.proxies(), |proxies| proxies.is_empty()).await;
}

#[tokio::test]
async fn a_proxy_that_comes_back_is_told_what_it_lacks() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    cluster.route("a", "shop", "shop.test");
    let (server, _) = server([("token", proxy_of("a", "pod"))]);
    server.publish(&cluster.published());
    let Piped {
        client,
        ends,
        files: _files,
        ..
    } = piped(&server, "token");
    let _obedient = obedient(&client);
    let first = received(&client, 1).await;
    proxy_is(&server, "a", "pod", |proxy| proxy.acknowledged.is_some()).await;
    ends.abort();

    // By another server, as after an update of the controller, which knows nothing of what was.
    let (server, _) = super::kit::server([("token", proxy_of("a", "pod"))]);
    cluster.route("a", "cart", "cart.test");
    let published = cluster.published();
    server.publish(&published);
    let (near, far) = tokio::io::duplex(1 << 16);
    let _ends = connect(&client, near);
    let _served = serve(&server, far);
    let second = received(&client, 2).await;
    assert_eq!(&second.snapshot, &published.values().next().expect("a").snapshot);
    assert_ne!(second.content, first.content);
    proxy_is(&server, "a", "pod", |proxy| proxy.acknowledged.is_some()).await;

    // What it has it is not told again: of everything but the new route there was nothing on the wire.
    let (server, _) = super::kit::server([("token", proxy_of("a", "pod"))]);
    server.publish(&published);
    let (near, far) = tokio::io::duplex(1 << 16);
    let _served = serve(&server, far);
    let mut hand = ByHand { stream: near };
    hand.say(&Up::Hello {
        protocol: 1,
        token: crate::Token::new("token"),
        version: String::new(),
        content: Some(first.content),
    })
    .await;
    assert!(matches!(hand.message().await, Some(Down::Welcome { .. })));
    assert!(matches!(hand.message().await, Some(Down::Tell)));
    let parts = sealway_core::Parts::of(&first.snapshot, &sealway_core::Parts::default());
    hand.say(&Up::Held {
        parts: parts.digests().map(|(key, digest)| (key.clone(), digest)).collect(),
        keys: first.keys.0.keys().copied().collect(),
        is_last: true,
    })
    .await;
    let mut told = Vec::new();
    loop {
        let payload = hand.next().await.expect("more");
        match crate::frame::Frame::parse(&payload).expect("a frame") {
            crate::frame::Frame::Part(key, _) => told.push(key.to_string()),
            crate::frame::Frame::Key(..) => panic!("a key that is there"),
            crate::frame::Frame::Message(bytes) => {
                if let Ok(Down::Obey { .. }) = crate::message::decode(bytes, Down::Unknown) {
                    break;
                }
            }
        }
    }
    assert_eq!(told, ["host/tcp/443/https/(any name)", "rule/HTTPRoute infra/cart/0"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_said_and_changes_nothing() {
    let files = Files::new("token");
    let client = crate::Client::new(files.settings("nowhere"));
    let (near, far) = tokio::io::duplex(1 << 16);
    let _ends = connect(&client, near);
    let mut hand = ByHand { stream: far };
    let heard =
        |payload: Option<crate::frame::Payload>| crate::message::decode(&payload.expect("a frame"), Up::Unknown).expect("JSON");
    assert!(matches!(heard(hand.next().await), Up::Hello { content: None, .. }));
    hand.say(&Down::Welcome {
        version: String::new(),
        gateway: Some(gateway("a")),
    })
    .await;
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let published = cluster.published();
    let snapshot = &published.values().next().expect("a").snapshot;
    let parts = sealway_core::Parts::of(snapshot, &sealway_core::Parts::default());
    let content = crate::Content::of(parts.digests(), std::iter::empty());
    let other = crate::Content::of(std::iter::empty(), std::iter::empty());
    // Without its listener; then with another content than is promised; then whole.
    for (revision, without, content, expected) in [
        (1, "tcp/443/https", content, Some("needs")),
        (2, "", other, Some("not what the controller has")),
        (3, "", content, None),
    ] {
        for (key, bytes) in parts.since([]).set.iter().filter(|(key, _)| key.as_str() != without) {
            for payload in crate::frame::part(key, bytes) {
                hand.send(&payload).await;
            }
        }
        hand.say(&Down::Obey { revision, content }).await;
        let Some(expected) = expected else { break };
        let refused = loop {
            match heard(hand.next().await) {
                Up::Refused { revision, reason } => break (revision, reason),
                Up::Ping | Up::Report(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused.0, revision);
        assert!(refused.1.contains(expected), "{}", refused.1);
        assert!(client.received().borrow().is_none());
    }
    assert_eq!(&received(&client, 3).await.snapshot, snapshot);
}
