//! A proxy that starts anew has what it had, without a controller.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::kit::*;
use crate::{Client, keep};

#[tokio::test]
async fn a_proxy_that_starts_anew_serves_without_a_controller() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    cluster.route("a", "shop", "shop.test");
    let (server, _) = server([("token", proxy_of("a", "pod"))]);
    server.publish(&cluster.published());
    let Piped { client, files, ends, .. } = piped(&server, "token");
    let _obedient = obedient(&client);
    let run = tokio::spawn({
        let client = client.clone();
        async move { client.run().await }
    });
    let first = received(&client, 1).await;
    let path = files.path("kept").join("last-good");
    for _ in 0..1_000 {
        if path.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.abort();
    ends.abort();
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);

    let again = Client::new(files.settings("nowhere"));
    let kept = again.received().borrow().clone().expect("kept");
    assert_eq!(kept.snapshot, first.snapshot);
    assert_eq!(kept.keys, first.keys);
    assert_eq!((kept.content, kept.revision), (first.content, None));

    // The controller has nothing to tell it, and hears of it once the data plane obeys.
    again.acknowledge(&kept, crate::Report::default());
    let (near, far) = tokio::io::duplex(1 << 16);
    let _ends = connect(&again, near);
    let _served = serve(&server, far);
    let proxy = proxy_is(&server, "a", "pod", |proxy| proxy.acknowledged.is_some()).await;
    assert_eq!(proxy.acknowledged.expect("there").content, first.content);
    assert!(std::sync::Arc::ptr_eq(
        &again.received().borrow().clone().expect("there"),
        &kept
    ));
}

#[test]
fn a_file_that_is_damaged_or_of_another_version_is_not_believed() {
    let files = Files::new("token");
    let directory = files.path("kept");
    assert!(keep::load(&directory).expect("nothing is no fault").is_none());
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let published = cluster.published();
    let snapshot = &published.values().next().expect("a").snapshot;
    let delta = sealway_core::Parts::of(snapshot, &sealway_core::Parts::default()).since([]);
    let mut building = crate::client::Building::default();
    for (key, bytes) in &delta.set {
        for payload in crate::frame::part(key, bytes) {
            building
                .take(crate::frame::Frame::parse(&payload).expect("a frame"))
                .expect("taken");
        }
    }
    let state = crate::client::State::default().follow(building).expect("fits");
    keep::store(&directory, &state).expect("stored");
    let path = directory.join("last-good");
    let whole = std::fs::read(&path).expect("read");
    assert_eq!(
        keep::load(&directory).expect("read").expect("there").content(),
        state.content()
    );
    for position in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x10;
        std::fs::write(&path, &damaged).expect("written");
        assert!(keep::load(&directory).is_err(), "{position}");
        std::fs::write(&path, &whole[..position]).expect("written");
        assert!(keep::load(&directory).is_err(), "{position}");
    }
    // It can be written over, whatever it is.
    keep::store(&directory, &state).expect("stored");
    assert_eq!(std::fs::read(&path).expect("read"), whole);
}
