//! What goes on in a connection, told by its stream and its requests to its watchdog.
//!
//! Times are microseconds since the connection began, 0 meaning none; every one is written by one side and read by another, so relaxed
//! atomics do.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::limits::{HttpLimits, LINGER, LINGER_BYTES};
use crate::relay::End;
use crate::{scratch, socket};

/// Of one client connection.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    /// Streams have windows of their own, so a client may take nothing while the socket takes everything.
    streams: bool,
    /// Requests that have come and whose responses are not yet whole.
    requests: AtomicUsize,
    /// When the last of them ended.
    idle_since: AtomicU64,
    /// When the first byte came that belongs to no request yet; never without requests one by one.
    head_since: AtomicU64,
    /// Since when the client takes nothing.
    stalled_since: AtomicU64,
    /// Response bodies that have handed out something that was not yet taken, and when one was last asked for more.
    handed: AtomicUsize,
    asked: AtomicU64,
    /// It is to end after the requests that it has.
    pub(super) ending: AtomicBool,
    /// The last response did not end, and its client could not tell by an orderly close.
    cut: AtomicBool,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

/// What a connection has let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It is idle.
    Idle,
    /// A header is not complete.
    Header,
    /// The client takes nothing.
    Write,
}

impl Activity {
    pub(super) fn new(begun: Instant, streams: bool) -> Self {
        Self {
            begun,
            streams,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            handed: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// A request is complete up to its body; when it began.
    pub(super) fn enter(&self) -> Instant {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.streams {
            return Instant::now();
        }
        match self.head_since.swap(0, Ordering::Relaxed) {
            // It came in one piece with the one before it, or beside others.
            0 => Instant::now(),
            since => self.begun + Duration::from_micros(since),
        }
    }

    pub(super) fn leave(&self, now: Instant) {
        self.idle_since.store(self.stamp(now), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Something other than a request goes on in the connection until this is dropped.
    pub(super) fn hold(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether there are requests, or what became of them.
    pub(super) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Whether bodies tell when they hand something out, and when they are asked for more.
    pub(super) fn has_streams(&self) -> bool {
        self.streams
    }

    /// A body was asked: `before` and `after` say whether something of it is handed out and not known to be taken.
    pub(super) fn handed(&self, before: bool, after: bool, now: Instant) {
        match (before, after) {
            (false, true) => _ = self.handed.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.handed.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
        self.asked.store(self.stamp(now), Ordering::Relaxed);
    }

    /// The connection is to end by a reset.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// The next moment at which something may be overdue, and what.
    pub(super) fn deadline(&self, limits: &HttpLimits) -> Option<(Instant, Overdue)> {
        let after = |since: u64, patience| self.begun + Duration::from_micros(since) + patience;
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if stalled != 0 {
            return Some((after(stalled, limits.write_timeout), Overdue::Write));
        }
        if self.is_busy() {
            let handed = self.handed.load(Ordering::Relaxed) > 0;
            return handed.then(|| {
                (
                    after(self.asked.load(Ordering::Relaxed), limits.write_timeout),
                    Overdue::Write,
                )
            });
        }
        let head = self.head_since.load(Ordering::Relaxed);
        if head != 0 {
            return Some((after(head, limits.header_timeout), Overdue::Header));
        }
        Some((
            after(self.idle_since.load(Ordering::Relaxed), limits.idle_timeout),
            Overdue::Idle,
        ))
    }

    fn stamp(&self, now: Instant) -> u64 {
        u64::try_from((now - self.begun).as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn read(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        // Streams have frames that begin no request: acknowledgements, windows, pings. Half a header is bounded by the idle timeout.
        if !self.streams && !self.is_busy() && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.stamp(Instant::now()), Ordering::Relaxed);
        }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
                if self.stalled_since.load(Ordering::Relaxed) != 0 {
                    self.stalled_since.store(0, Ordering::Relaxed);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.stalled_since.load(Ordering::Relaxed) == 0 {
                    self.stalled_since.store(self.stamp(Instant::now()), Ordering::Relaxed);
                }
            }
        }
    }
}

/// Keeps a connection from being taken for idle.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.leave(Instant::now());
    }
}

/// A client's stream that tells its [`Activity`], and gives back first what was read of it before.
///
/// Its shutdown takes, within bounds, what the client still sends: unread bytes would make the kernel send a reset, which may overtake the
/// last response.
pub(super) struct Observed<S: End> {
    stream: S,
    before: Vec<u8>,
    activity: Arc<Activity>,
    /// The client has ended its direction.
    ended: bool,
    linger: Option<Box<Linger>>,
}

struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl<S: End> Observed<S> {
    pub(super) fn new(stream: S, before: Vec<u8>, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            before,
            activity,
            ended: false,
            linger: None,
        }
    }
}

impl<S: End> Observed<S> {
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| {
            Box::new(Linger {
                timer: Box::pin(sleep(LINGER)),
                left: LINGER_BYTES,
            })
        });
        while linger.left > 0 && !self.ended {
            if linger.timer.as_mut().poll(context).is_ready() {
                break;
            }
            let stream = Pin::new(&mut self.stream);
            let read = ready!(scratch::with(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                stream.poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
            }));
            let bytes = read.unwrap_or(0);
            linger.left = linger.left.saturating_sub(bytes);
            self.ended = bytes == 0;
        }
        Poll::Ready(())
    }
}

impl<S: End> AsyncRead for Observed<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        let polled = if this.before.is_empty() {
            Pin::new(&mut this.stream).poll_read(context, buffer)
        } else {
            let now = this.before.len().min(buffer.remaining());
            buffer.put_slice(this.before.get(..now).unwrap_or_default());
            if now == this.before.len() {
                this.before = Vec::new();
            } else {
                this.before.drain(..now);
            }
            Poll::Ready(Ok(()))
        };
        let bytes = buffer.filled().len() - filled;
        if bytes > 0 {
            this.activity.read(bytes);
        } else if polled.is_ready() {
            this.ended = true;
        }
        polled
    }
}

impl<S: End> Drop for Observed<S> {
    fn drop(&mut self) {
        if self.activity.is_cut()
            && let Some(socket) = self.stream.socket()
        {
            socket::abort(socket);
        }
    }
}

impl<S: End> AsyncWrite for Observed<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.activity.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.activity.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        this.poll_linger(context).map(Ok)
    }
}
