//! A request's body that is held back until the backend says that it wants it (`Expect: 100-continue`, RFC 9110 section 10.1.1).
//!
//! In: a request that is about to be sent over HTTP/1.1, and later its response. Out: a body that begins after the backend's `100
//! Continue`, or after a while for backends that do not know of it. The client is told to go on when its body is first asked for, so a
//! backend that refuses spares it the upload. Invariant: a body that was refused is let go of at once, so that the client's connection
//! ends with the response, and the backend's with it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::{BoxError, RequestBody};
use crate::http::limits::CONTINUE_PATIENCE;
use crate::scope::lock;

/// A body, and what it waits for.
pub(in crate::http) struct Held {
    pub(super) body: RequestBody,
    gate: Gate,
    patience: Pin<Box<Sleep>>,
}

/// What is known of the backend's wish.
#[derive(Clone, Default)]
pub(in crate::http) struct Gate(Arc<Mutex<(Said, Option<Waker>)>>);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Wanted,
    /// The response came instead.
    Refused,
    /// That was all.
    Over,
}

/// Held for as long as the response of who refused lasts.
pub(in crate::http) struct Refusing(Gate);

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.say(Said::Over);
    }
}

/// Holds the body of a request back if its client waits to be asked for it.
pub(in crate::http) fn hold(request: &mut Request<RequestBody>) -> Option<Gate> {
    if !is_expected(request.headers()) {
        return None;
    }
    if !matches!(request.body(), RequestBody::Client(_) | RequestBody::Attempt(_)) {
        // It is here, so nobody need be asked for it.
        request.headers_mut().remove(EXPECT);
        return None;
    }
    let gate = Gate::default();
    let at_gate = gate.clone();
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            at_gate.say(Said::Wanted);
        }
    });
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = RequestBody::Held(Box::new(Held {
        body,
        gate: gate.clone(),
        patience: Box::pin(sleep(CONTINUE_PATIENCE)),
    }));
    Some(gate)
}

fn is_expected(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Gate {
    /// The response has come. One that is an error, before the body was wanted, says that it is not.
    pub(in crate::http) fn answered(&self, status: StatusCode) -> Option<Refusing> {
        if lock(&self.0).0 != Said::Nothing {
            return None;
        }
        let refuses = status.is_client_error() || status.is_server_error();
        self.say(if refuses { Said::Refused } else { Said::Wanted });
        refuses.then(|| Refusing(self.clone()))
    }

    fn say(&self, said: Said) {
        let mut gate = lock(&self.0);
        gate.0 = said;
        if let Some(waker) = gate.1.take() {
            waker.wake();
        }
    }

    fn said(&self, context: &Context<'_>) -> Said {
        let mut gate = lock(&self.0);
        gate.1 = Some(context.waker().clone());
        gate.0
    }
}

impl Held {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.gate.said(context) {
            Said::Nothing if self.patience.as_mut().poll(context).is_pending() => Poll::Pending,
            Said::Nothing | Said::Wanted => {
                self.gate.say(Said::Wanted);
                Pin::new(&mut self.body).poll_frame(context)
            }
            Said::Refused => {
                self.body = RequestBody::Empty;
                Poll::Pending
            }
            Said::Over => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()))),
        }
    }
}
