//! What is served, seen from outside: the gateway shakes hands with itself, and with the backends that TLS passes through to.
//!
//! Job: after each change, and every now and then, compare the certificates that really arrive with those in the issued Secrets. Input: the
//! [`View`] (what the data plane obeys) and the issuer's [`Outlook`]. Output: [`Reports`], which become a condition `Served` of each
//! Certificate, and problems. Invariant: what is served and what is in the Secret never differ unnoticed; a handshake here has a deadline, and only
//! so many are under way at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{ObjectKey, Timestamp};
use sealway_issuer::Outlook;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::view::View;

mod expected;
mod handshake;
mod report;
mod targets;

use expected::Expected;
pub(crate) use report::{Reports, add_conditions, problems};
use targets::{Place, Target};

/// Looks until one of the channels is gone.
pub(crate) async fn run(
    mut views: watch::Receiver<Arc<View>>,
    mut outlooks: watch::Receiver<Arc<Outlook>>,
    reports: watch::Sender<Arc<Reports>>,
) {
    let mut is_doubted = false;
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let outlook = Arc::clone(&outlooks.borrow_and_update());
        let expected = expected::of(&outlook.issued);
        let targets = targets::of(&view.snapshots, &expected);
        let arrived = look(targets).await;
        let now = Timestamp::now();
        let before = Arc::clone(&reports.borrow());
        let found = report::of(&expected, &arrived, &before, now);
        let is_pending = found.values().any(|report| !report.is_good());
        // A new certificate may be on its way to the data plane: what is seen once may be gone in a moment.
        if is_pending && !std::mem::replace(&mut is_doubted, is_pending) {
            sleep(GRACE).await;
            continue;
        }
        is_doubted = is_pending;
        reports.send_if_modified(|shown| {
            let differs = **shown != found;
            if differs {
                *shown = Arc::new(found);
            }
            differs
        });
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return },
            changed = outlooks.changed() => if changed.is_err() { return },
            () = sleep(if is_pending { SOON } else { NOW_AND_THEN }) => {}
        }
    }
}

/// What arrived where: the leaf's serial, or why there is none.
type Arrived = BTreeMap<ObjectKey, Vec<(Place, SocketAddr, String, Result<String, handshake::Fault>)>>;

async fn look(targets: BTreeSet<Target>) -> Arrived {
    let mut arrived = Arrived::new();
    let mut waiting = targets.into_iter();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_A_TIME
            && let Some(target) = waiting.next()
        {
            under_way.spawn(async move {
                let serial = handshake::serial(&target).await;
                (target, serial)
            });
        }
        match under_way.join_next().await {
            Some(Ok((target, serial))) => {
                let seen = (target.place, target.address, target.server_name, serial);
                arrived.entry(target.certificate).or_default().push(seen);
            }
            // A panic in a handshake is nobody's answer.
            Some(Err(_)) => {}
            None => return arrived,
        }
    }
}

/// How long the data plane may take for a new certificate, on a busy machine.
const GRACE: Duration = Duration::from_millis(500);
/// While something is not as it should be.
const SOON: Duration = Duration::from_secs(1);
/// Backends change without telling us.
const NOW_AND_THEN: Duration = Duration::from_secs(60);
const AT_A_TIME: usize = 8;
