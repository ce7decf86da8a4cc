//! Telling a client that it is refused: by a TLS alert, or in the protocol that it speaks, or by closing.

use std::borrow::Cow;

use super::Farewell;
use crate::config::Rejections;
use crate::outcome::{CloseReason, Outcome};
use crate::postgres;
use crate::preface;
use crate::upstream::Unreachable;

/// Why a connection ends before the relay.
#[derive(Debug)]
pub(super) struct Refusal {
    reason: CloseReason,
    detail: Option<String>,
    /// The client speaks no protocol in which it could be told.
    silent: bool,
}

impl Refusal {
    /// `detail`: what the reason alone does not say.
    pub(super) fn new(reason: CloseReason, detail: String) -> Self {
        Self {
            detail: Some(detail),
            ..reason.into()
        }
    }

    /// A refusal of which nothing is said.
    pub(super) fn silent(reason: CloseReason) -> Self {
        Self {
            silent: true,
            ..reason.into()
        }
    }

    /// The same refusal, with nothing said of it.
    pub(super) fn silenced(self) -> Self {
        Self { silent: true, ..self }
    }

    /// Records the end, and says how to close.
    pub(super) fn farewell(self, outcome: &mut Outcome, rejections: Rejections) -> Farewell {
        outcome.end(self.reason, self.detail);
        match rejections {
            Rejections::Alert if !self.silent => last_words(self.reason).map_or(Farewell::Close, Farewell::Words),
            Rejections::Alert | Rejections::Close => Farewell::Close,
        }
    }
}

impl From<CloseReason> for Refusal {
    fn from(reason: CloseReason) -> Self {
        Self {
            reason,
            detail: None,
            silent: false,
        }
    }
}

/// No endpoint could be had. `None`: there was none to try.
pub(super) fn unreachable(error: Option<Unreachable>, outcome: &mut Outcome) -> Refusal {
    let Some(Unreachable { endpoint, fault, error }) = error else {
        return CloseReason::Backend(sealway_core::BackendFault::NoEndpoints).into();
    };
    outcome.endpoint = Some(endpoint);
    Refusal::new(CloseReason::Connect(fault), error.to_string())
}

/// What the client is told, if it can be.
fn last_words(reason: CloseReason) -> Option<Cow<'static, [u8]>> {
    match reason {
        CloseReason::PlainHttp => Some(preface::HTTP_ANSWER.into()),
        CloseReason::PostgresPlainText => Some(postgres::plain_text_refused().into()),
        _ => reason.alert().map(|description| alert_record(description).to_vec().into()),
    }
}

/// A fatal alert as a plaintext record (RFC 8446 sections 5.1 and 6); the record's version is frozen at TLS 1.2's.
fn alert_record(description: u8) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, description]
}
