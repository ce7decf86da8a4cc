//! Listeners, without the routes that hang on them.

use std::sync::Arc;

use super::super::{PartKey, Unfit, wire};
use super::Builder;
use crate::hostname::NameIndex;
use crate::snapshot::{CertificateSlot, ClientValidation, HttpRoutes, Termination, TlsListener};

impl Builder<'_> {
    /// What goes before the routes of a listener.
    pub(super) fn without_hosts(&mut self, before: Vec<PartKey>) -> Result<HttpRoutes, Unfit> {
        let before = before.into_iter().map(|key| self.named_rule(key));
        Ok(HttpRoutes {
            before: before.collect::<Result<_, _>>()?,
            hosts: NameIndex::default(),
        })
    }

    pub(super) fn tls_listener(&mut self, listener: wire::TlsListener) -> Result<TlsListener, Unfit> {
        let wire::TlsListener {
            name,
            hostname,
            mode,
            fate,
            termination,
            takes_requests,
            before,
        } = listener;
        let requests = takes_requests.then(|| self.without_hosts(before)).transpose()?;
        let termination = termination.map(|termination| self.termination(termination));
        Ok(TlsListener {
            name,
            hostname,
            mode,
            fate,
            routes: NameIndex::default(),
            termination: termination.transpose()?.map(Arc::new),
            requests: requests.map(Arc::new),
        })
    }

    fn termination(&mut self, termination: wire::Termination) -> Result<Termination, Unfit> {
        let wire::Termination {
            certificates,
            client_validation,
            options,
        } = termination;
        let slot = |slot| match slot {
            wire::Slot::Served(certificate) => CertificateSlot::Served(Arc::new(certificate.into())),
            wire::Slot::Broken { secret, names } => CertificateSlot::Broken { secret, names },
        };
        let validation = client_validation.map(|validation| {
            let wire::ClientValidation { mode, authorities } = validation;
            let authorities = self.named_bundle(authorities)?;
            Ok(Arc::new(ClientValidation { mode, authorities }))
        });
        Ok(Termination {
            certificates: certificates.into_iter().map(slot).collect(),
            client_validation: validation.transpose()?,
            options,
        })
    }
}
