//! Private keys beside the snapshot.
//!
//! Job: give the data plane the key of each certificate that its snapshot names. Invariant: nothing here can be serialised, and
//! printing shows hashes only. [`KeyMaterial::encode`] is the one way out, and only the feed to proxies calls it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use crate::pki;
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

impl KeyMaterial {
    /// The name of chain, key and OCSP response together.
    #[must_use]
    pub fn content(&self) -> ContentHash {
        let chain = self.chain.iter().map(|certificate| &**certificate);
        let response = self.ocsp_response.as_deref().unwrap_or_default();
        pki::hash(chain.chain([self.key.secret_der(), response]))
    }

    /// For the feed, over a connection that is encrypted to a proxy that may have it, and for nothing else: a byte that says which kind of
    /// key it is, then the key, the OCSP response (empty: none) and each certificate, each behind its length in four bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let kind = match &self.key {
            PrivateKeyDer::Pkcs1(_) => PKCS1,
            PrivateKeyDer::Sec1(_) => SEC1,
            PrivateKeyDer::Pkcs8(_) => PKCS8,
            // Of a kind that no Secret is read as: whoever gets it refuses it.
            _ => 0,
        };
        let chain = self.chain.iter().map(|certificate| &**certificate);
        let response = self.ocsp_response.as_deref().unwrap_or_default();
        let fields: Vec<&[u8]> = [self.key.secret_der(), response].into_iter().chain(chain).collect();
        // At once as large as it gets: a buffer that grows leaves copies behind.
        let size = 1 + fields.iter().map(|field| 4 + field.len()).sum::<usize>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.push(kind);
        for field in fields {
            bytes.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(field);
        }
        bytes
    }

    /// What [`Self::encode`] wrote, if it is what `content` names.
    pub fn decode(content: &ContentHash, bytes: &[u8]) -> Result<Self, KeyUnfit> {
        let (kind, mut rest) = bytes.split_first().ok_or(KeyUnfit::Cut)?;
        let mut fields = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| KeyUnfit::Cut)?;
            let (field, after) = after.split_at_checked(length).ok_or(KeyUnfit::Cut)?;
            fields.push(field);
            rest = after;
        }
        let [key, response, chain @ ..] = fields.as_slice() else {
            return Err(KeyUnfit::Cut);
        };
        if !rest.is_empty() || chain.is_empty() {
            return Err(KeyUnfit::Cut);
        }
        let key = match *kind {
            PKCS1 => PrivatePkcs1KeyDer::from(key.to_vec()).into(),
            SEC1 => PrivateSec1KeyDer::from(key.to_vec()).into(),
            PKCS8 => PrivatePkcs8KeyDer::from(key.to_vec()).into(),
            _ => return Err(KeyUnfit::UnknownKind),
        };
        let material = Self {
            chain: chain
                .iter()
                .map(|certificate| CertificateDer::from(certificate.to_vec()))
                .collect(),
            key,
            ocsp_response: (!response.is_empty()).then(|| response.to_vec()),
        };
        if material.content() != *content {
            return Err(KeyUnfit::WrongContent);
        }
        Ok(material)
    }
}

const PKCS1: u8 = 1;
const SEC1: u8 = 2;
const PKCS8: u8 = 3;

/// Why bytes are not the key that they are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUnfit {
    /// They end too early, or too late.
    Cut,
    /// A kind of key that this version does not know.
    UnknownKind,
    /// They are another key, or were changed on the way.
    WrongContent,
}

impl fmt::Display for KeyUnfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cut => "the key is not as long as it says",
            Self::UnknownKind => "the key is of a kind that this version does not know",
            Self::WrongContent => "the key is not the one that it is said to be",
        })
    }
}

impl std::error::Error for KeyUnfit {}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn material(ocsp_response: Option<Vec<u8>>) -> KeyMaterial {
        KeyMaterial {
            chain: vec![CertificateDer::from(vec![1; 300]), CertificateDer::from(vec![2; 3])],
            key: PrivatePkcs8KeyDer::from(b"MARKER".to_vec()).into(),
            ocsp_response,
        }
    }

    #[test]
    fn a_key_comes_back_as_it_was_and_only_under_its_name() {
        for response in [None, Some(vec![9; 40])] {
            let material = material(response);
            let bytes = material.encode();
            assert_eq!(bytes.len(), bytes.capacity());
            let content = material.content();
            assert_eq!(KeyMaterial::decode(&content, &bytes).as_ref(), Ok(&material));
            for end in 0..bytes.len() {
                assert!(KeyMaterial::decode(&content, &bytes[..end]).is_err(), "{end}");
            }
            for position in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                changed[position] ^= 1;
                // The kind of a key is no part of what its name is made of.
                let outcome = KeyMaterial::decode(&content, &changed);
                assert!(outcome.is_err() || position == 0, "{position}");
            }
            assert!(!format!("{material:?}").contains("MARKER"));
        }
    }
}
