//! Distribution points: where certificates say that the list of their issuer is, and which of them are asked for.
//!
//! In: certificates of chains that were verified. Out: [`DistributionPoint`]s for whoever fetches. Invariant: nobody but an authority that
//! is believed, or one below it, chooses what stands here; and there is a cap all the same.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealway_core::DistributionPoint;
use tokio::sync::watch;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_CRL_DISTRIBUTION_POINTS;
use x509_parser::parse_x509_certificate;

/// What a certificate says of its issuer's list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Points {
    /// That there is one, if only in a way that cannot be read.
    pub(super) are_named: bool,
    /// Where it is. Lists of others, and lists of some reasons only, are not meant.
    pub(super) urls: Vec<String>,
}

impl Points {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
            return Self::default();
        };
        let mut extensions = certificate.extensions().iter();
        let Some(extension) = extensions.find(|extension| extension.oid == OID_X509_EXT_CRL_DISTRIBUTION_POINTS) else {
            return Self::default();
        };
        let mut urls = Vec::new();
        if let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() {
            let whole = points
                .iter()
                .filter(|point| point.reasons.is_none() && point.crl_issuer.is_none());
            urls.extend(whole.flat_map(|point| urls_of(point.distribution_point.as_ref())));
        }
        Self { are_named: true, urls }
    }

    /// Those that can be fetched, and may be.
    fn fetchable(&self) -> impl Iterator<Item = &String> {
        let may_be = |url: &&String| {
            let is_http = url
                .get(..SCHEME.len())
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
            is_http && url.len() <= LONGEST_URL && url.bytes().all(|byte| byte.is_ascii_graphic())
        };
        self.urls.iter().filter(may_be).take(MOST_OF_A_CERTIFICATE)
    }
}

/// The URLs of a distribution point, of a certificate or a list.
pub(super) fn urls_of(name: Option<&DistributionPointName<'_>>) -> Vec<String> {
    let Some(DistributionPointName::FullName(names)) = name else {
        return Vec::new();
    };
    let urls = names.iter().filter_map(|name| match name {
        GeneralName::URI(url) => Some((*url).to_owned()),
        _ => None,
    });
    urls.collect()
}

/// What was asked for of late.
#[derive(Debug, Default)]
pub(crate) struct Wanted(watch::Sender<Vec<Arc<DistributionPoint>>>);

impl Wanted {
    pub(crate) fn watch(&self) -> watch::Receiver<Vec<Arc<DistributionPoint>>> {
        self.0.subscribe()
    }

    /// Asks for the list of whoever signed a certificate with these points; `issuers` as [`DistributionPoint`] has them.
    pub(super) fn ask(&self, points: &Points, issuers: &[CertificateDer<'static>]) {
        for url in points.fetchable() {
            let is_it = |known: &Arc<DistributionPoint>| known.url == *url && known.issuers == issuers;
            // Most of the time it is known, and nobody is to wait.
            if self.0.borrow().iter().any(is_it) {
                continue;
            }
            self.0.send_if_modified(|wanted| {
                let is_new = !wanted.iter().any(is_it);
                if is_new {
                    // Who fetches keeps what it has found; what is still needed is asked for again.
                    if wanted.len() >= MOST {
                        wanted.clear();
                    }
                    wanted.push(Arc::new(DistributionPoint {
                        url: url.clone(),
                        issuers: issuers.to_vec(),
                    }));
                }
                is_new
            });
        }
    }
}

const SCHEME: &str = "http://";
/// Bytes.
const LONGEST_URL: usize = 1024;
/// Several names of a point are ways to the same list.
const MOST_OF_A_CERTIFICATE: usize = 4;
/// An authority has one, or one for each part of its certificates.
const MOST: usize = 128;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CrlDistributionPoint, KeyPair};

    use super::*;

    fn certificate(points: &[&[&str]]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let point = |urls: &&[&str]| CrlDistributionPoint {
            uris: urls.iter().map(ToString::to_string).collect(),
        };
        params.crl_distribution_points = points.iter().map(point).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn asked(wanted: &Wanted) -> Vec<String> {
        wanted.watch().borrow().iter().map(|point| point.url.clone()).collect()
    }

    #[test]
    fn only_plain_http_of_bearable_length_is_asked_for_and_each_once() {
        let long = format!("http://crl.test/{}", "a".repeat(LONGEST_URL));
        let certificate = certificate(&[
            &["ldap://crl.test/cn=CA", "HTTP://crl.test/a"],
            &[
                "https://crl.test/b",
                &long,
                "http://crl.test/c d",
                "http://crl.test/e",
                "http:/",
            ],
        ]);
        let points = Points::of(&certificate);
        assert!(points.are_named && points.urls.len() == 7);
        let wanted = Wanted::default();
        wanted.ask(&points, std::slice::from_ref(&certificate));
        let mut watch = wanted.watch();
        watch.mark_unchanged();
        wanted.ask(&points, std::slice::from_ref(&certificate));
        assert!(!watch.has_changed().unwrap());
        assert_eq!(asked(&wanted), ["HTTP://crl.test/a", "http://crl.test/e"]);
        // The same place, and another authority's list.
        wanted.ask(&points, &[]);
        assert_eq!(asked(&wanted).len(), 4);
    }

    #[test]
    fn certificate_without_a_point_names_none() {
        let certificate = certificate(&[]);
        assert_eq!(Points::of(&certificate), Points::default());
        assert_eq!(Points::of(&CertificateDer::from(&b"none"[..])), Points::default());
    }

    #[test]
    fn there_is_a_cap() {
        let wanted = Wanted::default();
        for number in 0..10 * MOST {
            let points = Points {
                are_named: true,
                urls: vec![format!("http://crl.test/{number}")],
            };
            wanted.ask(&points, &[]);
            assert!(asked(&wanted).len() <= MOST);
        }
        assert_eq!(asked(&wanted).last().map(String::as_str), Some("http://crl.test/1279"));
    }
}
