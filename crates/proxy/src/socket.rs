//! Socket options and the ways to end a connection.
//!
//! Linux hands options of a listening socket on to the sockets that it accepts, so they are set once there; elsewhere once for each
//! connection.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::scratch;

/// Opens the listening sockets of one address, one for each worker. The first is bound plainly, so that a port that another process
/// has is noticed; only then the port is shared, and only among ourselves.
pub(crate) fn listen(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // None listens before all are bound: with fewer the kernel would give connections to sockets of a failed attempt.
    bind_all(address, workers, bind)?.into_iter().map(start).collect()
}

/// The same for UDP.
pub(crate) fn listen_datagrams(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let start = |socket: Socket| {
        // A burst is to find room while other tasks have their turn. Cut to `net.core.rmem_max` by the kernel.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket.into())
    };
    bind_all(address, workers, bind_datagrams)?.into_iter().map(start).collect()
}

fn bind_all(
    address: SocketAddr,
    workers: usize,
    bind: impl Fn(SocketAddr, bool) -> io::Result<Socket>,
) -> io::Result<Vec<Socket>> {
    let first = bind(address, false)?;
    // With port 0 the system chooses, once.
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = Vec::with_capacity(workers.max(1));
    if workers > 1 {
        share(&first)?;
    }
    sockets.push(first);
    while sockets.len() < workers {
        sockets.push(bind(address, true)?);
    }
    Ok(sockets)
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port in TIME_WAIT from a process that has just ended is free.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` and `0.0.0.0` are addresses of their own.
        socket.set_only_v6(true)?;
    }
    if shared {
        share(&socket)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Without SO_REUSEADDR: to UDP that means that a second process may have the port as well.
fn bind_datagrams(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        share(&socket)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn share(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(target_os = "linux"))]
fn share(_: &Socket) -> io::Result<()> {
    Ok(())
}

fn start(socket: Socket) -> io::Result<TcpListener> {
    prepare(&socket);
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How many listening sockets an address gets: sharing a port balances load on Linux alone.
pub(crate) fn sockets_per_address(workers: usize) -> usize {
    if cfg!(target_os = "linux") { workers.max(1) } else { 1 }
}

/// What an accepted connection needs beyond what it inherits.
pub(crate) fn prepare_accepted(stream: &TcpStream) {
    if !cfg!(target_os = "linux") {
        prepare(stream);
    }
}

/// A failure to set an option costs latency or a late discovery, never the connection.
fn prepare(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive());
}

/// Switches TCP keepalive on.
pub(crate) fn keep_alive(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive());
}

fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
    let keepalive = keepalive.with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    keepalive
}

/// Says `last_words` and ends the connection so that they arrive: unread bytes would make the kernel send a reset, which may
/// overtake them. So the client's bytes are taken, within bounds of time and number.
pub(crate) async fn close_gracefully(stream: &mut TcpStream, last_words: &[u8]) {
    let _ = timeout(LINGER, async {
        stream.write_all(last_words).await?;
        stream.shutdown().await?;
        let mut taken = Vec::new();
        let mut total = 0;
        while total < LINGER_BYTES {
            let bytes = poll_fn(|context| scratch::poll_append(context, stream, &mut taken, usize::MAX)).await?;
            if bytes == 0 {
                break;
            }
            total += bytes;
            taken.clear();
        }
        io::Result::Ok(())
    })
    .await;
}

/// Makes the drop of `stream` reset the connection.
pub(crate) fn abort(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Cut to `net.core.somaxconn` by the kernel.
const BACKLOG: i32 = 65_535;
const RECEIVE_BUFFER: usize = 1024 * 1024;
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// For last words, and for nothing else.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_of_another_socket_is_in_use_even_when_that_one_shares() {
        let mine = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_eq!(mine.len(), 2);
        let address = mine[0].local_addr().unwrap();
        assert_eq!(mine[1].local_addr().unwrap(), address);
        let error = listen(address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn udp_port_of_another_socket_is_in_use_even_when_that_one_shares() {
        let mine = listen_datagrams("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = mine[0].local_addr().unwrap();
        assert_eq!(mine[1].local_addr().unwrap(), address);
        let error = listen_datagrams(address, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn every_shared_socket_gets_connections() {
        let mine = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = mine[0].local_addr().unwrap();
        let mut clients = Vec::new();
        let mut seen = [0, 0];
        // The kernel spreads by a hash of the addresses: both stay empty-handed only by a chance of 2^-63.
        for _ in 0..64 {
            clients.push(TcpStream::connect(address).await.unwrap());
            let taken = tokio::select! {
                accepted = mine[0].accept() => { accepted.unwrap(); 0 }
                accepted = mine[1].accept() => { accepted.unwrap(); 1 }
            };
            seen[taken] += 1;
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }

    #[tokio::test]
    async fn accepted_sockets_inherit_options() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let accepted = accepted.unwrap().0;
        prepare_accepted(&accepted);
        assert!(accepted.nodelay().unwrap());
        assert!(SockRef::from(&accepted).keepalive().unwrap());
        drop(client);
    }
}
