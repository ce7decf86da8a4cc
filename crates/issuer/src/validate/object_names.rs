//! Kubernetes' rules for names, labels and annotations, with its messages (k8s.io/apimachinery's `content`).

use std::collections::BTreeMap;

/// Most bytes that the annotations of one object may have.
pub(super) const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Whether annotations are too large together.
pub(super) fn too_many_bytes(annotations: &BTreeMap<String, String>) -> bool {
    annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > ANNOTATIONS_LIMIT
}

const DNS_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_MESSAGE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// What is wrong with the name of an object such as a Secret.
pub(super) fn object_name(name: &str) -> Vec<String> {
    // Kubernetes has this rule twice: here the limit is called one of characters, in labels one of bytes. It is bytes.
    dns_subdomain(name, "characters")
}

fn dns_subdomain(name: &str, unit: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > 253 {
        faults.push(format!("must be no more than 253 {unit}"));
    }
    let label = |label: &str| {
        bounded(
            label,
            |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            |byte| byte == b'-',
        )
    };
    if !name.split('.').all(label) {
        faults.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with \
             an alphanumeric character (e.g. 'example.com', regex used for validation is '{DNS_LABEL}(\\.{DNS_LABEL})*')"
        ));
    }
    faults
}

/// What is wrong with the key of a label.
pub(super) fn label_key(key: &str) -> Vec<String> {
    let pattern =
        format!("{LABEL_KEY_MESSAGE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{LABEL_KEY}')");
    let parts: Vec<&str> = key.split('/').collect();
    let mut faults = Vec::new();
    let name = match parts[..] {
        [name] => name,
        ["", name] => {
            faults.push("prefix part must be non-empty".to_owned());
            name
        }
        [prefix, name] => {
            faults.extend(
                dns_subdomain(prefix, "bytes")
                    .into_iter()
                    .map(|fault| format!("prefix part {fault}")),
            );
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push(format!("name part {}", too_long(63)));
    }
    if !is_label_name(name) {
        faults.push(format!("name part {pattern}"));
    }
    faults
}

/// What is wrong with the value of a label.
pub(super) fn label_value(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > 63 {
        faults.push(too_long(63));
    }
    if !value.is_empty() && !is_label_name(value) {
        faults.push(format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({LABEL_KEY})?')"
        ));
    }
    faults
}

fn is_label_name(name: &str) -> bool {
    bounded(name, |byte| byte.is_ascii_alphanumeric(), |byte| b"-_.".contains(&byte))
}

/// Not empty, `outer` at both ends, `outer` or `inner` between.
fn bounded(text: &str, outer: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let ends = text.bytes().next().is_some_and(&outer) && text.bytes().next_back().is_some_and(&outer);
    ends && text.bytes().all(|byte| outer(byte) || inner(byte))
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}
