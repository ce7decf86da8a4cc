//! Private keys beside the snapshot.
//!
//! Job: give the data plane the key of each certificate that its snapshot names. Invariant: nothing here can be serialised, and
//! printing shows hashes only; one explicit encoding will be added for the feed to proxies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::snapshot::ContentHash;

/// A certificate with all that is needed to serve it.
#[derive(PartialEq, Eq)]
pub struct KeyMaterial {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// An OCSP response to staple (Secret key `tls.ocsp-staple`), DER.
    pub ocsp_response: Option<Vec<u8>>,
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyMaterial({} certificates)", self.chain.len())
    }
}

/// Keys by the hash that the snapshot names them by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(pub BTreeMap<ContentHash, Arc<KeyMaterial>>);

impl Keys {
    /// The key of a certificate.
    #[must_use]
    pub fn get(&self, content: &ContentHash) -> Option<&Arc<KeyMaterial>> {
        self.0.get(content)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({} certificates)", self.0.len())
    }
}
