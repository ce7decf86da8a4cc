//! What the demo asks of the gateway, and what should come of it.

use std::net::SocketAddr;

use rustls::AlertDescription;

use super::GatewayAddress;
use crate::certificates::{Certificates, Identity};
use crate::clients::Negotiation;

pub(super) struct Case<'a> {
    pub(super) name: &'static str,
    /// Where it is asked.
    pub(super) listener: Listener,
    pub(super) host: &'static str,
    pub(super) protocol: Protocol,
    pub(super) shows_certificate: bool,
    pub(super) expected: Expected<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Listener {
    Https,
    Passthrough,
    Mutual,
    Bare,
}

impl Listener {
    pub(super) fn of(self, gateway: &GatewayAddress) -> SocketAddr {
        match self {
            Self::Https => gateway.https,
            Self::Passthrough => gateway.passthrough,
            Self::Mutual => gateway.mutual,
            Self::Bare => gateway.bare,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Https { path: &'static str },
    Postgres(Negotiation),
}

pub(super) enum Expected<'a> {
    /// This backend answers, and says which server name and which client it saw; the certificate tells who has ended TLS.
    Answer {
        backend: &'static str,
        end: End<'a>,
        sni: Option<&'static str>,
        client: Option<&'static str>,
    },
    /// Who ends TLS shows its certificate and then refuses with this alert.
    Alert { end: End<'a>, alert: AlertDescription },
    /// The gateway ends TLS, and answers with this status.
    Status { identity: &'a Identity, status: u16 },
    /// The gateway refuses the hello with this alert.
    GatewayAlert(AlertDescription),
}

/// Where TLS ends, with the certificate that is shown there.
#[derive(Clone, Copy)]
pub(super) enum End<'a> {
    Backend(&'a Identity),
    Gateway(&'a Identity),
}

impl End<'_> {
    pub(super) fn serial(self) -> String {
        match self {
            Self::Backend(identity) | Self::Gateway(identity) => identity.serial(),
        }
    }

    pub(super) fn who(self) -> &'static str {
        match self {
            Self::Backend(_) => "backend",
            Self::Gateway(_) => "gateway",
        }
    }
}

pub(super) fn cases(certificates: &Certificates) -> Vec<Case<'_>> {
    let mut cases = passthrough(certificates);
    cases.extend(ended(certificates));
    cases
}

/// TLS that the backend ends.
fn passthrough(certificates: &Certificates) -> Vec<Case<'_>> {
    let case = |name, host, protocol, identity, backend| Case {
        name,
        listener: Listener::Passthrough,
        host,
        protocol,
        shows_certificate: false,
        expected: Expected::Answer {
            backend,
            end: End::Backend(identity),
            sni: Some(host),
            client: None,
        },
    };
    let health = Protocol::Https { path: "/health" };
    let vault = Protocol::Https { path: "/v1/sys/health" };
    let [negotiated, direct] = [Negotiation::Postgres, Negotiation::Direct].map(Protocol::Postgres);
    let ledger = "ledger.internal.example.com";
    vec![
        case(
            "passthrough",
            "payment.internal.example.com",
            health,
            &certificates.payment,
            "payment",
        ),
        case(
            "passthrough, vault",
            "vault.internal.example.com",
            vault,
            &certificates.vault,
            "vault",
        ),
        case(
            "passthrough, PostgreSQL primary",
            "primary.db.example.com",
            negotiated,
            &certificates.database,
            "database",
        ),
        case(
            "passthrough, PostgreSQL replica",
            "replica.db.example.com",
            direct,
            &certificates.database,
            "database",
        ),
        Case {
            name: "mutual TLS through, with certificate",
            listener: Listener::Passthrough,
            host: ledger,
            protocol: health,
            shows_certificate: true,
            expected: Expected::Answer {
                backend: "ledger",
                end: End::Backend(&certificates.ledger),
                sni: Some(ledger),
                client: Some("CN=order-service"),
            },
        },
        Case {
            name: "mutual TLS through, without certificate",
            listener: Listener::Passthrough,
            host: ledger,
            protocol: health,
            shows_certificate: false,
            expected: Expected::Alert {
                end: End::Backend(&certificates.ledger),
                alert: AlertDescription::CertificateRequired,
            },
        },
        Case {
            name: "unknown server name",
            listener: Listener::Passthrough,
            host: "unknown.internal.example.com",
            protocol: health,
            shows_certificate: false,
            expected: Expected::GatewayAlert(AlertDescription::UnrecognisedName),
        },
    ]
}

/// TLS that the gateway ends.
fn ended(certificates: &Certificates) -> Vec<Case<'_>> {
    let gateway = End::Gateway(&certificates.wildcard);
    let case = |name, listener, host, path, shows_certificate, expected| Case {
        name,
        listener,
        host,
        protocol: Protocol::Https { path },
        shows_certificate,
        expected,
    };
    let answer = |backend, sni, client| Expected::Answer {
        backend,
        end: gateway,
        sni,
        client,
    };
    let status = |status| Expected::Status {
        identity: &certificates.wildcard,
        status,
    };
    let (shop, payment, ledger) = ("shop.example.com", "payment.example.com", "ledger.example.com");
    let payments = "/api/v1/payments";
    vec![
        case("terminate", Listener::Https, shop, "/", false, answer("shop", None, None)),
        case(
            "re-encrypt",
            Listener::Https,
            payment,
            payments,
            false,
            answer("payment", Some("payment-service.payment.svc.cluster.local"), None),
        ),
        case("path without route", Listener::Https, payment, "/admin", false, status(404)),
        case(
            "strict backend, gateway with certificate",
            Listener::Https,
            ledger,
            "/health",
            false,
            answer(
                "ledger",
                Some("ledger-service.payment.svc.cluster.local"),
                Some("CN=tls-gateway"),
            ),
        ),
        case(
            "strict backend, gateway without certificate",
            Listener::Bare,
            ledger,
            "/health",
            false,
            status(502),
        ),
        case(
            "mutual TLS at the gateway, with certificate",
            Listener::Mutual,
            shop,
            "/",
            true,
            answer("shop", None, Some("CN=order-service")),
        ),
        case(
            "mutual TLS at the gateway, without certificate",
            Listener::Mutual,
            shop,
            "/",
            false,
            Expected::Alert {
                end: gateway,
                alert: AlertDescription::CertificateRequired,
            },
        ),
    ]
}
