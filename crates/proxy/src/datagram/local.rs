//! The sockets under UDP: one that listens, and one for each flow. Sending never waits.
//!
//! A socket of every address learns from the kernel which one a datagram was sent to, so that the answer comes from there: a connected
//! client takes it from nobody else.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;
use std::sync::Mutex;

use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt};
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::scope::lock;

/// A listening socket.
pub(crate) struct Local {
    socket: UdpSocket,
    address: SocketAddr,
    /// Room for what the kernel tells beside the bytes; `None` where the address is known. One task receives, so nobody waits for it.
    control: Option<Mutex<Vec<u8>>>,
}

/// A datagram that was received.
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) client: SocketAddr,
    /// Where it was sent to, if that is not the socket's address.
    pub(super) local: Option<IpAddr>,
}

impl Local {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let is_any = address.ip().is_unspecified();
        if is_any && address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else if is_any {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(Self {
            socket,
            address,
            control: is_any.then(|| Mutex::new(nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo))),
        })
    }

    /// Ready when something may have arrived.
    pub(super) async fn readable(&self) {
        // An error shows when it is received from.
        let _ = self.socket.readable().await;
    }

    /// Whether an address is this very socket's.
    pub(super) fn is(&self, address: SocketAddr, local: Option<IpAddr>) -> bool {
        address.port() == self.address.port() && address.ip() == local.unwrap_or(self.address.ip())
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let Some(control) = &self.control else {
            let (length, client) = self.socket.try_recv_from(buffer)?;
            return Ok(Received {
                length,
                client,
                local: None,
            });
        };
        self.socket.try_io(Interest::READABLE, || {
            let mut control = lock(control);
            let mut parts = [IoSliceMut::new(buffer)];
            let descriptor = self.socket.as_raw_fd();
            let message = recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
            let client = message.address.as_ref().and_then(socket_address);
            let local = message.cmsgs()?.find_map(|told| match told {
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
                ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
                _ => None,
            });
            Ok(Received {
                length: message.bytes,
                client: client.ok_or(io::ErrorKind::InvalidData)?,
                local,
            })
        })
    }

    /// To a client, from the address that it knows.
    pub(super) fn send(&self, bytes: &[u8], client: SocketAddr, local: Option<IpAddr>) -> io::Result<()> {
        let parts = [IoSlice::new(bytes)];
        let descriptor = self.socket.as_raw_fd();
        let to = SockaddrStorage::from(client);
        let sent = match local {
            None => {
                rustix::net::sendto(&self.socket, bytes, SendFlags::DONTWAIT, &client)?;
                return Ok(());
            }
            Some(IpAddr::V4(address)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let told = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(descriptor, &parts, &told, MsgFlags::MSG_DONTWAIT, Some(&to))
            }
            Some(IpAddr::V6(address)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: address.octets(),
                    },
                    // Only the client's own scope says which link a link-local address is on.
                    ipi6_ifindex: match client {
                        SocketAddr::V6(client) => client.scope_id(),
                        SocketAddr::V4(_) => 0,
                    },
                };
                let told = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(descriptor, &parts, &told, MsgFlags::MSG_DONTWAIT, Some(&to))
            }
        };
        sent.map(drop).map_err(Into::into)
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from(*address));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
}

/// A socket that hears only this endpoint.
pub(super) fn connect(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any = if endpoint.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let socket = StdSocket::bind((any, 0))?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
