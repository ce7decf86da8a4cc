//! What a peer may take of us when it speaks HTTP. Each cap has its reason beside it.

use std::time::Duration;

/// Caps and deadlines of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of one request's line and header, and of an HTTP/2 header list: what browsers with large cookies need, twice.
    pub header_bytes: u32,
    /// From the first byte of a request to the end of its header.
    pub header_timeout: Duration,
    /// How long a connection without a request stays. Longer than the 60 s of most load balancers, so that they close first.
    pub idle_timeout: Duration,
    /// How long a client may send nothing of a body that it has announced.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what waits for it.
    pub write_timeout: Duration,
    /// Requests at a time on an HTTP/2 connection.
    pub concurrent_streams: u32,
    /// Idle connections that are kept to one endpoint.
    pub idle_backend_connections: usize,
    /// How long they are kept: shorter than the 60 s to 75 s after which most servers close.
    pub backend_idle_timeout: Duration,
    /// Copies of requests that are on their way at a time, over all routes.
    pub concurrent_mirrors: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            concurrent_streams: 128,
            idle_backend_connections: 256,
            backend_idle_timeout: Duration::from_secs(50),
            concurrent_mirrors: 1024,
        }
    }
}

/// Of one HTTP/1.1 connection and direction: as much as one read of a fast connection brings, and no more than a header needs.
pub(super) const HTTP1_BUFFER: usize = 128 * 1024;
/// Of one HTTP/2 stream: what a slow reader may leave with us for each.
pub(super) const STREAM_SEND_BUFFER: usize = 128 * 1024;
/// Flow control of one stream: 16 ms at 32 MB/s, and all that a client can make us hold for a request whose backend is slow.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
/// Flow control of a whole connection.
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that a client has opened and reset before we came to them (CVE-2023-44487): more than any honest client at once.
pub(super) const PENDING_RESETS: usize = 32;
/// Streams that we had to reset for the peer's errors before the connection ends (CVE-2025-8671).
pub(super) const LOCAL_RESETS: usize = 256;
/// Requests at a time on one HTTP/2 connection to a backend: its work is done on one core, so beyond these another connection is made.
pub(super) const BACKEND_STREAMS: usize = 64;
/// What a client that reads slowly may leave with us of a response.
pub(super) const BACKEND_STREAM_WINDOW: u32 = 256 * 1024;
/// Room for the windows of all streams: were it less, a few slow clients would stall all others.
pub(super) const BACKEND_CONNECTION_WINDOW: u32 = BACKEND_STREAMS as u32 * BACKEND_STREAM_WINDOW;
/// Liveness of HTTP/2 connections to backends: a dead one is found before many requests wait on it.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's body that are kept for another try.
pub(super) const REPLAY_BYTES: usize = 64 * 1024;
/// Bytes of all bodies together that may wait for mirrors.
pub(super) const COPY_BYTES: usize = 64 * 1024 * 1024;
/// Frames of a body that a copy may lag behind; each is at most [`HTTP1_BUFFER`] or [`STREAM_WINDOW`] long.
pub(super) const COPY_FRAMES: usize = 8;
/// What one copy may take in all.
pub(super) const COPY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a body is held back for a backend that does not say whether it wants it: as long as curl waits itself.
pub(super) const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// How long what a client still sends is taken after its answer.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// What a fast client may be on its way with when it is told that its upload is not wanted.
pub(super) const LINGER_BYTES: usize = 16 * 1024 * 1024;
