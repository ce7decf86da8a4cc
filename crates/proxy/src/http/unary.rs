//! One unary call of gRPC that the gateway makes itself: the request, and the message of the answer. Whoever calls does the sending.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use prost::Message;
use sealway_core::{Target, UpstreamTls};

/// Bytes of an answer's body that are worth reading: the caller's cap.
pub(crate) const LARGEST_ANSWER: usize = 64 * 1024;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A flag and the length before each message.
const PREFIX: usize = 5;

/// Why a call has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallFault {
    /// The answer is none of gRPC's.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The call failed; `None`: without any status.
    #[error("the call ended with gRPC status {}", .0.map_or_else(|| "missing".to_owned(), |code| code.to_string()))]
    GrpcStatus(Option<u32>),
    /// It is not framed as one message.
    #[error("its answer is malformed")]
    Malformed,
}

/// The call of `method` (`/package.Service/Method`) of a server.
pub(crate) fn request(method: &'static str, server: &Target, message: &impl Message) -> Request<Bytes> {
    let mut call = Request::new(framed(message));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = Uri::from_static(method);
    *call.version_mut() = Version::HTTP_2;
    let headers = call.headers_mut();
    if let Some(authority) = authority(server) {
        headers.insert(HOST, authority);
    }
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    call
}

/// The name that the server goes by: the one that its certificate must have, or its Service's.
fn authority(server: &Target) -> Option<HeaderValue> {
    let Target::Backend(server) = server else {
        // Nothing is sent there.
        return None;
    };
    let name = match &server.tls {
        UpstreamTls::Verified(tls) => tls.server_name.clone(),
        UpstreamTls::Plain | UpstreamTls::Refused { .. } => {
            // An XBackend's has a slash, which an authority cannot have.
            let name = server.service.name.rsplit('/').next().unwrap_or_default();
            format!("{name}.{}.svc", server.service.namespace)
        }
    };
    HeaderValue::from_maybe_shared(Bytes::from(format!("{name}:{}", server.port))).ok()
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    // What is sent is capped far below 4 GiB.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message.encode_to_vec());
    frame.freeze()
}

/// The message of an answer that says that all went well. Body and trailers are whole; the body is at most [`LARGEST_ANSWER`].
pub(crate) fn answer<'a>(response: &'a Response<Bytes>, trailers: Option<&HeaderMap>) -> Result<&'a [u8], CallFault> {
    if response.status() != StatusCode::OK {
        return Err(CallFault::Status(response.status()));
    }
    // A response without a message has its status among the headers (gRPC's "Trailers-Only").
    let status = trailers
        .and_then(|trailers| trailers.get(GRPC_STATUS))
        .or_else(|| response.headers().get(GRPC_STATUS));
    let status = status
        .and_then(|status| status.to_str().ok())
        .and_then(|status| status.parse().ok());
    if status != Some(0) {
        return Err(CallFault::GrpcStatus(status));
    }
    let (prefix, message) = response.body().split_first_chunk::<PREFIX>().ok_or(CallFault::Malformed)?;
    let [compressed, length @ ..] = *prefix;
    let whole = usize::try_from(u32::from_be_bytes(length)).is_ok_and(|length| length == message.len());
    if compressed != 0 || !whole || message.len() > LARGEST_ANSWER {
        return Err(CallFault::Malformed);
    }
    Ok(message)
}
