//! A request's body on its way to a backend.
//!
//! In: what the client sends, or what was read of it before. Out: frames, and in a [`FaultCell`] why they broke off.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{Attempt, BodyFault, BoxError, Copies, CopyBody, Held};
use crate::http::limits::{LINGER, LINGER_BYTES};

/// Where a body says why it broke off, for who waits for the response: of an HTTP/2 stream that is only that it was reset.
#[derive(Clone, Default)]
pub(in crate::http) struct FaultCell(Arc<OnceLock<BodyFault>>);

impl FaultCell {
    pub(super) fn set(&self, fault: BodyFault) {
        let _ = self.0.set(fault);
    }

    pub(in crate::http) fn get(&self) -> Option<BodyFault> {
        self.0.get().copied()
    }
}

/// A request's body, as a backend gets it.
#[derive(Default)]
pub(in crate::http) enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// All of it.
    Full(Whole),
    /// As it comes from the client.
    Client(ClientBody),
    /// One of several tries.
    Attempt(Attempt),
    /// What a mirror gets.
    Copy(CopyBody),
    /// Not before the backend wants it.
    Held(Box<Held>),
}

/// A body that was read to its end.
#[derive(Clone, Default)]
pub(in crate::http) struct Whole {
    pub(in crate::http) data: Bytes,
    pub(in crate::http) trailers: Option<Box<HeaderMap>>,
}

impl RequestBody {
    /// All of a body without trailers.
    pub(in crate::http) fn full(data: Bytes) -> Self {
        Self::Full(Whole { data, trailers: None })
    }

    /// Where it will say why it broke off; `None`: it cannot.
    pub(in crate::http) fn fault(&self) -> Option<FaultCell> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::Client(body) => Some(body.fault.clone()),
            Self::Attempt(body) => Some(body.fault()),
            Self::Copy(body) => Some(body.fault.clone()),
            Self::Held(held) => held.body.fault(),
        }
    }

    /// The same again, of what is there as a whole.
    pub(in crate::http) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Full(whole) => Some(Self::Full(whole.clone())),
            Self::Client(_) | Self::Attempt(_) | Self::Copy(_) | Self::Held(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(whole) => Poll::Ready(whole.next_frame().map(Ok)),
            Self::Client(body) => body.poll_frame(context),
            Self::Attempt(body) => body.poll_frame(context),
            Self::Copy(body) => body.poll_frame(context),
            Self::Held(held) => held.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(whole) => whole.data.is_empty() && whole.trailers.is_none(),
            Self::Client(body) => body.is_end_stream(),
            Self::Attempt(_) | Self::Copy(_) | Self::Held(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(whole) => SizeHint::with_exact(whole.data.len() as u64),
            Self::Client(body) => body.size_hint(),
            // The length that the client announced, if any, is in the header.
            Self::Attempt(_) | Self::Copy(_) => SizeHint::default(),
            Self::Held(held) => held.body.size_hint(),
        }
    }
}

impl Whole {
    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if !self.data.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.data)));
        }
        self.trailers.take().map(|trailers| Frame::trailers(*trailers))
    }
}

/// What a client sends.
pub(in crate::http) struct ClientBody {
    /// `None` when the rest is not asked for any more.
    incoming: Option<Incoming>,
    /// It comes in a stream, whose end is said.
    streams: bool,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Something came since the timer was set.
    moved: bool,
    copies: Option<Box<Copies>>,
    pub(super) fault: FaultCell,
}

impl ClientBody {
    pub(in crate::http) fn new(incoming: Incoming, streams: bool, patience: Duration) -> Self {
        Self {
            incoming: Some(incoming),
            streams,
            patience,
            timer: None,
            moved: false,
            copies: None,
            fault: FaultCell::default(),
        }
    }

    /// Mirrors get what comes from now on.
    pub(in crate::http) fn copy_to(&mut self, copies: Copies) {
        self.copies = Some(Box::new(copies));
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }

    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(context) else {
            return self.wait(context);
        };
        self.moved = true;
        let frame = match frame {
            // RST_STREAM with NO_ERROR comes as an end; what there is of the body must not pass for all of it.
            None if self.streams && !self.is_end_stream() => Some(Err(self.broken(BodyFault::ClientGone))),
            None => None,
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => {
                tracing::debug!(%error, "a client's body broke off");
                Some(Err(self.broken(fault_of(&error))))
            }
        };
        if let Some(copies) = &mut self.copies {
            match &frame {
                Some(Ok(frame)) => copies.send(frame),
                Some(Err(_)) => copies.give_up(),
                None => copies.end(),
            }
            if self.incoming.as_ref().is_none_or(Body::is_end_stream) {
                copies.end();
            }
        }
        Poll::Ready(frame)
    }

    /// The timer is set once for many waits: silence ends the body after its patience at the earliest, and twice that at the latest when
    /// there was something before.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| {
            self.moved = false;
            Box::pin(sleep(patience))
        });
        while timer.as_mut().poll(context).is_ready() {
            if !std::mem::take(&mut self.moved) {
                return Poll::Ready(Some(Err(self.broken(BodyFault::ClientSilent))));
            }
            timer.as_mut().reset(Instant::now() + patience);
        }
        Poll::Pending
    }

    fn broken(&self, fault: BodyFault) -> BoxError {
        self.fault.set(fault);
        fault.into()
    }
}

/// An answer that came before the end of an HTTP/2 upload is followed by RST_STREAM, which some clients take for a failure of the answer
/// (curl before 7.88.2). So what is on its way is taken, within bounds. Of HTTP/1.1 the connection's end does that.
impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.streams || self.is_end_stream() || self.fault.get().is_some() {
            return;
        }
        if let (Some(rest), Ok(runtime)) = (self.incoming.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(timeout(LINGER, take(rest)));
        }
    }
}

async fn take(mut rest: Incoming) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut rest).poll_frame(context)).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}

/// hyper reads bodies of HTTP/1.1 as an [`std::io`] reader would.
fn fault_of(error: &hyper::Error) -> BodyFault {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => BodyFault::ClientInvalid,
        _ => BodyFault::ClientGone,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::body::collect;

    /// RST_STREAM with NO_ERROR says that nothing went wrong, but not that the body was whole.
    #[tokio::test]
    async fn upload_that_was_cut_without_an_error_is_not_whole() {
        for (ends, is_whole) in [(true, true), (false, false)] {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let (sender, mut bodies) = mpsc::unbounded_channel();
            let service = service_fn(move |request: Request<Incoming>| {
                sender.send(request.into_body()).unwrap();
                std::future::pending::<Result<Response<RequestBody>, Infallible>>()
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(far), service));
            let (client, connection) = h2::client::handshake(near).await.unwrap();
            tokio::spawn(connection);
            let mut client = client.ready().await.unwrap();
            let (_response, mut body) = client
                .send_request(Request::post("http://a/").body(()).unwrap(), false)
                .unwrap();
            body.send_data("half".into(), ends).unwrap();
            let incoming = bodies.recv().await.unwrap();
            if !ends {
                body.send_reset(h2::Reason::NO_ERROR);
            }
            let body = RequestBody::Client(ClientBody::new(incoming, true, Duration::from_secs(60)));
            assert_eq!(collect(body, 1024).await.is_ok(), is_whole);
        }
    }
}
