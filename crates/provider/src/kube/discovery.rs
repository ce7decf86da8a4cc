//! Which versions of which kinds the cluster serves.
//!
//! Asked for again and again, so that a CRD that is installed later is found. Invariant: a kind counts as absent only when three looks in
//! a row did not find it, and no look counts that failed: an API server that is just starting may not know its CRDs yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::{Client, Error};
use sealway_api::Kind;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::kinds::{self, WATCHED};
use super::pause::about;

/// The version to use of each kind that the cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    versions: BTreeMap<Kind, &'static str>,
    absent: BTreeSet<Kind>,
}

/// How a kind stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Unknown,
    Absent,
    Served(&'static str),
}

impl Served {
    /// As in `gateway.networking.k8s.io/v1`; `None` for a kind that is not served, or not known to be.
    #[must_use]
    pub fn api_version(&self, kind: &Kind) -> Option<String> {
        let version = self.versions.get(kind)?;
        Some(kinds::find(kind)?.api_version(version))
    }

    /// Kinds that Sealway reads and that the cluster does not have.
    pub fn absent(&self) -> impl Iterator<Item = &Kind> {
        self.absent.iter()
    }

    pub(super) fn standing(&self, kind: &Kind) -> Standing {
        match self.versions.get(kind) {
            Some(version) => Standing::Served(version),
            None if self.absent.contains(kind) => Standing::Absent,
            None => Standing::Unknown,
        }
    }
}

/// What looks have found so far.
#[derive(Debug, Default)]
struct Sightings {
    served: Served,
    /// How many looks in a row did not find a kind that is not absent yet.
    missed: BTreeMap<Kind, u32>,
}

const LOOKS: u32 = 3;

impl Sightings {
    fn note(&mut self, found: &BTreeMap<Kind, &'static str>) {
        for watched in &WATCHED {
            let kind = &watched.kind;
            if let Some(version) = found.get(kind) {
                self.missed.remove(kind);
                self.served.absent.remove(kind);
                self.served.versions.insert(kind.clone(), version);
            } else if !self.served.absent.contains(kind) {
                let missed = self.missed.entry(kind.clone()).or_default();
                *missed += 1;
                if *missed >= LOOKS {
                    self.missed.remove(kind);
                    self.served.versions.remove(kind);
                    self.served.absent.insert(kind.clone());
                }
            }
        }
    }

    /// How long until the next look.
    fn wait(&self) -> Duration {
        if self.missed.keys().any(|kind| self.served.versions.contains_key(kind)) {
            Duration::from_secs(10)
        } else if !self.missed.is_empty() {
            Duration::from_millis(300)
        } else if !self.served.absent.is_empty() {
            Duration::from_secs(5)
        } else {
            Duration::from_secs(60)
        }
    }
}

/// Looks for ever. `hint` asks for a look at once: a watch found its path gone.
pub(super) async fn run(client: Client, served: watch::Sender<Arc<Served>>, hint: Arc<Notify>) {
    let mut sightings = Sightings::default();
    let mut failures = 0_u32;
    loop {
        let wait = match timeout(Duration::from_secs(15), look(&client)).await {
            Ok(Ok(found)) => {
                failures = 0;
                sightings.note(&found);
                served.send_if_modified(|before| {
                    let is_new = **before != sightings.served;
                    if is_new {
                        *before = Arc::new(sightings.served.clone());
                    }
                    is_new
                });
                sightings.wait()
            }
            Ok(Err(error)) => failed(&mut failures, &error),
            Err(elapsed) => failed(&mut failures, &elapsed),
        };
        // Hints are many when an API server restarts: a second is soon enough.
        let soon = async {
            hint.notified().await;
            sleep(Duration::from_secs(1)).await;
        };
        tokio::select! {
            () = sleep(about(wait)) => {}
            () = soon => {}
        }
    }
}

fn failed(failures: &mut u32, error: &dyn std::fmt::Display) -> Duration {
    *failures = failures.saturating_add(1);
    if failures.is_power_of_two() {
        tracing::warn!(%error, failures, "cannot ask the API server which kinds it serves; trying again");
    }
    super::RECONNECT.after(*failures, super::pause::random())
}

async fn look(client: &Client) -> Result<BTreeMap<Kind, &'static str>, Error> {
    let mut found: BTreeMap<Kind, &'static str> = BTreeMap::new();
    let built_in = WATCHED.iter().filter(|watched| watched.is_built_in);
    found.extend(built_in.filter_map(|watched| Some((watched.kind.clone(), *watched.versions.first()?))));
    let custom = || WATCHED.iter().filter(|watched| !watched.is_built_in);
    let groups: BTreeSet<&str> = custom().map(|watched| watched.kind.group()).collect();
    for group in groups {
        let Some(listed) = get::<APIGroup>(client, &format!("/apis/{group}")).await? else {
            continue;
        };
        let of_group = || custom().filter(move |watched| watched.kind.group() == group);
        let mut plurals: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for served in &listed.versions {
            let wanted = of_group()
                .flat_map(|watched| watched.versions)
                .find(|version| **version == served.version);
            let Some(version) = wanted else { continue };
            if let Some(resources) = get::<APIResourceList>(client, &format!("/apis/{group}/{version}")).await? {
                plurals.insert(
                    version,
                    resources.resources.into_iter().map(|resource| resource.name).collect(),
                );
            }
        }
        for watched in of_group() {
            let is_served = |version: &&&'static str| plurals.get(**version).is_some_and(|names| names.contains(watched.plural));
            if let Some(version) = watched.versions.iter().find(is_served) {
                found.insert(watched.kind.clone(), version);
            }
        }
    }
    Ok(found)
}

/// `None` for what is not there.
async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Option<T>, Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(Error::HttpError)?;
    match client.request(request).await {
        Ok(found) => Ok(Some(found)),
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kinds: &[(Kind, &'static str)]) -> BTreeMap<Kind, &'static str> {
        kinds.iter().cloned().collect()
    }

    #[test]
    fn a_kind_is_absent_only_after_three_looks() {
        let mut sightings = Sightings::default();
        let look = found(&[(Kind::Gateway, "v1")]);
        sightings.note(&look);
        sightings.note(&look);
        assert_eq!(sightings.served.standing(&Kind::TlsRoute), Standing::Unknown);
        sightings.note(&look);
        assert_eq!(sightings.served.standing(&Kind::TlsRoute), Standing::Absent);
        assert_eq!(sightings.served.standing(&Kind::Gateway), Standing::Served("v1"));
        sightings.note(&found(&[(Kind::Gateway, "v1"), (Kind::TlsRoute, "v1alpha2")]));
        assert_eq!(sightings.served.standing(&Kind::TlsRoute), Standing::Served("v1alpha2"));
    }

    #[test]
    fn a_kind_that_vanishes_for_a_moment_stays() {
        let mut sightings = Sightings::default();
        let both = found(&[(Kind::Gateway, "v1"), (Kind::TlsRoute, "v1")]);
        for _ in 0..3 {
            sightings.note(&both);
        }
        sightings.note(&found(&[]));
        sightings.note(&found(&[]));
        assert_eq!(sightings.served.standing(&Kind::TlsRoute), Standing::Served("v1"));
        assert_eq!(sightings.wait(), Duration::from_secs(10));
        sightings.note(&both);
        sightings.note(&found(&[]));
        assert_eq!(
            sightings.served.standing(&Kind::TlsRoute),
            Standing::Served("v1"),
            "looks in a row"
        );
    }
}
