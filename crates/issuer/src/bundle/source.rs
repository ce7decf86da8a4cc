//! Where a Bundle's certificates come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{BundleSource, Kind, ObjectKey, ObjectRef, Resources, Secret, SourceObjects};

use super::pool::{Pool, PoolFault};
use crate::go_text::quote;
use crate::settings::Settings;

/// Why a Bundle has nothing to write; prints as trust-manager's message does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    /// A ConfigMap or Secret is not there.
    #[error("failed to get {kind} {key}: {kind} \"{name}\" not found", kind = .0.kind, key = .0.key, name = .0.key.name)]
    Missing(ObjectRef),
    /// It is, and lacks the key.
    #[error("no data found in {kind} {key} at key {named}", kind = .0.kind, key = .0.key, named = quote(.1))]
    MissingKey(ObjectRef, String),
    /// The system's authorities are not known.
    #[error("no default package was specified when trust-manager was started; default CAs not available")]
    NoDefault,
    /// There is no certificate in any source.
    #[error("couldn't find any valid certificates in bundle")]
    Empty,
    /// Something in an object that is no certificate.
    #[error("invalid PEM data in {kind} {key} at key {named}: {fault}", kind = .0.kind, key = .0.key, named = quote(.1), fault = .2)]
    Object(ObjectRef, String, PoolFault),
    /// The same in a source that stands in the Bundle.
    #[error("inline source contains invalid PEM data: {0}")]
    InLine(PoolFault),
    /// All keys of a Secret that holds a private key.
    #[error("includeAllKeys is not supported for TLS Secrets such as {0}")]
    AllKeysOfTls(ObjectKey),
}

impl SourceFault {
    /// Reason and message of the condition Synced.
    pub(super) fn condition(&self) -> (String, String) {
        let (reason, message) = match self {
            Self::Missing(_) | Self::MissingKey(..) | Self::NoDefault | Self::Empty => {
                ("SourceNotFound", "Bundle source was not found")
            }
            Self::Object(..) | Self::InLine(_) | Self::AllKeysOfTls(_) => ("SourceBuildError", "Failed to build bundle sources"),
        };
        (reason.to_owned(), format!("{message}: {self}"))
    }

    /// The edit that mends it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Missing(object) => format!(
                "write the {} into namespace {}, where Bundles look for their sources, or let a Certificate there issue it",
                object.kind, object.key.namespace
            ),
            Self::MissingKey(object, key) => format!("name a `key` that {object} has, or add `{key}` to it"),
            Self::NoDefault => {
                "name the authorities in a ConfigMap, or install the system's (package ca-certificates)".to_owned()
            }
            Self::Empty => "name a source that holds PEM blocks CERTIFICATE".to_owned(),
            Self::Object(_, _, fault) | Self::InLine(fault) => match fault {
                PoolFault::Kind(_) => "keep certificates only: a bundle is handed to everybody".to_owned(),
                PoolFault::Headers => "take the lines with a colon out of the block".to_owned(),
                PoolFault::Certificate => "write the certificate again, as PEM".to_owned(),
            },
            Self::AllKeysOfTls(_) => "write `key: ca.crt` or `key: tls.crt` instead: the Secret holds a private key".to_owned(),
        }
    }
}

/// All that sources may refer to.
pub(super) struct Sources<'a> {
    pub(super) resources: &'a Resources,
    pub(super) issued: &'a BTreeMap<ObjectKey, Arc<Secret>>,
    pub(super) more: &'a BTreeMap<ObjectKey, Vec<String>>,
    pub(super) settings: &'a Settings,
}

impl Sources<'_> {
    /// A Secret of the manifests, else of our issuer.
    pub(super) fn secret(&self, key: &ObjectKey) -> Option<&Secret> {
        self.resources
            .secrets
            .get(key)
            .or_else(|| self.issued.get(key))
            .map(|secret| &**secret)
    }

    pub(super) fn pool(&self, sources: &[BundleSource]) -> Result<Pool, SourceFault> {
        let mut pool = Pool::default();
        for source in sources {
            if let Some(objects) = &source.config_map {
                self.add_config_maps(objects, &mut pool)?;
            } else if let Some(objects) = &source.secret {
                self.add_secrets(objects, &mut pool)?;
            } else if let Some(text) = source.in_line.as_ref().filter(|text| !text.is_empty()) {
                pool.add(text.as_bytes()).map_err(SourceFault::InLine)?;
            } else if source.use_default_cas == Some(true) {
                let text = self.settings.system_authorities.as_deref().ok_or(SourceFault::NoDefault)?;
                pool.add_readable(text.as_bytes());
            }
        }
        if pool.is_empty() { Err(SourceFault::Empty) } else { Ok(pool) }
    }

    fn add_config_maps(&self, objects: &SourceObjects, pool: &mut Pool) -> Result<(), SourceFault> {
        let all = self
            .resources
            .config_maps
            .iter()
            .map(|(key, config_map)| (key, &config_map.metadata.labels));
        for key in self.selected(Kind::ConfigMap, objects, all)? {
            let Some(config_map) = self.resources.config_maps.get(&key) else {
                continue;
            };
            let text = |name: &String| config_map.data.get(name).map(String::as_bytes);
            let entry = |name: &String| text(name).or_else(|| config_map.binary_data.get(name).map(Vec::as_slice));
            let names = config_map.data.keys().chain(config_map.binary_data.keys());
            add(&ObjectRef::of(Kind::ConfigMap, &key), objects, names, entry, pool)?;
        }
        Ok(())
    }

    fn add_secrets(&self, objects: &SourceObjects, pool: &mut Pool) -> Result<(), SourceFault> {
        let issued = self
            .issued
            .iter()
            .filter(|(key, _)| !self.resources.secrets.contains_key(*key));
        let all = self
            .resources
            .secrets
            .iter()
            .chain(issued)
            .map(|(key, secret)| (key, &secret.metadata.labels));
        for key in self.selected(Kind::Secret, objects, all)? {
            let Some(secret) = self.secret(&key) else { continue };
            if objects.include_all_keys && secret.kind == "kubernetes.io/tls" {
                return Err(SourceFault::AllKeysOfTls(key));
            }
            let entry = |name: &String| secret.data.get(name).map(|bytes| bytes.expose());
            let object = ObjectRef::of(Kind::Secret, &key);
            add(&object, objects, secret.data.keys(), entry, pool)?;
            for text in self.more.get(&key).into_iter().flatten() {
                pool.add(text.as_bytes())
                    .map_err(|fault| SourceFault::Object(object.clone(), objects.key.clone(), fault))?;
            }
        }
        Ok(())
    }

    /// Objects of the trust namespace. A name that is not there is a fault, a selector that matches nothing is not.
    fn selected<'o>(
        &self,
        kind: Kind,
        objects: &SourceObjects,
        all: impl Iterator<Item = (&'o ObjectKey, &'o BTreeMap<String, String>)>,
    ) -> Result<Vec<ObjectKey>, SourceFault> {
        let namespace = &self.settings.trust_namespace;
        let mut here = all.filter(|(key, _)| key.namespace == *namespace);
        if !objects.name.is_empty() {
            let key = ObjectKey::new(namespace, &objects.name);
            return match here.any(|(other, _)| *other == key) {
                true => Ok(vec![key]),
                false => Err(SourceFault::Missing(ObjectRef { kind, key })),
            };
        }
        let selector = objects.selector.as_ref();
        let matches = |labels: &BTreeMap<String, String>| selector.is_some_and(|selector| selector.matches(labels));
        Ok(here
            .filter(|(_, labels)| matches(labels))
            .map(|(key, _)| key.clone())
            .collect())
    }
}

fn add<'b, 'n>(
    object: &ObjectRef,
    objects: &SourceObjects,
    names: impl Iterator<Item = &'n String>,
    entry: impl Fn(&String) -> Option<&'b [u8]>,
    pool: &mut Pool,
) -> Result<(), SourceFault> {
    let mut take = |name: &String| {
        let bytes = entry(name).ok_or_else(|| SourceFault::MissingKey(object.clone(), name.clone()))?;
        pool.add(bytes)
            .map_err(|fault| SourceFault::Object(object.clone(), name.clone(), fault))
    };
    if !objects.key.is_empty() {
        return take(&objects.key);
    }
    if objects.include_all_keys {
        for name in names {
            take(name)?;
        }
    }
    Ok(())
}
