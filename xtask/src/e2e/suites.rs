//! The gateway's HTTP and TLS, judged by suites that others wrote.
//!
//! Each scenario starts a [`front::Front`] (HTTPS and HTTP listeners for `localhost`) and lets a foreign program try it. The programs
//! from Go modules are pinned in `conformance/suites/go.mod`, the others are Debian's. What a suite finds and we excuse stands, with the
//! reason, in a list beside that file; an entry that is no longer needed fails the scenario as an unlisted finding does.

pub(super) mod curl;
mod excused;
mod front;
pub(super) mod grpc;
pub(super) mod h2spec;
pub(super) mod nghttp;
pub(super) mod smuggling;
pub(super) mod testssl;
pub(super) mod websocket;
