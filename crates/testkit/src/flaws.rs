//! Certificates with every flaw that a user's Secret may have.
//!
//! Input: a sound CA, names and the time. Output: an [`Identity`] with exactly one thing wrong.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SubjectPublicKeyInfo};
use sealway_demo::certificates::{Authority, CertificateError, Identity, LEAF_VALIDITY, PrivateKey, Request};

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// Its last second was an hour ago.
    Expired,
    /// Its first second is a day away.
    NotYetValid,
    /// It is for another name than those asked for.
    WrongName,
    /// It has a common name and no subject alternative name.
    NoAlternativeName,
    /// A CA of the same name, but with another key, signed it.
    UnknownAuthority,
    /// It signed itself.
    SelfSigned,
    /// The private key beside it is another one's.
    WrongKey,
    /// RSA of 1024 bits.
    WeakKey,
    /// An intermediate signed it, and the chain leaves that out.
    MissingIntermediate,
    /// The chain holds the intermediate before the leaf.
    WrongOrder,
    /// It is itself a CA.
    AuthorityAsLeaf,
    /// It is for clients only.
    ClientOnly,
    /// The chain's base64 is cut in the middle.
    Truncated,
    /// The chain is not PEM at all.
    NotPem,
    /// There is nothing where the private key should be.
    EmptyKey,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 15] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongName,
        Self::NoAlternativeName,
        Self::UnknownAuthority,
        Self::SelfSigned,
        Self::WrongKey,
        Self::WeakKey,
        Self::MissingIntermediate,
        Self::WrongOrder,
        Self::AuthorityAsLeaf,
        Self::ClientOnly,
        Self::Truncated,
        Self::NotPem,
        Self::EmptyKey,
    ];

    /// A server certificate for `names` under `authority` with this flaw and no other.
    pub fn identity(self, authority: &Authority, names: &[&str], now: SystemTime) -> Result<Identity, CertificateError> {
        let sound = Request::server(SUBJECT, names, now);
        match self {
            Self::Expired => {
                let not_after = now - Duration::from_secs(3600);
                authority.issue(&Request {
                    not_before: not_after - LEAF_VALIDITY,
                    not_after,
                    ..sound
                })
            }
            Self::NotYetValid => {
                let not_before = now + Duration::from_secs(24 * 3600);
                authority.issue(&Request {
                    not_before,
                    not_after: not_before + LEAF_VALIDITY,
                    ..sound
                })
            }
            Self::WrongName => authority.issue(&Request {
                names: &["somewhere-else.example.net"],
                ..sound
            }),
            Self::NoAlternativeName => authority.issue(&Request {
                names: &[],
                common_name: names.first().unwrap_or(&SUBJECT),
                ..sound
            }),
            Self::UnknownAuthority => Authority::generate("internal-ca", now)?.issue(&sound),
            Self::SelfSigned => {
                let key = KeyPair::generate()?;
                let certificate = sound.params()?.self_signed(&key)?;
                Ok(Identity::new(certificate.pem(), PrivateKey::new(key.serialize_pem())))
            }
            Self::WrongKey => Ok(Identity::new(
                authority.issue(&sound)?.chain_pem().to_owned(),
                PrivateKey::new(KeyPair::generate()?.serialize_pem()),
            )),
            Self::WeakKey => {
                let public = SubjectPublicKeyInfo::from_pem(include_str!("../testdata/weak-rsa-1024.public.pem"))?;
                let certificate = sound.params()?.signed_by(&public, authority.issuer())?;
                let key = include_str!("../testdata/weak-rsa-1024.key.pem");
                Ok(Identity::new(certificate.pem(), PrivateKey::new(key.to_owned())))
            }
            Self::MissingIntermediate => {
                let identity = authority.intermediate("intermediate", now)?.issue(&sound)?;
                Ok(Identity::new(first_certificate(identity.chain_pem()), identity.key().clone()))
            }
            Self::WrongOrder => {
                let whole = authority.intermediate("intermediate", now)?;
                let identity = whole.issue(&sound)?;
                let leaf = first_certificate(identity.chain_pem());
                Ok(Identity::new(
                    whole.certificate_pem().to_owned() + &leaf,
                    identity.key().clone(),
                ))
            }
            Self::AuthorityAsLeaf => {
                let key = KeyPair::generate()?;
                let certificate = authority_params(&sound)?.signed_by(&key, authority.issuer())?;
                Ok(Identity::new(certificate.pem(), PrivateKey::new(key.serialize_pem())))
            }
            Self::ClientOnly => authority.issue(&Request {
                usage: ExtendedKeyUsagePurpose::ClientAuth,
                ..sound
            }),
            Self::Truncated => {
                let identity = authority.issue(&sound)?;
                let half = identity.chain_pem().get(..identity.chain_pem().len() / 2).unwrap_or_default();
                Ok(Identity::new(half.to_owned(), identity.key().clone()))
            }
            Self::NotPem => Ok(Identity::new(
                "certificate to follow\n".to_owned(),
                authority.issue(&sound)?.key().clone(),
            )),
            Self::EmptyKey => Ok(Identity::new(
                authority.issue(&sound)?.chain_pem().to_owned(),
                PrivateKey::new(String::new()),
            )),
        }
    }
}

fn first_certificate(chain: &str) -> String {
    let end = chain.find(END).map_or(chain.len(), |start| start + END.len());
    chain.get(..end).unwrap_or_default().to_owned()
}

fn authority_params(request: &Request<'_>) -> Result<CertificateParams, CertificateError> {
    let mut params = request.params()?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    Ok(params)
}

const SUBJECT: &str = "flawed";
const END: &str = "-----END CERTIFICATE-----\n";

#[cfg(test)]
mod tests;
