use std::sync::Arc;

use sealway_api::ObjectKey;

use super::*;

fn patterns(names: &[&str]) -> Vec<HostnamePattern> {
    names.iter().map(|name| HostnamePattern::parse(Some(name))).collect()
}

fn good(secret: &str, names: &[&str]) -> CertificateSlot {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    CertificateSlot::Served(Arc::new(ServedCertificate {
        secret: ObjectKey::new("infra", secret),
        content: ContentHash([0; 32]),
        names: patterns(names),
        serial: String::new(),
        not_before: now,
        not_after: now,
    }))
}

fn broken(secret: &str, names: Option<&[&str]>) -> CertificateSlot {
    CertificateSlot::Broken {
        secret: ObjectKey::new("infra", secret),
        names: names.map(patterns),
    }
}

/// The Secrets that may answer, the best first; or the one that the name is refused for.
fn chosen(slots: &[CertificateSlot], name: Option<&str>) -> Result<Vec<String>, String> {
    let termination = Termination {
        certificates: slots.to_vec(),
        client_validation: None,
        options: TlsOptions::default(),
    };
    match termination.certificates(name) {
        CertificateChoice::Candidates(candidates) => Ok(candidates.iter().map(|one| one.secret.name.clone()).collect()),
        CertificateChoice::Broken(secret) => Err(secret.name.clone()),
    }
}

#[test]
fn name_that_a_good_certificate_covers_is_served_whatever_is_broken_beside_it() {
    let wildcard = &["*.example.com"][..];
    let exact = &["a.example.com"][..];
    for beside in [Some(exact), Some(wildcard), Some(&["elsewhere.test"][..]), None] {
        for covers in [exact, wildcard] {
            let (good, broken) = (good("good", covers), broken("broken", beside));
            for slots in [[good.clone(), broken.clone()], [broken, good]] {
                assert_eq!(
                    chosen(&slots, Some("a.example.com")),
                    Ok(vec!["good".to_owned()]),
                    "{slots:?}"
                );
            }
        }
    }
}

#[test]
fn name_that_only_a_broken_secret_could_serve_is_refused() {
    let other = good("good", &["b.example.com"]);
    for (names, name) in [
        (Some(&["a.example.com"][..]), "a.example.com"),
        (Some(&["*.example.com"]), "a.example.com"),
        // It may be the one that has it.
        (None, "a.example.com"),
    ] {
        for slots in [
            [other.clone(), broken("broken", names)],
            [broken("broken", names), other.clone()],
        ] {
            assert_eq!(chosen(&slots, Some(name)), Err("broken".to_owned()), "{slots:?}");
        }
    }
    // The one that most likely has the name is the one to look at.
    let slots = [broken("unreadable", None), broken("named", Some(&["a.example.com"])), other];
    assert_eq!(chosen(&slots, Some("a.example.com")), Err("named".to_owned()));
}

#[test]
fn where_no_name_fits_or_none_is_given_the_first_good_one_answers() {
    let slots = [
        broken("broken", Some(&["a.example.com"])),
        good("first", &["b.example.com"]),
        good("second", &["c.example.com"]),
    ];
    let both = Ok(vec!["first".to_owned(), "second".to_owned()]);
    assert_eq!(chosen(&slots, None), both);
    assert_eq!(chosen(&slots, Some("d.example.com")), both);
    let unreadable = [broken("broken", None), good("first", &["b.example.com"])];
    assert_eq!(chosen(&unreadable, None), Ok(vec!["first".to_owned()]));
}
