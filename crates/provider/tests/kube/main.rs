//! The cluster side against an API server in this process.

mod apply;
mod election;
mod real;
mod server;
mod source;
mod status;
