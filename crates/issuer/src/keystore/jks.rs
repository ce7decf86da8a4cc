//! JKS, Java's own format: magic, entries, SHA-1 over password and everything.
//!
//! Source: `sun.security.provider.JavaKeyStore` and `KeyProtector`. The protection of the key is weak by design of the format; whoever
//! can choose takes PKCS#12.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};
use der::asn1::{Any, ObjectIdentifier, OctetString};
use der::{Encode, Tag};
use sealway_api::{Password, SecretBytes, Timestamp};

use super::{KeyParts, Salts, StoreFault, Trusted, utf16};

const HEADER: [u8; 8] = [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
const KEY_ENTRY: u32 = 1;
const TRUSTED_ENTRY: u32 = 2;
const CERTIFICATE_TYPE: &str = "X509";
const SALT_LENGTH: usize = 20;
/// Sun's protection of keys.
const PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.42.2.17.1.1");

/// `keystore.jks`: the key under `alias`, which counts in lower case, and the authorities. One whose alias is the key's is left out.
pub fn key_store(
    alias: &str,
    parts: &KeyParts<'_>,
    password: &Password,
    salts: &mut Salts<'_>,
) -> Result<SecretBytes, StoreFault> {
    let protected = protect(parts.key, password, salts)?;
    let mut entry = date(parts.created).to_vec();
    entry.extend(counted(&protected)?);
    entry.extend(count(parts.chain.len())?);
    for certificate in parts.chain {
        entry.extend(certificate_of(certificate)?);
    }
    let mut entries = trusted_entries(parts.authorities)?;
    entries.insert(lower_case(alias), (KEY_ENTRY, entry));
    Ok(SecretBytes::new(store(&entries, password)?))
}

/// `truststore.jks`.
pub fn trust_store(trusted: &[Trusted], password: &Password) -> Result<Vec<u8>, StoreFault> {
    store(&trusted_entries(trusted)?, password)
}

/// Whether `store` is a whole JKS under that password, with a key under `alias`.
#[must_use]
pub fn opens_with(store: &[u8], alias: &str, password: &Password) -> bool {
    let Some((signed, digest)) = store
        .len()
        .checked_sub(SHA1_OUTPUT_LEN)
        .and_then(|end| store.split_at_checked(end))
    else {
        return false;
    };
    let Ok(alias) = modified_utf8(&lower_case(alias)) else {
        return false;
    };
    integrity(signed, password).as_ref() == digest && has_key(signed, &alias).unwrap_or(false)
}

/// By alias, so that the order is always the same.
type Entries = BTreeMap<String, (u32, Vec<u8>)>;

fn trusted_entries(trusted: &[Trusted]) -> Result<Entries, StoreFault> {
    trusted
        .iter()
        .map(|one| {
            let entry = [date(one.created).to_vec(), certificate_of(&one.certificate)?].concat();
            Ok((lower_case(&one.alias), (TRUSTED_ENTRY, entry)))
        })
        .collect()
}

fn store(entries: &Entries, password: &Password) -> Result<Vec<u8>, StoreFault> {
    let mut store = HEADER.to_vec();
    store.extend(count(entries.len())?);
    for (alias, (tag, entry)) in entries {
        store.extend(tag.to_be_bytes());
        store.extend(modified_utf8(alias)?);
        store.extend(entry);
    }
    store.extend(integrity(&store, password).as_ref());
    Ok(store)
}

fn integrity(signed: &[u8], password: &Password) -> Digest {
    sha1(&[&utf16(password.expose()), b"Mighty Aphrodite", signed])
}

/// The key, XORed with a stream of SHA-1, between salt and a checksum, in an EncryptedPrivateKeyInfo (RFC 5208 section 6).
fn protect(key: &SecretBytes, password: &Password, salts: &mut Salts<'_>) -> Result<Vec<u8>, StoreFault> {
    let password = utf16(password.expose());
    let mut content = vec![0; SALT_LENGTH];
    salts(&mut content)?;
    let mut digest = content.clone();
    for block in key.expose().chunks(SHA1_OUTPUT_LEN) {
        digest = sha1(&[&password, &digest]).as_ref().to_vec();
        content.extend(block.iter().zip(&digest).map(|(plain, mask)| plain ^ mask));
    }
    content.extend(sha1(&[&password, key.expose()]).as_ref());
    let algorithm = [PROTECTION.to_der()?, Any::null().to_der()?].concat();
    let info = [
        Any::new(Tag::Sequence, algorithm)?.to_der()?,
        OctetString::new(content)?.to_der()?,
    ];
    Ok(Any::new(Tag::Sequence, info.concat())?.to_der()?)
}

fn certificate_of(der: &[u8]) -> Result<Vec<u8>, StoreFault> {
    Ok([modified_utf8(CERTIFICATE_TYPE)?, counted(der)?].concat())
}

/// Milliseconds since 1970.
fn date(time: Timestamp) -> [u8; 8] {
    time.as_millisecond().to_be_bytes()
}

fn counted(bytes: &[u8]) -> Result<Vec<u8>, StoreFault> {
    Ok([&count(bytes.len())?, bytes].concat())
}

fn count(number: usize) -> Result<[u8; 4], StoreFault> {
    u32::try_from(number).map(u32::to_be_bytes).map_err(|_| StoreFault::TooLarge)
}

/// Java looks aliases up in lower case.
fn lower_case(alias: &str) -> String {
    alias.to_lowercase()
}

/// Text as `java.io.DataInput.readUTF` reads it: a count, then each unit of UTF-16 by itself, and zero never as a zero byte.
fn modified_utf8(text: &str) -> Result<Vec<u8>, StoreFault> {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let tail = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
        match unit {
            1..0x80 => bytes.push(unit as u8),
            0 | 0x80..0x800 => bytes.extend([0xc0 | (unit >> 6) as u8, tail(0)]),
            _ => bytes.extend([0xe0 | (unit >> 12) as u8, tail(6), tail(0)]),
        }
    }
    let length = u16::try_from(bytes.len()).map_err(|_| StoreFault::Alias(text.to_owned()))?;
    Ok([&length.to_be_bytes(), bytes.as_slice()].concat())
}

fn sha1(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

/// Whether one of the entries is a key whose alias, count included, is that one. `None`: no JKS.
fn has_key(store: &[u8], alias: &[u8]) -> Option<bool> {
    let mut rest = store.strip_prefix(&HEADER)?;
    let entries = number(&mut rest)?;
    for _ in 0..entries {
        let is_key = number(&mut rest)? == KEY_ENTRY;
        let found = text(&mut rest)?;
        take(&mut rest, 8)?;
        if is_key && found == alias {
            return Some(true);
        }
        let mut certificates = 1;
        if is_key {
            skip(&mut rest)?;
            certificates = number(&mut rest)?;
        }
        for _ in 0..certificates {
            text(&mut rest)?;
            skip(&mut rest)?;
        }
    }
    Some(false)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Bytes behind their count.
fn skip(rest: &mut &[u8]) -> Option<()> {
    let length = usize::try_from(number(rest)?).ok()?;
    take(rest, length).map(|_| ())
}

/// With its count.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
    take(rest, 2 + usize::from(length))
}
