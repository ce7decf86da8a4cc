//! Reading a PROXY protocol header. An answer other than "need more" never changes when more bytes arrive.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{
    Addresses, CHECKSUM, Extensions, Header, HeaderError, LOCAL, MAX_V2_BYTES, PROXY, Progress, TCP_OVER_IPV4, TCP_OVER_IPV6,
    UDP_OVER_IPV4, UDP_OVER_IPV6, UNIX_DATAGRAM, UNIX_STREAM, UNSPECIFIED, V1_SIGNATURE, V2_FIXED_BYTES, V2_SIGNATURE,
};

/// Reads the header that `received`, everything since the connection began, starts with.
/// The first byte tells version 1 from version 2. A stream without a header is refused at the first byte that differs.
pub fn parse(received: &[u8]) -> Progress {
    let header = match received.first() {
        None => Ok(None),
        Some(first) if V2_SIGNATURE.starts_with(&[*first]) => parse_v2(received),
        Some(_) => parse_v1(received),
    };
    match header {
        Ok(None) => Progress::NeedMore,
        Ok(Some(header)) => Progress::Done(header),
        Err(error) => Progress::Refused(error),
    }
}

fn parse_v1(received: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(line) = after_signature(received, V1_SIGNATURE)? else {
        return Ok(None);
    };
    let line = line.get(..MAX_LINE_BYTES - V1_SIGNATURE.len()).unwrap_or(line);
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        let complete = line.len() == MAX_LINE_BYTES - V1_SIGNATURE.len();
        return if complete { Err(HeaderError::LineTooLong) } else { Ok(None) };
    };
    let text = line.get(..end).and_then(|text| std::str::from_utf8(text).ok());
    let mut words = text.ok_or(HeaderError::LineMalformed)?.split(' ');
    let addresses = match words.next() {
        // Whatever follows UNKNOWN is to be ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(v1_addresses::<Ipv4Addr>(words).ok_or(HeaderError::LineMalformed)?),
        Some("TCP6") => Some(v1_addresses::<Ipv6Addr>(words).ok_or(HeaderError::LineMalformed)?),
        _ => return Err(HeaderError::LineMalformed),
    };
    let length = V1_SIGNATURE.len() + end + 2;
    Ok(Some(Header {
        addresses,
        extensions: Extensions::default(),
        length,
    }))
}

/// Source address, destination address, source port, destination port, and no more.
fn v1_addresses<'a, A: FromStr + Into<IpAddr>>(mut words: impl Iterator<Item = &'a str>) -> Option<Addresses> {
    let source: A = words.next()?.parse().ok()?;
    let destination: A = words.next()?.parse().ok()?;
    let source_port = port(words.next()?)?;
    let destination_port = port(words.next()?)?;
    words.next().is_none().then(|| Addresses {
        source: SocketAddr::new(source.into(), source_port),
        destination: SocketAddr::new(destination.into(), destination_port),
    })
}

/// Decimal digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn parse_v2(received: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(rest) = after_signature(received, V2_SIGNATURE)? else {
        return Ok(None);
    };
    let (command, family) = match *rest {
        [] => return Ok(None),
        [version, ..] if version >> 4 != 2 => {
            return Err(HeaderError::UnknownVersion { version: version >> 4 });
        }
        [command, ..] if command & 0x0f > PROXY => {
            return Err(HeaderError::UnknownCommand { command: command & 0x0f });
        }
        [_] => return Ok(None),
        [command, family, ..] => (command & 0x0f, family),
    };
    // A LOCAL header's family is to be ignored like all the rest of it.
    let address_bytes = match family {
        _ if command == LOCAL => None,
        UNSPECIFIED | UNIX_STREAM | UNIX_DATAGRAM => None,
        TCP_OVER_IPV4 | UDP_OVER_IPV4 => Some(IPV4_BYTES),
        TCP_OVER_IPV6 | UDP_OVER_IPV6 => Some(IPV6_BYTES),
        family => return Err(HeaderError::UnknownFamily { family }),
    };
    let Some(([_, _, high, low], body)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let stated = usize::from(u16::from_be_bytes([*high, *low]));
    if stated > MAX_V2_BYTES {
        return Err(HeaderError::TooLong { length: stated });
    }
    if address_bytes.is_some_and(|bytes| bytes > stated) {
        return Err(HeaderError::AddressesTruncated);
    }
    let length = V2_FIXED_BYTES + stated;
    let (Some(body), Some(header)) = (body.get(..stated), received.get(..length)) else {
        return Ok(None);
    };
    let Some((addresses, extensions)) = address_bytes.and_then(|bytes| body.split_at_checked(bytes)) else {
        return Ok(Some(Header {
            addresses: None,
            extensions: Extensions::default(),
            length,
        }));
    };
    check_extensions(header, extensions)?;
    Ok(Some(Header {
        addresses: v2_addresses(addresses),
        extensions: Extensions(extensions.into()),
        length,
    }))
}

fn v2_addresses(bytes: &[u8]) -> Option<Addresses> {
    let (addresses, ports) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let (source, destination) = addresses.split_at_checked(addresses.len() / 2)?;
    let [source_high, source_low, destination_high, destination_low] = *ports.first_chunk()?;
    Some(Addresses {
        source: SocketAddr::new(address(source)?, u16::from_be_bytes([source_high, source_low])),
        destination: SocketAddr::new(address(destination)?, u16::from_be_bytes([destination_high, destination_low])),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Each TLV must fit, and a checksum must be right. `extensions` are the last bytes of `header`.
fn check_extensions(header: &[u8], extensions: &[u8]) -> Result<(), HeaderError> {
    let mut rest = extensions;
    let mut checksum = None;
    while !rest.is_empty() {
        let (kind, value, next) = split_extension(rest).ok_or(HeaderError::ExtensionMalformed)?;
        if kind == CHECKSUM {
            let value = <[u8; 4]>::try_from(value).map_err(|_| HeaderError::ExtensionMalformed)?;
            let offset = header.len() - next.len() - value.len();
            if checksum.replace((offset, u32::from_be_bytes(value))).is_some() {
                return Err(HeaderError::ExtensionMalformed);
            }
        }
        rest = next;
    }
    match checksum {
        Some((offset, stated)) if crc32c_without(header, offset) != stated => Err(HeaderError::Checksum),
        _ => Ok(()),
    }
}

/// The first TLV of `bytes`: its type, its value, and what follows.
pub(super) fn split_extension(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((*kind, value, next))
}

/// What comes after `signature`, `None` when the signature itself is incomplete.
fn after_signature<'a>(received: &'a [u8], signature: &[u8]) -> Result<Option<&'a [u8]>, HeaderError> {
    match received.strip_prefix(signature) {
        Some(rest) => Ok(Some(rest)),
        None if signature.starts_with(received) => Ok(None),
        None => Err(HeaderError::Missing),
    }
}

/// CRC32C (RFC 3720 section B.4) of `header` with the four bytes at `offset` taken as zero. Bit by bit: headers are
/// short and rarely carry a checksum.
pub(super) fn crc32c_without(header: &[u8], offset: usize) -> u32 {
    let zeroed = offset..offset.saturating_add(4);
    let bytes = header.iter().enumerate();
    !bytes.fold(!0, |crc, (position, byte)| {
        let byte = if zeroed.contains(&position) { 0 } else { *byte };
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (CRC32C_POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

/// The Castagnoli polynomial, lowest power first.
const CRC32C_POLYNOMIAL: u32 = 0x82f6_3b78;
/// The longest line of version 1, its `\r\n` included.
const MAX_LINE_BYTES: usize = 107;
/// Two addresses and two ports.
const IPV4_BYTES: usize = 2 * 4 + 2 * 2;
const IPV6_BYTES: usize = 2 * 16 + 2 * 2;
