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
use sealway_proxy::Proxy;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

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
    proxy: Arc<Proxy>,
    mut views: watch::Receiver<Arc<View>>,
    mut outlooks: watch::Receiver<Arc<Outlook>>,
    reports: watch::Sender<Arc<Reports>>,
) {
    let mut is_doubted = false;
    let mut pause = SOON;
    loop {
        let outlook = Arc::clone(&outlooks.borrow_and_update());
        let expected = expected::of(&outlook.issued);
        let targets = targets::of(&views.borrow_and_update().snapshots, &expected);
        let arrived = look(&proxy, targets.clone()).await;
        let before = Arc::clone(&reports.borrow());
        let found = report::of(&expected, &arrived, &before, Timestamp::now());
        let is_pending = found.values().any(|report| !report.is_good());
        // A new certificate may be on its way to the data plane: what is seen once may be gone in a moment.
        if is_pending && !std::mem::replace(&mut is_doubted, is_pending) {
            sleep(GRACE).await;
            continue;
        }
        is_doubted = is_pending;
        let is_news = **reports.borrow() != found;
        if is_news {
            reports.send_replace(Arc::new(found));
        }
        // What stays wrong is looked at less and less often.
        pause = match (is_pending, is_news) {
            (false, _) => NOW_AND_THEN,
            (true, true) => SOON,
            (true, false) => pause.saturating_mul(2).min(NOW_AND_THEN),
        };
        let due = Instant::now() + pause;
        loop {
            tokio::select! {
                changed = views.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Most changes of a view, our own reports among them, concern no handshake.
                    if targets::of(&views.borrow_and_update().snapshots, &expected) != targets {
                        break;
                    }
                }
                changed = outlooks.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                () = sleep_until(due) => break,
            }
        }
        // However much changes, others have their turn.
        sleep(LEAST).await;
    }
}

/// What arrived, by Secret and by where it was asked for: the leaf's serial, or why there is none.
type Arrived = BTreeMap<ObjectKey, BTreeMap<(Place, SocketAddr, String), Result<String, handshake::Fault>>>;

async fn look(proxy: &Arc<Proxy>, targets: BTreeSet<Target>) -> Arrived {
    let mut arrived = Arrived::new();
    let mut waiting = targets.into_iter();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_A_TIME
            && let Some(target) = waiting.next()
        {
            let proxy = Arc::clone(proxy);
            under_way.spawn(async move {
                let serial = handshake::serial(&target, &proxy).await;
                (target, serial)
            });
        }
        match under_way.join_next().await {
            Some(Ok((target, serial))) => {
                let asked = (target.place, target.address, target.server_name);
                arrived.entry(target.secret).or_default().insert(asked, serial);
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
const NOW_AND_THEN: Duration = Duration::from_secs(300);
const LEAST: Duration = Duration::from_millis(20);
const AT_A_TIME: usize = 8;
