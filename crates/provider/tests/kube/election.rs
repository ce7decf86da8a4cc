//! Election by Lease.

use std::time::Duration;

use sealway_provider::kube::{Election, ElectionSettings, Leadership, LeaseTiming};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::server::{FaultKind, Server};

const LEASES: &str = "coordination.k8s.io/v1/leases";

async fn candidate(server: &Server, identity: &str) -> Election {
    let settings = ElectionSettings {
        namespace: "sealway-system".to_owned(),
        name: "sealway-controller".to_owned(),
        identity: identity.to_owned(),
        feed_address: Some(format!("{identity}:15443")),
        timing: LeaseTiming {
            duration: Duration::from_secs(4),
            renew_deadline: Duration::from_secs(2),
            retry: Duration::from_millis(200),
        },
    };
    Election::start(server.client().await, settings)
}

async fn until(leadership: &mut watch::Receiver<Leadership>, what: &str, holds: impl FnMut(&Leadership) -> bool) {
    let waited = timeout(Duration::from_secs(20), leadership.wait_for(holds)).await;
    waited
        .unwrap_or_else(|_| panic!("never: {what}"))
        .expect("the candidate runs");
}

fn leads(leadership: &Leadership) -> bool {
    *leadership == Leadership::Leader
}

fn feed_of(leadership: &Leadership) -> Option<&str> {
    match leadership {
        Leadership::Follower(Some(holder)) => holder.feed_address.as_deref(),
        _ => None,
    }
}

#[tokio::test]
async fn one_leads_the_other_knows_its_address_and_follows_a_release_at_once() {
    let server = Server::start().await;
    let one = candidate(&server, "one").await;
    until(&mut one.leadership(), "a leader", leads).await;
    let two = candidate(&server, "two").await;
    until(&mut two.leadership(), "the leader's address", |now| {
        feed_of(now) == Some("one:15443")
    })
    .await;
    // Renewed, not merely held: longer than the deadline.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(leads(&one.leadership().borrow()));
    let mut first = one.leadership();
    let begun = Instant::now();
    one.release().await;
    assert!(!leads(&first.borrow_and_update()));
    until(&mut two.leadership(), "the other", leads).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "it need not wait for the Lease to run out"
    );
    let lease = server.get(LEASES, "sealway-system", "sealway-controller").expect("a Lease");
    assert_eq!(
        lease["spec"]["leaseTransitions"], 1,
        "counted when it is acquired, as client-go does"
    );
    assert_eq!(lease["metadata"]["annotations"]["sealway.dev/feed-address"], "two:15443");
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_and_leads_again_when_it_can() {
    let server = Server::start().await;
    let one = candidate(&server, "one").await;
    let mut leadership = one.leadership();
    until(&mut leadership, "a leader", leads).await;
    server.fault("PUT", "/leases/", FaultKind::Status(500, None), usize::MAX);
    server.fault("GET", "/leases/", FaultKind::Status(500, None), usize::MAX);
    let begun = Instant::now();
    until(&mut leadership, "nobody", |now| !leads(now)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    server.mend();
    until(&mut leadership, "the same again", leads).await;
}

#[tokio::test]
async fn whoever_comes_second_to_a_write_does_not_lead() {
    let server = Server::start().await;
    let one = candidate(&server, "one").await;
    let mut leadership = one.leadership();
    until(&mut leadership, "a leader", leads).await;
    server.fault(
        "PUT",
        "/leases/",
        FaultKind::Before(|lease| lease["spec"]["holderIdentity"] = "thief".into()),
        1,
    );
    until(
        &mut leadership,
        "the thief",
        |now| matches!(now, Leadership::Follower(Some(holder)) if holder.identity == "thief"),
    )
    .await;
}
