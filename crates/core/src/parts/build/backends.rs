//! Backends, and the authorities by which they are verified.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::super::{Unfit, wire};
use super::Builder;
use crate::snapshot::{Backend, BackendAuthorities, BackendTls, RetryBudget, TrustBundle, UpstreamTls};

impl Builder<'_> {
    pub(super) fn backend(&mut self, backend: wire::Backend) -> Result<Backend, Unfit> {
        let wire::Backend {
            service,
            port,
            endpoints,
            proxy_protocol,
            protocol,
            tls,
            retry_budget,
        } = backend;
        self.demand(!endpoints.is_empty(), "a list of at least one endpoint")?;
        let tls = match tls {
            wire::UpstreamTls::Plain => UpstreamTls::Plain,
            wire::UpstreamTls::Refused { policy } => UpstreamTls::Refused { policy },
            wire::UpstreamTls::Verified {
                policy,
                server_name,
                names,
                authorities,
                options,
            } => UpstreamTls::Verified(Arc::new(BackendTls {
                policy,
                server_name,
                names,
                authorities: match authorities {
                    wire::Authorities::System => BackendAuthorities::System,
                    wire::Authorities::Bundle(key) => BackendAuthorities::Bundle(self.named_bundle(key)?),
                },
                options,
            })),
        };
        Ok(Backend {
            service,
            port,
            endpoints,
            proxy_protocol,
            protocol,
            tls,
            retry_budget: retry_budget.map(|budget| self.retry_budget(&budget)).transpose()?,
        })
    }

    fn retry_budget(&self, budget: &wire::RetryBudget) -> Result<RetryBudget, Unfit> {
        let wire::RetryBudget {
            percent,
            interval,
            least,
            least_interval,
        } = *budget;
        let is_share = percent <= 100 && interval >= RetryBudget::SHORTEST;
        self.demand(is_share && !least_interval.is_zero(), "a share of the requests in a time")?;
        Ok(RetryBudget {
            percent,
            interval,
            least,
            least_interval,
        })
    }
}

pub(super) fn bundle(bundle: wire::Bundle) -> TrustBundle {
    let wire::Bundle {
        content,
        sources,
        certificates,
        subjects,
        revocation_lists,
        crl_failure,
    } = bundle;
    TrustBundle {
        content,
        sources: sources.into_iter().map(Into::into).collect(),
        certificates: certificates.into_iter().map(CertificateDer::from).collect(),
        subjects,
        revocation_lists: revocation_lists.into_iter().map(Into::into).collect(),
        crl_failure,
    }
}
