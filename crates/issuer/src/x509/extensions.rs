//! The extensions of a certificate, in the order of Go's `buildCertExtensions`; the SAN comes last, as cert-manager hands it over apart.

use std::net::IpAddr;

use der::asn1::{Any, ContextSpecific, Ia5String, ObjectIdentifier, OctetString};
use der::{Encode, Sequence, Tag, TagMode, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AccessDescription, AuthorityKeyIdentifier, BasicConstraints, KeyUsage, NameConstraints};

use super::{CertificateParts, SignFault, key_identifier};
use crate::order::IssuerUrls;
use crate::request::{Request, StoredConstraints, ip_range};
use crate::subject::object_identifier;
use crate::usages::{extended_key_usages, key_usage};

const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const AUTHORITY_INFO_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1");
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");

/// DER of a Name without parts.
const EMPTY_NAME: [u8; 2] = [0x30, 0];

pub(super) fn all(parts: &CertificateParts<'_>, issuer_key_id: Option<&[u8]>) -> Result<Vec<Extension>, SignFault> {
    let request = parts.request;
    let mut extensions = Vec::new();
    let mut add = |id, critical, value: Vec<u8>| -> Result<(), SignFault> {
        extensions.push(Extension {
            extn_id: id,
            critical,
            extn_value: OctetString::new(value)?,
        });
        Ok(())
    };
    let usage = key_usage(&request.usages, request.is_ca);
    if !usage.is_empty() {
        add(KEY_USAGE, true, KeyUsage(usage).to_der()?)?;
    }
    let extended = extended_key_usages(&request.usages);
    if !extended.is_empty() {
        add(EXTENDED_KEY_USAGE, false, extended.to_der()?)?;
    }
    let basic = BasicConstraints {
        ca: request.is_ca,
        path_len_constraint: None,
    };
    add(BASIC_CONSTRAINTS, true, basic.to_der()?)?;
    if request.is_ca {
        add(
            SUBJECT_KEY_IDENTIFIER,
            false,
            OctetString::new(key_identifier(parts.public_key_info)?)?.to_der()?,
        )?;
    }
    if let Some(key_id) = issuer_key_id {
        add(AUTHORITY_KEY_IDENTIFIER, false, authority_key_identifier(key_id)?)?;
    }
    let access = information_access(parts.urls)?;
    if !access.is_empty() {
        add(AUTHORITY_INFO_ACCESS, false, access.to_der()?)?;
    }
    if let Some(constraints) = &request.name_constraints {
        add(
            NAME_CONSTRAINTS,
            constraints.critical,
            name_constraints(constraints)?.to_der()?,
        )?;
    }
    if !parts.urls.crl_distribution_points.is_empty() {
        add(DISTRIBUTION_POINTS, false, distribution_points(parts.urls)?.to_der()?)?;
    }
    let names = alternative_names(request)?;
    if !names.is_empty() {
        add(
            SUBJECT_ALTERNATIVE_NAME,
            request.subject == EMPTY_NAME,
            Any::new(Tag::Sequence, names)?.to_der()?,
        )?;
    }
    Ok(extensions)
}

pub(super) fn authority_key_identifier(key_id: &[u8]) -> Result<Vec<u8>, SignFault> {
    let identifier = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(key_id)?),
        ..AuthorityKeyIdentifier::default()
    };
    Ok(identifier.to_der()?)
}

fn information_access(urls: &IssuerUrls) -> Result<Vec<AccessDescription>, SignFault> {
    let responders = urls.ocsp_servers.iter().map(|url| (OCSP, url));
    let certificates = urls.issuing_certificates.iter().map(|url| (CA_ISSUERS, url));
    responders
        .chain(certificates)
        .map(|(access_method, url)| {
            Ok(AccessDescription {
                access_method,
                access_location: location(url)?,
            })
        })
        .collect()
}

fn distribution_points(urls: &IssuerUrls) -> Result<Vec<DistributionPoint>, SignFault> {
    let point = |url| {
        let name = DistributionPointName::FullName(vec![location(url)?]);
        Ok(DistributionPoint {
            distribution_point: Some(name),
            reasons: None,
            crl_issuer: None,
        })
    };
    urls.crl_distribution_points.iter().map(point).collect()
}

fn location(url: &String) -> Result<GeneralName, SignFault> {
    let url = Ia5String::new(url).map_err(|_| SignFault::Url(url.clone()))?;
    Ok(GeneralName::UniformResourceIdentifier(url))
}

fn name_constraints(stored: &StoredConstraints) -> Result<NameConstraints, SignFault> {
    let subtrees = |lists: &[Vec<String>; 4]| {
        let [domains, ranges, addresses, uri_domains] = lists;
        let mut bases = ia5(domains, GeneralName::DnsName)?;
        for range in ranges {
            let octets = ip_range(range).ok_or_else(|| SignFault::Name(range.clone()))?;
            bases.push(GeneralName::IpAddress(OctetString::new(octets)?));
        }
        bases.extend(ia5(addresses, GeneralName::Rfc822Name)?);
        bases.extend(ia5(uri_domains, GeneralName::UniformResourceIdentifier)?);
        let trees: Vec<_> = bases
            .into_iter()
            .map(|base| GeneralSubtree {
                base,
                minimum: 0,
                maximum: None,
            })
            .collect();
        Ok::<_, SignFault>((!trees.is_empty()).then_some(trees))
    };
    Ok(NameConstraints {
        permitted_subtrees: subtrees(&stored.permitted)?,
        excluded_subtrees: subtrees(&stored.excluded)?,
    })
}

/// One of [`Request::other_names`]: x509-cert's own knows no object identifiers such as 2.999.
#[derive(Sequence)]
struct OtherName {
    kind: Any,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: Any,
}

/// In the order of cert-manager's `MarshalSANs`: the names, one after the other.
fn alternative_names(request: &Request) -> Result<Vec<u8>, SignFault> {
    let mut names = ia5(&request.dns_names, GeneralName::DnsName)?;
    names.extend(ia5(&request.email_addresses, GeneralName::Rfc822Name)?);
    for text in &request.ip_addresses {
        let address: IpAddr = text.parse().map_err(|_| SignFault::Name(text.clone()))?;
        names.push(GeneralName::from(address));
    }
    names.extend(ia5(&request.uris, GeneralName::UniformResourceIdentifier)?);
    let mut encoded = Vec::new();
    for name in names {
        name.encode_to_vec(&mut encoded)?;
    }
    for (kind, value) in &request.other_names {
        let kind = object_identifier(kind).ok_or_else(|| SignFault::Name(kind.clone()))?;
        let value = OtherName {
            kind: Any::new(Tag::ObjectIdentifier, kind)?,
            value: Any::new(Tag::Utf8String, value.as_bytes())?,
        };
        let name = ContextSpecific {
            tag_number: TagNumber(0),
            tag_mode: TagMode::Implicit,
            value,
        };
        name.encode_to_vec(&mut encoded)?;
    }
    Ok(encoded)
}

fn ia5(texts: &[String], kind: fn(Ia5String) -> GeneralName) -> Result<Vec<GeneralName>, SignFault> {
    texts
        .iter()
        .map(|text| Ia5String::new(text).map(kind).map_err(|_| SignFault::Name(text.clone())))
        .collect()
}
