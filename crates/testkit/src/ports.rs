//! Ports for tests, apart from those that the kernel hands to outgoing connections.
//!
//! A port that the kernel picks (port 0) and that is closed again may become some client's source port before the test binds
//! it. These come from below the ephemeral range, in a sequence that starts elsewhere in each process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Any free port of loopback, for servers that tell which they took.
pub const LOOPBACK: SocketAddr = loopback(0);

/// `port` of 127.0.0.1.
pub const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A port of 127.0.0.1 that nothing listens on now, and that this process has not been given before.
///
/// # Panics
///
/// When every port of the range is taken.
pub fn free_port() -> u16 {
    (0..RANGE)
        .map(|_| next())
        .find(|port| TcpListener::bind(loopback(*port)).is_ok())
        .expect("a free port")
}

fn next() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Neighbouring process ids land far apart.
    let start = (process::id() % u32::from(RANGE)) as u16;
    let given = GIVEN.fetch_add(1, Ordering::Relaxed) % RANGE;
    let place = (u32::from(start) * 197 + u32::from(given) * STRIDE) % u32::from(RANGE);
    FIRST + place as u16
}

/// Above the demo's and the gateway's usual ports (28443 at most), below Linux' ephemeral ports (32768).
const FIRST: u16 = 28_500;
const RANGE: u16 = 4_200;
/// The next ports after each stay free for a while, for Gateways with several listeners. It shares no factor with the range, so
/// every port has its turn.
const STRIDE: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_stay_in_range() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..FIRST + RANGE).contains(port)));
    }
}
