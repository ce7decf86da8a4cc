//! One proxy's connection, from its greeting to its end.
//!
//! The proxy is told what it lacks and answers; only then it is told of what has come since. What it says of itself decides nothing but
//! how much it is told of what is its own.

use std::convert::Infallible;
use std::sync::Arc;

use sealway_api::{ObjectKey, Timestamp};
use sealway_core::{ContentHash, PartKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::{debug, info};

use super::known::{RefusedDelta, Ticket};
use super::wanted::{Difference, Inventory, Wanted};
use super::{Authorisation, End, Hello, Shared};
use crate::content::Content;
use crate::frame::{self, Frame, Payload};
use crate::link::{Connection, at, pings};
use crate::message::{self, Down, Rejection, Up};

/// Bytes of names that a proxy may say that it has.
const LARGEST_INVENTORY: usize = 64 << 20;
/// Bytes of names in one message.
const NAMES: usize = 256 << 10;
/// Bytes of what a proxy gives as its reason.
const LONGEST_REASON: usize = 1024;

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    shared: &Shared,
    connection: &mut Connection<S>,
    hello: Hello,
    (gateway, pod): (ObjectKey, String),
    wanted: watch::Receiver<Option<Arc<Wanted>>>,
) {
    let ticket = shared.known.enter(&gateway, &pod, hello.version, Timestamp::now());
    info!(%gateway, %pod, "a proxy is connected");
    let mut session = Session {
        shared,
        connection,
        ticket,
        held: hello.content.map_or_else(|| Held::Known(Inventory::default()), Held::Digest),
        in_flight: None,
        answered: None,
        authorisation: Authorisation::new(hello.authorised),
        wanted,
        gateway,
        pod,
    };
    let Err(end) = session.run().await;
    let Session {
        ticket, gateway, pod, ..
    } = session;
    let lost = match &end {
        End::Left => None,
        _ => Some(Timestamp::now()),
    };
    if let End::Rejected(reason) = &end {
        let _ = connection.say(&Down::Rejected { reason: *reason }).await;
    }
    info!(%gateway, %pod, %end, "a proxy is no longer connected");
    shared.known.leave(&ticket, &gateway, &pod, lost);
}

struct Session<'a, S> {
    shared: &'a Shared,
    connection: &'a mut Connection<S>,
    ticket: Ticket,
    gateway: ObjectKey,
    pod: String,
    authorisation: Authorisation,
    wanted: watch::Receiver<Option<Arc<Wanted>>>,
    held: Held,
    /// What it has been told and has not answered to.
    in_flight: Option<Arc<Wanted>>,
    /// What it answered to last.
    answered: Option<Arc<Wanted>>,
}

/// What the proxy has.
enum Held {
    /// As it says, in one digest.
    Digest(Content),
    /// It has been asked for all of it.
    Asked(Inventory, usize),
    /// As it says.
    Known(Inventory),
    /// As it acknowledged.
    Wanted(Arc<Wanted>),
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Session<'_, S> {
    async fn run(&mut self) -> Result<Infallible, End> {
        let welcome = Down::Welcome {
            version: self.shared.version.clone(),
            gateway: Some(self.gateway.clone()),
        };
        self.connection.say(&welcome).await?;
        let mut pings = pings();
        loop {
            self.tell().await?;
            let silent_at = self.connection.silent_at();
            tokio::select! {
                payload = self.connection.next() => self.hear(&payload?).await?,
                end = self.authorisation.end() => return Err(end),
                () = at(silent_at) => return Err(End::Silent),
                changed = self.wanted.changed(), if self.in_flight.is_none() => {
                    if changed.is_err() {
                        // The server is gone with all that it had.
                        return Err(End::Left);
                    }
                }
                _ = pings.tick() => {
                    if !self.shared.known.is_latest(&self.ticket, Some(&self.gateway), &self.pod) {
                        return Err(End::Rejected(Rejection::Replaced));
                    }
                    self.shared.known.sweep(Timestamp::now());
                    self.connection.say(&Down::Ping).await?;
                }
            }
        }
    }

    /// Tells what is new, if the proxy has answered to what was new before.
    async fn tell(&mut self) -> Result<(), End> {
        if self.in_flight.is_some() || matches!(self.held, Held::Asked(..)) {
            return Ok(());
        }
        let Some(wanted) = self.wanted.borrow_and_update().clone() else {
            return Ok(());
        };
        if self.answered.as_ref().is_some_and(|answered| Arc::ptr_eq(answered, &wanted)) {
            return Ok(());
        }
        let difference = match &self.held {
            Held::Digest(content) if *content == wanted.content => wanted.since_wanted(&wanted),
            Held::Digest(_) => {
                self.held = Held::Asked(Inventory::default(), 0);
                return Ok(self.connection.say(&Down::Tell).await?);
            }
            Held::Asked(..) => return Ok(()),
            Held::Known(inventory) => wanted.since(inventory),
            Held::Wanted(held) => wanted.since_wanted(held),
        };
        let revision = wanted.revision;
        let content = wanted.content;
        self.in_flight = Some(wanted);
        self.send(difference).await?;
        Ok(self.connection.say(&Down::Obey { revision, content }).await?)
    }

    async fn send(&mut self, difference: Difference) -> Result<(), End> {
        let Difference {
            parts,
            keys,
            removed_keys,
        } = difference;
        debug!(gateway = %self.gateway, pod = %self.pod, parts = parts.set.len(), removed = parts.remove.len(), bytes = parts.size(),
            keys = keys.0.len(), "a delta");
        for (key, bytes) in &parts.set {
            for payload in frame::part(key, bytes) {
                self.connection.put(&payload).await?;
            }
        }
        for (content, key) in &keys.0 {
            let encoded = key.encode();
            for payload in frame::key(content, &encoded) {
                self.connection.put(&payload).await?;
            }
        }
        for message in removals(parts.remove, removed_keys) {
            self.connection.put(&message).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, payload: &[u8]) -> Result<(), End> {
        let Frame::Message(bytes) = Frame::parse(payload)? else {
            return Err(End::Rejected(Rejection::Malformed));
        };
        match message::decode(bytes, Up::Unknown)? {
            Up::Ping | Up::Unknown => Ok(()),
            Up::Leave => Err(End::Left),
            Up::Held { parts, keys, is_last } => {
                let Held::Asked(inventory, size) = &mut self.held else {
                    return Err(End::Rejected(Rejection::Malformed));
                };
                *size += payload.len();
                if *size > LARGEST_INVENTORY {
                    return Err(End::Rejected(Rejection::Malformed));
                }
                inventory.parts.extend(parts);
                inventory.keys.extend(keys);
                if is_last {
                    self.held = Held::Known(std::mem::take(inventory));
                }
                Ok(())
            }
            Up::Token { token } => {
                self.authorisation.renew(self.shared, token);
                Ok(())
            }
            Up::Acknowledged { revision } => {
                let wanted = self.answer(revision)?;
                let acknowledged = wanted.acknowledged();
                self.held = Held::Wanted(wanted);
                self.shared.known.update(&self.ticket, &self.gateway, &self.pod, |proxy| {
                    proxy.acknowledged = Some(acknowledged);
                    proxy.refused = None;
                });
                Ok(())
            }
            Up::Refused { revision, mut reason } => {
                self.answer(revision)?;
                reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
                self.shared.known.update(&self.ticket, &self.gateway, &self.pod, |proxy| {
                    proxy.refused = Some(RefusedDelta { revision, reason });
                });
                Ok(())
            }
            Up::Report(report) => {
                self.shared.known.update(&self.ticket, &self.gateway, &self.pod, |proxy| {
                    proxy.report = report.capped();
                });
                Ok(())
            }
            Up::Hello { .. } | Up::Proxy { .. } | Up::AllProxies => Err(End::Rejected(Rejection::Malformed)),
        }
    }

    /// What the proxy answers to. An answer to what it was not asked is a lie.
    fn answer(&mut self, revision: u64) -> Result<Arc<Wanted>, End> {
        match self.in_flight.take() {
            Some(wanted) if wanted.revision == revision => {
                self.answered = Some(Arc::clone(&wanted));
                Ok(wanted)
            }
            _ => Err(End::Rejected(Rejection::Malformed)),
        }
    }
}

/// Messages that name what is gone.
fn removals(parts: impl IntoIterator<Item = PartKey>, keys: Vec<ContentHash>) -> Vec<Payload> {
    let mut messages = Vec::new();
    let mut names = Vec::new();
    let mut size = 0;
    let remove = |parts, keys| message::encode(&Down::Remove { parts, keys });
    for part in parts {
        size += part.as_str().len();
        names.push(part);
        if size > NAMES {
            messages.push(remove(std::mem::take(&mut names), Vec::new()));
            size = 0;
        }
    }
    if !names.is_empty() {
        messages.push(remove(names, Vec::new()));
    }
    messages.extend(keys.chunks(NAMES / 128).map(|keys| remove(Vec::new(), keys.to_vec())));
    messages
}
