//! One exchange, its verdict, and the command that asks the same with ordinary tools.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use super::Row;
use super::cases::{Case, End, Expected, Protocol};
use crate::clients::{Client, Failure, Negotiation, Peer, Seen, alert_name};
use crate::output::{CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE, TRUST_FILE};

impl Case<'_> {
    pub(super) async fn run(&self, client: &Client, gateway: SocketAddr, files: &Path) -> Row {
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
        let shown = short(serial.unwrap_or_default());
        match (&self.expected, outcome) {
            (
                Expected::Answer {
                    backend,
                    end,
                    sni,
                    client,
                },
                Ok(seen),
            ) => {
                let answer = &seen.answer;
                let as_expected = answer.backend == *backend
                    && answer.sni.as_deref() == *sni
                    && answer.client.as_deref() == *client
                    && serial == Some(end.serial().as_str());
                let seen_client = answer
                    .client
                    .as_deref()
                    .map(|client| format!(" to {client}"))
                    .unwrap_or_default();
                let asked_for = match (end, answer.sni.as_deref()) {
                    (End::Gateway(_), Some(name)) => format!(", encrypted again for {name}"),
                    (End::Gateway(_), None) => ", in plain text".to_owned(),
                    (End::Backend(_), _) => String::new(),
                };
                let evidence = format!(
                    "`{}` answered{seen_client}, certificate serial {shown} of the {}, {} with {}{asked_for}",
                    answer.backend,
                    end.who(),
                    seen.peer.version,
                    seen.peer.group
                );
                if as_expected { Ok(evidence) } else { Err(evidence) }
            }
            (Expected::Alert { end, alert }, Err(Failure::Alert(received)))
                if received == alert && serial == Some(end.serial().as_str()) =>
            {
                let name = alert_name(*received);
                Ok(format!(
                    "certificate serial {shown} of the {}, then its alert {name}",
                    end.who()
                ))
            }
            (Expected::Status { identity, status }, Err(Failure::Status(received)))
                if received == status && serial == Some(identity.serial().as_str()) =>
            {
                Ok(format!("certificate serial {shown} of the gateway, then its answer {status}"))
            }
            (Expected::GatewayAlert(alert), Err(Failure::Alert(received))) if received == alert && peer.is_none() => {
                Ok(format!("alert {} and no certificate", alert_name(*received)))
            }
            (_, Ok(seen)) => Err(format!("`{}` answered", seen.answer.backend)),
            (_, Err(failure)) => {
                let shown = serial.map(|_| format!(" after certificate serial {shown}"));
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
                backend, end, client, ..
            } => {
                let client = client.map(|client| format!(" and names {client}")).unwrap_or_default();
                match end {
                    End::Backend(_) => format!("`{backend}` answers with its own certificate{client}"),
                    End::Gateway(_) => format!("the gateway's certificate, then `{backend}` answers{client}"),
                }
            }
            Self::Alert { end, alert } => format!("the {} refuses: alert {}", end.who(), alert_name(*alert)),
            Self::Status { status, .. } => format!("the gateway answers {status}"),
            Self::GatewayAlert(alert) => format!("the gateway refuses: alert {}", alert_name(*alert)),
        }
    }
}

/// The first bytes of a serial: enough to tell certificates apart by eye.
fn short(serial: &str) -> &str {
    serial.get(..SERIAL_SHOWN).unwrap_or(serial)
}

const SERIAL_SHOWN: usize = 11;
