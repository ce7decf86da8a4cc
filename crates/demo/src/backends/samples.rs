//! The sample backends of the article, together: payment, ledger, vault, database and shop.
//!
//! Input: the certificates and where to listen. Output: the running set, and for each the Service port it stands for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Backend, BackendError, ClientCertificates, Http, Https, Postgres};
use crate::certificates::Certificates;

/// Where the sample backends listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Free ports, for a gateway in the same process.
    Free,
    /// The documented ports of `sealway demo --backends`: 17443, 17444, 17200, 17432 and 17080.
    Fixed,
}

/// The five backends of `examples/article`, running until dropped.
#[derive(Debug)]
pub struct SampleBackends {
    payment: Backend,
    ledger: Backend,
    vault: Backend,
    database: Backend,
    shop: Backend,
}

impl SampleBackends {
    /// Starts all five on loopback.
    pub async fn start(certificates: &Certificates, ports: Ports) -> Result<Self, BackendError> {
        let address = |fixed| loopback(if ports == Ports::Fixed { fixed } else { 0 });
        let authority = &certificates.authority;
        let (ignored, required) = (
            ClientCertificates::Ignored,
            ClientCertificates::Required(authority.certificate_pem()),
        );
        let payment = Https {
            name: "payment",
            identity: &certificates.payment,
            clients: ignored,
        };
        let ledger = Https {
            name: "ledger",
            identity: &certificates.ledger,
            clients: required,
        };
        let vault = Https {
            name: "vault",
            identity: &certificates.vault,
            clients: ignored,
        };
        let database = Postgres {
            name: "database",
            identity: &certificates.database,
            clients: ignored,
        };
        Ok(Self {
            payment: payment.start(address(PAYMENT_PORT)).await?,
            ledger: ledger.start(address(LEDGER_PORT)).await?,
            vault: vault.start(address(VAULT_PORT)).await?,
            database: database.start(address(DATABASE_PORT)).await?,
            shop: Http { name: "shop" }.start(address(SHOP_PORT)).await?,
        })
    }

    /// Which Service port each backend stands for, in the words of `examples/article`.
    pub fn endpoints(&self) -> [Endpoint; 5] {
        endpoints([&self.payment, &self.ledger, &self.vault, &self.database, &self.shop].map(Backend::address))
    }
}

/// A Service port and the address that serves it. It prints as the value of `--endpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Namespace of the Service.
    pub namespace: &'static str,
    /// Name of the Service.
    pub service: &'static str,
    /// The Service's port.
    pub port: u16,
    /// Where a backend listens for it.
    pub address: SocketAddr,
}

impl Endpoint {
    /// What `sealway demo --backends` serves, whether it runs or not.
    pub fn fixed() -> [Self; 5] {
        endpoints([PAYMENT_PORT, LEDGER_PORT, VAULT_PORT, DATABASE_PORT, SHOP_PORT].map(loopback))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}:{}={}",
            self.namespace, self.service, self.port, self.address
        )
    }
}

/// Endpoints of payment, ledger, vault, database and shop, in this order.
fn endpoints([payment, ledger, vault, database, shop]: [SocketAddr; 5]) -> [Endpoint; 5] {
    let endpoint = |namespace, service, port, address| Endpoint {
        namespace,
        service,
        port,
        address,
    };
    [
        endpoint("payment", "payment-service", 8443, payment),
        endpoint("payment", "ledger-service", 9443, ledger),
        endpoint("vault", "vault-service", 8200, vault),
        endpoint("database", "postgres-service", 5432, database),
        endpoint("shop", "shop-service", 8080, shop),
    ]
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

// Apart from the ports that the gateway takes (443, 8443, 9443 and 9444, also with offsets of 10000 and 20000; admin 15000), and below
// the kernel's ephemeral ports.
const PAYMENT_PORT: u16 = 17443;
const LEDGER_PORT: u16 = 17444;
const VAULT_PORT: u16 = 17200;
const DATABASE_PORT: u16 = 17432;
const SHOP_PORT: u16 = 17080;
