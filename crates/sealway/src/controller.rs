//! The controller of a cluster: what is watched, compiled, made, told and written, wired together.
//!
//! Two runtimes: the feed's, which the API server's connections share, and that of the thread that compiles.

pub(crate) mod access;
pub(crate) mod authority;
pub(crate) mod fleets;
pub(crate) mod needs;
pub(crate) mod reconcile;
