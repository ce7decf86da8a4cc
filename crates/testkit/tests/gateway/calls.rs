//! gRPC at its least: a backend over HTTP/2 in plain text that answers every call with OK, and a client that keeps its connection.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Response};
use sealway_testkit::LOOPBACK;
use sealway_testkit::backends::{Backend, BackendError};
use sealway_testkit::clients::{Client, DEADLINE, Failure};

/// Starts the backend.
pub(crate) async fn backend() -> Result<Backend, BackendError> {
    Backend::start(LOOPBACK, |stream| async move {
        let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
        while let Some(accepted) = connection.accept().await {
            let (_, mut respond) = accepted.map_err(io::Error::other)?;
            let mut response = Response::new(());
            let kind = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", kind);
            let mut body = respond.send_response(response, false).map_err(io::Error::other)?;
            let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("name"), HeaderValue::from_static("0"))]);
            body.send_trailers(trailers).map_err(io::Error::other)?;
        }
        Ok(())
    })
    .await
}

/// An open connection for calls to one host.
pub(crate) struct Calls {
    host: String,
    sender: SendRequest<Bytes>,
}

impl Calls {
    pub(crate) async fn connect(client: &Client, address: SocketAddr, host: String) -> Result<Self, Failure> {
        let session = client.clone().offering(&["h2"]).connect(address, &host).await?;
        let (sender, connection) = h2::client::handshake(session.stream).await.map_err(unexpected)?;
        tokio::spawn(connection);
        Ok(Self { host, sender })
    }

    /// One call, which must end with OK.
    pub(crate) async fn call(&self) -> Result<(), Failure> {
        let exchange = async {
            let request = Request::post(format!("https://{}/a.B/C", self.host)).header("content-type", "application/grpc");
            let request = request.header("te", "trailers").body(()).map_err(unexpected)?;
            let mut sender = self.sender.clone().ready().await.map_err(unexpected)?;
            let (response, _) = sender.send_request(request, true).map_err(unexpected)?;
            let (head, mut body) = response.await.map_err(unexpected)?.into_parts();
            while let Some(data) = body.data().await {
                data.map_err(unexpected)?;
            }
            let trailers = body.trailers().await.map_err(unexpected)?.unwrap_or_default();
            let status = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
            match status {
                Some(status) if status == "0" => Ok(()),
                other => Err(Failure::Unexpected(format!("{} with grpc-status {other:?}", head.status))),
            }
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .unwrap_or(Err(Failure::TimedOut))
    }
}

fn unexpected(error: impl ToString) -> Failure {
    Failure::Unexpected(error.to_string())
}
