//! Defaulting, as the API server does it to custom resources (apiextensions, pkg/apiserver/schema/defaulting).

use serde_json::Value;

#[cfg(test)]
use super::structure::Additional;
use super::structure::Schema;

/// Drops nulls that may not be null, then fills in what is absent, from the outside in: a default may bring fields that have defaults.
pub(crate) fn apply(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| !value.is_null() || schema.property(key).is_none_or(|schema| schema.nullable));
            for (key, property) in &schema.properties {
                if let Some(default) = &property.default
                    && !object.contains_key(key)
                {
                    object.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in object {
                if let Some(property) = schema.property(key) {
                    apply(property, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items.iter_mut().for_each(|item| apply(schema, item));
            }
        }
        _ => {}
    }
}

/// Calls `visit` with every schema inside `schema` and its path, outermost first; `[]` and `[*]` stand for items and other keys.
#[cfg(test)]
pub(super) fn walk<'schema>(schema: &'schema Schema, path: &str, visit: &mut impl FnMut(&str, &'schema Schema)) {
    visit(path, schema);
    for (key, property) in &schema.properties {
        walk(property, &format!("{path}.{key}"), visit);
    }
    if let Some(items) = &schema.items {
        walk(items, &format!("{path}[]"), visit);
    }
    if let Some(Additional::Schema(values)) = &schema.additional_properties {
        walk(values, &format!("{path}[*]"), visit);
    }
}
