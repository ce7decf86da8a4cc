//! Copies of a request's body for mirrors: handed on while the original passes, dropped when a mirror cannot keep up.
//!
//! Invariant: what waits for mirrors, of all requests together, is within one budget of bytes.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{BodyFault, BoxError, FaultCell};
use crate::http::limits::COPY_FRAMES;

enum Part {
    Data(
        Bytes,
        #[expect(dead_code, reason = "given back when the part is on its way")] OwnedSemaphorePermit,
    ),
    Trailers(HeaderMap),
    End,
}

/// Where the frames of one body also go.
pub(in crate::http) struct Copies {
    mirrors: Vec<mpsc::Sender<Part>>,
    /// Bytes that may wait.
    budget: Arc<Semaphore>,
}

/// What a mirror gets.
pub(in crate::http) struct CopyBody {
    parts: mpsc::Receiver<Part>,
    ended: bool,
    pub(super) fault: FaultCell,
}

/// A body for each of so many mirrors.
pub(in crate::http) fn copy_channel(mirrors: usize, budget: &Arc<Semaphore>) -> (Copies, Vec<CopyBody>) {
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
    let copies = Copies {
        mirrors: senders,
        budget: Arc::clone(budget),
    };
    (copies, bodies)
}

impl Copies {
    pub(super) fn send(&mut self, frame: &Frame<Bytes>) {
        // A small piece may hold on to a large buffer that it was read into.
        let data = frame.data_ref().map(|data| match data.len() {
            ..SMALL => Bytes::copy_from_slice(data),
            _ => data.clone(),
        });
        let budget = &self.budget;
        self.mirrors.retain(|mirror| {
            let part = match (&data, frame.trailers_ref()) {
                (Some(data), _) => {
                    let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    match Arc::clone(budget).try_acquire_many_owned(bytes) {
                        Ok(permit) => Part::Data(data.clone(), permit),
                        Err(_) => return false,
                    }
                }
                (None, Some(trailers)) => Part::Trailers(trailers.clone()),
                (None, None) => return true,
            };
            // One that lags behind by so much is given up: it must not hold up the request, nor fill the memory.
            mirror.try_send(part).is_ok()
        });
    }

    pub(super) fn end(&mut self) {
        for mirror in self.mirrors.drain(..) {
            let _ = mirror.try_send(Part::End);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.mirrors.clear();
    }
}

impl CopyBody {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.parts.poll_recv(context).map(|part| match part {
            Some(Part::Data(data, _)) => Some(Ok(Frame::data(data))),
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

const SMALL: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn next(body: &mut CopyBody) -> Option<Result<Frame<Bytes>, BoxError>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match body.poll_frame(&mut context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => panic!("nothing waits"),
        }
    }

    #[test]
    fn all_copies_together_keep_to_the_budget() {
        let budget = Arc::new(Semaphore::new(10));
        let (mut one, mut first) = copy_channel(1, &budget);
        let (mut two, mut second) = copy_channel(1, &budget);
        let frame = Frame::data(Bytes::from_static(b"12345678"));
        one.send(&frame);
        two.send(&frame);
        assert!(next(&mut second[0]).unwrap().is_err(), "there is no room for it");
        assert_eq!(next(&mut first[0]).unwrap().unwrap().into_data().unwrap(), "12345678");
        // What was taken is free again.
        one.send(&frame);
        assert_eq!(budget.available_permits(), 2);
        drop(first);
        assert_eq!(budget.available_permits(), 10);
    }
}
