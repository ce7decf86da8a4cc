//! What trust-manager's webhook would refuse (its `pkg/webhook/validation.go`), without selectors, whose shape the CRD's schema has.

use std::collections::{BTreeMap, BTreeSet};

use sealway_api::{Bundle, SourceObjects, TargetObject};

use super::field_error::{FieldError, forbidden, invalid, too_long};
use super::object_names;

pub(super) fn bundle(bundle: &Bundle) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut found = 0;
    let mut defaults = 0;
    for (index, source) in bundle.spec.sources.iter().enumerate() {
        let field = format!("spec.sources[{index}]");
        if let Some(objects) = &source.config_map {
            source_objects(&format!("{field}.configMap"), "configMap", objects, &mut errors);
        }
        if let Some(objects) = &source.secret {
            source_objects(&format!("{field}.secret"), "secret", objects, &mut errors);
        }
        let in_line = source.in_line.as_ref().is_some_and(|text| !text.is_empty());
        let objects = usize::from(source.config_map.is_some()) + usize::from(source.secret.is_some()) + usize::from(in_line);
        let kinds = objects + usize::from(source.use_default_cas.is_some());
        defaults += usize::from(source.use_default_cas.is_some());
        found += objects + usize::from(source.use_default_cas == Some(true));
        if kinds != 1 {
            let detail = format!("must define exactly one source type for each item but found {kinds} defined types");
            errors.push(forbidden(&field, detail).hint("give each of them an item of its own"));
        }
    }
    if found == 0 {
        let hint = "name a ConfigMap or Secret of the trust namespace, or write PEM into `inLine`";
        errors.push(forbidden("spec.sources", "must define at least one source").hint(hint));
    }
    if defaults > 1 {
        let detail = format!("must request default CAs either once or not at all but got {defaults} requests");
        errors.push(forbidden("spec.sources", detail).hint("keep one `useDefaultCAs`"));
    }
    own_targets(bundle, &mut errors);
    formats(bundle, &mut errors);
    if let Some(target) = &bundle.spec.target.config_map {
        target_metadata("spec.target.configMap.metadata", target, &mut errors);
    }
    if let Some(target) = &bundle.spec.target.secret {
        target_metadata("spec.target.secret.metadata", target, &mut errors);
    }
    errors
}

fn source_objects(field: &str, kind: &str, objects: &SourceObjects, errors: &mut Vec<FieldError>) {
    let SourceObjects {
        name,
        selector,
        key,
        include_all_keys,
    } = objects;
    let one_of = "must validate one and only one schema (oneOf): [name, selector]. Found";
    if name.is_empty() && selector.is_none() {
        let hint = "name the object, or select objects by labels";
        errors.push(invalid(field, "name: ' ', selector: nil", format!("{one_of} none valid")).hint(hint));
    }
    if !name.is_empty() && selector.is_some() {
        errors.push(
            invalid(field, &format!("name: {name}, selector: {{}}"), format!("{one_of} both set")).hint("keep one of the two"),
        );
    }
    if key.is_empty() && !include_all_keys {
        let detail = format!("source {kind} key must be defined when includeAllKeys is false");
        errors.push(
            invalid(field, "key: ' ', includeAllKeys: false", detail).hint("name the key that holds PEM, as `key: ca.crt`"),
        );
    }
    if !key.is_empty() && *include_all_keys {
        let detail = format!("source {kind} key cannot be defined when includeAllKeys is true");
        errors.push(invalid(field, &format!("key: {key}, includeAllKeys: true"), detail).hint("keep one of the two"));
    }
}

/// A Bundle that reads what it writes.
fn own_targets(bundle: &Bundle, errors: &mut Vec<FieldError>) {
    let name = &bundle.metadata.name;
    let target = &bundle.spec.target;
    for (index, source) in bundle.spec.sources.iter().enumerate() {
        let pairs = [
            ("configMap", &source.config_map, &target.config_map),
            ("secret", &source.secret, &target.secret),
        ];
        for (kind, objects, target) in pairs {
            if let (Some(objects), Some(target)) = (objects, target)
                && objects.name == *name
                && objects.key == target.key
            {
                let field = format!("spec.sources[{index}].{kind}.{name}.{}", target.key);
                let hint = "give the Bundle another name than its source: it is the name of what it writes";
                errors.push(forbidden(&field, "cannot define the same source as target").hint(hint));
            }
        }
    }
}

fn formats(bundle: &Bundle, errors: &mut Vec<FieldError>) {
    let target = &bundle.spec.target;
    let formats = target.additional_formats.clone().unwrap_or_default();
    let mut keys: BTreeSet<&str> = [&target.config_map, &target.secret]
        .into_iter()
        .flatten()
        .map(|target| target.key.as_str())
        .collect();
    for (name, store) in [("jks", &formats.jks), ("pkcs12", &formats.pkcs12)] {
        let Some(store) = store else { continue };
        if !keys.insert(&store.key) {
            let field = format!("spec.target.additionalFormats.{name}.key");
            let hint = "name a key that nothing else is written to";
            errors.push(invalid(&field, &store.key, "key must be unique across all target output keys").hint(hint));
        }
    }
}

fn target_metadata(field: &str, target: &TargetObject, errors: &mut Vec<FieldError>) {
    let annotations = &target.metadata.annotations;
    let labels = &target.metadata.labels;
    let field_of = |what: &str| format!("{field}.{what}");
    reserved(&field_of("annotations"), "annotations", annotations, errors);
    let hint = "keys are letters, digits, `-`, `_` and `.`, at most 63, with a domain before a `/` if you like";
    for key in annotations.keys() {
        let faults = object_names::label_key(&key.to_lowercase());
        errors.extend(
            faults
                .into_iter()
                .map(|fault| invalid(&field_of("annotations"), key, fault).hint(hint)),
        );
    }
    if object_names::too_many_bytes(annotations) {
        errors.push(
            too_long(&field_of("annotations"), object_names::ANNOTATIONS_LIMIT)
                .hint("annotations of one object have at most 256 KiB together"),
        );
    }
    reserved(&field_of("labels"), "labels", labels, errors);
    for (key, value) in labels {
        errors.extend(
            object_names::label_key(key)
                .into_iter()
                .map(|fault| invalid(&field_of("labels"), key, fault).hint(hint)),
        );
        errors.extend(
            object_names::label_value(value)
                .into_iter()
                .map(|fault| invalid(&field_of("labels"), value, fault).hint(hint)),
        );
    }
}

fn reserved(field: &str, what: &str, entries: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    for key in entries.keys() {
        for domain in ["trust.cert-manager.io", "trust-manager.io"] {
            if key.strip_prefix(domain).is_some_and(|rest| rest.starts_with('/')) {
                let detail = format!("{domain}/* {what} are not allowed");
                errors.push(invalid(field, key, detail).hint("take it out: these are written for you"));
            }
        }
    }
}
