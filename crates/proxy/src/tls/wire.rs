//! The socket below TLS or HTTP, read in large pieces.
//!
//! rustls asks for 4 KiB at a time, so a record of 16 KiB would take five system calls. Once a read has filled what was asked for, the
//! next ones take all that has arrived and keep it until it is asked for. Invariant: a stream that waits holds no buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{BackendStream, ClientStream};
use crate::relay::End;
use crate::scratch;

/// A socket, and what was read of it ahead.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    /// Bytes that were read and are still to be asked for, from `taken` on.
    ahead: Box<[u8]>,
    taken: usize,
    /// The last read found more than was asked for, or exactly that.
    bulk: bool,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            ahead: Box::default(),
            taken: 0,
            bulk: false,
        }
    }

    /// A socket of which `ahead` was read already.
    pub(crate) fn with(socket: TcpStream, ahead: Vec<u8>) -> Self {
        Self {
            ahead: ahead.into(),
            ..Self::new(socket)
        }
    }

    /// The socket, without what was read ahead.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Takes all that has arrived. `buffer` gets what it has room for, and the rest is kept.
    fn poll_read_ahead(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        scratch::with(|scratch| {
            let mut arrived = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut arrived))?;
            let (now, later) = arrived.filled().split_at(arrived.filled().len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.bulk = buffer.remaining() == 0;
            self.ahead = later.into();
            self.taken = 0;
            Poll::Ready(Ok(()))
        })
    }
}

impl End for Wire {
    fn is_plain(&self) -> bool {
        self.ahead.is_empty()
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(&self.socket)
    }

    fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        Some(&mut self.socket)
    }
}

impl End for ClientStream {
    fn is_plain(&self) -> bool {
        false
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0.socket())
    }

    fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        Some(self.get_mut().0.socket_mut())
    }
}

impl End for BackendStream {
    fn is_plain(&self) -> bool {
        false
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0.socket())
    }

    fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        Some(self.get_mut().0.socket_mut())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let ahead = this.ahead.get(this.taken..).unwrap_or_default();
        if !ahead.is_empty() {
            let now = ahead.get(..buffer.remaining()).unwrap_or(ahead);
            buffer.put_slice(now);
            this.taken += now.len();
            if this.taken >= this.ahead.len() {
                this.ahead = Box::default();
                this.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        if this.bulk && buffer.remaining() < LARGE {
            return this.poll_read_ahead(context, buffer);
        }
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        this.bulk = buffer.remaining() == 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// Who asks for so much at once is not helped by reading ahead.
const LARGE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_nothing_is_lost() {
        let (near, mut far) = connected().await;
        let mut wire = Wire::with(near, b"ahead,".to_vec());
        // A period that no buffer size divides, so that a shifted or repeated block shows.
        let sent: Vec<u8> = (0..300_000_u32).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let bytes = sent.clone();
        let writer = tokio::spawn(async move {
            far.write_all(&bytes).await.unwrap();
        });
        let (mut received, mut small) = (Vec::new(), [0; 4096]);
        loop {
            match wire.read(&mut small).await.unwrap() {
                0 => break,
                bytes => received.extend_from_slice(&small[..bytes]),
            }
        }
        writer.await.unwrap();
        assert_eq!(&received[..6], b"ahead,");
        assert!(received[6..] == sent);
    }

    #[tokio::test]
    async fn large_pieces_are_read_at_once_and_no_buffer_stays() {
        let (near, mut far) = connected().await;
        let mut wire = Wire::new(near);
        let mut small = [0; 4096];
        far.write_all(&[7; 20_000]).await.unwrap();
        // All of it has arrived before the first read.
        while wire.socket().peek(&mut [0; 20_000]).await.unwrap() < 20_000 {}
        wire.read_exact(&mut small).await.unwrap();
        assert!(wire.bulk && wire.ahead.is_empty());
        wire.read_exact(&mut small).await.unwrap();
        assert_eq!(wire.ahead.len(), 20_000 - 2 * 4096, "one read took the rest");
        wire.read_exact(&mut [0; 20_000 - 2 * 4096]).await.unwrap();
        assert!(wire.ahead.is_empty());
        far.write_all(b"small").await.unwrap();
        assert_eq!(wire.read(&mut small).await.unwrap(), 5);
        assert!(!wire.bulk);
    }
}
