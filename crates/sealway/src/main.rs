//! The binary: arguments in, exit code out.
//!
//! Job: choose the command and turn its outcome into an exit code. Data goes to standard output, talk to standard error.
//! Invariant: 0 says yes, 1 says no, 2 says that the question could not be put.

use std::process::ExitCode;

mod admin;
mod args;
mod certificates;
mod closed_loop;
mod commands;
mod control;
mod controller;
mod document;
mod expiry;
mod foresight;
mod gateway;
mod issuance;
mod issuer_metrics;
mod listening;
mod logging;
mod manifests;
mod names;
mod printer;
mod problem_report;
mod reconcile;
mod revocation;
mod revocation_lists;
mod state;
mod status_report;
mod transition;
mod view;

// Fewer resident bytes than glibc's under many short and few long connections; elsewhere the system's allocator will do.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are a yes; usage errors go to standard error.
            let _ = error.print();
            return if error.use_stderr() {
                commands::Exit::Failed.into()
            } else {
                commands::Exit::Yes.into()
            };
        }
    };
    commands::run(cli).into()
}
