//! TLS options of ours, on listeners and BackendTLSPolicies alike: versions, cipher suites, groups.
//!
//! Invariant: what cannot be honoured is an error, never something weaker. Options of others are none of our business.

use std::collections::BTreeMap;

use sealway_api::ObjectRef;

use super::world::World;
use crate::problem::Cause;
use crate::snapshot::{CipherSuite, KeyExchangeGroup, TlsOptions, TlsVersion};

/// Nothing older is spoken.
const MINIMUM_VERSION: &str = "sealway.dev/minimum-version";
/// A list by commas, in order of preference.
const CIPHER_SUITES: &str = "sealway.dev/cipher-suites";
/// A list by commas, in order of preference.
const GROUPS: &str = "sealway.dev/groups";
const OURS: &str = "sealway.dev/";

/// Reads options that stand at `field` of `object`; reports what is wrong with them. The first error comes back.
pub(super) fn read(
    world: &mut World<'_>,
    object: &ObjectRef,
    field: &str,
    written: &BTreeMap<String, String>,
) -> Result<TlsOptions, Cause> {
    let mut options = TlsOptions::default();
    let mut error = None;
    for (key, value) in written {
        let cause = match key.as_str() {
            MINIMUM_VERSION => match TlsVersion::parse(value.trim()) {
                Some(version) => {
                    options.minimum_version = Some(version);
                    None
                }
                None => Some(invalid(key, value, names(TlsVersion::ALL, TlsVersion::as_str))),
            },
            CIPHER_SUITES => list(value, CipherSuite::parse, &mut options.cipher_suites)
                .map(|part| invalid(key, part, names(CipherSuite::ALL, CipherSuite::as_str))),
            GROUPS => list(value, KeyExchangeGroup::parse, &mut options.groups)
                .map(|part| invalid(key, part, names(KeyExchangeGroup::ALL, KeyExchangeGroup::as_str))),
            other if other.starts_with(OURS) => {
                let known = [MINIMUM_VERSION, CIPHER_SUITES, GROUPS].map(str::to_owned).to_vec();
                let cause = Cause::TlsOptionUnknown { key: key.clone(), known };
                world.report(object, format!("{field}[{key}]"), cause);
                None
            }
            _ => None,
        };
        if let Some(cause) = cause {
            world.report(object, format!("{field}[{key}]"), cause.clone());
            error.get_or_insert(cause);
        }
    }
    if error.is_none()
        && let Some(detail) = impossible(&options)
    {
        let cause = Cause::TlsOptionsImpossible {
            detail: detail.to_owned(),
        };
        world.report(object, field, cause.clone());
        error = Some(cause);
    }
    error.map_or(Ok(options), Err)
}

/// Fills a list, each value once; gives back the first that is not known.
fn list<'a, T: PartialEq>(value: &'a str, parse: impl Fn(&str) -> Option<T>, into: &mut Vec<T>) -> Option<&'a str> {
    for part in value.split(',').map(str::trim) {
        match parse(part) {
            Some(known) if into.contains(&known) => {}
            Some(known) => into.push(known),
            None => return Some(part),
        }
    }
    None
}

fn invalid(key: &str, value: &str, known: Vec<String>) -> Cause {
    Cause::TlsOptionInvalid {
        key: key.to_owned(),
        value: value.to_owned(),
        known,
    }
}

fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> Vec<String> {
    all.iter().map(|value| name(*value).to_owned()).collect()
}

/// Why no handshake can succeed with these options.
fn impossible(options: &TlsOptions) -> Option<&'static str> {
    let is_13 = |suite: &CipherSuite| {
        matches!(
            suite,
            CipherSuite::Tls13Aes128GcmSha256 | CipherSuite::Tls13Aes256GcmSha384 | CipherSuite::Tls13Chacha20Poly1305Sha256
        )
    };
    let only_12 = !options.cipher_suites.is_empty() && !options.cipher_suites.iter().any(is_13);
    // Key encapsulation is of TLS 1.3 only.
    let encapsulates = |group: &KeyExchangeGroup| {
        matches!(
            group,
            KeyExchangeGroup::X25519MlKem768 | KeyExchangeGroup::Secp256r1MlKem768 | KeyExchangeGroup::MlKem768
        )
    };
    if only_12 && options.minimum_version == Some(TlsVersion::Tls13) {
        Some("TLS 1.3 is demanded, and none of the cipher suites is of TLS 1.3")
    } else if only_12 && !options.groups.is_empty() && options.groups.iter().all(encapsulates) {
        Some("all groups are of TLS 1.3 and all cipher suites are of TLS 1.2")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_no_handshake_can_satisfy_are_found() {
        let options = |version, suites: &[CipherSuite], groups: &[KeyExchangeGroup]| TlsOptions {
            minimum_version: version,
            cipher_suites: suites.to_vec(),
            groups: groups.to_vec(),
        };
        let old = CipherSuite::EcdheRsaAes128GcmSha256;
        let new = CipherSuite::Tls13Aes128GcmSha256;
        assert!(impossible(&options(Some(TlsVersion::Tls13), &[old], &[])).is_some());
        assert!(impossible(&options(Some(TlsVersion::Tls13), &[old, new], &[])).is_none());
        assert!(impossible(&options(None, &[old], &[KeyExchangeGroup::X25519MlKem768])).is_some());
        assert!(
            impossible(&options(
                None,
                &[old],
                &[KeyExchangeGroup::X25519MlKem768, KeyExchangeGroup::X25519]
            ))
            .is_none()
        );
        assert!(impossible(&TlsOptions::default()).is_none());
    }
}
