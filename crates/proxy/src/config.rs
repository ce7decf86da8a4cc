//! What the operator fixes for the life of the data plane. The flags are the caller's; here are plain values.

use std::time::Duration;

use crate::http::HttpLimits;

/// Settings of a [`crate::Proxy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Listening sockets for each address, each with an accept task of its own; usually the runtime's workers.
    pub workers: usize,
    /// From the first byte that is waited for to the complete ClientHello, PROXY header and PostgreSQL's request included.
    pub hello_timeout: Duration,
    /// How a refusal is told.
    pub rejections: Rejections,
    /// How long connections of removed routes, and all of them at shutdown, may go on.
    pub drain_timeout: Duration,
    /// Most connections of one listener at a time. So many more may be in the phase before their listener is known.
    pub max_connections: usize,
    /// Most connections of one source address (IPv6: of one /64) at a time, over all listeners; `None`: no limit.
    pub max_connections_per_source: Option<usize>,
    /// Most connections at a time over all listeners; at this number accepting stops until some end.
    pub most_connections: usize,
    /// Most flows of UDP clients at a time over all listeners; where there is no room for one more, the one goes that was silent for the
    /// longest. They count as connections too, and a source address is easily made up: so fewer than `most_connections`.
    pub most_flows: usize,
    /// What a peer may take of us when it speaks HTTP.
    pub http: HttpLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            hello_timeout: Duration::from_secs(10),
            rejections: Rejections::Alert,
            drain_timeout: Duration::from_secs(30),
            max_connections: 100_000,
            max_connections_per_source: None,
            most_connections: connections_for(descriptor_limit()),
            most_flows: (connections_for(descriptor_limit()) / 2).max(1),
            http: HttpLimits::default(),
        }
    }
}

/// How a refusal is told to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rejections {
    /// By a fatal TLS alert, or in the protocol that the client speaks.
    #[default]
    Alert,
    /// By closing.
    Close,
}

/// Raises the process's limit of open descriptors to what the system allows, and returns it. For the start of a program.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Some systems refuse their own maximum; then it stays as it is.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
    descriptor_limit()
}

fn descriptor_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX)
}

/// A connection takes two descriptors. Some stay free for pipes, files, the admin address and the sockets themselves, so that an
/// accepted connection finds one for its backend.
fn connections_for(descriptors: u64) -> usize {
    let reserve = (descriptors / 32).clamp(24, 512);
    usize::try_from(descriptors.saturating_sub(reserve) / 2)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_leave_room_for_more_than_connections() {
        assert_eq!(connections_for(20_000), 9_744);
        assert_eq!(connections_for(256), 116);
        assert_eq!(connections_for(10), 1);
        assert!(connections_for(u64::MAX) > 1_000_000_000);
    }
}
