//! A request's body that can be sent again, as long as it is small.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::{BoxError, ClientBody};
use crate::http::limits::REPLAY_BYTES;
use crate::scope::lock;

/// The body of all tries of one request.
#[derive(Clone)]
pub(in crate::http) struct Replay(Arc<Mutex<Source>>);

struct Source {
    client: ClientBody,
    kept: Vec<Kept>,
    bytes: usize,
    ended: bool,
    /// More has passed than is kept.
    gone: bool,
    /// The try that may read on; those before it are over.
    current: usize,
}

enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The body of one try.
pub(in crate::http) struct Attempt {
    source: Replay,
    number: usize,
    position: usize,
}

impl Replay {
    pub(in crate::http) fn new(client: ClientBody) -> Self {
        Self(Arc::new(Mutex::new(Source {
            client,
            kept: Vec::new(),
            bytes: 0,
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
            position: 0,
        })
    }
}

impl Attempt {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut source = lock(&self.source.0);
        if source.current != self.number {
            return Poll::Ready(Some(Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into())));
        }
        if let Some(kept) = source.kept.get(self.position) {
            self.position += 1;
            return Poll::Ready(Some(Ok(match kept {
                Kept::Data(data) => Frame::data(data.clone()),
                Kept::Trailers(trailers) => Frame::trailers(trailers.clone()),
            })));
        }
        if source.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(source.client.poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.position += 1;
                source.keep(frame);
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
            self.bytes = self.bytes.saturating_add(data.len());
            self.kept.push(Kept::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            self.kept.push(Kept::Trailers(trailers.clone()));
        }
        if self.bytes > REPLAY_BYTES {
            self.gone = true;
            self.kept = Vec::new();
        }
    }
}
