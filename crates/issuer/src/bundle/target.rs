//! What a Bundle writes: data, labels, annotations.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use sealway_api::{
    Bundle, ConfigMap, ObjectKey, ObjectMeta, Password, Pkcs12Profile, Secret, SecretBytes, TargetObject, TrustStore,
};

use super::pool::Pool;
use crate::digits::hexadecimal;
use crate::keystore::{self, StoreFault, Trusted};

const BUNDLE_LABEL: &str = "trust.cert-manager.io/bundle";
const HASH_ANNOTATION: &str = "trust.cert-manager.io/hash";
/// Java's customary password, which trust-manager takes as well.
const JKS_PASSWORD: &str = "changeit";

/// The same for every namespace.
pub(super) struct Form<'a> {
    bundle: &'a Bundle,
    pem: String,
    /// By key.
    stores: BTreeMap<String, Vec<u8>>,
}

impl<'a> Form<'a> {
    /// The error says which format cannot be made.
    pub(super) fn new(bundle: &'a Bundle, pool: &Pool) -> Result<Self, (&'static str, StoreFault)> {
        let pem = pool.pem();
        let mut stores = BTreeMap::new();
        let formats = bundle.spec.target.additional_formats.clone().unwrap_or_default();
        if let Some(store) = &formats.jks {
            let file = keystore::jks::trust_store(&trusted(pool), &jks_password(store)).map_err(|fault| ("jks", fault))?;
            stores.insert(store.key.clone(), file);
        }
        if let Some(store) = &formats.pkcs12 {
            let profile = store.profile.clone().unwrap_or(Pkcs12Profile::LegacyRc2);
            let password = store.password.clone().unwrap_or_else(|| Password::new(String::new()));
            // Unlike trust-manager's, the file is the same as long as nothing changes.
            let mut salts = keystore::derived_salts(pem.as_bytes());
            let file = keystore::pkcs12::trust_store(&profile, &trusted(pool), &password, &mut salts)
                .map_err(|fault| ("pkcs12", fault))?;
            stores.insert(store.key.clone(), file);
        }
        Ok(Self { bundle, pem, stores })
    }

    /// `None` when the Bundle writes no ConfigMaps.
    pub(super) fn config_map(&self, key: &ObjectKey) -> Option<ConfigMap> {
        let target = self.bundle.spec.target.config_map.as_ref()?;
        Some(ConfigMap {
            metadata: self.metadata(key, target),
            data: BTreeMap::from([(target.key.clone(), self.pem.clone())]),
            binary_data: self.stores.clone(),
        })
    }

    /// `None` when the Bundle writes no Secrets.
    pub(super) fn secret(&self, key: &ObjectKey) -> Option<Secret> {
        let target = self.bundle.spec.target.secret.as_ref()?;
        let stores = self
            .stores
            .iter()
            .map(|(key, file)| (key.clone(), SecretBytes::new(file.clone())));
        let mut data: BTreeMap<String, SecretBytes> = stores.collect();
        data.entry(target.key.clone())
            .or_insert_with(|| SecretBytes::new(self.pem.clone().into_bytes()));
        Some(Secret {
            metadata: self.metadata(key, target),
            kind: "Opaque".to_owned(),
            data,
        })
    }

    fn metadata(&self, key: &ObjectKey, target: &TargetObject) -> ObjectMeta {
        let mut labels = BTreeMap::from([(BUNDLE_LABEL.to_owned(), self.bundle.metadata.name.clone())]);
        labels.extend(target.metadata.labels.clone());
        let mut annotations = target.metadata.annotations.clone();
        annotations.insert(HASH_ANNOTATION.to_owned(), self.hash(target));
        ObjectMeta {
            name: key.name.clone(),
            namespace: Some(key.namespace.clone()),
            labels,
            annotations,
            generation: 1,
            ..ObjectMeta::default()
        }
    }

    /// Over all that the target depends on, as trust-manager does it.
    fn hash(&self, target: &TargetObject) -> String {
        let mut hash = Context::new(&SHA256);
        hash.update(self.pem.as_bytes());
        let formats = self.bundle.spec.target.additional_formats.clone().unwrap_or_default();
        if let Some(store) = &formats.jks {
            hash.update(jks_password(store).expose().as_bytes());
        }
        if let Some(store) = &formats.pkcs12 {
            hash.update(store.password.as_ref().map_or("", Password::expose).as_bytes());
            hash.update(store.profile.as_ref().map_or("", Pkcs12Profile::as_str).as_bytes());
        }
        for (key, value) in target.metadata.annotations.iter().chain(&target.metadata.labels) {
            hash.update(key.as_bytes());
            hash.update(value.as_bytes());
        }
        hexadecimal(hash.finish().as_ref())
    }
}

fn jks_password(store: &TrustStore) -> Password {
    store
        .password
        .clone()
        .unwrap_or_else(|| Password::new(JKS_PASSWORD.to_owned()))
}

/// Entries are called by the first eight digits of the fingerprint and the subject.
fn trusted(pool: &Pool) -> Vec<Trusted> {
    let entry = |authority: &super::pool::Authority| {
        let fingerprint = aws_lc_rs::digest::digest(&SHA256, &authority.certificate);
        let digits = hexadecimal(fingerprint.as_ref());
        Trusted {
            alias: format!("{}|{}", &digits[..8], authority.subject),
            certificate: authority.certificate.clone(),
            created: authority.not_before,
        }
    };
    pool.authorities().map(entry).collect()
}
