//! Copies of a request's body for mirrors: handed on while the original passes, dropped when a mirror cannot keep up.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc;

use super::{BodyFault, BoxError, FaultCell};
use crate::http::limits::COPY_FRAMES;

enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// Where the frames of one body also go.
pub(in crate::http) struct Copies(Vec<mpsc::Sender<Part>>);

/// What a mirror gets.
pub(in crate::http) struct CopyBody {
    parts: mpsc::Receiver<Part>,
    ended: bool,
    pub(super) fault: FaultCell,
}

/// A body for each of so many mirrors.
pub(in crate::http) fn copy_channel(mirrors: usize) -> (Copies, Vec<CopyBody>) {
    let (senders, bodies) = (0..mirrors)
        .map(|_| {
            let (sender, parts) = mpsc::channel(COPY_FRAMES);
            let body = CopyBody {
                parts,
                ended: false,
                fault: FaultCell::default(),
            };
            (sender, body)
        })
        .unzip();
    (Copies(senders), bodies)
}

impl Copies {
    pub(super) fn send(&mut self, frame: &Frame<Bytes>) {
        self.0.retain(|mirror| {
            let part = match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => Part::Data(data.clone()),
                (None, Some(trailers)) => Part::Trailers(trailers.clone()),
                (None, None) => return true,
            };
            // One that lags behind by so much is given up: it must not hold up the request, nor fill the memory.
            mirror.try_send(part).is_ok()
        });
    }

    pub(super) fn end(&mut self) {
        for mirror in self.0.drain(..) {
            let _ = mirror.try_send(Part::End);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.0.clear();
    }
}

impl CopyBody {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.parts.poll_recv(context).map(|part| match part {
            Some(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Part::End) => {
                self.ended = true;
                None
            }
            None => {
                self.fault.set(BodyFault::CopyBehind);
                Some(Err(BodyFault::CopyBehind.into()))
            }
        })
    }
}
