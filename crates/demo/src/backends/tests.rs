use std::net::Ipv4Addr;

use rustls::AlertDescription;

use super::*;
use crate::certificates::sample::certificates;
use crate::clients::{Client, Failure, Negotiation};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn https_backend_names_itself_and_the_server_name() {
    let certificates = certificates();
    let options = Https {
        name: "payment",
        identity: &certificates.payment,
        clients: ClientCertificates::Ignored,
    };
    let backend = options.start(ANY_PORT).await.expect("backend");
    let client = Client::trusting(&certificates.authority).expect("client");
    let seen = client
        .https(backend.address(), "payment.internal.example.com", "/health")
        .await
        .expect("answer");
    assert_eq!(seen.answer.backend, "payment");
    assert_eq!(seen.answer.sni.as_deref(), Some("payment.internal.example.com"));
    assert_eq!(seen.answer.client, None);
    assert_eq!(seen.peer.certificate.serial, certificates.payment.serial());
    assert_eq!(
        (seen.peer.version.as_str(), seen.peer.group.as_str()),
        ("TLSv1_3", "X25519MLKEM768")
    );
}

#[tokio::test]
async fn required_client_certificate_reaches_the_backend_and_is_missed_without() {
    let certificates = certificates();
    let clients = ClientCertificates::Required(certificates.authority.certificate_pem());
    let backend = Https {
        name: "ledger",
        identity: &certificates.ledger,
        clients,
    };
    let backend = backend.start(ANY_PORT).await.expect("backend");
    let name = "ledger.internal.example.com";
    let with = Client::presenting(&certificates.authority, &certificates.order_client).expect("client");
    let seen = with.https(backend.address(), name, "/").await.expect("answer");
    assert_eq!(seen.answer.client.as_deref(), Some("CN=order-service"));
    let without = Client::trusting(&certificates.authority).expect("client");
    let failure = without.https(backend.address(), name, "/").await.expect_err("refused");
    assert!(
        matches!(failure, Failure::Alert(AlertDescription::CertificateRequired)),
        "{failure}"
    );
}

#[tokio::test]
async fn requested_client_certificate_is_optional() {
    let certificates = certificates();
    let clients = ClientCertificates::Requested(certificates.authority.certificate_pem());
    let backend = Https {
        name: "ledger",
        identity: &certificates.ledger,
        clients,
    };
    let backend = backend.start(ANY_PORT).await.expect("backend");
    let with = Client::presenting(&certificates.authority, &certificates.order_client).expect("client");
    let without = Client::trusting(&certificates.authority).expect("client");
    for (client, subject) in [(with, Some("CN=order-service")), (without, None)] {
        let seen = client
            .https(backend.address(), "ledger.internal.example.com", "/")
            .await
            .expect("answer");
        assert_eq!(seen.answer.client.as_deref(), subject);
    }
}

#[tokio::test]
async fn database_answers_after_ssl_request_and_over_direct_tls() {
    let certificates = certificates();
    let database = Postgres {
        name: "database",
        identity: &certificates.database,
        clients: ClientCertificates::Ignored,
    };
    let backend = database.start(ANY_PORT).await.expect("backend");
    let client = Client::trusting(&certificates.authority).expect("client");
    for negotiation in [Negotiation::Postgres, Negotiation::Direct] {
        let seen = client
            .postgres(backend.address(), "replica.db.example.com", negotiation)
            .await
            .expect("row");
        assert_eq!(seen.answer.backend, "database");
        assert_eq!(seen.answer.sni.as_deref(), Some("replica.db.example.com"));
        assert_eq!(seen.peer.alpn.as_deref(), Some("postgresql"));
    }
}

#[tokio::test]
async fn database_refuses_direct_tls_without_alpn() {
    let certificates = certificates();
    let database = Postgres {
        name: "database",
        identity: &certificates.database,
        clients: ClientCertificates::Ignored,
    };
    let backend = database.start(ANY_PORT).await.expect("backend");
    let client = Client::trusting(&certificates.authority).expect("client");
    let session = client
        .connect(backend.address(), "primary.db.example.com")
        .await
        .expect("handshake");
    let failure = session.select().await.expect_err("no ALPN");
    assert!(matches!(failure, Failure::EndOfStream | Failure::Reset), "{failure}");
}

#[tokio::test]
async fn dropped_backend_stops_listening_and_ends_its_connections() {
    let certificates = certificates();
    let options = Https {
        name: "payment",
        identity: &certificates.payment,
        clients: ClientCertificates::Ignored,
    };
    let backend = options.start(ANY_PORT).await.expect("backend");
    let client = Client::trusting(&certificates.authority).expect("client");
    let address = backend.address();
    let open = client.connect(address, "payment.example.com").await.expect("handshake");
    drop(backend);
    let failure = open.request("payment.example.com", "/").await.expect_err("ended");
    assert!(matches!(failure, Failure::EndOfStream | Failure::Reset), "{failure}");
    assert!(matches!(
        client.connect(address, "payment.example.com").await,
        Err(Failure::Connect(_))
    ));
}
