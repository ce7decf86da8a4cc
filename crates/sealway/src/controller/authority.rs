//! Keeps the Secret with the feed's authority as it should be, and this controller's certificate fresh.
//!
//! Input: the Secret, the time. Output: the TLS configuration of the feed, and whom proxies are to believe, on a channel and in a file for
//! the relay. Invariant: two controllers that begin at once agree on one authority; while the API server is away, what was read last
//! goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ServerConfig;
use sealway_api::{ObjectKey, Timestamp};
use sealway_core::SessionKey;
use sealway_feed::{Authority, server_config};
use sealway_provider::kube::{Client, Unanswered, read_secret, write_secret};
use tokio::sync::watch;
use tokio::time::sleep;

/// What the feed needs of it.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) tls: Arc<ServerConfig>,
    /// PEM.
    pub(crate) bundle: String,
    /// See [`sealway_core::Observed`].
    pub(crate) session_key: Option<SessionKey>,
}

/// Where it is kept.
pub(crate) struct Keeper {
    pub(crate) client: Client,
    pub(crate) secret: ObjectKey,
    /// The bundle as a file, for [`sealway_feed::relay`].
    pub(crate) file: PathBuf,
}

/// The Secret is looked at so often: another controller may have changed it.
const LOOK: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Keeper {
    /// Keeps it for ever; the channel holds `None` until there is something.
    pub(crate) async fn run(self, credentials: watch::Sender<Option<Credentials>>) {
        let mut kept: Option<(Authority, Timestamp)> = None;
        loop {
            let now = Timestamp::now();
            let wait = match self.look(now).await {
                Ok(authority) => {
                    let is_due = kept
                        .as_ref()
                        .is_none_or(|(before, renew_at)| *before != authority || *renew_at <= now);
                    if is_due {
                        match self.issue(&authority, now, &credentials) {
                            Ok(renew_at) => kept = Some((authority, renew_at)),
                            Err(error) => tracing::error!(error = format!("{error:#}"), "the feed has no new certificate"),
                        }
                    }
                    if kept.is_some() { LOOK } else { LOOK_AGAIN }
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), secret = %self.secret, "the feed's authority cannot be looked after; trying again");
                    LOOK_AGAIN
                }
            };
            sleep(wait).await;
        }
    }

    async fn look(&self, now: Timestamp) -> anyhow::Result<Authority> {
        loop {
            let before = read_secret(&self.client, &self.secret).await?;
            let (authority, next) = match &before {
                None => (None, Some(Authority::new(now)?)),
                // As deploy/ makes it, so that it goes with the installation.
                Some(secret) if secret.data.is_empty() => (None, Some(Authority::new(now)?)),
                Some(secret) => {
                    let authority = Authority::read(&secret.data).with_context(|| format!("Secret {}", self.secret))?;
                    let next = authority.step(now)?;
                    (Some(authority), next)
                }
            };
            let Some(next) = next else {
                return authority.context("no authority");
            };
            match write_secret(&self.client, &self.secret, before.as_ref(), &next.data()).await {
                Ok(()) => {
                    tracing::info!(secret = %self.secret, "the feed's authority is written");
                    return Ok(next);
                }
                // Another controller was faster, and what it wrote counts.
                Err(Unanswered::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn issue(
        &self,
        authority: &Authority,
        now: Timestamp,
        credentials: &watch::Sender<Option<Credentials>>,
    ) -> anyhow::Result<Timestamp> {
        let leaf = authority.leaf(now)?;
        let bundle = authority.bundle();
        write_file(&self.file, &bundle).with_context(|| format!("cannot write {}", self.file.display()))?;
        let tls = server_config(leaf.chain, leaf.key)?;
        credentials.send_replace(Some(Credentials {
            tls,
            bundle,
            session_key: authority.session_key(),
        }));
        Ok(leaf.renew_at)
    }
}

fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(temporary, path)
}
