//! Which versions, suites and groups are spoken, in which order.
//!
//! TLS_AES_128_GCM_SHA256 comes first: SHA-256 has processor instructions where SHA-384 has none, which is a quarter of a handshake.
//! X25519MLKEM768 comes first among the groups: what is recorded today is not read tomorrow.

use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use sealway_core::{CipherSuite, KeyExchangeGroup, TlsOptions, TlsVersion};

/// What `options` ask for; our order where they ask for nothing.
pub(super) fn provider(options: &TlsOptions) -> Arc<CryptoProvider> {
    let suites = if options.cipher_suites.is_empty() {
        &SUITES
    } else {
        &options.cipher_suites[..]
    };
    let groups = if options.groups.is_empty() {
        &GROUPS
    } else {
        &options.groups[..]
    };
    Arc::new(CryptoProvider {
        cipher_suites: suites.iter().copied().map(suite).collect(),
        kx_groups: groups.iter().copied().map(group).collect(),
        ..default_provider()
    })
}

pub(super) fn versions(options: &TlsOptions) -> &'static [&'static SupportedProtocolVersion] {
    match options.minimum_version {
        None | Some(TlsVersion::Tls12) => BOTH_VERSIONS,
        Some(TlsVersion::Tls13) => NEWEST_VERSION,
    }
}

fn suite(suite: CipherSuite) -> SupportedCipherSuite {
    match suite {
        CipherSuite::Tls13Aes128GcmSha256 => cipher_suite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::Tls13Aes256GcmSha384 => cipher_suite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::Tls13Chacha20Poly1305Sha256 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheEcdsaAes128GcmSha256 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256GcmSha384 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20Poly1305Sha256 => cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheRsaAes128GcmSha256 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes256GcmSha384 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaChacha20Poly1305Sha256 => cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn group(group: KeyExchangeGroup) -> &'static dyn SupportedKxGroup {
    match group {
        KeyExchangeGroup::X25519MlKem768 => kx_group::X25519MLKEM768,
        KeyExchangeGroup::Secp256r1MlKem768 => kx_group::SECP256R1MLKEM768,
        KeyExchangeGroup::MlKem768 => kx_group::MLKEM768,
        KeyExchangeGroup::X25519 => kx_group::X25519,
        KeyExchangeGroup::Secp256r1 => kx_group::SECP256R1,
        KeyExchangeGroup::Secp384r1 => kx_group::SECP384R1,
    }
}

const BOTH_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const NEWEST_VERSION: &[&SupportedProtocolVersion] = &[&TLS13];

const SUITES: [CipherSuite; 9] = [
    CipherSuite::Tls13Aes128GcmSha256,
    CipherSuite::Tls13Aes256GcmSha384,
    CipherSuite::Tls13Chacha20Poly1305Sha256,
    CipherSuite::EcdheEcdsaAes128GcmSha256,
    CipherSuite::EcdheEcdsaAes256GcmSha384,
    CipherSuite::EcdheEcdsaChacha20Poly1305Sha256,
    CipherSuite::EcdheRsaAes128GcmSha256,
    CipherSuite::EcdheRsaAes256GcmSha384,
    CipherSuite::EcdheRsaChacha20Poly1305Sha256,
];

const GROUPS: [KeyExchangeGroup; 4] = [
    KeyExchangeGroup::X25519MlKem768,
    KeyExchangeGroup::X25519,
    KeyExchangeGroup::Secp256r1,
    KeyExchangeGroup::Secp384r1,
];

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;

    use super::*;

    /// One that cannot be built would be a listener that does not come up and of which no status tells.
    #[test]
    fn options_that_the_compiler_lets_through_can_be_built() {
        let suites = CipherSuite::ALL.iter().map(|suite| vec![*suite]).chain([Vec::new()]);
        for cipher_suites in suites {
            let only_12 = cipher_suites.iter().all(|one| suite(*one).tls13().is_none()) && !cipher_suites.is_empty();
            for groups in KeyExchangeGroup::ALL.iter().map(|group| vec![*group]).chain([Vec::new()]) {
                for minimum_version in [None, Some(TlsVersion::Tls12), Some(TlsVersion::Tls13)] {
                    // The one case of these that rustls refuses; the compiler refuses it too.
                    let is_refused = only_12 && minimum_version == Some(TlsVersion::Tls13);
                    let options = TlsOptions {
                        minimum_version,
                        cipher_suites: cipher_suites.clone(),
                        groups: groups.clone(),
                    };
                    let built =
                        ServerConfig::builder_with_provider(provider(&options)).with_protocol_versions(versions(&options));
                    assert_eq!(built.is_err(), is_refused, "{options:?}");
                }
            }
        }
    }
}
