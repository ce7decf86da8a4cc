//! Read buffers of each thread, used within one poll and never across.
//!
//! A large read takes all that has arrived in one system call, and a connection that waits holds no buffer.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// Lends a buffer of the thread to `work`. There is one, and a second where TLS is read within a read.
pub(crate) fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BYTES].into());
    let answer = work(&mut scratch);
    FREE.with_borrow_mut(|free| free.push(scratch));
    answer
}

/// Appends what has arrived to `received`, whose length stays within `most`. Returns the bytes read; 0 at the end of the stream
/// or when `most` is reached.
pub(crate) fn poll_append(
    context: &mut Context<'_>,
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
    most: usize,
) -> Poll<io::Result<usize>> {
    with(|scratch| {
        let room = most.saturating_sub(received.len()).min(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        received.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// Large enough that a stream without splice is not slowed, small enough to stay in the cache.
const BYTES: usize = 64 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}
