//! Values as parts say them.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::Names;
use crate::parts::PartKey;
use crate::parts::wire::{self, Wire};
use crate::snapshot::{
    Backend, BackendAuthorities, BackendTls, CertificateSlot, ClientValidation, ExternalAuth, Filters, Forward, HttpBackend,
    HttpHost, HttpListener, HttpMatch, HttpRoutes, HttpRule, Mirror, Retry, RetryBudget, Session, Target, Termination,
    TlsListener, Tracing, TrustBundle, UpstreamTls, WeightedBackend,
};

/// JSON. Nothing in a part can fail to be written: there are no maps and no numbers that JSON lacks.
pub(super) fn bytes(wire: &Wire) -> Vec<u8> {
    serde_json::to_vec(wire).unwrap_or_default()
}

pub(super) fn targets<'a>(backends: impl Iterator<Item = &'a WeightedBackend>) -> impl Iterator<Item = &'a Arc<Backend>> {
    backends.filter_map(|backend| match &backend.target {
        Target::Backend(backend) => Some(backend),
        Target::Refuse(_) => None,
    })
}

/// Every backend that a rule may turn to.
pub(super) fn backends(rule: &HttpRule) -> Vec<&WeightedBackend> {
    let mut all: Vec<_> = rule.backends.iter().map(|backend| &backend.backend).collect();
    let of_backends = rule.backends.iter().map(|backend| &backend.filters);
    for filters in of_backends.chain([&rule.filters]) {
        all.extend(filters.mirrors.iter().map(|mirror| &mirror.backend));
        all.extend(filters.external_auth.iter().map(|auth| &auth.backend));
    }
    all
}

pub(super) fn tls_listener(listener: &TlsListener, names: &Names<'_>) -> wire::TlsListener {
    let TlsListener {
        name,
        hostname,
        mode,
        fate,
        routes: _,
        termination: ended,
        requests,
    } = listener;
    wire::TlsListener {
        name: name.clone(),
        hostname: hostname.clone(),
        mode: mode.clone(),
        fate: fate.clone(),
        termination: ended.as_ref().map(|ended| termination(ended, names)),
        takes_requests: requests.is_some(),
        before: requests.as_ref().map(|requests| before(requests, names)).unwrap_or_default(),
    }
}

pub(super) fn http_listener(listener: &HttpListener, names: &Names<'_>) -> wire::HttpListener {
    let HttpListener {
        name,
        hostname,
        fate,
        requests,
    } = listener;
    wire::HttpListener {
        name: name.clone(),
        hostname: hostname.clone(),
        fate: fate.clone(),
        before: before(requests, names),
    }
}

fn before(requests: &HttpRoutes, names: &Names<'_>) -> Vec<PartKey> {
    requests.before.iter().map(|rule| names.of(rule)).collect()
}

fn termination(termination: &Termination, names: &Names<'_>) -> wire::Termination {
    let Termination {
        certificates,
        client_validation,
        options,
    } = termination;
    let slot = |slot: &CertificateSlot| match slot {
        CertificateSlot::Served(certificate) => wire::Slot::Served((&**certificate).into()),
        CertificateSlot::Broken { secret, names } => wire::Slot::Broken {
            secret: secret.clone(),
            names: names.clone(),
        },
    };
    wire::Termination {
        certificates: certificates.iter().map(slot).collect(),
        client_validation: client_validation.as_ref().map(|validation| {
            let ClientValidation { mode, authorities } = &**validation;
            wire::ClientValidation {
                mode: *mode,
                authorities: names.of(authorities),
            }
        }),
        options: options.clone(),
    }
}

pub(super) fn forward(forward: &Forward, names: &Names<'_>) -> wire::Forward {
    let Forward {
        route,
        connect_timeout,
        idle_timeout,
        backends,
    } = forward;
    wire::Forward {
        route: route.into(),
        connect_timeout: *connect_timeout,
        idle_timeout: *idle_timeout,
        backends: backends.iter().map(|backend| weighted(backend, names)).collect(),
    }
}

pub(super) fn tracing(tracing: &Tracing, names: &Names<'_>) -> wire::Tracing {
    let Tracing {
        policy,
        collector,
        headers,
        sampling,
        sampled_parents,
        service_name,
        span_name,
        attributes,
    } = tracing;
    // Values come from manifests, so they are text.
    let header = |(name, value): &(HeaderName, HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    };
    wire::Tracing {
        policy: policy.clone(),
        collector: weighted(collector, names),
        headers: headers.iter().map(header).collect(),
        sampling: *sampling,
        sampled_parents: *sampled_parents,
        service_name: service_name.clone(),
        span_name: span_name.clone(),
        attributes: attributes.clone(),
    }
}

fn weighted(backend: &WeightedBackend, names: &Names<'_>) -> wire::Weighted {
    let WeightedBackend { name, weight, target } = backend;
    wire::Weighted {
        name: name.clone(),
        weight: *weight,
        target: names.target(target),
    }
}

pub(super) fn host(host: &HttpHost, names: &Names<'_>) -> wire::Host {
    let matched = |matched: &HttpMatch| {
        let HttpMatch {
            path,
            method,
            headers,
            query,
            rule,
        } = matched;
        wire::Match {
            path: path.clone(),
            method: method.as_ref().map(|method| method.as_str().to_owned()),
            headers: headers.clone(),
            query: query.clone(),
            rule: names.of(rule),
        }
    };
    wire::Host {
        matches: host.matches().iter().map(matched).collect(),
    }
}

fn kept(session: &Session) -> wire::Session {
    let Session {
        owner,
        carrier,
        absolute_timeout,
        idle_timeout,
    } = session;
    wire::Session {
        owner: owner.clone(),
        carrier: carrier.clone(),
        absolute_timeout: *absolute_timeout,
        idle_timeout: *idle_timeout,
    }
}

pub(super) fn rule(rule: &HttpRule, names: &Names<'_>) -> wire::Rule {
    let HttpRule {
        route,
        position,
        name,
        kind,
        filters: of_rule,
        backends,
        fault,
        request_timeout,
        backend_timeout,
        connect_timeout,
        retry,
    } = rule;
    let backend = |backend: &HttpBackend| {
        let HttpBackend {
            backend,
            filters: own,
            session,
            fault,
        } = backend;
        wire::RuleBackend {
            backend: weighted(backend, names),
            filters: filters(own, names),
            session: session.as_deref().map(kept),
            fault: *fault,
        }
    };
    let again = |retry: &Retry| {
        let Retry {
            codes,
            attempts,
            backoff,
        } = retry;
        wire::Retry {
            codes: codes.clone(),
            attempts: *attempts,
            backoff: *backoff,
        }
    };
    wire::Rule {
        route: route.into(),
        position: *position,
        name: name.clone(),
        kind: *kind,
        filters: filters(of_rule, names),
        backends: backends.iter().map(backend).collect(),
        fault: *fault,
        request_timeout: *request_timeout,
        backend_timeout: *backend_timeout,
        connect_timeout: *connect_timeout,
        retry: retry.as_ref().map(again),
    }
}

fn filters(filters: &Filters, names: &Names<'_>) -> wire::Filters {
    let Filters {
        cors,
        external_auth,
        request_headers,
        response_headers,
        redirect,
        rewrite,
        mirrors,
    } = filters;
    let auth = |auth: &Arc<ExternalAuth>| {
        let ExternalAuth {
            backend,
            protocol,
            body_limit,
        } = &**auth;
        wire::ExternalAuth {
            backend: weighted(backend, names),
            protocol: protocol.clone(),
            body_limit: *body_limit,
        }
    };
    let mirror = |mirror: &Arc<Mirror>| {
        let Mirror {
            backend,
            numerator,
            denominator,
        } = &**mirror;
        wire::Mirror {
            backend: weighted(backend, names),
            numerator: *numerator,
            denominator: *denominator,
        }
    };
    wire::Filters {
        cors: cors.clone(),
        external_auth: external_auth.as_ref().map(auth),
        request_headers: request_headers.clone(),
        response_headers: response_headers.clone(),
        redirect: redirect.clone(),
        rewrite: rewrite.clone(),
        mirrors: mirrors.iter().map(mirror).collect(),
    }
}

pub(super) fn backend(backend: &Backend, names: &Names<'_>) -> wire::Backend {
    let Backend {
        service,
        port,
        endpoints,
        proxy_protocol,
        protocol,
        tls,
        retry_budget,
    } = backend;
    let budget = |budget: &RetryBudget| {
        let RetryBudget {
            percent,
            interval,
            least,
            least_interval,
        } = *budget;
        wire::RetryBudget {
            percent,
            interval,
            least,
            least_interval,
        }
    };
    let tls = match tls {
        UpstreamTls::Plain => wire::UpstreamTls::Plain,
        UpstreamTls::Refused { policy } => wire::UpstreamTls::Refused { policy: policy.clone() },
        UpstreamTls::Verified(tls) => {
            let BackendTls {
                policy,
                server_name,
                names: alternatives,
                authorities,
                options,
            } = &**tls;
            wire::UpstreamTls::Verified {
                policy: policy.clone(),
                server_name: server_name.clone(),
                names: alternatives.clone(),
                authorities: match authorities {
                    BackendAuthorities::System => wire::Authorities::System,
                    BackendAuthorities::Bundle(bundle) => wire::Authorities::Bundle(names.of(bundle)),
                },
                options: options.clone(),
            }
        }
    };
    wire::Backend {
        service: service.clone(),
        port: *port,
        endpoints: endpoints.clone(),
        proxy_protocol: *proxy_protocol,
        protocol: *protocol,
        tls,
        retry_budget: retry_budget.as_ref().map(budget),
    }
}

pub(super) fn bundle(bundle: &TrustBundle) -> wire::Bundle {
    let TrustBundle {
        content,
        sources,
        certificates,
        subjects,
        revocation_lists,
        crl_failure,
    } = bundle;
    wire::Bundle {
        content: *content,
        sources: sources.iter().map(Into::into).collect(),
        certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
        subjects: subjects.clone(),
        revocation_lists: revocation_lists.iter().map(|list| list.to_vec()).collect(),
        crl_failure: *crl_failure,
    }
}
