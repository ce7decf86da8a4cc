//! One list, from where a certificate says that it is.
//!
//! In: a distribution point. Out: its list, read and found to be signed by the point's issuer, or why not. Invariant: what comes is
//! bounded in bytes and time, and nobody is asked but the host that the certificate names.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::Scheme;
use axum::http::{Method, Request, StatusCode, Uri, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sealway_core::{DistributionPoint, ListRefusal, RevocationList};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Why there is no list.
#[derive(Debug)]
pub(super) enum Failure {
    /// The URL cannot be asked for.
    Url,
    /// No connection.
    Connect(io::Error),
    /// The server broke off, or does not speak HTTP.
    Http(hyper::Error),
    /// It did not say 200; redirects are not followed.
    Status(StatusCode),
    /// More than is taken.
    TooLarge,
    /// Too slow.
    Timeout,
    /// What came is not the issuer's list.
    Refused(ListRefusal),
    /// All lists together would be too large.
    NoRoom,
    /// Ours.
    Defect,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => formatter.write_str("the URL is none of HTTP, or names no host"),
            Self::Connect(error) => write!(formatter, "no connection: {error}"),
            Self::Http(error) => write!(formatter, "{error}"),
            Self::Status(status) if status.is_redirection() => {
                write!(formatter, "the server says {status}; redirects are not followed")
            }
            Self::Status(status) => write!(formatter, "the server says {status}"),
            Self::TooLarge => write!(formatter, "it has more than {} MiB", MOST_BYTES >> 20),
            Self::Timeout => write!(formatter, "it was not there within {} s", PATIENCE.as_secs()),
            Self::Refused(refusal) => write!(formatter, "{refusal}"),
            Self::NoRoom => formatter.write_str("with it, all lists together would be too large"),
            Self::Defect => formatter.write_str("a defect of the gateway; please report it"),
        }
    }
}

pub(super) async fn list(point: Arc<DistributionPoint>) -> Result<RevocationList, Failure> {
    let bytes = timeout(PATIENCE, get(&point.url)).await.map_err(|_| Failure::Timeout)??;
    // Of a large list this takes a while.
    let read = spawn_blocking(move || RevocationList::fetched(&point, &bytes));
    read.await.map_err(|_| Failure::Defect)?.map_err(Failure::Refused)
}

async fn get(url: &str) -> Result<Vec<u8>, Failure> {
    let uri: Uri = url.parse().map_err(|_| Failure::Url)?;
    let authority = uri
        .authority()
        .filter(|_| uri.scheme() == Some(&Scheme::HTTP))
        .ok_or(Failure::Url)?;
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(Failure::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::Http)?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(uri.path_and_query().map_or("/", |target| target.as_str()))
        // Without a name and password, should the URL have them.
        .header(
            header::HOST,
            if port == 80 {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
        )
        .header(header::USER_AGENT, concat!("sealway/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/pkix-crl, */*;q=0.1")
        .header(header::CONNECTION, "close")
        .body(String::new())
        .map_err(|_| Failure::Url)?;
    let asked = async move {
        let response = sender.send_request(request).await.map_err(Failure::Http)?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status()));
        }
        whole(response.into_body()).await
    };
    let (mut asked, connection) = (pin!(asked), pin!(connection));
    tokio::select! {
        asked = &mut asked => asked,
        // What has arrived by then is still to be read.
        _ = connection => asked.await,
    }
}

async fn whole(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    if body.size_hint().lower() > MOST_BYTES as u64 {
        return Err(Failure::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Some(data) = frame.map_err(Failure::Http)?.data_ref() {
            if bytes.len() + data.len() > MOST_BYTES {
                return Err(Failure::TooLarge);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

/// Of one list.
pub(super) const MOST_BYTES: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
