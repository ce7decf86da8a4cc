//! A request's body that can be sent again, as long as it is small.
//!
//! What passes is kept in one piece, so that what is kept is what it takes, however small the frames are.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::{BoxError, ClientBody, FaultCell};
use crate::http::limits::REPLAY_BYTES;
use crate::scope::lock;

/// The body of all tries of one request.
#[derive(Clone)]
pub(in crate::http) struct Replay(Arc<Mutex<Source>>);

struct Source {
    client: ClientBody,
    kept: Vec<u8>,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// More has passed than is kept.
    gone: bool,
    /// The try that may read on; those before it are over.
    current: usize,
}

/// The body of one try.
pub(in crate::http) struct Attempt {
    source: Replay,
    number: usize,
    /// Of `kept`, what it has had.
    had: usize,
    had_trailers: bool,
}

impl Replay {
    pub(in crate::http) fn new(client: ClientBody) -> Self {
        Self(Arc::new(Mutex::new(Source {
            client,
            kept: Vec::new(),
            trailers: None,
            ended: false,
            gone: false,
            current: 0,
        })))
    }

    /// The body from its beginning; `None` when that is no longer there.
    pub(in crate::http) fn attempt(&self) -> Option<Attempt> {
        let mut source = lock(&self.0);
        if source.gone {
            return None;
        }
        source.current += 1;
        Some(Attempt {
            source: self.clone(),
            number: source.current,
            had: 0,
            had_trailers: false,
        })
    }
}

impl Attempt {
    pub(super) fn fault(&self) -> FaultCell {
        lock(&self.source.0).client.fault.clone()
    }

    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut source = lock(&self.source.0);
        if source.current != self.number {
            return Poll::Ready(Some(Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into())));
        }
        if let Some(kept) = source.kept.get(self.had..)
            && !kept.is_empty()
        {
            self.had = source.kept.len();
            return Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(kept)))));
        }
        if let Some(trailers) = &source.trailers
            && !std::mem::replace(&mut self.had_trailers, true)
        {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        if source.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(source.client.poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                source.keep(frame);
                self.had = source.kept.len();
                self.had_trailers = source.trailers.is_some();
            }
            Some(Err(_)) => source.gone = true,
            None => source.ended = true,
        }
        Poll::Ready(frame)
    }
}

impl Source {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.gone {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if self.kept.len().saturating_add(data.len()) > REPLAY_BYTES {
                self.gone = true;
                self.kept = Vec::new();
                return;
            }
            self.kept.extend_from_slice(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
    }
}
