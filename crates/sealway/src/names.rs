//! DNS names behind backends (ExternalName, `--endpoint` with a name), resolved off the data path.
//!
//! Input: the names that the last compilation asked for. Output: their addresses, which enter the next one as observed facts.
//! Invariant: an answer stays until a newer one comes, whatever the resolver says in between; a name that nobody wants is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, timeout};

/// Addresses by name, sorted; none for a name that was asked for in vain.
pub(crate) type Answers = BTreeMap<String, Vec<IpAddr>>;

/// The resolver's two ends: what is wanted, and what was found.
#[derive(Debug)]
pub(crate) struct Names {
    wanted: watch::Sender<BTreeSet<String>>,
    answers: watch::Receiver<Answers>,
}

impl Names {
    /// Starts resolving with the system's resolver; it ends when this is dropped.
    pub(crate) fn start() -> Self {
        Self::start_with(|name| async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|socket| socket.ip()).collect())
        })
    }

    fn start_with<Lookup, Answer>(lookup: Lookup) -> Self
    where
        Lookup: Fn(String) -> Answer + Send + 'static,
        Answer: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let (wanted, asked) = watch::channel(BTreeSet::new());
        let (found, answers) = watch::channel(Answers::new());
        tokio::spawn(resolve(asked, found, lookup));
        Self { wanted, answers }
    }

    /// Says which names are needed from now on.
    pub(crate) fn want(&self, names: &BTreeSet<String>) {
        self.wanted.send_if_modified(|wanted| {
            let differs = wanted != names;
            if differs {
                wanted.clone_from(names);
            }
            differs
        });
    }

    /// What is known now.
    pub(crate) fn answers(&mut self) -> Answers {
        self.answers.borrow_and_update().clone()
    }

    /// Returns when there is something new.
    pub(crate) async fn changed(&mut self) {
        if self.answers.changed().await.is_err() {
            // The resolver is gone, with the runtime: nothing new will come.
            std::future::pending().await
        }
    }
}

async fn resolve<Lookup, Answer>(mut wanted: watch::Receiver<BTreeSet<String>>, found: watch::Sender<Answers>, lookup: Lookup)
where
    Lookup: Fn(String) -> Answer,
    Answer: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
{
    let mut due: BTreeMap<String, Instant> = BTreeMap::new();
    let mut asked: BTreeMap<task::Id, String> = BTreeMap::new();
    let mut running = JoinSet::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        due.retain(|name, _| names.contains(name));
        found.send_if_modified(|answers| {
            let before = answers.len();
            answers.retain(|name, _| names.contains(name));
            answers.len() != before
        });
        // A lookup that hangs keeps nobody else waiting, up to the number of lookups at a time.
        let now = Instant::now();
        let is_asked = |name: &String| asked.values().any(|other| other == name);
        let ask: Vec<String> = names
            .iter()
            .filter(|name| !is_asked(name) && due.get(*name).is_none_or(|due| *due <= now))
            .take(AT_ONCE.saturating_sub(running.len()))
            .cloned()
            .collect();
        for name in ask {
            // It is due again when its answer is there.
            due.remove(&name);
            let answer = lookup(name.clone());
            let task = running.spawn(async move { timeout(PATIENCE, answer).await });
            asked.insert(task.id(), name);
        }
        let has_room = running.len() < AT_ONCE;
        let next = due.values().min().copied();
        let alarm = async {
            match next {
                // Without room the end of a lookup is what to wait for, whatever is overdue.
                Some(next) if has_room => tokio::time::sleep_until(next).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Some(ended) = running.join_next_with_id() => {
                let (id, answer) = match ended {
                    Ok((id, answer)) => (id, Some(answer)),
                    Err(error) => (error.id(), None),
                };
                let Some(name) = asked.remove(&id).filter(|name| names.contains(name)) else { continue };
                let wait = match answer {
                    Some(Ok(Ok(addresses))) if !addresses.is_empty() => {
                        keep(&found, &name, addresses);
                        REFRESH
                    }
                    failed => {
                        tracing::debug!(name, ?failed, "name not resolved; the last answer stays");
                        if found.borrow().get(&name).is_some_and(|known| !known.is_empty()) {
                            REFRESH
                        } else {
                            // An empty answer says that it was asked for in vain: then the compiler reports it.
                            keep(&found, &name, Vec::new());
                            RETRY
                        }
                    }
                };
                due.insert(name, Instant::now() + wait);
            }
            () = alarm => {}
        }
    }
}

fn keep(found: &watch::Sender<Answers>, name: &str, addresses: Vec<IpAddr>) {
    let sorted: Vec<IpAddr> = BTreeSet::from_iter(addresses).into_iter().collect();
    found.send_if_modified(|answers| {
        let differs = answers.get(name) != Some(&sorted);
        if differs {
            answers.insert(name.to_owned(), sorted);
        }
        differs
    });
}

/// How often an answer is looked up again: the system's resolver hides the records' own time to live.
const REFRESH: Duration = Duration::from_secs(30);
/// How often a name without any answer is tried.
const RETRY: Duration = Duration::from_secs(5);
/// How long one lookup may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lookups at a time: each holds a thread of the runtime's blocking pool.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn last_answer_stays_while_the_resolver_fails() {
        static CALLS: AtomicU8 = AtomicU8::new(0);
        let mut resolver = Names::start_with(|_| async {
            match CALLS.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(vec![
                    IpAddr::from([10, 0, 0, 2]),
                    IpAddr::from([10, 0, 0, 1]),
                    IpAddr::from([10, 0, 0, 2]),
                ]),
                1 => Err(io::Error::other("resolver is away")),
                _ => Ok(vec![IpAddr::from([10, 0, 0, 3])]),
            }
        });
        resolver.want(&names(&["db.example.com"]));
        resolver.changed().await;
        let first = resolver.answers();
        assert_eq!(
            first["db.example.com"],
            [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]
        );
        // The failed second lookup changes nothing; the third one does.
        resolver.changed().await;
        assert_eq!(CALLS.load(Ordering::Relaxed), 3);
        assert_eq!(resolver.answers()["db.example.com"], [IpAddr::from([10, 0, 0, 3])]);
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_nobody_wants_are_forgotten() {
        let mut resolver = Names::start_with(|_| async { Ok(vec![IpAddr::from([10, 0, 0, 1])]) });
        resolver.want(&names(&["a.example.com"]));
        resolver.changed().await;
        resolver.want(&names(&["b.example.com"]));
        while resolver.answers().keys().ne(["b.example.com"]) {
            resolver.changed().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_is_given_up_and_tried_again() {
        static CALLS: AtomicU8 = AtomicU8::new(0);
        let mut resolver = Names::start_with(|_| async {
            if CALLS.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        resolver.want(&names(&["db.example.com"]));
        resolver.changed().await;
        assert!(resolver.answers()["db.example.com"].is_empty());
        resolver.changed().await;
        assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_resolve_is_known_as_such() {
        let mut resolver = Names::start_with(|_| async { Err(io::Error::other("no such name")) });
        resolver.want(&names(&["no-such.invalid"]));
        resolver.changed().await;
        assert_eq!(resolver.answers()["no-such.invalid"], [] as [IpAddr; 0]);
    }

    /// Were the overdue name's alarm to ring while there is no room for it, this would spin, and the paused clock would never go on.
    #[tokio::test(start_paused = true)]
    async fn an_overdue_name_waits_for_room() {
        let mut resolver = Names::start_with(|name| async move {
            if name.starts_with("hangs") {
                std::future::pending::<()>().await;
            }
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        resolver.want(&names(&["db.example.com"]));
        resolver.changed().await;
        tokio::time::sleep(REFRESH - Duration::from_secs(1)).await;
        let hanging = (0..AT_ONCE).map(|number| format!("hangs-{number}.example.com"));
        let wanted: BTreeSet<String> = hanging.chain(["db.example.com".to_owned()]).collect();
        resolver.want(&wanted);
        while resolver.answers().len() < wanted.len() {
            resolver.changed().await;
        }
        assert!(resolver.answers()["hangs-0.example.com"].is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_keeps_nobody_waiting() {
        let mut resolver = Names::start_with(|name| async move {
            if name == "hangs.example.com" {
                std::future::pending::<()>().await;
            }
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        let started = Instant::now();
        resolver.want(&names(&["hangs.example.com"]));
        resolver.want(&names(&["db.example.com", "hangs.example.com"]));
        resolver.changed().await;
        assert!(resolver.answers().contains_key("db.example.com"));
        assert!(started.elapsed() < PATIENCE);
    }
}
