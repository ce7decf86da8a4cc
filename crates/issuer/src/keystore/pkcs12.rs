//! PKCS#12 (RFC 7292, RFC 9579): certificates encrypted in one safe, the key encrypted in a second, a MAC over both.
//!
//! Structure, algorithms and counts are those of go-pkcs12 0.7. Reading goes as far as the question of [`opens_with`].

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use der::asn1::{Any, AnyRef, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode, SliceReader, Tag};
use sealway_api::{Password, Pkcs12Profile, SecretBytes};

use super::{KeyParts, Salts, StoreFault, Trusted, utf16};

mod protection;

use protection::{Algorithms, Encryption, encrypt, mac_data};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const SHROUDED_KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");
const FRIENDLY_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");
/// Java believes only certificates that have it.
const TRUSTED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113894.746875.1.1");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
const VERSION: [u8; 3] = [0x02, 0x01, 0x03];

/// `keystore.p12`. A profile that is not known counts as LegacyRC2. Salts are drawn for the key, the certificates and the MAC, in this
/// order.
pub fn key_store(
    profile: &Pkcs12Profile,
    parts: &KeyParts<'_>,
    password: &Password,
    salts: &mut Salts<'_>,
) -> Result<SecretBytes, StoreFault> {
    let algorithms = Algorithms::of(profile);
    let leaf = parts.chain.first().ok_or(StoreFault::Certificate)?;
    let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf);
    let key_id = attribute(LOCAL_KEY_ID, element(Tag::OctetString, &[fingerprint.as_ref()])?)?;

    let (algorithm, encrypted) = encrypt(algorithms.encryption_of_key, parts.key.expose(), password, salts)?;
    let shrouded = sequence(&[&algorithm, &element(Tag::OctetString, &[&encrypted])?])?;
    let key_bag = bag(SHROUDED_KEY_BAG, shrouded, vec![key_id.clone()])?;

    let mut certificates = certificate_bag(leaf, vec![key_id])?;
    for certificate in parts
        .chain
        .iter()
        .skip(1)
        .chain(parts.authorities.iter().map(|one| &one.certificate))
    {
        certificates.extend(certificate_bag(certificate, Vec::new())?);
    }
    let certificates = encrypted_safe(algorithms.encryption, &sequence(&[&certificates])?, password, salts)?;
    let safes = sequence(&[&certificates, &plain_safe(&sequence(&[&key_bag])?)?])?;
    let mut salt = vec![0; algorithms.salt_length];
    salts(&mut salt)?;
    Ok(SecretBytes::new(file(
        &safes,
        &mac_data(&algorithms, &safes, password, &salt)?,
    )?))
}

/// `truststore.p12`. An empty password makes a store that is neither encrypted nor authenticated, as trust-manager does; it draws no
/// salts, and of others those for the certificates and the MAC, in this order.
pub fn trust_store(
    profile: &Pkcs12Profile,
    trusted: &[Trusted],
    password: &Password,
    salts: &mut Salts<'_>,
) -> Result<Vec<u8>, StoreFault> {
    let mut certificates = Vec::new();
    for one in trusted {
        let usage = attribute(TRUSTED_KEY_USAGE, ANY_USAGE.to_der()?)?;
        let name = attribute(FRIENDLY_NAME, element(Tag::BmpString, &[&utf16(&one.alias)])?)?;
        certificates.extend(certificate_bag(&one.certificate, vec![usage, name])?);
    }
    let certificates = sequence(&[&certificates])?;
    if password.expose().is_empty() {
        return file(&sequence(&[&plain_safe(&certificates)?])?, &[]);
    }
    let algorithms = Algorithms::of(profile);
    let safes = sequence(&[&encrypted_safe(algorithms.encryption, &certificates, password, salts)?])?;
    let mut salt = vec![0; algorithms.salt_length];
    salts(&mut salt)?;
    file(&safes, &mac_data(&algorithms, &safes, password, &salt)?)
}

/// Whether `store` has the algorithms of that profile, and is whole and authenticated under that password.
#[must_use]
pub fn opens_with(store: &[u8], profile: &Pkcs12Profile, password: &Password) -> bool {
    let algorithms = Algorithms::of(profile);
    let is_authentic = || {
        // AuthenticatedSafe; the algorithm of its first ContentInfo; MacData and its salt.
        let safes = descend(store, &[1, 1, 0])?.value();
        let encryption = descend(safes, &[0, 1, 0, 1, 1, 0])?;
        let mac = descend(store, &[2])?;
        let salt = descend(store, algorithms.path_to_salt())?.value();
        let expected = mac_data(&algorithms, safes, password, salt).ok()?;
        Some(encryption.decode_as::<ObjectIdentifier>() == Ok(algorithms.encryption.identifier()) && mac.to_der() == Ok(expected))
    };
    is_authentic().unwrap_or(false)
}

/// The element that one comes to by going into elements, into which child each.
fn descend<'a>(der: &'a [u8], path: &[usize]) -> Option<AnyRef<'a>> {
    let mut element = AnyRef::from_der(der).ok()?;
    for child in path {
        let mut reader = SliceReader::new(element.value()).ok()?;
        for _ in 0..*child {
            AnyRef::decode(&mut reader).ok()?;
        }
        element = AnyRef::decode(&mut reader).ok()?;
    }
    Some(element)
}

fn file(safes: &[u8], mac_data: &[u8]) -> Result<Vec<u8>, StoreFault> {
    sequence(&[&VERSION, &plain_safe(safes)?, mac_data])
}

fn plain_safe(content: &[u8]) -> Result<Vec<u8>, StoreFault> {
    let content = element(Tag::OctetString, &[content])?;
    sequence(&[&DATA.to_der()?, &explicit(&content)?])
}

fn encrypted_safe(
    encryption: Encryption,
    content: &[u8],
    password: &Password,
    salts: &mut Salts<'_>,
) -> Result<Vec<u8>, StoreFault> {
    let (algorithm, encrypted) = encrypt(encryption, content, password, salts)?;
    let encrypted = element(context_specific(false), &[&encrypted])?;
    let info = sequence(&[&DATA.to_der()?, &algorithm, &encrypted])?;
    let data = sequence(&[&0_u8.to_der()?, &info])?;
    sequence(&[&ENCRYPTED_DATA.to_der()?, &explicit(&data)?])
}

fn certificate_bag(certificate: &[u8], attributes: Vec<Any>) -> Result<Vec<u8>, StoreFault> {
    let certificate = explicit(&element(Tag::OctetString, &[certificate])?)?;
    bag(
        CERTIFICATE_BAG,
        sequence(&[&X509_CERTIFICATE.to_der()?, &certificate])?,
        attributes,
    )
}

fn bag(kind: ObjectIdentifier, value: Vec<u8>, attributes: Vec<Any>) -> Result<Vec<u8>, StoreFault> {
    sequence(&[
        &kind.to_der()?,
        &explicit(&value)?,
        &SetOfVec::from_iter(attributes)?.to_der()?,
    ])
}

fn attribute(kind: ObjectIdentifier, value: Vec<u8>) -> Result<Any, StoreFault> {
    let content = [kind.to_der()?, element(Tag::Set, &[&value])?].concat();
    Ok(Any::new(Tag::Sequence, content)?)
}

fn sequence(parts: &[&[u8]]) -> Result<Vec<u8>, StoreFault> {
    element(Tag::Sequence, parts)
}

/// `[0] EXPLICIT`.
fn explicit(content: &[u8]) -> Result<Vec<u8>, StoreFault> {
    element(context_specific(true), &[content])
}

fn context_specific(constructed: bool) -> Tag {
    Tag::ContextSpecific {
        constructed,
        number: der::TagNumber(0),
    }
}

fn element(tag: Tag, parts: &[&[u8]]) -> Result<Vec<u8>, StoreFault> {
    Ok(Any::new(tag, parts.concat())?.to_der()?)
}
