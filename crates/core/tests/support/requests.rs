//! Rules of HTTPRoutes and GRPCRoutes for the universe, made of few paths, headers and methods so that they meet; and the requests
//! that tell them apart.

use http::{HeaderMap, HeaderValue, Method};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sealway_core::RequestHead;
use serde_json::{Value, json};

use super::{SERVICES, metadata};

/// An expression that no parser takes: its rule is invalid.
pub(crate) const BROKEN: &str = "(";
pub(crate) const EXPRESSIONS: [&str; 2] = ["/a.*", "/[ab]"];
const PATHS: [&str; 5] = ["/", "/a", "/a/", "/a/b", "/svc"];

pub(super) fn http_rule(backend: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    let path = prop_oneof![
        4 => select(&PATHS[..]).prop_map(|path| json!({"type": "PathPrefix", "value": path})),
        2 => select(&PATHS[..]).prop_map(|path| json!({"type": "Exact", "value": path})),
        2 => select(&EXPRESSIONS[..]).prop_map(|path| json!({"type": "RegularExpression", "value": path})),
        1 => Just(json!({"type": "RegularExpression", "value": BROKEN})),
        1 => Just(json!({})),
    ];
    let method = option::weighted(0.3, select(vec!["GET", "POST"]));
    let query = option::weighted(0.2, Just(json!([{"name": "q", "value": "1"}])));
    let matched = (path, method, headers(), query).prop_map(|(path, method, headers, query)| {
        let mut matched = json!({"path": path, "headers": headers});
        if let Some(method) = method {
            matched["method"] = json!(method);
        }
        if let Some(query) = query {
            matched["queryParams"] = query;
        }
        matched
    });
    let filter = prop_oneof![
        2 => backend.clone().prop_map(|backend| json!({"type": "RequestMirror", "requestMirror": {"backendRef": backend}})),
        1 => backend.clone().prop_map(|backend| json!({"type": "ExternalAuth",
            "externalAuth": {"protocol": "HTTP", "backendRef": backend}})),
        1 => Just(json!({"type": "URLRewrite", "urlRewrite": {"hostname": "inner.test"}})),
        1 => Just(json!({"type": "ExtensionRef", "extensionRef": {"group": "x", "kind": "Y", "name": "z"}})),
    ];
    (vec(matched, 0..4), vec(filter, 0..2), vec(backend, 0..4))
        .prop_map(|(matches, filters, backends)| json!({"matches": matches, "filters": filters, "backendRefs": backends}))
}

pub(super) fn grpc_rule(backend: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    let method = option::weighted(
        0.8,
        select(vec![
            json!({"service": "svc", "method": "Do"}),
            json!({"service": "svc"}),
            json!({"method": "Do"}),
            json!({"type": "RegularExpression", "service": BROKEN}),
        ]),
    );
    let matched = (method, headers()).prop_map(|(method, headers)| match method {
        Some(method) => json!({"method": method, "headers": headers}),
        None => json!({"headers": headers}),
    });
    (vec(matched, 0..3), vec(backend, 0..3)).prop_map(|(matches, backends)| json!({"matches": matches, "backendRefs": backends}))
}

fn headers() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!([])),
        2 => Just(json!([{"name": "X", "value": "1"}])),
        1 => Just(json!([{"name": "x", "value": "1"}, {"name": "Y", "value": "2"}])),
        1 => Just(json!([{"name": "x", "value": "1"}, {"name": "X", "value": "9"}])),
    ]
}

/// One request, less its host.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) query: Option<&'static str>,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    pub(crate) fn head<'a>(&'a self, host: Option<&'a str>) -> RequestHead<'a> {
        RequestHead {
            method: &self.method,
            host,
            path: self.path,
            query: self.query,
            headers: &self.headers,
        }
    }
}

/// Requests that tell every two rules of the universe apart.
pub(crate) fn asked() -> Vec<Asked> {
    let mut all = Vec::new();
    for path in ["/", "/a", "/a/", "/a/b/c", "/ab", "/b", "/svc/Do", "/svc/Other", "/other/Do"] {
        for (method, query, names) in [
            (Method::GET, None, &[][..]),
            (Method::POST, Some("p=2&q=1"), &[("x", "1")][..]),
            (Method::GET, Some("q=1&q=2"), &[("x", "1"), ("y", "2")][..]),
        ] {
            let headers = names.iter().map(|(name, value)| {
                let name: http::HeaderName = name.parse().expect("a name");
                (name, HeaderValue::from_static(value))
            });
            all.push(Asked {
                method,
                path,
                query,
                headers: headers.collect(),
            });
        }
    }
    all
}

/// A policy for the traffic to one or two Services.
pub(super) fn traffic_policy() -> impl Strategy<Value = Value> {
    let target = (
        select(&SERVICES[..]),
        prop_oneof![9 => Just("Service"), 1 => Just("ServiceImport")],
    );
    let target = target.prop_map(|(name, kind)| json!({"group": "", "kind": kind, "name": name}));
    let constraint = select(vec![
        json!({}),
        json!({"budget": {"percent": 0}, "minRetryRate": {"count": 1, "interval": "1h"}}),
        json!({"budget": {"percent": 50, "interval": "1m"}}),
        json!({"budget": {"interval": "1ms"}}),
    ]);
    let session = select(vec![
        json!({"type": "Cookie", "cookie": {}}),
        json!({"type": "Header", "header": {"name": "X-Session"}}),
        json!({"type": "Header", "header": {"name": "Connection"}}),
    ]);
    (
        metadata(&["t0", "t1", "t2"]),
        vec(target, 1..3),
        option::of(constraint),
        option::of(session),
    )
        .prop_map(|(metadata, targets, constraint, session)| {
            let spec = json!({"targetRefs": targets, "retryConstraint": constraint, "sessionPersistence": session});
            json!({"kind": "XBackendTrafficPolicy", "metadata": metadata, "spec": spec})
        })
}
