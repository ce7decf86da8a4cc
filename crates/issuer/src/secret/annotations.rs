//! Annotations that repeat what stands in the certificate.

use std::collections::BTreeMap;

use crate::facts::Facts;

/// Annotations of a certificate. Common name, DNS names, addresses and URIs are there even when empty; all others are not.
#[must_use]
pub fn certificate_annotations(facts: &Facts) -> BTreeMap<String, String> {
    let subject = &facts.subject;
    let addresses: Vec<String> = facts
        .ip_addresses
        .iter()
        .map(|address| address.to_canonical().to_string())
        .collect();
    let kept = [
        ("common-name", subject.common_name.clone()),
        ("alt-names", csv(&facts.dns_names)),
        ("ip-sans", csv(&addresses)),
        ("uri-sans", csv(&facts.uris)),
    ];
    let lists = [
        ("email-sans", &facts.email_addresses),
        ("subject-organizations", &subject.organizations),
        ("subject-organizationalunits", &subject.organizational_units),
        ("subject-countries", &subject.countries),
        ("subject-provinces", &subject.provinces),
        ("subject-localities", &subject.localities),
        ("subject-postalcodes", &subject.postal_codes),
        ("subject-streetaddresses", &subject.street_addresses),
    ];
    // By the number of values: a list of one empty value is no empty list.
    let lists = lists
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| (name, csv(values)));
    let serial = Some(("subject-serialnumber", subject.serial_number.clone())).filter(|(_, number)| !number.is_empty());
    kept.into_iter()
        .chain(lists)
        .chain(serial)
        .map(|(name, value)| (format!("cert-manager.io/{name}"), value))
        .collect()
}

/// One line of CSV, quoted where Go's `encoding/csv` quotes.
fn csv(values: &[String]) -> String {
    let fields: Vec<String> = values
        .iter()
        .map(|value| {
            let quoted = value.contains(['\n', '\r', '"', ',']) || value == "\\." || value.starts_with(char::is_whitespace);
            if quoted {
                format!("\"{}\"", value.replace('"', "\"\""))
            } else {
                value.clone()
            }
        })
        .collect();
    fields.join(",")
}
