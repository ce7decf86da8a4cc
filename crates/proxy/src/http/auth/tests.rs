//! What is asked, and what counts as yes.

use std::sync::Arc;

use ::http::header::AUTHORIZATION;
use proptest::prelude::*;
use prost::Message as _;
use sealway_api::ObjectKey;
use sealway_core::{Backend, BackendProtocol, Target, UpstreamTls, WeightedBackend};

use super::messages::{
    AppendAction, BoolValue, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderField, HeaderValueOption, HttpResponse,
    HttpStatus, OkHttpResponse, Status,
};
use super::*;

mod grpc;
mod http;

fn names(names: &[&'static str]) -> Vec<HeaderName> {
    names.iter().copied().map(HeaderName::from_static).collect()
}

fn auth(protocol: AuthProtocol) -> ExternalAuth {
    ExternalAuth {
        backend: WeightedBackend {
            name: "infra/auth:9000".to_owned(),
            weight: 1,
            target: Target::Backend(Arc::new(Backend {
                service: ObjectKey::new("infra", "auth"),
                port: 9000,
                endpoints: vec!["192.0.2.9:9000".parse().unwrap()],
                proxy_protocol: None,
                protocol: BackendProtocol::Unstated,
                tls: UpstreamTls::Plain,
                retry_budget: None,
            })),
        },
        protocol,
        body_limit: None,
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

/// A request as it waits for its verdict.
fn asked<'a>(target: &'a PathAndQuery, headers: &'a HeaderMap) -> AuthRequest<'a> {
    AuthRequest {
        method: &Method::POST,
        target,
        host: "shop.example.com",
        scheme: "https",
        version: Version::HTTP_2,
        headers,
        body: None,
        client: "[::ffff:192.0.2.7]:40000".parse().unwrap(),
        local: "203.0.113.1:443".parse().unwrap(),
        server_name: Some("shop.example.com"),
        principal: Some("spiffe://cluster.local/front"),
        time: SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500),
    }
}

/// The request's headers as an allowed request takes them to the backend.
fn allowed(verdict: AuthVerdict, inbound: &[(&str, &str)]) -> HeaderMap {
    let AuthVerdict::Allow { request, .. } = verdict else {
        panic!("{verdict:?}");
    };
    let mut headers = headers(inbound);
    request.apply(&mut headers);
    headers
}

fn denied(verdict: AuthVerdict) -> Response<Bytes> {
    match verdict {
        AuthVerdict::Deny(response) => response,
        other => panic!("{other:?}"),
    }
}

fn fault(verdict: AuthVerdict) -> AuthFault {
    match verdict {
        AuthVerdict::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}
