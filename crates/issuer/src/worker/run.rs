//! When the worker steps: whenever something has happened, when time has come, and once a minute in any case.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealway_api::{Resources, Timestamp};
use tokio::sync::{mpsc, watch};

use super::{Command, Outlook, Worker};

/// Nothing tells us that a clock was set, or that somebody has removed an exported file: it is looked at this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// However much is to be done, others have their turn.
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);

/// Steps until nobody has resources to give any more. Each change of the outlook is sent.
pub async fn run(
    worker: Worker,
    mut resources: watch::Receiver<Arc<Resources>>,
    mut commands: mpsc::Receiver<Command>,
    outlook: watch::Sender<Arc<Outlook>>,
) {
    let worker = Arc::new(Mutex::new(worker));
    loop {
        let present = Arc::clone(&resources.borrow_and_update());
        let stepped = apart(&worker, move |worker| worker.step(Timestamp::now(), &present)).await;
        let wake_at = match stepped {
            Some(stepped) => {
                outlook.send_if_modified(|last| {
                    let is_new = last.generation != stepped.generation;
                    *last = Arc::clone(&stepped);
                    is_new
                });
                stepped.wake_at
            }
            None => None,
        };
        tokio::select! {
            changed = resources.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(command) = commands.recv() => {
                let present = Arc::clone(&resources.borrow());
                apart(&worker, move |worker| worker.command(Timestamp::now(), &present, command)).await;
            }
            () = tokio::time::sleep(sleep(Timestamp::now(), wake_at)) => {}
        }
    }
}

/// How long to sleep, by a clock that may be set meanwhile.
fn sleep(now: Timestamp, wake_at: Option<Timestamp>) -> Duration {
    let Some(wake_at) = wake_at else {
        return LONGEST_SLEEP;
    };
    let due = Duration::try_from(wake_at.duration_since(now)).unwrap_or_default();
    due.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
}

/// Where it may take its time: keys are computed and disks waited for. A panic, which is a mistake of ours, costs this one step: what is
/// in memory is what was kept, at each moment.
async fn apart<T: Send + 'static>(
    worker: &Arc<Mutex<Worker>>,
    work: impl FnOnce(&mut Worker) -> T + Send + 'static,
) -> Option<T> {
    let worker = Arc::clone(worker);
    let done = tokio::task::spawn_blocking(move || work(&mut worker.lock().unwrap_or_else(PoisonError::into_inner))).await;
    if done.is_err() {
        tracing::error!("the issuer has panicked; it goes on in a minute, or when something changes");
    }
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_are_never_long_and_never_none() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let after = |milliseconds: i64| now + jiff::SignedDuration::from_millis(milliseconds);
        assert_eq!(sleep(now, None), LONGEST_SLEEP);
        assert_eq!(sleep(now, Some(after(30_000))), Duration::from_secs(30));
        assert_eq!(sleep(now, Some(Timestamp::MAX)), LONGEST_SLEEP);
        assert_eq!(sleep(now, Some(now)), SHORTEST_SLEEP);
        assert_eq!(sleep(now, Some(after(-5_000))), SHORTEST_SLEEP);
    }
}
