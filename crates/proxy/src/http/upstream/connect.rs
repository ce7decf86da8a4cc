//! A new connection to an endpoint: TCP, the PROXY header, TLS, and HTTP's own opening.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sealway_core::{Backend, UpstreamTls};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::channel::Channel;
use super::endpoint::Opened;
use super::multiplexed::Multiplexed;
use super::{ConnectFailure, Passage};
use crate::Shared;
use crate::http::limits::{
    BACKEND_CONNECTION_WINDOW, BACKEND_STREAM_WINDOW, HTTP1_BUFFER, LOCAL_RESETS, PING_INTERVAL, PING_TIMEOUT, STREAM_SEND_BUFFER,
};
use crate::tls::{Alpn, ClientIdentity, Offer};
use crate::{socket, upstream};

pub(super) async fn connect(
    shared: &Arc<Shared>,
    channel: &Channel,
    address: SocketAddr,
    passage: &Passage<'_>,
    deadline: Instant,
) -> Result<Opened, ConnectFailure> {
    let tcp = |error: io::Error| ConnectFailure::tcp(&error);
    let timed_out = |_| ConnectFailure::timed_out();
    let mut socket = timeout_at(deadline, upstream::connect(address))
        .await
        .map_err(timed_out)?
        .map_err(tcp)?;
    // Of HTTP/1.1 nothing else finds out that a backend has vanished while a response is waited for.
    socket::keep_alive(&socket);
    if let Some(header) = &passage.proxy_header {
        timeout_at(deadline, socket.write_all(header))
            .await
            .map_err(timed_out)?
            .map_err(tcp)?;
    }
    match &channel.tls {
        UpstreamTls::Plain => open(channel.offer == Offer::Http2, socket, deadline).await,
        // The compiler refuses the backend; nothing weaker may take its place.
        UpstreamTls::Refused { .. } => Err(ConnectFailure::Protocol("the TLS policy cannot be honoured".to_owned())),
        UpstreamTls::Verified(tls) => {
            let configs = &shared.client_configs;
            let handshake = configs.handshake(socket, passage.backend, tls, channel.identity.as_ref(), channel.offer);
            let (stream, alpn) = match timeout_at(deadline, handshake).await {
                Ok(done) => done.map_err(ConnectFailure::Tls)?,
                Err(_) => {
                    return Err(ConnectFailure::Tls(
                        configs.timed_out(passage.backend, channel.identity.as_deref()),
                    ));
                }
            };
            let http2 = match (channel.offer, alpn) {
                (_, Some(Alpn::Http2)) => true,
                (Offer::Http2, _) => {
                    return Err(ConnectFailure::Protocol("it does not offer HTTP/2 (ALPN h2)".to_owned()));
                }
                (_, Some(Alpn::Http1) | None) => false,
            };
            let heard = Heard {
                stream,
                shared: Arc::clone(shared),
                backend: Some(Arc::clone(passage.backend)),
                identity: channel.identity.clone(),
            };
            open(http2, heard, deadline).await
        }
    }
}

async fn open<S>(http2: bool, stream: S, deadline: Instant) -> Result<Opened, ConnectFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let failed = |error: hyper::Error| ConnectFailure::Protocol(error.to_string());
    let timed_out = |_| ConnectFailure::Protocol("silent until the deadline".to_owned());
    if !http2 {
        let opening = http1::Builder::new().max_buf_size(HTTP1_BUFFER).handshake(io);
        let (sender, connection) = timeout_at(deadline, opening).await.map_err(timed_out)?.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to a backend ended");
            }
        });
        return Ok(Opened::Http1(sender));
    }
    let opening = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(BACKEND_STREAM_WINDOW)
        .initial_connection_window_size(BACKEND_CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_SEND_BUFFER)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(HTTP1_BUFFER as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(io);
    let (sender, mut connection) = timeout_at(deadline, opening).await.map_err(timed_out)?.map_err(failed)?;
    let most = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let taken = Arc::clone(&most);
    tokio::spawn(async move {
        let ended = poll_fn(|context| {
            let polled = Pin::new(&mut connection).poll(context);
            taken.store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "connection to a backend ended");
        }
    });
    Ok(Opened::Http2(Multiplexed::new(sender, most)))
}

/// A stream inside TLS that says so when the backend's first bytes come: only then it has taken the gateway's certificate.
struct Heard<S> {
    stream: S,
    shared: Arc<Shared>,
    backend: Option<Arc<Backend>>,
    identity: Option<Arc<ClientIdentity>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Some(backend) = &this.backend
            && !buffer.filled().is_empty()
        {
            this.shared.client_configs.heard(backend, this.identity.as_deref());
            this.backend = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
