//! Manifests and certificates that these tests share.

use std::fmt::Write;
use std::time::SystemTime;

use sealway_testkit::certificates::{Authority, Identity, Request};
use sealway_testkit::clients::{Client, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A class and a Gateway `default/gateway` with one passthrough listener `tls` on port 8443.
pub(crate) const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: sealway
spec:
  controllerName: sealway.dev/gateway-controller
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: gateway
  namespace: default
spec:
  gatewayClassName: sealway
  listeners:
    - name: tls
      port: 8443
      protocol: TLS
      tls:
        mode: Passthrough
";

/// The port of [`GATEWAY`]'s listener.
pub(crate) const PORT: u16 = 8443;

/// [`GATEWAY`] and a TLSRoute for each pair of hostname and Service (port 443).
pub(crate) fn gateway_with(routes: &[(&str, &str)]) -> String {
    let mut yaml = GATEWAY.to_owned();
    for (hostname, service) in routes {
        yaml.push_str(&route(&hostname.replace(['.', '*'], "-"), hostname, &[(service, 1)]));
    }
    yaml
}

/// A TLSRoute `default/name` to Services with weights.
pub(crate) fn route(name: &str, hostname: &str, backends: &[(&str, u32)]) -> String {
    let mut yaml = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata:
  name: r{name}
  namespace: default
spec:
  parentRefs:
    - name: gateway
  hostnames:
    - \"{hostname}\"
  rules:
    - backendRefs:
"
    );
    for (service, weight) in backends {
        writeln!(
            yaml,
            "        - name: {service}\n          port: 443\n          weight: {weight}"
        )
        .expect("text");
    }
    yaml
}

/// A CA and a client that trusts it.
pub(crate) struct Pki {
    authority: Authority,
    pub(crate) client: Client,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let authority = Authority::generate("test", SystemTime::now()).expect("authority");
        let client = Client::trusting(&authority).expect("client");
        Self { authority, client }
    }

    pub(crate) fn authority_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// A server certificate for these names.
    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        self.authority
            .issue(&Request::server("server", names, SystemTime::now()))
            .expect("identity")
    }
}

/// A line to an echo and back.
pub(crate) async fn echo(session: &mut Session) -> std::io::Result<()> {
    session.stream.write_all(b"hello").await?;
    session.stream.flush().await?;
    let mut line = [0; 5];
    session.stream.read_exact(&mut line).await?;
    assert_eq!(&line, b"hello");
    Ok(())
}

/// A small ClientHello: one cipher suite, and `name` as its only extension.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let prefixed = |bytes: Vec<u8>| [(bytes.len() as u16).to_be_bytes().to_vec(), bytes].concat();
    let entry = [vec![0], prefixed(name.as_bytes().to_vec())].concat();
    let extension = [vec![0, 0], prefixed(prefixed(entry))].concat();
    let random = [0; 32];
    let body = [&[3, 3][..], &random, &[0, 0, 2, 0x13, 1, 1, 0], &prefixed(extension)].concat();
    let handshake = [vec![1, 0], prefixed(body)].concat();
    [vec![0x16, 3, 1], prefixed(handshake)].concat()
}
