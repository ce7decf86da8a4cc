use std::io;
use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::*;
use crate::backends::{Backend, Ports, SampleBackends};
use crate::certificates::sample::certificates;
use crate::wire;

/// Stands in for the gateway: it leads each connection to one backend, or refuses it as the gateway would.
async fn stand_in(target: Option<SocketAddr>) -> Backend {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let serve = move |client: TcpStream| serve(client, target);
    Backend::start(address, serve).await.expect("stand-in")
}

async fn serve(mut client: TcpStream, target: Option<SocketAddr>) -> io::Result<()> {
    match target {
        Some(target) => copy_bidirectional(&mut client, &mut TcpStream::connect(target).await?)
            .await
            .map(|_| ()),
        None => {
            let mut hello = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut client, &mut hello).await?;
            client.write_all(&[0x15, 3, 3, 0, 2, 2, 112]).await?;
            client.shutdown().await
        }
    }
}

struct Fixture {
    certificates: &'static Certificates,
    backends: SampleBackends,
}

impl Fixture {
    async fn start() -> Self {
        let certificates = certificates();
        let backends = SampleBackends::start(certificates, Ports::Free).await.expect("backends");
        Self { certificates, backends }
    }

    async fn rows_through(&self, service: Option<&str>) -> Vec<Row> {
        let endpoints = self.backends.endpoints();
        let target = service.and_then(|service| endpoints.iter().find(|endpoint| endpoint.service == service));
        let gateway = stand_in(target.map(|endpoint| endpoint.address)).await;
        let address = GatewayAddress {
            passthrough: gateway.address(),
            https: gateway.address(),
            mutual: gateway.address(),
            bare: gateway.address(),
        };
        run_rows(&address, self.certificates, Path::new("/tmp/out"))
            .await
            .expect("rows")
    }
}

fn passed(rows: &[Row]) -> Vec<&str> {
    rows.iter().filter(|row| row.passed).map(|row| row.name).collect()
}

#[tokio::test]
async fn rows_pass_only_where_their_own_backend_answers() {
    let fixture = Fixture::start().await;
    for (service, names) in [
        ("payment-service", vec!["passthrough"]),
        ("vault-service", vec!["passthrough, vault"]),
        (
            "postgres-service",
            vec!["passthrough, PostgreSQL primary", "passthrough, PostgreSQL replica"],
        ),
        (
            "ledger-service",
            vec![
                "mutual TLS through, with certificate",
                "mutual TLS through, without certificate",
            ],
        ),
    ] {
        let rows = fixture.rows_through(Some(service)).await;
        assert_eq!(rows.len(), 14);
        assert_eq!(passed(&rows), names, "{rows:#?}");
    }
}

#[tokio::test]
async fn unknown_name_row_passes_on_the_alert_alone() {
    let rows = Fixture::start().await.rows_through(None).await;
    assert_eq!(passed(&rows), ["unknown server name"], "{rows:#?}");
}

#[test]
fn requests_before_tls_carry_their_length_and_code() {
    assert_eq!(wire::SSL_REQUEST[4..], 80_877_103_i32.to_be_bytes());
    assert_eq!(wire::GSSENC_REQUEST[4..], 80_877_104_i32.to_be_bytes());
}
