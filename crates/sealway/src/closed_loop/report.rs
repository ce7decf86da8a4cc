//! What the handshakes say of each Certificate: a condition, and a problem when something else than its certificate is served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sealway_api::{ConditionStatus, Kind, ObjectKey, ObjectRef, StatusCondition, Timestamp};
use sealway_core::{Cause, Problem, Severity, Told};
use sealway_issuer::IssuerStatuses;

use super::handshake::Fault;
use super::{Arrived, Expected, Place};

/// By Certificate; those that nobody serves are not among them.
pub(crate) type Reports = BTreeMap<ObjectKey, Report>;

/// What handshakes found of one Certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It arrives everywhere.
    Served {
        /// Its serial.
        serial: String,
        /// On how many names and addresses.
        count: usize,
        /// How long it took from its issuance until it was seen everywhere; `None` when it was issued before this process looked.
        after: Option<Duration>,
    },
    /// A backend goes on serving an older certificate of this Certificate.
    BackendIsStale {
        /// The Service.
        service: ObjectKey,
        /// The endpoint.
        endpoint: SocketAddr,
        /// What it serves.
        stale: String,
        /// What is in the Secret.
        serial: String,
    },
    /// The gateway does not serve what is in the Secret.
    Differs {
        /// Where.
        address: SocketAddr,
        /// With which name.
        server_name: String,
        /// What arrived, or why nothing did.
        found: Result<String, Fault>,
        /// What is in the Secret.
        serial: String,
    },
}

impl Report {
    /// Whether all is as it should be.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Served { .. })
    }

    fn status(&self) -> ConditionStatus {
        if self.is_good() {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Served { .. } => "Served",
            Self::BackendIsStale { .. } => "BackendIsStale",
            Self::Differs { .. } => "ServedDiffers",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Served { serial, count, after } => {
                let places = if *count == 1 {
                    "one place".to_owned()
                } else {
                    format!("{count} places")
                };
                let after = after.map(|after| format!(", {:.3} s after it was issued", after.as_secs_f64()));
                format!("serial {serial} is served in {places}{}", after.unwrap_or_default())
            }
            Self::BackendIsStale {
                service,
                endpoint,
                stale,
                serial,
            } => format!("{endpoint} of Service {service} goes on serving serial {stale}; the Secret has {serial}"),
            Self::Differs {
                address,
                server_name,
                found: Ok(found),
                serial,
            } => format!("{address} serves serial {found} for {server_name}; the Secret has {serial}"),
            Self::Differs {
                address,
                server_name,
                found: Err(fault),
                serial,
            } => format!("serial {serial} does not arrive from {address} for {server_name}: {fault}"),
        }
    }

    fn told(&self) -> Option<Told> {
        let (code, hint) = match self {
            Self::Served { .. } => return None,
            Self::BackendIsStale { .. } => (
                "backend-serves-old-certificate",
                "reload or restart it; `--export-certs DIR` keeps the files up to date, and `--on-renew CMD` can tell it",
            ),
            Self::Differs { .. } => (
                "certificate-not-served",
                "look at the listener's conditions and at the log; if both are fine, this is a defect: please report it",
            ),
        };
        Some(Told {
            severity: Severity::Warning,
            code,
            message: self.message(),
            hint: Some(hint.to_owned()),
        })
    }
}

/// Judges what arrived. Of a Certificate with several things to say, the worst is said.
pub(super) fn of(expected: &BTreeMap<ObjectKey, Expected>, arrived: &Arrived, before: &Reports, now: Timestamp) -> Reports {
    let mut reports = Reports::new();
    for (secret, expected) in expected {
        let Some(seen) = arrived.get(secret) else {
            continue;
        };
        let mut worst = None;
        let mut count = 0;
        for ((place, address, server_name), found) in seen {
            match (place, found) {
                (_, Ok(serial)) if *serial == expected.serial => count += 1,
                (Place::Backend(service), Ok(serial)) if expected.older.contains(serial) => {
                    worst.get_or_insert(Report::BackendIsStale {
                        service: service.clone(),
                        endpoint: *address,
                        stale: serial.clone(),
                        serial: expected.serial.clone(),
                    });
                }
                // A certificate from elsewhere, or none at the moment, is the backend's own business.
                (Place::Backend(_), _) => {}
                (Place::Gateway, found) => {
                    worst = Some(Report::Differs {
                        address: *address,
                        server_name: server_name.clone(),
                        found: found.clone(),
                        serial: expected.serial.clone(),
                    });
                }
            }
        }
        let report = match worst {
            Some(worst) => worst,
            None if count == 0 => continue,
            None => Report::Served {
                serial: expected.serial.clone(),
                count,
                after: since(expected, before, now),
            },
        };
        // Of two Secrets of one Certificate (it was given another name) the worse is told.
        let told = reports.get(&expected.certificate);
        if told.is_none_or(Report::is_good) {
            reports.insert(expected.certificate.clone(), report);
        }
    }
    reports
}

/// How long a new certificate took. One that was seen before keeps what was said then.
fn since(expected: &Expected, before: &Reports, now: Timestamp) -> Option<Duration> {
    match before.get(&expected.certificate) {
        Some(Report::Served { serial, after, .. }) if *serial == expected.serial => *after,
        Some(_) => Duration::try_from(now.duration_since(expected.issued_at)).ok(),
        // The first look of this process says nothing about a certificate of yesterday.
        None => Duration::try_from(now.duration_since(expected.issued_at))
            .ok()
            .filter(|after| *after < FRESH),
    }
}

/// Adds the condition `Served` to the Certificates' statuses.
pub(crate) fn add_conditions(statuses: &mut IssuerStatuses, reports: &Reports) {
    for (certificate, report) in reports {
        let Some(status) = statuses.certificates.get_mut(certificate) else {
            continue;
        };
        let generation = status.conditions.first().map_or(0, |condition| condition.observed_generation);
        status.conditions.push(StatusCondition {
            kind: "Served".to_owned(),
            status: report.status(),
            reason: report.reason().to_owned(),
            message: report.message(),
            observed_generation: generation,
        });
    }
}

/// What is not as it should be.
pub(crate) fn problems(reports: &Reports) -> impl Iterator<Item = Problem> + '_ {
    reports.iter().filter_map(|(certificate, report)| {
        let cause = Cause::Told(Box::new(report.told()?));
        Some(Problem::new(
            ObjectRef::of(Kind::Certificate, certificate),
            "spec.secretName",
            cause,
        ))
    })
}

const FRESH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("payment", name)
    }

    /// Secret `tls` of Certificate `web`: serial `02`, issued at second 100; `01` went before.
    fn expected() -> BTreeMap<ObjectKey, Expected> {
        let expected = Expected {
            certificate: key("web"),
            serial: "02".to_owned(),
            older: BTreeSet::from(["01".to_owned()]),
            names: Vec::new(),
            issued_at: second(100),
        };
        BTreeMap::from([(key("tls"), expected)])
    }

    fn arrived(seen: &[(Place, Result<&str, Fault>)]) -> Arrived {
        let seen = seen.iter().enumerate().map(|(number, (place, found))| {
            let address = SocketAddr::from(([127, 0, 0, 1], 8000 + u16::try_from(number).unwrap_or_default()));
            let found = found.clone().map(str::to_owned);
            ((place.clone(), address, "web.example.com".to_owned()), found)
        });
        Arrived::from([(key("tls"), seen.collect())])
    }

    fn judge(seen: &[(Place, Result<&str, Fault>)]) -> Option<Report> {
        of(&expected(), &arrived(seen), &Reports::new(), second(101)).remove(&key("web"))
    }

    fn backend() -> Place {
        Place::Backend(key("shop"))
    }

    #[test]
    fn what_arrives_everywhere_is_served() {
        let report = judge(&[(Place::Gateway, Ok("02")), (backend(), Ok("02"))]).expect("a report");
        assert!(report.is_good() && report.told().is_none());
        assert_eq!(
            report.message(),
            "serial 02 is served in 2 places, 1.000 s after it was issued"
        );
        assert_eq!(judge(&[]), None, "nobody serves it");
    }

    #[test]
    fn the_worst_is_told() {
        let gone = || Err(Fault::TimedOut);
        let stale = judge(&[(Place::Gateway, Ok("02")), (backend(), Ok("01"))]).expect("a report");
        assert_eq!(
            stale.message(),
            "127.0.0.1:8001 of Service payment/shop goes on serving serial 01; the Secret has 02"
        );
        assert_eq!(stale.told().map(|told| told.code), Some("backend-serves-old-certificate"));
        let differs = judge(&[(backend(), Ok("01")), (Place::Gateway, gone())]).expect("a report");
        assert_eq!(differs.told().map(|told| told.code), Some("certificate-not-served"));
        assert!(differs.message().starts_with("serial 02 does not arrive from 127.0.0.1:8001"));
    }

    #[test]
    fn what_a_backend_does_otherwise_is_its_own_business() {
        assert_eq!(judge(&[(backend(), Ok("77")), (backend(), Err(Fault::Unreadable))]), None);
        let report = judge(&[(Place::Gateway, Ok("02")), (backend(), Err(Fault::Unreadable))]);
        assert!(report.is_some_and(|report| report.is_good()));
    }

    #[test]
    fn how_long_it_took_is_said_once_and_stays() {
        let seen = [(Place::Gateway, Ok("02"))];
        let first = of(&expected(), &arrived(&seen), &Reports::new(), second(101));
        let later = of(&expected(), &arrived(&seen), &first, second(500));
        assert_eq!(first, later);
        // It was issued long before this process looked.
        let late = of(&expected(), &arrived(&seen), &Reports::new(), second(500));
        assert!(matches!(late.get(&key("web")), Some(Report::Served { after: None, .. })));
    }
}
