//! The rows of `sealway demo`: one exchange each, judged by what the client saw.
//!
//! Input: where the gateway listens, the certificates behind it and its backends, and the directory with the files that the printed
//! commands name. Output: [`Row`]s in a fixed order. A row tells by serial number where TLS ended: at the backend, whose key the
//! gateway never had, or at the gateway.

mod cases;
mod judge;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::certificates::Certificates;
use crate::clients::{Client, ClientError};

/// Where the Gateways of the demo listen: the listener ports, offset included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayAddress {
    /// Listener `https` of `tls-gateway` (port 443).
    pub https: SocketAddr,
    /// Listener `tls-passthrough` (port 8443).
    pub passthrough: SocketAddr,
    /// Listener `https-mutual` (port 9443).
    pub mutual: SocketAddr,
    /// Listener `https` of `bare-gateway` (port 9444).
    pub bare: SocketAddr,
}

impl GatewayAddress {
    /// All listeners at one address, their ports moved by `offset`.
    pub fn at(ip: IpAddr, offset: u16) -> Self {
        let listener = |port: u16| SocketAddr::new(ip, port.saturating_add(offset));
        Self {
            https: listener(443),
            passthrough: listener(8443),
            mutual: listener(9443),
            bare: listener(9444),
        }
    }
}

/// One exchange through the gateway and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What the row shows.
    pub name: &'static str,
    /// What was asked of the gateway.
    pub asked: String,
    /// What should happen.
    pub expected: String,
    /// Whether it did.
    pub passed: bool,
    /// What was seen.
    pub evidence: String,
    /// How long the exchange took.
    pub elapsed: Duration,
    /// A command that asks the same with ordinary tools.
    pub command: String,
}

/// Runs every row, one after the other. `files` is the directory where `output::write` has left the certificates.
pub async fn run_rows(gateway: &GatewayAddress, certificates: &Certificates, files: &Path) -> Result<Vec<Row>, ClientError> {
    let anonymous = Client::trusting(&certificates.authority)?;
    let order = Client::presenting(&certificates.authority, &certificates.order_client)?;
    let mut rows = Vec::new();
    for case in cases::cases(certificates) {
        let client = if case.shows_certificate { &order } else { &anonymous };
        rows.push(case.run(client, case.listener.of(gateway), files).await);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
