//! A plain request for `web.test`, and the Gateway that it goes to, as several of these tests have them.

use sealway_testkit::gateway::TestGateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A Gateway `gateway` that takes HTTP on port 8080, with its class; ends where the next manifest begins.
pub(crate) fn gateway(namespace: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sealway}}
spec: {{controllerName: sealway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway, namespace: {namespace}}}
spec:
  gatewayClassName: sealway
  listeners: [{{name: http, port: 8080, protocol: HTTP}}]
---
"
    )
}

/// The whole answer to a GET with these header lines, each of which ends its line.
pub(crate) async fn answer(gateway: &TestGateway, port: u16, headers: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address(port)).await.expect("connection");
    let request = format!("GET / HTTP/1.1\r\nhost: web.test\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    answer
}

/// Its status code.
pub(crate) async fn status(gateway: &TestGateway, port: u16) -> String {
    let answer = answer(gateway, port, "").await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}
