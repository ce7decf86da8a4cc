//! Certificates and revocation lists, as Go's crypto/x509 makes them for cert-manager.
//!
//! Input: what is asked for, the public key, the signer, times and serial. Output: DER. Invariant: extensions, their order, criticality and
//! encodings are those of `x509.CreateCertificate`; chance is only in [`serial`] and in ECDSA's signatures.

use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use der::asn1::{Any, AnyRef, BitStringRef, ObjectIdentifier};
use der::{DateTime, Decode, Encode, Sequence};
use sealway_api::Timestamp;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::digits::hexadecimal;
use crate::keys::PrivateKey;
use crate::order::IssuerUrls;
use crate::request::Request;

mod extensions;
mod revocation;
mod verify;

pub use revocation::revocation_list;
pub(crate) use verify::{is_issued_by, may_sign};

/// Everything that goes into a certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateParts<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// Whose: DER of the SubjectPublicKeyInfo.
    pub public_key_info: &'a [u8],
    /// Who signs.
    pub signer: SigningKey<'a>,
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
    /// Serial number, big-endian, without sign: see [`serial`].
    pub serial: &'a [u8],
    /// Where the issuer has its lists and responders.
    pub urls: &'a IssuerUrls,
}

/// Who signs a certificate, with the key at hand.
#[derive(Clone, Copy, Debug)]
pub enum SigningKey<'a> {
    /// The certificate's own key.
    Itself(&'a PrivateKey),
    /// A CA.
    Authority {
        /// Its certificate, DER.
        certificate: &'a [u8],
        /// Its key.
        key: &'a PrivateKey,
    },
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    /// The CA's certificate cannot be read.
    #[error("the CA's certificate cannot be read: tls.crt of its Secret must begin with it")]
    Authority,
    /// The key is not that of the CA's certificate, or for a self-signed certificate not its own.
    #[error("x509: provided PrivateKey doesn't match parent's PublicKey")]
    KeyMismatch,
    /// The CA's key usage does not let it sign revocation lists.
    #[error("x509: issuer must have the crlSign key usage bit set: add \"crl sign\" to the usages of the CA's Certificate")]
    NoCrlSign,
    /// No positive number of at most 20 octets.
    #[error("{0:?} is no serial number: it must be positive, of at most 20 octets")]
    Serial(String),
    /// No reason that a revocation list may give.
    #[error("{0:?} is no reason for a revocation: see RFC 5280 section 5.3.1")]
    Reason(String),
    /// A time that certificates cannot have.
    #[error("{0} is before 1970 or after 9999")]
    Time(Timestamp),
    /// A name of the request.
    #[error("{0:?} cannot be written into a certificate")]
    Name(String),
    /// A URL of the issuer.
    #[error("{0:?} cannot be written into a certificate: URLs must be ASCII")]
    Url(String),
    /// Too large, or a part that is no DER.
    #[error("the certificate cannot be encoded")]
    Encoding,
    /// The library failed.
    #[error("signing failed in the cryptographic library")]
    Crypto,
}

impl From<Unspecified> for SignFault {
    fn from(_: Unspecified) -> Self {
        Self::Crypto
    }
}

impl From<der::Error> for SignFault {
    fn from(_: der::Error) -> Self {
        Self::Encoding
    }
}

/// RFC 5280 section 4.1.2.5.
#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

/// RFC 5280 section 4.1.2, with the names as they stand in their certificates.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial: SerialNumber,
    algorithm: Algorithm,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    public_key_info: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// Certificates and revocation lists alike.
#[derive(Sequence)]
struct Signed<'a> {
    content: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// RFC 5280 section 4.1.1.2.
#[derive(Sequence)]
struct Algorithm {
    identifier: ObjectIdentifier,
    parameters: Option<Any>,
}

/// RFC 5280 section 4.1.2.7.
#[derive(Sequence)]
struct PublicKeyInfo<'a> {
    algorithm: AnyRef<'a>,
    key: BitStringRef<'a>,
}

/// What is needed of a CA's certificate.
struct Issuer<'a> {
    name: &'a [u8],
    public_key: &'a [u8],
    key_id: Option<&'a [u8]>,
    /// `None` without a key usage: then it may do everything.
    signs_lists: Option<bool>,
}

impl<'a> Issuer<'a> {
    fn read(certificate: &'a [u8]) -> Result<Self, SignFault> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| SignFault::Authority)?;
        let tbs = &parsed.tbs_certificate;
        let key_id = tbs
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0).filter(|bytes| !bytes.is_empty()),
                _ => None,
            });
        Ok(Self {
            name: tbs.subject.as_raw(),
            public_key: key_bits(tbs.subject_pki.raw).ok_or(SignFault::Authority)?,
            key_id,
            signs_lists: parsed
                .key_usage()
                .map_err(|_| SignFault::Authority)?
                .map(|usage| usage.value.crl_sign()),
        })
    }

    fn check_key(&self, key: &PrivateKey) -> Result<(), SignFault> {
        let same = key_bits(&key.public_key_info()) == Some(self.public_key);
        if same { Ok(()) } else { Err(SignFault::KeyMismatch) }
    }
}

/// The BIT STRING of a SubjectPublicKeyInfo.
fn key_bits(public_key_info: &[u8]) -> Option<&[u8]> {
    PublicKeyInfo::from_der(public_key_info).ok()?.key.as_bytes()
}

/// RFC 7093 section 2, method 1, which Go has used since 1.25.
fn key_identifier(public_key_info: &[u8]) -> Result<Vec<u8>, SignFault> {
    let bits = key_bits(public_key_info).ok_or(SignFault::Encoding)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bits);
    Ok(digest.as_ref()[..20].to_vec())
}

/// Makes and signs a certificate: DER.
pub fn certificate(parts: CertificateParts<'_>) -> Result<Vec<u8>, SignFault> {
    let subject = parts.request.subject.as_slice();
    let (issuer, key, issuer_key_id) = match parts.signer {
        SigningKey::Itself(key) => {
            if key_bits(&key.public_key_info()) != key_bits(parts.public_key_info) {
                return Err(SignFault::KeyMismatch);
            }
            (subject, key, None)
        }
        SigningKey::Authority { certificate, key } => {
            let issuer = Issuer::read(certificate)?;
            issuer.check_key(key)?;
            (issuer.name, key, issuer.key_id)
        }
    };
    // Go takes equal names for self-signed, and then leaves the authority's key identifier out.
    let issuer_key_id = issuer_key_id.filter(|_| issuer != subject);
    let content = ToBeSigned {
        version: Version::V3,
        serial: serial_number(parts.serial)?,
        algorithm: Algorithm::of(key),
        issuer: AnyRef::from_der(issuer)?,
        validity: Validity {
            not_before: time(parts.not_before)?,
            not_after: time(parts.not_after)?,
        },
        subject: AnyRef::from_der(subject)?,
        public_key_info: AnyRef::from_der(parts.public_key_info)?,
        extensions: extensions::all(&parts, issuer_key_id)?,
    };
    sign(&content.to_der()?, key)
}

/// A serial number: 158 random bits. Like Go's it has 20 octets and is positive; and it never begins with a zero, so that it reads the same
/// wherever leading zeros are left out.
pub fn serial() -> Result<[u8; 20], SignFault> {
    let mut serial = [0; 20];
    aws_lc_rs::rand::fill(&mut serial)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

impl Algorithm {
    fn of(key: &PrivateKey) -> Self {
        let (identifier, null) = key.signature_algorithm();
        Self {
            identifier,
            parameters: null.then(Any::null),
        }
    }
}

fn sign(content: &[u8], key: &PrivateKey) -> Result<Vec<u8>, SignFault> {
    let signature = key.sign(content)?;
    let algorithm = Algorithm::of(key).to_der()?;
    let signed = Signed {
        content: AnyRef::from_der(content)?,
        algorithm: AnyRef::from_der(&algorithm)?,
        signature: BitStringRef::from_bytes(&signature)?,
    };
    Ok(signed.to_der()?)
}

fn serial_number(bytes: &[u8]) -> Result<SerialNumber, SignFault> {
    let positive = bytes.iter().any(|byte| *byte != 0);
    let number = SerialNumber::new(bytes).ok().filter(|_| positive);
    number.ok_or_else(|| SignFault::Serial(hexadecimal(bytes)))
}

/// UTCTime up to 2049, GeneralizedTime after that (RFC 5280 section 4.1.2.5).
fn time(at: Timestamp) -> Result<Time, SignFault> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| SignFault::Time(at))?;
    let time = DateTime::from_unix_duration(Duration::from_secs(seconds)).map_err(|_| SignFault::Time(at))?;
    Ok(Time::from(time))
}

#[cfg(test)]
mod tests;
