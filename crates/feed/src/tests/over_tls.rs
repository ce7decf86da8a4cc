//! Over TLS: whom a proxy believes, and what a rotation does.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::kit::*;
use crate::{Client, Link, SERVER_NAME, Server, server_config};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    fn server(&self, name: &str) -> Arc<rustls::ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        server_config(vec![certificate.der().clone()], key).expect("fits")
    }
}

async fn listen(
    server: &Server,
    tls: Arc<rustls::ServerConfig>,
) -> (SocketAddr, watch::Sender<Arc<rustls::ServerConfig>>, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (sender, tls) = watch::channel(tls);
    let server = server.clone();
    (
        address,
        sender,
        tokio::spawn(async move { server.serve(listener, tls).await }),
    )
}

fn start(client: &Client) -> JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move { client.run().await })
}

#[tokio::test]
async fn certificates_and_authorities_rotate_and_nobody_is_dropped() {
    let (old, new) = (Authority::new("one"), Authority::new("two"));
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let (server, _) = server([("one", proxy_of("a", "one")), ("two", proxy_of("a", "two"))]);
    server.publish(&cluster.published());
    let (address, tls, _serves) = listen(&server, old.server(SERVER_NAME)).await;
    let files = Files::new("one");
    std::fs::write(files.path("ca.crt"), old.pem()).expect("written");
    // One of the addresses is nobody's.
    let mut settings = files.settings("127.0.0.1:1");
    settings.addresses.push(address.to_string());
    let client = Client::new(settings);
    let (_runs, _obeys) = (start(&client), obedient(&client));
    proxy_is(&server, "a", "one", |proxy| proxy.acknowledged.is_some()).await;
    let connected_since = proxy_is(&server, "a", "one", |_| true).await.connected_since;

    // First the bundle has both, then the server shows the new one.
    std::fs::write(files.path("ca.crt"), old.pem() + &new.pem()).expect("written");
    tls.send_replace(new.server(SERVER_NAME));
    cluster.route("a", "shop", "shop.test");
    server.publish(&cluster.published());
    let proxy = proxy_is(&server, "a", "one", |proxy| {
        proxy.acknowledged.is_some_and(|it| it.revision == 2)
    })
    .await;
    assert_eq!(proxy.connected_since, connected_since, "the connection is the same");

    // Who comes now meets the new certificate, with the new authority alone.
    let others = Files::new("two");
    std::fs::write(others.path("ca.crt"), new.pem()).expect("written");
    let other = Client::new(others.settings(&address.to_string()));
    let (_runs, _obeys) = (start(&other), obedient(&other));
    proxy_is(&server, "a", "two", |proxy| proxy.acknowledged.is_some()).await;
}

#[tokio::test]
async fn a_proxy_believes_its_bundle_and_the_one_name_only_and_finds_what_has_changed() {
    let (trusted, foreign) = (Authority::new("one"), Authority::new("two"));
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let (server, tokens) = server([]);
    server.publish(&cluster.published());
    let (address, tls, _serves) = listen(&server, foreign.server(SERVER_NAME)).await;
    let files = Files::new("token");
    let client = Client::new(files.settings(&address.to_string()));
    let (_runs, _obeys) = (start(&client), obedient(&client));
    let mut link = client.link();
    let waits_for = |text: &'static str| move |link: &Link| matches!(link, Link::Waiting { why } if why.contains(text));
    until(&mut link, waits_for("no authorities")).await;
    std::fs::write(files.path("ca.crt"), trusted.pem()).expect("written");
    until(&mut link, waits_for("UnknownIssuer")).await;
    tls.send_replace(trusted.server("other.sealway.dev"));
    until(&mut link, waits_for("not valid for name")).await;
    tls.send_replace(trusted.server(SERVER_NAME));
    until(&mut link, waits_for("token is not that of a proxy")).await;
    assert!(client.received().borrow().is_none());
    tokens.lock().expect("whole").insert("token".to_owned(), proxy_of("a", "pod"));
    until(&mut link, |link| matches!(link, Link::Connected { .. })).await;
    received(&client, 1).await;
}
