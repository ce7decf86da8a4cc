//! trust-manager's Bundles (v0.25): CA certificates from many sources, written into every selected namespace.
//!
//! Input: the time, the resources, what our issuer has issued, what a roll-over publishes beside a source. Output: ConfigMaps and Secrets
//! to add to the resources, statuses, findings. Invariants: an object that the manifests have, or that is issued, is never replaced;
//! nothing but certificates gets into a target; the same input gives the same bytes, keystores included.
//!
//! Where it differs from trust-manager:
//! - Secrets may be targets without leave (trust-manager wants `--secret-targets-enabled`): whoever writes the manifests rules them.
//! - A target that stands in the manifests keeps what it has; trust-manager would add its key to it.
//! - When a source goes missing so do the targets; trust-manager leaves the last ones standing. The last good manifests are the
//!   provider's to keep.
//! - `useDefaultCAs` means the authorities of this system, not a Debian package of them; one that cannot be read is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{
    Bundle, ConditionStatus, ConditionsStatus, ConfigMap, Kind, LabelOperator, LabelSelector, ObjectKey, ObjectRef, Resources,
    Secret, StatusCondition, Timestamp,
};

use crate::cause::Cause;
use crate::plan::Finding;
use crate::settings::Settings;
use crate::validate::validate_bundle;

mod pool;
mod source;
mod target;

pub use pool::PoolFault;
pub use source::SourceFault;

use pool::Pool;
use source::Sources;

/// What Bundles come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bundles {
    /// ConfigMaps to add to the resources.
    pub config_maps: BTreeMap<ObjectKey, Arc<ConfigMap>>,
    /// Secrets to add to the resources.
    pub secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    /// By the Bundle's name.
    pub statuses: BTreeMap<String, ConditionsStatus>,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
}

/// What the Bundles among `resources` come to.
///
/// `issued` are Secrets of our issuer; sources find them where the manifests have none of that name. `more` are certificates (PEM) that are
/// published beside those of a source Secret while its CA rolls over.
#[must_use]
pub fn bundles(
    now: Timestamp,
    resources: &Resources,
    issued: &BTreeMap<ObjectKey, Arc<Secret>>,
    more: &BTreeMap<ObjectKey, Vec<String>>,
    settings: &Settings,
) -> Bundles {
    let mut outcome = Bundles::default();
    if resources.bundles.is_empty() {
        return outcome;
    }
    let namespaces = namespaces(resources);
    let sources = Sources {
        resources,
        issued,
        more,
        settings,
    };
    for bundle in resources.bundles.values() {
        let mut work = Work {
            now,
            bundle,
            sources: &sources,
            outcome: &mut outcome,
        };
        let (status, reason, message) = match work.run(&namespaces) {
            Ok(message) => (ConditionStatus::True, "Synced".to_owned(), message),
            Err((reason, message)) => (ConditionStatus::False, reason, message),
        };
        let synced = StatusCondition {
            kind: "Synced".to_owned(),
            status,
            reason,
            message,
            observed_generation: bundle.metadata.generation,
        };
        outcome.statuses.insert(
            bundle.metadata.name.clone(),
            ConditionsStatus {
                conditions: vec![synced],
            },
        );
    }
    outcome
}

/// Every namespace that there is: those with a manifest, and those that objects live in. One that is being deleted gets nothing.
fn namespaces(resources: &Resources) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut names: BTreeSet<String> = resources.namespaces.keys().map(|key| key.name.clone()).collect();
    names.extend(resources.iter().filter_map(|resource| resource.metadata().namespace.clone()));
    let is_going = |name: &String| {
        let manifest = resources.namespaces.get(&ObjectKey::new("", name));
        manifest.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
    };
    names.retain(|name| !name.is_empty() && !is_going(name));
    names
        .into_iter()
        .map(|name| (name.clone(), resources.namespace_labels(&name)))
        .collect()
}

/// One Bundle at work.
struct Work<'a> {
    now: Timestamp,
    bundle: &'a Bundle,
    sources: &'a Sources<'a>,
    outcome: &'a mut Bundles,
}

impl Work<'_> {
    /// Reason and message of the condition Synced; `Ok` when it is True.
    fn run(&mut self, namespaces: &BTreeMap<String, BTreeMap<String, String>>) -> Result<String, (String, String)> {
        let errors = validate_bundle(self.bundle);
        if let Some(first) = errors.first() {
            // In a cluster it would never have been taken.
            let message = format!("Bundle is not valid: {first}");
            errors.into_iter().for_each(|error| self.find(Cause::Refused(error)));
            return Err(("BundleInvalid".to_owned(), message));
        }
        let pool = self.sources.pool(&self.bundle.spec.sources).map_err(|fault| {
            self.find(Cause::BundleSource(fault.clone()));
            fault.condition()
        })?;
        self.note_empty();
        self.note_expired(&pool);
        let form = target::Form::new(self.bundle, &pool).map_err(|(format, fault)| {
            self.find(Cause::TargetFormat(format, fault.clone()));
            let kind = if self.bundle.spec.target.config_map.is_some() {
                "ConfigMap"
            } else {
                "Secret"
            };
            (
                format!("Sync{kind}TargetFailed"),
                format!("Failed to sync bundle {kind}: {fault}"),
            )
        })?;
        let selector = self.bundle.spec.target.namespace_selector.clone().unwrap_or_default();
        let mut failed = None;
        for namespace in namespaces
            .iter()
            .filter(|(_, labels)| selector.matches(labels))
            .map(|(namespace, _)| namespace)
        {
            let key = ObjectKey::new(namespace, &self.bundle.metadata.name);
            for standing in [self.config_map(&form, &key), self.secret(&form, &key)].into_iter().flatten() {
                let kind = standing.kind.to_string();
                failed.get_or_insert_with(|| {
                    let message = format!(
                        "Failed to sync bundle {kind} to namespace \"{namespace}\": it stands there already and is left as it is"
                    );
                    (format!("Sync{kind}TargetFailed"), message)
                });
                self.find(Cause::TargetStands(standing));
            }
        }
        failed.map_or_else(|| Ok(synced(&selector)), Err)
    }

    /// Returns what stands in the way.
    fn config_map(&mut self, form: &target::Form<'_>, key: &ObjectKey) -> Option<ObjectRef> {
        let config_map = form.config_map(key)?;
        let object = ObjectRef::of(Kind::ConfigMap, key);
        match self.sources.resources.config_maps.get(key) {
            // Written, in a form that cannot be used: it is the manifests' own all the same.
            None if self.sources.resources.refused.contains(&object) => Some(object),
            None => {
                self.outcome.config_maps.insert(key.clone(), Arc::new(config_map));
                None
            }
            // As when the manifests were taken from a cluster where trust-manager runs.
            Some(standing)
                if holds(&standing.data, &config_map.data) && holds(&standing.binary_data, &config_map.binary_data) =>
            {
                None
            }
            Some(_) => Some(object),
        }
    }

    /// See [`Self::config_map`].
    fn secret(&mut self, form: &target::Form<'_>, key: &ObjectKey) -> Option<ObjectRef> {
        let secret = form.secret(key)?;
        let object = ObjectRef::of(Kind::Secret, key);
        match self.sources.secret(key) {
            None if self.sources.resources.refused.contains(&object) => Some(object),
            None => {
                self.outcome.secrets.insert(key.clone(), Arc::new(secret));
                None
            }
            Some(standing) if holds(&standing.data, &secret.data) => None,
            Some(_) => Some(object),
        }
    }

    /// trust-manager passes over such text in silence, as long as another source has a certificate.
    fn note_empty(&mut self) {
        for (index, source) in self.bundle.spec.sources.iter().enumerate() {
            let text = source.in_line.as_deref().filter(|text| !text.is_empty());
            if text.is_some_and(|text| !pool::has_blocks(text)) {
                self.find(Cause::BundleTextEmpty(index));
            }
        }
    }

    /// trust-manager hands out what has ended, unless `--filter-expired-certificates` is given; so do we, and say so.
    fn note_expired(&mut self, pool: &Pool) {
        let now = self.now;
        for authority in pool.authorities().filter(|authority| authority.not_after < now) {
            self.find(Cause::BundleExpired(authority.subject.clone()));
        }
    }

    fn find(&mut self, cause: Cause) {
        let bundle = ObjectRef::of(Kind::Bundle, &self.bundle.metadata.key());
        self.outcome.findings.push(cause.about(bundle));
    }
}

/// Whether all of `wanted` is among `standing`.
fn holds<T: PartialEq>(standing: &BTreeMap<String, T>, wanted: &BTreeMap<String, T>) -> bool {
    wanted.iter().all(|(key, value)| standing.get(key) == Some(value))
}

fn synced(selector: &LabelSelector) -> String {
    if *selector == LabelSelector::default() {
        return "Successfully synced Bundle to all namespaces".to_owned();
    }
    format!(
        "Successfully synced Bundle to namespaces that match this label selector: {}",
        selector_text(selector)
    )
}

/// As Go's `labels.Selector` prints: by key.
fn selector_text(selector: &LabelSelector) -> String {
    let mut requirements: Vec<(&str, String)> = selector
        .match_labels
        .iter()
        .map(|(key, value)| (key.as_str(), format!("{key}={value}")))
        .collect();
    for requirement in &selector.match_expressions {
        let key = requirement.key.as_str();
        let mut values = requirement.values.clone();
        values.sort();
        values.dedup();
        let values = values.join(",");
        let text = match &requirement.operator {
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} notin ({values})"),
            LabelOperator::Exists => key.to_owned(),
            LabelOperator::DoesNotExist => format!("!{key}"),
            LabelOperator::Other(operator) => format!("{key} {operator} ({values})"),
        };
        requirements.push((key, text));
    }
    requirements.sort_by_key(|(key, _)| *key);
    requirements.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
