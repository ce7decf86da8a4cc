//! Revocation lists (RFC 5280 section 5), as Go's `x509.CreateRevocationList` makes them.

use der::asn1::{AnyRef, ObjectIdentifier, OctetString, Uint};
use der::{Decode, Encode, Sequence};
use sealway_api::Timestamp;
use x509_cert::Version;
use x509_cert::crl::RevokedCert;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::time::Time;

use super::extensions::authority_key_identifier;
use super::{Algorithm, Issuer, SignFault, key_identifier, serial_number, sign, time};
use crate::issued::{Issuance, Revocation};
use crate::keys::PrivateKey;

const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const REASON: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// RFC 5280 section 5.1.2.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    version: Version,
    algorithm: Algorithm,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Time,
    revoked: Option<Vec<RevokedCert>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// Makes and signs a revocation list (RFC 5280 section 5) of those of `entries` that were revoked: DER.
pub fn revocation_list(
    ca_certificate: &[u8],
    key: &PrivateKey,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    entries: &[Issuance],
) -> Result<Vec<u8>, SignFault> {
    let issuer = Issuer::read(ca_certificate)?;
    issuer.check_key(key)?;
    if issuer.signs_lists == Some(false) {
        return Err(SignFault::NoCrlSign);
    }
    let key_id = match issuer.key_id {
        Some(key_id) => key_id.to_vec(),
        None => key_identifier(&key.public_key_info())?,
    };
    let revoked = entries
        .iter()
        .filter_map(|entry| Some(revoked(&entry.serial, entry.revoked.as_ref()?)));
    let revoked = revoked.collect::<Result<Vec<_>, _>>()?;
    let content = ToBeSigned {
        version: Version::V2,
        algorithm: Algorithm::of(key),
        issuer: AnyRef::from_der(issuer.name)?,
        this_update: time(this_update)?,
        next_update: time(next_update)?,
        revoked: (!revoked.is_empty()).then_some(revoked),
        extensions: vec![
            extension(AUTHORITY_KEY_IDENTIFIER, authority_key_identifier(&key_id)?)?,
            extension(CRL_NUMBER, Uint::new(&number.to_be_bytes())?.to_der()?)?,
        ],
    };
    sign(&content.to_der()?, key)
}

fn revoked(serial: &str, revocation: &Revocation) -> Result<RevokedCert, SignFault> {
    let reason = match revocation.reason.as_str() {
        "" | "unspecified" => None,
        "keyCompromise" => Some(CrlReason::KeyCompromise),
        "cACompromise" => Some(CrlReason::CaCompromise),
        "affiliationChanged" => Some(CrlReason::AffiliationChanged),
        "superseded" => Some(CrlReason::Superseded),
        "cessationOfOperation" => Some(CrlReason::CessationOfOperation),
        "certificateHold" => Some(CrlReason::CertificateHold),
        "privilegeWithdrawn" => Some(CrlReason::PrivilegeWithdrawn),
        "aACompromise" => Some(CrlReason::AaCompromise),
        other => return Err(SignFault::Reason(other.to_owned())),
    };
    let extensions = match reason {
        Some(reason) => Some(vec![extension(REASON, reason.to_der()?)?]),
        None => None,
    };
    let bytes = bytes(serial).ok_or_else(|| SignFault::Serial(serial.to_owned()))?;
    Ok(RevokedCert {
        serial_number: serial_number(&bytes)?,
        revocation_date: time(revocation.at)?,
        crl_entry_extensions: extensions,
    })
}

fn extension(id: ObjectIdentifier, value: Vec<u8>) -> Result<Extension, SignFault> {
    Ok(Extension {
        extn_id: id,
        critical: false,
        extn_value: OctetString::new(value)?,
    })
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let nibbles = hexadecimal
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<Vec<_>>>()?;
    let pairs = nibbles.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}
