//! Entry points for the fuzz targets in `fuzz/`: foreign bytes in, a panic if something that must hold does not.

use ::http::{HeaderMap, HeaderValue, Method};
use rustls_pki_types::CertificateDer;
use sealway_core::{ClientCertificateHeaders, Cors, CorsOrigin, PathMatcher, PathModifier, Redirect};

use crate::http::client_certificate::{ClientCertificateValues, LARGEST_VALUE};
use crate::http::{cors, redirect};

mod authorization;
mod head;
mod matching;
#[cfg(test)]
mod tests;
mod traces;

pub use authorization::ext_authz;
pub use head::http_head;
pub use matching::http_match;
pub use traces::trace_context;

/// A client's certificate, as DER: the headers that tell of it are bounded, and text of it opens no field.
pub fn client_certificate(der: &[u8]) {
    let chain = [CertificateDer::from(der)];
    let every = ClientCertificateHeaders {
        xfcc: true,
        rfc9440: true,
    };
    let mut headers = HeaderMap::new();
    ClientCertificateValues::new(Some(&chain), every).apply(&mut headers);
    for (name, value) in &headers {
        assert!(value.len() <= LARGEST_VALUE && value.to_str().is_ok(), "{name}");
    }
    let xfcc = headers.get("x-forwarded-client-cert").and_then(|value| value.to_str().ok());
    let mut quoted = false;
    let outside: String = xfcc
        .unwrap_or_default()
        .chars()
        .filter(|character| {
            quoted ^= *character == '"';
            !quoted
        })
        .collect();
    assert!(!quoted && !outside.contains(','), "{outside}");
    for field in outside.split(';') {
        let name = field.split('=').next().unwrap_or_default();
        assert!(["Hash", "Cert", "Subject", "URI", "DNS"].contains(&name), "{field}");
    }
}

/// What a browser says about itself, and a URL to redirect: lines of text.
pub fn request(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in ["origin", "access-control-request-method", "access-control-request-headers"] {
        if let Some(value) = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok()) {
            headers.insert(name, value);
        }
    }
    let policy = Cors {
        origins: vec![
            CorsOrigin::Exact("https://a.example".to_owned()),
            CorsOrigin::Wildcard {
                scheme: "https://".to_owned(),
                suffix: "b.example".to_owned(),
                port: ":8443".to_owned(),
            },
        ],
        credentials: true,
        methods: vec!["*".to_owned()],
        headers: vec!["*".to_owned()],
        expose: vec!["*".to_owned()],
        max_age: 5,
    };
    let mut answer = HeaderMap::new();
    match cors::decide(&policy, &Method::OPTIONS, &headers) {
        cors::CorsDecision::Preflight(response) => answer = response.into_parts().0.headers,
        cors::CorsDecision::Simple(decision) => decision.apply(&mut answer),
    }
    if let Some(allowed) = answer.get("access-control-allow-origin") {
        assert!(headers.get("origin") == Some(allowed));
        let lower = allowed.as_bytes().to_ascii_lowercase();
        assert!(lower.starts_with(b"https://a.example") || lower.ends_with(b".b.example:8443"));
    }

    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (host, path, query, replacement) = (text(), text(), text(), text());
    let url = redirect::RequestUrl {
        scheme: "https",
        host: &host,
        port: 8443,
        offset: 0,
        path: &path,
        query: Some(&query),
    };
    let changed = Redirect {
        scheme: None,
        hostname: None,
        port: None,
        path: Some(PathModifier::Prefix(replacement)),
        status: 302,
    };
    if let Some(location) = redirect::location(&changed, &PathMatcher::Prefix("/a".to_owned()), &url) {
        let location: ::http::Uri = location.to_str().unwrap_or_default().parse().unwrap_or_default();
        assert_eq!(location.port_u16(), Some(8443));
        assert!(location.path().starts_with('/'));
    }
}

/// Lines `name: value` as headers; what is no header is left out.
fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (name.try_into(), HeaderValue::from_bytes(value)) {
            headers.append::<::http::HeaderName>(name, value);
        }
    }
    headers
}
