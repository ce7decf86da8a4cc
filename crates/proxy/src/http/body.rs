//! Bodies on their way: from the client to a backend, and back.
//!
//! In: hyper's stream of one side. Out: what hyper of the other side polls, so back-pressure goes through. Invariant: a body that waits
//! for its peer holds one timer at most, made when it first waits.

mod copy;
mod held;
mod replay;
mod request;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) use copy::{Copies, CopyBody, copy_channel};
pub(super) use held::{Held, Refusing, hold};
pub(super) use replay::{Attempt, Replay};
pub(super) use request::{ClientBody, FaultCell, RequestBody, Whole};

use super::record::Record;
use super::refusal::HttpReason;
use super::upstream::Lease;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body broke off, when that is no doing of a backend's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// The client sent nothing for too long.
    ClientSilent,
    /// The client left.
    ClientGone,
    /// What the client sent of its body is not HTTP.
    ClientInvalid,
    /// The deadline of the request, or of one try, has come.
    Deadline(HttpReason),
    /// The original did not arrive whole, so the copy must not look as if it had.
    CopyBehind,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientSilent => "the client sends nothing of its body",
            Self::ClientGone => "the client left before its body was whole",
            Self::ClientInvalid => "the client's body is not framed as HTTP has it",
            Self::Deadline(_) => "the response took too long",
            Self::CopyBehind => "the copy was given up",
        })
    }
}

impl std::error::Error for BodyFault {}

impl BodyFault {
    /// What became of the request by it.
    pub(super) fn reason(self) -> HttpReason {
        match self {
            Self::ClientSilent => HttpReason::BodyTimeout,
            Self::ClientGone | Self::CopyBehind => HttpReason::ClientGone,
            Self::ClientInvalid => HttpReason::InvalidBody,
            Self::Deadline(reason) => reason,
        }
    }
}

/// A response's body, as the client gets it; ends the request's record when it is dropped.
pub(super) struct ResponseBody {
    content: Content,
    /// Its last frame was handed out. What hyper reads in chunks does not know it by itself.
    ended: bool,
    record: Option<Record>,
}

enum Content {
    Empty,
    Full(Bytes),
    Backend(BackendBody),
}

struct BackendBody {
    incoming: Incoming,
    lease: Option<Lease>,
    deadline: Option<Box<Deadline>>,
}

struct Deadline {
    timer: Pin<Box<Sleep>>,
    reason: HttpReason,
}

impl ResponseBody {
    pub(super) fn empty() -> Self {
        Self::new(Content::Empty)
    }

    pub(super) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Full(bytes.into()))
    }

    fn new(content: Content) -> Self {
        Self {
            content,
            ended: false,
            record: None,
        }
    }

    /// What a backend sends. `lease` is its connection; `deadline` cuts it.
    pub(super) fn backend(incoming: Incoming, lease: Lease, deadline: Option<(Instant, HttpReason)>) -> Self {
        let deadline = deadline.filter(|_| !incoming.is_end_stream());
        let deadline = deadline.map(|(at, reason)| {
            Box::new(Deadline {
                timer: Box::pin(sleep_until(at)),
                reason,
            })
        });
        Self::new(Content::Backend(BackendBody {
            incoming,
            lease: Some(lease),
            deadline,
        }))
    }

    /// Whether the backend did not want the request's body: what the client sends next could be that.
    pub(super) fn leaves_request_unread(&self) -> bool {
        matches!(&self.content, Content::Backend(backend) if matches!(backend.lease, Some(Lease::Alone(_, Some(_)))))
    }

    /// The response is one to HEAD: whatever there is of a body stays here.
    pub(super) fn leave_out(&mut self) {
        if !self.is_end_stream() {
            self.content = Content::Empty;
        }
    }

    /// The record of the request, which ends with the body.
    pub(super) fn recorded(mut self, record: Record) -> Self {
        self.record = Some(record);
        self
    }
}

impl BackendBody {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // First, for a backend that never stops would never let it be looked at.
        if let Some(deadline) = &mut self.deadline
            && deadline.timer.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(BodyFault::Deadline(deadline.reason).into())));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
            Some(frame) => Some(frame.map_err(Into::into)),
            // RST_STREAM with NO_ERROR comes as an end, but it is none (RFC 9113 section 8.1).
            None if self.is_cut() => Some(Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())),
            None => None,
        })
    }

    fn is_cut(&self) -> bool {
        matches!(self.lease, Some(Lease::Http2(_))) && !self.incoming.is_end_stream()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = self.get_mut();
        let polled = match &mut body.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(bytes) => match std::mem::take(bytes) {
                bytes if bytes.is_empty() => Poll::Ready(None),
                bytes => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            },
            Content::Backend(backend) => backend.poll_frame(context),
        };
        body.ended |= match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if let Some(record) = &mut body.record {
            record.progress(matches!(&polled, Poll::Ready(Some(Ok(_)))));
            if let Poll::Ready(Some(Err(error))) = &polled {
                record.body_failed(error.as_ref());
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(bytes) => bytes.is_empty(),
            Content::Backend(backend) => backend.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Backend(backend) => backend.incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let whole = self.ended || self.is_end_stream();
        if let Content::Backend(backend) = &mut self.content
            && whole
            && let Some(lease) = backend.lease.take()
        {
            lease.give_back();
        }
        if let Some(record) = &mut self.record
            && whole
        {
            record.delivered();
        }
    }
}

/// Reads all of a body that may have `most` bytes; `None`: it has more.
pub(super) async fn collect(
    mut body: impl Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    most: usize,
) -> Result<Option<Whole>, BoxError> {
    let mut first = Bytes::new();
    // One piece of memory, however small the pieces are that come.
    let mut joined = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.map_err(Into::into)?.into_data() {
            Ok(data) => {
                let before = first.len().max(joined.len());
                if before.saturating_add(data.len()) > most {
                    return Ok(None);
                }
                if before == 0 {
                    first = data;
                    continue;
                }
                if joined.is_empty() {
                    joined.extend_from_slice(&first);
                }
                joined.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Some(Whole {
        data: if joined.is_empty() { first } else { joined.freeze() },
        trailers: trailers.map(Box::new),
    }))
}
