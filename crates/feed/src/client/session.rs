//! One connection to a controller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::ObjectKey;
use sealway_core::{PartDigest, PartKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::{Building, Link, LinkFault, Received, Refusal, Shared, State, left};
use crate::content::Content;
use crate::frame::Frame;
use crate::link::{Connection, at, pings};
use crate::message::{self, Down, PROTOCOL, Token, Up};

/// How often the token's file is read. The kubelet renews it long before it expires.
const TOKEN_READ: Duration = Duration::from_secs(60);
/// A token is shown again after that time, so that three reviews may fail before the last one is too old.
const TOKEN_SHOWN: Duration = Duration::from_secs(180);
/// Bytes of names in one message.
const NAMES: usize = 512 << 10;

/// How connections went so far.
#[derive(Default)]
pub(super) struct History {
    /// Since one was welcome.
    pub(super) failures: u32,
    /// Something was refused: what is there may be wrong, so that all of it is asked for.
    pub(super) doubted: bool,
}

/// Until the connection ends. `Ok`: leave was taken.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Send + 'static>(
    shared: &Shared,
    stream: S,
    address: &str,
    history: &mut History,
) -> Result<(), LinkFault> {
    let token = shared.settings.token()?;
    let base = shared.received.borrow().clone().filter(|_| !history.doubted);
    let mut session = Session {
        connection: Connection::new(stream, u32::MAX),
        shared,
        history,
        address,
        gateway: None,
        building: Building::default(),
        base,
        unanswered: None,
        token: token.clone(),
        token_shown: Instant::now(),
    };
    let hello = Up::Hello {
        protocol: PROTOCOL,
        token,
        version: shared.settings.version.clone(),
        content: session.base.as_ref().map(|base| base.content),
    };
    session.connection.say(&hello).await?;
    let outcome = session.serve().await;
    session.connection.close().await;
    outcome
}

struct Session<'a, S> {
    shared: &'a Shared,
    connection: Connection<S>,
    history: &'a mut History,
    address: &'a str,
    /// Whose proxy this is, as the controller says.
    gateway: Option<ObjectKey>,
    building: Building,
    /// What deltas change.
    base: Option<Arc<Received>>,
    /// The revision that the controller waits to hear of.
    unanswered: Option<u64>,
    token: Token,
    token_shown: Instant,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Session<'_, S> {
    async fn serve(&mut self) -> Result<(), LinkFault> {
        let mut leaving = self.shared.leaving.subscribe();
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let mut reports = self.shared.report.subscribe();
        reports.mark_changed();
        let mut pings = pings();
        let mut tokens = interval(TOKEN_READ);
        tokens.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let silent_at = self.connection.silent_at();
            tokio::select! {
                payload = self.connection.next() => self.hear(&payload?).await?,
                () = at(silent_at) => return Err(LinkFault::Silent),
                _ = pings.tick() => self.connection.say(&Up::Ping).await?,
                _ = tokens.tick() => self.show_token().await?,
                _ = acknowledged.changed() => self.answer().await?,
                _ = reports.changed(), if self.gateway.is_some() => {
                    let report = reports.borrow_and_update().clone().capped();
                    self.connection.say(&Up::Report(report)).await?;
                }
                () = left(&mut leaving) => {
                    self.connection.say(&Up::Leave).await?;
                    return Ok(());
                }
            }
        }
    }

    async fn hear(&mut self, payload: &[u8]) -> Result<(), LinkFault> {
        let bytes = match Frame::parse(payload)? {
            Frame::Message(bytes) => bytes,
            piece => return Ok(self.building.take(piece)?),
        };
        match message::decode(bytes, Down::Unknown)? {
            Down::Welcome { version, gateway } => {
                info!(address = self.address, version, "connected to the controller");
                self.history.failures = 0;
                self.gateway = gateway;
                self.shared.link.send_replace(Link::Connected {
                    address: self.address.to_owned(),
                    version,
                });
                Ok(())
            }
            Down::Rejected { reason } => Err(LinkFault::Rejected(reason)),
            Down::Tell => self.tell().await,
            Down::Remove { parts, keys } => {
                self.building.remove(parts, keys);
                Ok(())
            }
            Down::Obey { revision, content } => self.obey(revision, content).await,
            Down::Ping | Down::Unknown => Ok(()),
        }
    }

    /// Says what is there.
    async fn tell(&mut self) -> Result<(), LinkFault> {
        let base = self.base.clone();
        let mut parts: BTreeMap<PartKey, PartDigest> = BTreeMap::new();
        let mut size = 0;
        for (key, digest) in base.iter().flat_map(|base| base.state.assembly.digests()) {
            size += key.as_str().len() + 64;
            parts.insert(key.clone(), digest);
            if size > NAMES {
                self.held(std::mem::take(&mut parts), Vec::new(), false).await?;
                size = 0;
            }
        }
        self.held(parts, Vec::new(), false).await?;
        let keys: Vec<_> = base.iter().flat_map(|base| base.keys.0.keys().copied()).collect();
        for keys in keys.chunks(NAMES / 128) {
            self.held(BTreeMap::new(), keys.to_vec(), false).await?;
        }
        self.held(BTreeMap::new(), Vec::new(), true).await
    }

    async fn held(
        &mut self,
        parts: BTreeMap<PartKey, PartDigest>,
        keys: Vec<sealway_core::ContentHash>,
        is_last: bool,
    ) -> Result<(), LinkFault> {
        Ok(self.connection.say(&Up::Held { parts, keys, is_last }).await?)
    }

    /// A delta is whole: it is obeyed, or changes nothing.
    async fn obey(&mut self, revision: u64, content: Content) -> Result<(), LinkFault> {
        let building = std::mem::take(&mut self.building);
        if !building.is_empty() || self.base.as_ref().is_none_or(|base| base.content != content) {
            match self.follow(building, revision, content).await {
                Ok(received) => {
                    debug!(revision, %content, "a delta");
                    let received = Arc::new(received);
                    self.history.doubted = false;
                    self.base = Some(Arc::clone(&received));
                    self.shared.received.send_replace(Some(received));
                }
                Err(refusal) => {
                    warn!(revision, %refusal, "a snapshot of the controller is refused; the last one is served");
                    self.history.doubted = true;
                    let reason = refusal.to_string();
                    return Ok(self.connection.say(&Up::Refused { revision, reason }).await?);
                }
            }
        }
        self.unanswered = Some(revision);
        self.answer().await
    }

    async fn follow(&self, building: Building, revision: u64, content: Content) -> Result<Received, Refusal> {
        let base = self.base.clone();
        let follow = move || match &base {
            Some(base) => base.state.follow(building),
            None => State::default().follow(building),
        };
        // A large one takes a while, and others wait on this thread.
        let followed = spawn_blocking(follow).await.map_err(|_| Refusal::Content)??;
        let received = Received::new(followed, Some(revision)).ok_or(Refusal::Content)?;
        if received.content != content {
            return Err(Refusal::Content);
        }
        if self.gateway.as_ref() != Some(&received.gateway.key) {
            return Err(Refusal::Gateway);
        }
        Ok(received)
    }

    /// Says that the data plane obeys, once it does.
    async fn answer(&mut self) -> Result<(), LinkFault> {
        let is_obeyed = match (&self.base, &*self.shared.acknowledged.borrow()) {
            (Some(base), Some(obeyed)) => Arc::ptr_eq(base, obeyed),
            _ => false,
        };
        if !is_obeyed {
            return Ok(());
        }
        if let Some(revision) = self.unanswered.take() {
            // What became of the ports comes before, so that nobody takes it for bound.
            let report = self.shared.report.borrow().clone().capped();
            self.connection.put(&message::encode(&Up::Report(report))).await?;
            self.connection.say(&Up::Acknowledged { revision }).await?;
        }
        Ok(())
    }

    async fn show_token(&mut self) -> Result<(), LinkFault> {
        let token = match self.shared.settings.token() {
            Ok(token) => token,
            Err(fault) => {
                // The one that was shown is good for a while.
                warn!(%fault, "the token cannot be read");
                return Ok(());
            }
        };
        if token != self.token || self.token_shown.elapsed() >= TOKEN_SHOWN {
            self.token = token.clone();
            self.token_shown = Instant::now();
            self.connection.say(&Up::Token { token }).await?;
        }
        Ok(())
    }
}
