//! The binary from outside: exit codes, what goes to which stream, schemas, reload and signals.

mod certs;
mod check;
mod demo;
mod examples;
mod process;
mod requests;
mod run;
mod talk;
mod yaml;
