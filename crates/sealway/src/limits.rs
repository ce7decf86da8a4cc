//! The process' own limits: how many descriptors it may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of descriptors to the hard one: each connection through the gateway holds two sockets, and for a while a pipe.
pub(crate) fn raise_descriptor_limit() {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        tracing::debug!(limit = before.current, "descriptor limit is at its maximum");
        return;
    }
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => tracing::debug!(before = before.current, now = before.maximum, "descriptor limit raised"),
        Err(error) => tracing::warn!(limit = before.current, %error, "descriptor limit cannot be raised"),
    }
}
