//! The certificates of one listener: which of them answers a hello.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sealway_core::{CertificateChoice, CertificateSlot, ContentHash, KeyMaterial, Keys, ServedCertificate, Termination};

/// Keys ready to sign with, by the content that the snapshot names them by; each is made once for all listeners.
#[derive(Default)]
pub(crate) struct SigningKeys(BTreeMap<ContentHash, Arc<CertifiedKey>>);

impl SigningKeys {
    /// `None` when the key is not there or is of no kind that can sign.
    pub(super) fn get(&mut self, content: &ContentHash, keys: &Keys) -> Option<Arc<CertifiedKey>> {
        if let Some(known) = self.0.get(content) {
            return Some(Arc::clone(known));
        }
        let made = Arc::new(certified_key(keys.get(content)?)?);
        self.0.insert(*content, Arc::clone(&made));
        Some(made)
    }

    /// Forgets those that nobody else holds.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|_, key| Arc::strong_count(key) > 1);
    }
}

fn certified_key(material: &KeyMaterial) -> Option<CertifiedKey> {
    let key = default_provider().key_provider.load_private_key(material.key.clone_key());
    let mut certified = CertifiedKey::new(material.chain.clone(), key.ok()?);
    certified.ocsp.clone_from(&material.ocsp_response);
    Some(certified)
}

/// Chooses by server name, then by what the client can verify.
pub(super) struct Certificates {
    termination: Arc<Termination>,
    keys: BTreeMap<ContentHash, Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(termination: Arc<Termination>, keys: &Keys, signing: &mut SigningKeys) -> Self {
        let keys = served(&termination).filter_map(|certificate| {
            let key = signing.get(&certificate.content, keys)?;
            Some((certificate.content, key))
        });
        Self {
            keys: keys.collect(),
            termination,
        }
    }

    /// Whether the key of every certificate was there.
    pub(super) fn are_complete(&self) -> bool {
        served(&self.termination).all(|certificate| self.keys.contains_key(&certificate.content))
    }

    /// Whether there is one for this name.
    pub(super) fn has(&self, name: Option<&str>) -> bool {
        self.candidates(name).next().is_some()
    }

    fn candidates<'a>(&'a self, name: Option<&str>) -> impl Iterator<Item = &'a Arc<CertifiedKey>> {
        let candidates = match self.termination.certificates(name) {
            CertificateChoice::Candidates(candidates) => candidates,
            CertificateChoice::Broken(_) => Vec::new(),
        };
        candidates
            .into_iter()
            .filter_map(|certificate| self.keys.get(&certificate.content))
    }
}

fn served(termination: &Termination) -> impl Iterator<Item = &Arc<ServedCertificate>> {
    termination.certificates.iter().filter_map(|slot| match slot {
        CertificateSlot::Served(certificate) => Some(certificate),
        CertificateSlot::Broken { .. } => None,
    })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let mut candidates = self.candidates(name.as_deref());
        let first = candidates.next()?;
        // With none that fits, the first makes rustls say what is wrong: no common signature scheme.
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let best = std::iter::once(first).chain(candidates).find(fits);
        Some(Arc::clone(best.unwrap_or(first)))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificates({})", self.keys.len())
    }
}
