//! Writing a PROXY protocol header for a backend that asks for one.

use std::net::{IpAddr, SocketAddr};

use super::{ALPN, AUTHORITY, Addresses, LOCAL, PROXY, TCP_OVER_IPV4, TCP_OVER_IPV6, UNSPECIFIED, V1_SIGNATURE, V2_SIGNATURE};

/// What version 2 can say beyond the addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The server name that the client asked for.
    pub authority: Option<&'a str>,
    /// The application protocol.
    pub alpn: Option<&'a [u8]>,
}

/// The version 1 line for `addresses`.
pub fn emit_v1(addresses: Addresses) -> Vec<u8> {
    let Addresses { source, destination } = one_family(addresses);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let mut line = V1_SIGNATURE.to_vec();
    let words = format!(
        "{family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    line.extend_from_slice(words.as_bytes());
    line
}

/// The version 1 line of a connection that is the gateway's own: no client stands behind it.
pub fn emit_v1_unknown() -> Vec<u8> {
    let mut line = V1_SIGNATURE.to_vec();
    line.extend_from_slice(b"UNKNOWN\r\n");
    line
}

/// The version 2 header of a connection that is the gateway's own.
pub fn emit_v2_local() -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend_from_slice(&[VERSION_2 | LOCAL, UNSPECIFIED, 0, 0]);
    header
}

/// The version 2 header for `addresses` and `facts`. A fact of more than 65,535 bytes or that would take the header
/// beyond that length is left out, for it cannot be written.
pub fn emit_v2(addresses: Addresses, facts: Facts<'_>) -> Vec<u8> {
    let Addresses { source, destination } = one_family(addresses);
    let mut body = Vec::new();
    for address in [source.ip(), destination.ip()] {
        match address {
            IpAddr::V4(address) => body.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => body.extend_from_slice(&address.octets()),
        }
    }
    body.extend_from_slice(&source.port().to_be_bytes());
    body.extend_from_slice(&destination.port().to_be_bytes());
    for (kind, value) in [(AUTHORITY, facts.authority.map(str::as_bytes)), (ALPN, facts.alpn)] {
        let Some(value) = value.filter(|value| body.len() + 3 + value.len() <= usize::from(u16::MAX)) else {
            continue;
        };
        body.push(kind);
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
    }
    let family = if source.is_ipv4() { TCP_OVER_IPV4 } else { TCP_OVER_IPV6 };
    let mut header = V2_SIGNATURE.to_vec();
    header.extend_from_slice(&[VERSION_2 | PROXY, family]);
    header.extend_from_slice(&(body.len() as u16).to_be_bytes());
    header.append(&mut body);
    header
}

/// Both addresses in one family, as the protocol wants them: IPv4 where both are (be it mapped into IPv6, as a
/// dual-stack socket has it), IPv6 otherwise.
fn one_family(Addresses { source, destination }: Addresses) -> Addresses {
    let in_family = |address: SocketAddr, ip: IpAddr| SocketAddr::new(ip, address.port());
    let (IpAddr::V4(source_ip), IpAddr::V4(destination_ip)) = (source.ip().to_canonical(), destination.ip().to_canonical())
    else {
        return Addresses {
            source: in_family(source, as_ipv6(source.ip())),
            destination: in_family(destination, as_ipv6(destination.ip())),
        };
    };
    Addresses {
        source: in_family(source, source_ip.into()),
        destination: in_family(destination, destination_ip.into()),
    }
}

fn as_ipv6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        address @ IpAddr::V6(_) => address,
    }
}

/// In the upper half of the byte that also holds the command.
const VERSION_2: u8 = 0x20;
