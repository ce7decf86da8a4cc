//! Copying through user space: one read and one write for a message.
//!
//! The buffer is the thread's; it is used within one poll. Only what a slow destination did not take is kept, in a buffer of
//! exactly that size.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::End;
use super::direction::Flow;
use crate::scratch;
use tokio::io::ReadBuf;

/// What one read and one write did.
pub(super) struct Copied {
    /// Bytes read; 0 at the end of the source.
    pub(super) read: usize,
    /// Bytes written.
    pub(super) written: usize,
    /// What is still to be written.
    pub(super) rest: Option<Rest>,
    /// The source ended without saying so.
    pub(super) cut: bool,
}

/// Bytes that the destination did not take.
pub(super) struct Rest {
    bytes: Box<[u8]>,
    written: usize,
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.written >= self.bytes.len()
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, destination: &mut impl End) -> Poll<io::Result<usize>> {
        let bytes = self.bytes.get(self.written..).unwrap_or_default();
        let written = ready!(poll_write_some(context, destination, bytes))?;
        self.written += written;
        Poll::Ready(Ok(written))
    }
}

/// Reads once and writes once.
pub(super) fn poll_copy(
    context: &mut Context<'_>,
    source: &mut impl End,
    destination: &mut impl End,
) -> Poll<Result<Copied, Flow>> {
    scratch::with(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        let cut = match ready!(Pin::new(source).poll_read(context, &mut buffer)) {
            Ok(()) => false,
            // TLS without its farewell. The stream has ended all the same, but nobody may take it for whole.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
            Err(error) => return Poll::Ready(Err(Flow::ReadFailed(error))),
        };
        let bytes = buffer.filled();
        let read = bytes.len();
        if read == 0 {
            return Poll::Ready(Ok(Copied {
                read,
                written: 0,
                rest: None,
                cut,
            }));
        }
        let written = match poll_write_some(context, destination, bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Flow::WriteFailed(error))),
            Poll::Pending => 0,
        };
        let rest = bytes.get(written..).unwrap_or_default();
        let rest = (!rest.is_empty()).then(|| Rest {
            bytes: rest.into(),
            written: 0,
        });
        Poll::Ready(Ok(Copied {
            read,
            written,
            rest,
            cut,
        }))
    })
}

fn poll_write_some(context: &mut Context<'_>, destination: &mut impl End, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(destination).poll_write(context, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}
