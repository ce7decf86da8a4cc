//! Silence, slowness and old tokens; time is passed in.

use std::time::Duration;

use tokio::io::duplex;
use tokio::time::{Instant, sleep};

use super::kit::*;
use crate::Rejection;
use crate::message::{Down, Up};
use crate::server::Unauthorised;

#[tokio::test(start_paused = true)]
async fn who_says_nothing_for_ten_seconds_is_silent_and_the_others_do_not_notice() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let (server, _) = server([("one", proxy_of("a", "one")), ("two", proxy_of("a", "two"))]);
    server.publish(&cluster.published());
    let (near, far) = duplex(1 << 16);
    let begun = Instant::now();
    let served = serve(&server, far);
    let _mute = ByHand::hello(near, "one").await;
    let Piped {
        client, files: _files, ..
    } = piped(&server, "two");
    let _obedient = obedient(&client);
    proxy_is(&server, "a", "two", |proxy| proxy.acknowledged.is_some()).await;
    served.await.expect("no panic");
    let passed = begun.elapsed();
    assert!(
        passed >= Duration::from_secs(10) && passed < Duration::from_secs(14),
        "{passed:?}"
    );
    proxy_is(&server, "a", "one", |proxy| proxy.silent_since.is_some()).await;
    proxy_is(&server, "a", "two", |proxy| proxy.silent_since.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_ended_and_holds_nobody_back() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    for number in 0..50 {
        cluster.route("a", &format!("r{number}"), "target.test");
    }
    let (server, _) = server([("stuck", proxy_of("a", "stuck")), ("fine", proxy_of("a", "fine"))]);
    server.publish(&cluster.published());
    // It goes on to say that it is there, and reads nothing.
    let (near, far) = duplex(256);
    let served = serve(&server, far);
    let mut stuck = ByHand::hello(near, "stuck").await;
    let talks = tokio::spawn(async move {
        loop {
            stuck.say(&Up::Ping).await;
            sleep(Duration::from_secs(3)).await;
        }
    });
    let Piped {
        client, files: _files, ..
    } = piped(&server, "fine");
    let _obedient = obedient(&client);
    for revision in 1..5 {
        let begun = Instant::now();
        proxy_is(&server, "a", "fine", |proxy| {
            proxy.acknowledged.is_some_and(|it| it.revision == revision)
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(1));
        cluster.route("a", "r0", &format!("{revision}.test"));
        server.publish(&cluster.published());
    }
    served.await.expect("no panic");
    proxy_is(&server, "a", "stuck", |proxy| proxy.silent_since.is_some()).await;
    talks.abort();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_falls_silent_is_left() {
    let files = Files::new("token");
    let client = crate::Client::new(files.settings("nowhere"));
    let (near, _far) = duplex(1 << 16);
    let fault = client.connection(near, false).await;
    assert!(matches!(fault, Err(crate::LinkFault::Silent)), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_whose_answer_is_awaited_is_told_only_the_latest() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let (server, _) = server([("token", proxy_of("a", "pod"))]);
    server.publish(&cluster.published());
    let Piped {
        client, files: _files, ..
    } = piped(&server, "token");
    let first = received(&client, 1).await;
    for number in 0..5 {
        cluster.route("a", &format!("r{number}"), "target.test");
        server.publish(&cluster.published());
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(
        client.received().borrow().as_ref().and_then(|received| received.revision),
        Some(1)
    );
    client.acknowledge(&first, crate::Report::default());
    let mut received = client.received();
    received.mark_unchanged();
    let latest = until(&mut received, |received| {
        received.as_ref().is_some_and(|it| it.revision != Some(1))
    })
    .await;
    assert_eq!(latest.and_then(|latest| latest.revision), Some(6));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_reviewed_again_and_again() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    cluster.gateway("b", 8443);
    for (says, least, most, why) in [
        // The pod has lost its Gateway: at the next review.
        (Err(Unauthorised::Refused), 0, 240, Rejection::Unauthorised),
        // It is another's pod by now.
        (proxy_of("b", "pod"), 0, 240, Rejection::Unauthorised),
        // Nobody can be asked: what was said holds for ten minutes, and no longer.
        (Err(Unauthorised::Unavailable), 400, 610, Rejection::Expired),
    ] {
        let (server, tokens) = server([("token", proxy_of("a", "pod"))]);
        server.publish(&cluster.published());
        let Piped {
            client,
            ends,
            files: _files,
            ..
        } = piped(&server, "token");
        let _obedient = obedient(&client);
        proxy_is(&server, "a", "pod", |proxy| proxy.acknowledged.is_some()).await;
        // Reviews that go well keep it for ever.
        sleep(Duration::from_secs(3600)).await;
        assert!(!ends.is_finished());
        let begun = Instant::now();
        tokens.lock().expect("whole").insert("token".to_owned(), says.clone());
        let fault = ends.await.expect("no panic");
        assert!(
            matches!(&fault, Err(crate::LinkFault::Rejected(reason)) if *reason == why),
            "{fault:?}"
        );
        let passed = begun.elapsed().as_secs();
        assert!((least..most).contains(&passed), "{passed} s for {says:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_shown_before_the_old_one_expires() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let brief = proxy_of("a", "pod").map(|mut authorised| {
        authorised.valid_for = Some(Duration::from_secs(100));
        authorised
    });
    let (server, tokens) = server([("first", brief)]);
    tokens
        .lock()
        .expect("whole")
        .insert("second".to_owned(), proxy_of("a", "pod"));
    server.publish(&cluster.published());
    let Piped { client, ends, files, .. } = piped(&server, "first");
    let _obedient = obedient(&client);
    received(&client, 1).await;
    std::fs::write(files.path("token"), "second\n").expect("written");
    sleep(Duration::from_secs(200)).await;
    assert!(!ends.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_connects_anew_takes_the_place_of_its_old_connection() {
    let (server, _) = server([("token", proxy_of("a", "pod"))]);
    let (near, far) = duplex(1 << 16);
    let _served = serve(&server, far);
    let mut old = ByHand::hello(near, "token").await;
    assert!(matches!(old.message().await, Some(Down::Welcome { .. })));
    let Piped {
        ends,
        client: _client,
        files: _files,
        ..
    } = piped(&server, "token");
    assert!(matches!(
        old.message().await,
        Some(Down::Rejected {
            reason: Rejection::Replaced
        })
    ));
    // The end of the old one says nothing of the new one.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(proxy_is(&server, "a", "pod", |_| true).await.silent_since, None);
    assert!(!ends.is_finished());
}
