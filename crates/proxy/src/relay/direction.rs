//! One direction of a relay: from a source to a destination.
//!
//! Invariant: `in_hand` is empty whenever the source is read, so that EAGAIN from splice(2) can only mean that the source has
//! nothing (with a pipe that holds something it could also mean that the pipe is full), and the end of the source comes after
//! everything was written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::copy::{self, Rest};
use super::pipe::Pipe;
use super::{End, Meter};

/// State of one direction. Small: it lives as long as the connection.
#[derive(Default)]
pub(super) struct Direction {
    in_hand: InHand,
    /// Rises with large reads, falls with small ones; decides between copying and splicing.
    bulk: usize,
    splicing: bool,
    /// The destination may hold bytes back until it is flushed: TLS does, when its socket is full.
    unflushed: bool,
    /// The source ended without saying so, as TLS has it.
    cut: bool,
    ended: bool,
    moved: u64,
}

/// Bytes that were read and are still to be written.
#[derive(Default)]
pub(super) enum InHand {
    #[default]
    Nothing,
    /// What the destination did not take of a copied read.
    Rest(Rest),
    /// In the kernel.
    Pipe(Pipe),
}

/// How a direction ended.
pub(super) enum Flow {
    /// The source ended, and the destination was told.
    Ended,
    /// The source failed.
    ReadFailed(io::Error),
    /// The destination failed.
    WriteFailed(io::Error),
}

impl Direction {
    /// Moves what can be moved. Ready once, when the direction is over. When it is the `last`, the sockets are closed at once, and
    /// the destination need not be told by a shutdown before.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut impl End,
        destination: &mut impl End,
        meter: &Meter,
        last: bool,
    ) -> Poll<Flow> {
        if self.ended {
            return Poll::Pending;
        }
        let before = self.moved;
        let flow = self.poll_flow(context, source, destination, last);
        if self.moved != before {
            meter.add(self.moved - before);
        }
        if flow.is_ready() {
            self.ended = true;
            self.in_hand = InHand::Nothing;
        }
        flow
    }

    fn poll_flow(
        &mut self,
        context: &mut Context<'_>,
        source: &mut impl End,
        destination: &mut impl End,
        last: bool,
    ) -> Poll<Flow> {
        let enough = self.moved.saturating_add(MOVED_PER_POLL);
        loop {
            if let Err(error) = ready!(self.poll_write(context, destination)) {
                return Poll::Ready(Flow::WriteFailed(error));
            }
            if self.moved >= enough {
                // Other connections of this worker have a right to it.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let step = if self.splicing {
                self.poll_splice(context, source, destination)
            } else {
                self.poll_copy(context, source, destination)
            };
            match ready!(step) {
                Ok(0) => break,
                Ok(read) if source.is_plain() && destination.is_plain() => self.weigh(read),
                Ok(_) => {}
                Err(flow) => return Poll::Ready(flow),
            }
        }
        // Telling the destination fails only when it is gone, and then its own direction says so.
        if self.cut
            && let Some(socket) = destination.socket_mut()
        {
            let _ = ready!(Pin::new(socket).poll_shutdown(context));
        } else if !last || !destination.is_plain() {
            let _ = ready!(Pin::new(destination).poll_shutdown(context));
        }
        Poll::Ready(Flow::Ended)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        matches!(self.in_hand, InHand::Nothing)
    }

    #[cfg(test)]
    pub(super) fn start_splicing(&mut self) {
        self.bulk = BULK;
        self.splicing = true;
    }

    #[cfg(test)]
    pub(super) fn is_splicing(&self) -> bool {
        self.splicing
    }

    /// Writes what is in hand.
    fn poll_write(&mut self, context: &mut Context<'_>, destination: &mut impl End) -> Poll<io::Result<()>> {
        loop {
            let written = match &mut self.in_hand {
                InHand::Nothing if self.unflushed => {
                    ready!(Pin::new(&mut *destination).poll_flush(context))?;
                    self.unflushed = false;
                    return Poll::Ready(Ok(()));
                }
                InHand::Nothing => return Poll::Ready(Ok(())),
                InHand::Rest(rest) if rest.is_empty() => 0,
                InHand::Pipe(pipe) if pipe.is_empty() => 0,
                InHand::Rest(rest) => ready!(rest.poll_write(context, destination))?,
                InHand::Pipe(pipe) => match destination.socket() {
                    Some(socket) => ready!(pipe.poll_drain(context, socket))?,
                    None => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                },
            };
            if written == 0 {
                // Drained: buffer and pipe go back.
                self.in_hand = InHand::Nothing;
            }
            self.moved += written as u64;
        }
    }

    /// Reads into the thread's buffer and writes at once. Returns the bytes read.
    fn poll_copy(
        &mut self,
        context: &mut Context<'_>,
        source: &mut impl End,
        destination: &mut impl End,
    ) -> Poll<Result<usize, Flow>> {
        let copied = match ready!(copy::poll_copy(context, source, destination)) {
            Ok(copied) => copied,
            Err(flow) => return Poll::Ready(Err(flow)),
        };
        self.moved += copied.written as u64;
        self.unflushed = copied.read > 0 && !destination.is_plain();
        self.cut = copied.cut;
        if let Some(rest) = copied.rest {
            self.in_hand = InHand::Rest(rest);
        }
        Poll::Ready(Ok(copied.read))
    }

    /// Moves bytes of the source into a pipe. Returns their number.
    fn poll_splice(
        &mut self,
        context: &mut Context<'_>,
        source: &mut impl End,
        destination: &mut impl End,
    ) -> Poll<Result<usize, Flow>> {
        // No pipe is taken before there is something to put into it.
        if let Some(socket) = source.socket()
            && let Err(error) = ready!(socket.poll_read_ready(context))
        {
            return Poll::Ready(Err(Flow::ReadFailed(error)));
        }
        let (Some(mut pipe), Some(socket)) = (Pipe::borrow(), source.socket()) else {
            // None to be had: copy, and ask again after as much as it took to get here.
            self.splicing = false;
            self.bulk = 0;
            return self.poll_copy(context, source, destination);
        };
        match ready!(pipe.poll_fill(context, socket)) {
            Ok(read) => {
                self.in_hand = InHand::Pipe(pipe);
                Poll::Ready(Ok(read))
            }
            Err(error) => Poll::Ready(Err(Flow::ReadFailed(error))),
        }
    }

    /// Small messages want one read and one write; bulk wants splice(2), which costs two calls and copies nothing.
    fn weigh(&mut self, read: usize) {
        self.bulk = if read >= LARGE_READ {
            (self.bulk + read).min(2 * BULK)
        } else {
            self.bulk.saturating_sub(BULK / 4)
        };
        self.splicing = if self.splicing { self.bulk > 0 } else { self.bulk >= BULK };
    }
}

/// A direction is bulk once so many bytes have come in large reads.
pub(super) const BULK: usize = 256 * 1024;
/// From here on a read counts as large.
const LARGE_READ: usize = 8 * 1024;
/// A direction yields after so many bytes.
const MOVED_PER_POLL: u64 = 4 * 1024 * 1024;
