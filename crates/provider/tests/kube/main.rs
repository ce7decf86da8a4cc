//! The cluster side against an API server in this process.

mod election;
mod real;
mod server;
mod source;
mod status;
