//! Another controller's connection: what it tells of its proxies.
//!
//! It tells of all of them first; what it told by an earlier connection holds until then.

use std::convert::Infallible;

use sealway_api::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::known::{Proxies, Ticket};
use super::{Authorisation, End, Hello, Shared};
use crate::frame::Frame;
use crate::link::{Connection, at, pings};
use crate::message::{self, Down, Rejection, Up};

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    shared: &Shared,
    connection: &mut Connection<S>,
    hello: Hello,
    controller: String,
) {
    let mut session = Session {
        ticket: shared.known.enter_controller(&controller),
        shared,
        authorisation: Authorisation::new(hello.authorised),
        controller,
        first: Some(Proxies::new()),
    };
    info!(controller = %session.controller, "another controller tells of its proxies");
    let Err(end) = session.run(connection).await;
    if let End::Rejected(reason) = &end {
        let _ = connection.say(&Down::Rejected { reason: *reason }).await;
    }
    info!(controller = %session.controller, %end, "another controller tells no more of its proxies");
    shared
        .known
        .leave_controller(&session.ticket, &session.controller, Timestamp::now());
}

struct Session<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    authorisation: Authorisation,
    controller: String,
    /// What it has told, until that is all.
    first: Option<Proxies>,
}

impl Session<'_> {
    async fn run<S: AsyncRead + AsyncWrite + Send + 'static>(
        &mut self,
        connection: &mut Connection<S>,
    ) -> Result<Infallible, End> {
        let version = self.shared.version.clone();
        connection.say(&Down::Welcome { version, gateway: None }).await?;
        let mut pings = pings();
        loop {
            let silent_at = connection.silent_at();
            tokio::select! {
                payload = connection.next() => self.hear(&payload?)?,
                end = self.authorisation.end() => return Err(end),
                () = at(silent_at) => return Err(End::Silent),
                _ = pings.tick() => {
                    if !self.shared.known.is_latest(&self.ticket, None, &self.controller) {
                        return Err(End::Rejected(Rejection::Replaced));
                    }
                    self.shared.known.sweep(Timestamp::now());
                    connection.say(&Down::Ping).await?;
                }
            }
        }
    }

    fn hear(&mut self, payload: &[u8]) -> Result<(), End> {
        let Frame::Message(bytes) = Frame::parse(payload)? else {
            return Err(End::Rejected(Rejection::Malformed));
        };
        match message::decode(bytes, Up::Unknown)? {
            Up::Proxy { gateway, pod, state } => match (&mut self.first, state) {
                (Some(first), Some(state)) => {
                    first.entry(gateway).or_default().insert(pod, *state);
                }
                (Some(_), None) => {}
                (None, state) => {
                    let known = &self.shared.known;
                    known.relay(&self.ticket, &self.controller, gateway, pod, state.map(|state| *state));
                }
            },
            Up::AllProxies => {
                if let Some(first) = self.first.take() {
                    self.shared.known.relay_all(&self.ticket, &self.controller, first);
                }
            }
            Up::Token { token } => self.authorisation.renew(self.shared, token),
            Up::Ping | Up::Unknown => {}
            Up::Leave => return Err(End::Left),
            Up::Hello { .. } | Up::Held { .. } | Up::Acknowledged { .. } | Up::Refused { .. } | Up::Report(_) => {
                return Err(End::Rejected(Rejection::Malformed));
            }
        }
        Ok(())
    }
}
