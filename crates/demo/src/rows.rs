//! The passthrough rows of `sealway demo`: one exchange each, judged by what the client saw.
//!
//! Input: where the gateway listens, the certificates behind its backends, and the directory with the files that the printed
//! commands name. Output: [`Row`]s in a fixed order. A row proves passthrough by serial number: the certificate that arrived is
//! the backend's own, whose key the gateway never had.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::AlertDescription;
use serde::Serialize;

use crate::certificates::{Certificates, Identity};
use crate::clients::{Client, ClientError, Failure, Negotiation, Peer, Seen, alert_name};
use crate::output::{CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE, TRUST_FILE};

/// Where the gateway of the demo listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayAddress {
    /// Listener `tls-passthrough` (port 8443 and the offset).
    pub passthrough: SocketAddr,
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
    for case in cases(certificates) {
        let client = if case.shows_certificate { &order } else { &anonymous };
        rows.push(case.run(client, gateway.passthrough, files).await);
    }
    Ok(rows)
}

struct Case<'a> {
    name: &'static str,
    host: &'static str,
    protocol: Protocol,
    shows_certificate: bool,
    expected: Expected<'a>,
}

enum Protocol {
    Https { path: &'static str },
    Postgres(Negotiation),
}

enum Expected<'a> {
    /// This backend answers, with its own certificate and with what it saw of the client.
    Answer {
        backend: &'static str,
        identity: &'a Identity,
        client: Option<&'static str>,
    },
    /// The backend shows its own certificate and then refuses with this alert.
    BackendAlert {
        identity: &'a Identity,
        alert: AlertDescription,
    },
    /// The gateway refuses the hello with this alert.
    GatewayAlert(AlertDescription),
}

fn cases(certificates: &Certificates) -> Vec<Case<'_>> {
    let answer = |backend, identity| Expected::Answer {
        backend,
        identity,
        client: None,
    };
    let health = Protocol::Https { path: "/health" };
    let database = &certificates.database;
    vec![
        Case {
            name: "payment",
            host: "payment.internal.example.com",
            protocol: health,
            shows_certificate: false,
            expected: answer("payment", &certificates.payment),
        },
        Case {
            name: "vault",
            host: "vault.internal.example.com",
            protocol: Protocol::Https { path: "/v1/sys/health" },
            shows_certificate: false,
            expected: answer("vault", &certificates.vault),
        },
        Case {
            name: "database, primary",
            host: "primary.db.example.com",
            protocol: Protocol::Postgres(Negotiation::Postgres),
            shows_certificate: false,
            expected: answer("database", database),
        },
        Case {
            name: "database, replica",
            host: "replica.db.example.com",
            protocol: Protocol::Postgres(Negotiation::Direct),
            shows_certificate: false,
            expected: answer("database", database),
        },
        Case {
            name: "mutual TLS, with certificate",
            host: "ledger.internal.example.com",
            protocol: Protocol::Https { path: "/health" },
            shows_certificate: true,
            expected: Expected::Answer {
                backend: "ledger",
                identity: &certificates.ledger,
                client: Some("CN=order-service"),
            },
        },
        Case {
            name: "mutual TLS, without certificate",
            host: "ledger.internal.example.com",
            protocol: Protocol::Https { path: "/health" },
            shows_certificate: false,
            expected: Expected::BackendAlert {
                identity: &certificates.ledger,
                alert: AlertDescription::CertificateRequired,
            },
        },
        Case {
            name: "unknown server name",
            host: "unknown.internal.example.com",
            protocol: Protocol::Https { path: "/health" },
            shows_certificate: false,
            expected: Expected::GatewayAlert(AlertDescription::UnrecognisedName),
        },
    ]
}

impl Case<'_> {
    async fn run(&self, client: &Client, gateway: SocketAddr, files: &Path) -> Row {
        let started = Instant::now();
        let (peer, outcome) = self.exchange(client, gateway).await;
        let elapsed = started.elapsed();
        let judgement = self.judge(peer.as_ref(), &outcome);
        Row {
            name: self.name,
            asked: self.asked(),
            expected: self.expected.text(),
            passed: judgement.is_ok(),
            evidence: judgement.unwrap_or_else(|found| found),
            elapsed,
            command: self.command(gateway, files),
        }
    }

    /// The peer is known as soon as the handshake is done, even if the exchange fails later.
    async fn exchange(&self, client: &Client, gateway: SocketAddr) -> (Option<Peer>, Result<Seen, Failure>) {
        let session = match self.protocol {
            Protocol::Https { .. } => client.connect(gateway, self.host).await,
            Protocol::Postgres(negotiation) => client.connect_postgres(gateway, self.host, negotiation).await,
        };
        let session = match session {
            Ok(session) => session,
            Err(failure) => return (None, Err(failure)),
        };
        let peer = session.peer.clone();
        let outcome = match self.protocol {
            Protocol::Https { path } => session.request(self.host, path).await,
            Protocol::Postgres(_) => session.select().await,
        };
        (Some(peer), outcome)
    }

    /// The evidence: as expected (`Ok`) or otherwise.
    fn judge(&self, peer: Option<&Peer>, outcome: &Result<Seen, Failure>) -> Result<String, String> {
        let serial = peer.map(|peer| peer.certificate.serial.as_str());
        match (&self.expected, outcome) {
            (
                Expected::Answer {
                    backend,
                    identity,
                    client,
                },
                Ok(seen),
            ) => {
                let answer = &seen.answer;
                let shown = seen.peer.certificate.serial.as_str();
                let client_shown = answer.client.as_deref();
                let as_expected = answer.backend == *backend
                    && answer.sni.as_deref() == Some(self.host)
                    && client_shown == *client
                    && shown == identity.serial();
                let seen_client = client_shown.map(|client| format!(" to {client}")).unwrap_or_default();
                let evidence = format!(
                    "`{}` answered{seen_client}, certificate serial {}, {} with {}",
                    answer.backend,
                    short(shown),
                    seen.peer.version,
                    seen.peer.group
                );
                if as_expected { Ok(evidence) } else { Err(evidence) }
            }
            (Expected::BackendAlert { identity, alert }, Err(Failure::Alert(received)))
                if received == alert && serial == Some(identity.serial().as_str()) =>
            {
                let serial = short(serial.unwrap_or_default());
                Ok(format!(
                    "backend certificate serial {serial}, then its alert {}",
                    alert_name(*received)
                ))
            }
            (Expected::GatewayAlert(alert), Err(Failure::Alert(received))) if received == alert && peer.is_none() => {
                Ok(format!("alert {} and no certificate", alert_name(*received)))
            }
            (_, Ok(seen)) => Err(format!("`{}` answered", seen.answer.backend)),
            (_, Err(failure)) => {
                let shown = serial.map(|serial| format!(" after certificate serial {}", short(serial)));
                Err(format!("{failure}{}", shown.unwrap_or_default()))
            }
        }
    }

    fn asked(&self) -> String {
        let host = self.host;
        match self.protocol {
            Protocol::Https { path } => format!("GET https://{host}{path}"),
            Protocol::Postgres(Negotiation::Postgres) => {
                format!("PostgreSQL to {host}, SSLRequest")
            }
            Protocol::Postgres(Negotiation::Direct) => format!("PostgreSQL to {host}, direct TLS"),
        }
    }

    fn command(&self, gateway: SocketAddr, files: &Path) -> String {
        let (host, ip, port) = (self.host, gateway.ip(), gateway.port());
        let file = |name: &str| files.join(name).display().to_string();
        let trust = file(TRUST_FILE);
        match self.protocol {
            Protocol::Https { path } => {
                let identity = if self.shows_certificate {
                    format!(" --cert {} --key {}", file(CLIENT_CERTIFICATE_FILE), file(CLIENT_KEY_FILE))
                } else {
                    String::new()
                };
                format!("curl --cacert {trust}{identity} --resolve {host}:{port}:{ip} https://{host}:{port}{path}")
            }
            Protocol::Postgres(negotiation) => {
                let direct = if negotiation == Negotiation::Direct {
                    " sslnegotiation=direct"
                } else {
                    ""
                };
                format!(
                    "psql \"host={host} hostaddr={ip} port={port} user=demo dbname=demo sslmode=verify-full{direct} \
                     sslrootcert={trust}\" -c 'select 1'"
                )
            }
        }
    }
}

impl Expected<'_> {
    fn text(&self) -> String {
        match self {
            Self::Answer {
                backend, client: None, ..
            } => format!("`{backend}` answers with its own certificate"),
            Self::Answer {
                backend,
                client: Some(client),
                ..
            } => {
                format!("`{backend}` answers with its own certificate and names {client}")
            }
            Self::BackendAlert { alert, .. } => {
                format!("the backend refuses: alert {}", alert_name(*alert))
            }
            Self::GatewayAlert(alert) => {
                format!("the gateway refuses: alert {}", alert_name(*alert))
            }
        }
    }
}

/// The first bytes of a serial: enough to tell certificates apart by eye.
fn short(serial: &str) -> &str {
    serial.get(..SERIAL_SHOWN).unwrap_or(serial)
}

const SERIAL_SHOWN: usize = 11;

#[cfg(test)]
mod tests;
