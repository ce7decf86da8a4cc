//! An authorization server's answer, and the question under a prefix.
//!
//! The first byte says how the rest is used: bit 0, framed as gRPC; bit 1, as an answer over HTTP (the status, a line for each header, an
//! empty line, the body); bit 2, of that only named headers are taken; bit 3, as the path of a request that the server is asked about.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::UNIX_EPOCH;

use ::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use bytes::Bytes;
use sealway_core::{AuthProtocol, BackendFault, ExternalAuth, Target, WeightedBackend};

use crate::http::auth::{self, AuthRequest, AuthVerdict};

/// What comes of an answer can be sent on.
pub fn ext_authz(bytes: &[u8]) {
    let Some((how, body)) = bytes.split_first() else { return };
    let over_grpc = AuthProtocol::Grpc {
        request_headers: Vec::new(),
    };
    let named = [HOST, CONTENT_LENGTH, CONNECTION, HeaderName::from_static("x-user")];
    let over_http = AuthProtocol::Http {
        path_prefix: PREFIX.to_owned(),
        request_headers: Vec::new(),
        response_headers: if how & 4 == 0 { Vec::new() } else { named.to_vec() },
    };
    if how & 8 != 0 {
        question(&server(over_http), body);
    } else if how & 2 != 0 {
        let Some(answer) = over_http_answer(body) else { return };
        let refused = answer.status() != StatusCode::OK;
        match auth::verdict(&server(over_http), answer, None) {
            AuthVerdict::Deny(response) => assert!(refused && !response.status().is_success()),
            verdict => check(verdict),
        }
    } else {
        let mut framed = Vec::new();
        if how & 1 == 1 {
            framed.push(0);
            framed.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        framed.extend_from_slice(body);
        let trailers: HeaderMap = [(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]
            .into_iter()
            .collect();
        let answer = Response::new(Bytes::from(framed));
        check(auth::verdict(&server(over_grpc), answer, Some(&trailers)));
    }
}

fn check(verdict: AuthVerdict) {
    match verdict {
        AuthVerdict::Allow { request, response } => {
            let mut headers = HeaderMap::new();
            request.apply(&mut headers);
            for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, XFCC] {
                assert!(!headers.contains_key(&name), "{name}");
            }
            response.apply(&mut headers);
            // Neither does it touch what is there.
            let mut headers: HeaderMap = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, XFCC]
                .map(|name| (name, HeaderValue::from_static("ours")))
                .into_iter()
                .collect();
            request.apply(&mut headers);
            for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
                assert!(headers.get_all(&name).iter().eq(["ours"]), "{name}");
            }
            // It may be taken away, not forged.
            assert!(headers.get_all(XFCC).iter().all(|value| value == "ours"));
        }
        AuthVerdict::Deny(response) => {
            assert!(response.status() >= StatusCode::OK);
            for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
                assert!(!response.headers().contains_key(&name), "{name}");
            }
        }
        AuthVerdict::Failed(fault) => assert!(!fault.to_string().is_empty()),
    }
}

/// What is asked stays under the prefix, whoever reads the path.
fn question(server: &ExternalAuth, path: &[u8]) {
    let Ok(target) = PathAndQuery::try_from(path) else { return };
    let headers = HeaderMap::new();
    let about = AuthRequest {
        method: &Method::GET,
        target: &target,
        host: "a.example",
        scheme: "https",
        version: Version::HTTP_11,
        headers: &headers,
        body: None,
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 443)),
        server_name: None,
        principal: None,
        time: UNIX_EPOCH,
    };
    let Ok(question) = auth::request(server, &about) else { return };
    let asked = question.uri().path();
    assert!(asked.starts_with(PREFIX), "{asked}");
    assert_eq!(question.uri().query(), target.query());
    let plain = asked.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    let mut depth = 0_i64;
    for element in plain.split('/').skip(2) {
        depth += match element {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        assert!(depth >= 0, "{asked}");
    }
}

fn over_http_answer(text: &[u8]) -> Option<Response<Bytes>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n").unwrap_or(text.len());
    let (head, body) = text.split_at(end);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = StatusCode::from_bytes(lines.next()?).ok()?;
    *response.headers_mut() = super::headers(lines);
    Some(response)
}

fn server(protocol: AuthProtocol) -> ExternalAuth {
    ExternalAuth {
        backend: WeightedBackend {
            name: String::new(),
            weight: 1,
            target: Target::Refuse(BackendFault::NotFound),
        },
        protocol,
        body_limit: None,
    }
}

const PREFIX: &str = "/auth";
const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
