//! What the issued Secrets hold, as handshakes should find it.

use std::collections::{BTreeMap, BTreeSet};

use sealway_api::{ObjectKey, SecretBytes, Timestamp};
use sealway_core::HostnamePattern;
use sealway_issuer::{Facts, Issued, read_chain};

/// One issued certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The Certificate.
    pub(crate) certificate: ObjectKey,
    /// Its serial number: lower-case hexadecimal digits, without leading zero bytes.
    pub(crate) serial: String,
    /// Those that it had before, as far as they are not over.
    pub(crate) older: BTreeSet<String>,
    /// Its DNS names.
    pub(crate) names: Vec<HostnamePattern>,
    /// When it was issued.
    pub(crate) issued_at: Timestamp,
}

/// By Secret.
pub(crate) fn of(issued: &Issued) -> BTreeMap<ObjectKey, Expected> {
    let mut older: BTreeMap<&ObjectKey, BTreeSet<String>> = BTreeMap::new();
    for issuance in issued.authorities.values().flat_map(|authority| &authority.issuances) {
        older
            .entry(&issuance.certificate)
            .or_default()
            .insert(issuance.serial.clone());
    }
    let mut expected = BTreeMap::new();
    for (key, issued) in &issued.secrets {
        let chain = issued.secret.data.get("tls.crt").map(SecretBytes::expose);
        let leaf = chain.and_then(|chain| read_chain(chain).ok()?.into_iter().next());
        let Some(facts) = leaf.and_then(|leaf| Facts::of(&leaf).ok()) else {
            continue;
        };
        let mut older = older.get(&issued.certificate).cloned().unwrap_or_default();
        older.remove(&facts.serial);
        let names = facts.dns_names.iter().map(|name| HostnamePattern::parse(Some(name)));
        let certificate = Expected {
            certificate: issued.certificate.clone(),
            serial: facts.serial,
            older,
            names: names.collect(),
            issued_at: issued.issued_at,
        };
        expected.insert(key.clone(), certificate);
    }
    expected
}
