//! The first bytes to a backend: PROXY header, PostgreSQL's request for TLS, and the client's hello if TLS passes through.

use std::io;

use sealway_core::{Backend, ProxyProtocol, UpstreamTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::refuse::Refusal;
use super::{Greeting, Introduced};
use crate::outcome::{CloseReason, Outcome};
use crate::postgres::{self, SslAnswer};
use crate::proxy_protocol::{self, Addresses, Facts};

/// Says to `backend` what it must hear before the relay.
pub(super) async fn open(
    stream: &mut TcpStream,
    client: &TcpStream,
    greeting: &Greeting,
    backend: &Backend,
    passthrough: bool,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    let mut first = match backend.proxy_protocol {
        Some(version) => {
            let addresses = addresses(client, &greeting.introduced, outcome).map_err(|error| failed(&error))?;
            header(version, addresses, greeting.hello.server_name.name())
        }
        None => Vec::new(),
    };
    // What was ended here is not asked for there, unless TLS begins anew.
    let begins_tls = passthrough || matches!(backend.tls, UpstreamTls::Verified(_));
    if greeting.postgres && begins_tls {
        first.extend_from_slice(&postgres::SSL_REQUEST);
        stream.write_all(&first).await.map_err(|error| failed(&error))?;
        // One byte and no more: what follows belongs to TLS.
        let answer = SslAnswer::from_byte(stream.read_u8().await.map_err(|error| failed(&error))?);
        if answer != SslAnswer::Accepted {
            let detail = format!("it answered SSLRequest with {}", answer.label());
            return Err(Refusal::new(CloseReason::BackendRefusesTls, detail));
        }
        first.clear();
    }
    if !passthrough {
        return match first.is_empty() {
            true => Ok(()),
            false => stream.write_all(&first).await.map_err(|error| failed(&error)),
        };
    }
    // In one write where possible: one system call, and one segment.
    let bytes = if first.is_empty() {
        &greeting.received
    } else {
        first.extend_from_slice(&greeting.received);
        &first
    };
    stream.write_all(bytes).await.map_err(|error| failed(&error))?;
    outcome.traffic.upward.add(greeting.received.len() as u64);
    Ok(())
}

/// The same where nothing of the client's is read: only the PROXY header.
pub(super) async fn open_unread(
    stream: &mut TcpStream,
    client: &TcpStream,
    introduced: &Introduced,
    backend: &Backend,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    let Some(version) = backend.proxy_protocol else {
        return Ok(());
    };
    let addresses = addresses(client, introduced, outcome).map_err(|error| failed(&error))?;
    let header = header(version, addresses, None);
    stream.write_all(&header).await.map_err(|error| failed(&error))
}

/// The backend connected but took no bytes in time.
pub(super) fn timed_out() -> Refusal {
    failed(&io::Error::from(io::ErrorKind::TimedOut))
}

pub(super) fn failed(error: &io::Error) -> Refusal {
    Refusal::new(CloseReason::BackendFailed, format!("before the relay began: {error}"))
}

fn addresses(client: &TcpStream, introduced: &Introduced, outcome: &Outcome) -> io::Result<Addresses> {
    match introduced.proxied {
        Some(addresses) => Ok(addresses),
        None => Ok(Addresses {
            source: outcome.client,
            destination: client.local_addr()?,
        }),
    }
}

fn header(version: ProxyProtocol, addresses: Addresses, authority: Option<&str>) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => proxy_protocol::emit_v1(addresses),
        ProxyProtocol::V2 => {
            // ALPN is left out: that TLV is for the protocol agreed on, and nothing has been agreed on yet.
            proxy_protocol::emit_v2(addresses, Facts { authority, alpn: None })
        }
    }
}
