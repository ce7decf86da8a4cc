//! Revocation lists of the embedded issuer's CAs, as `/crl/…` gives them out.
//!
//! Input: what was issued, and the path that was asked for. Output: the list, or why there is none. Pure.

use std::time::Duration;

use sealway_api::{Kind, ObjectRef, Timestamp};
use sealway_issuer::{Authority, AuthorityId, Issued, write_pem};
use thiserror::Error;

use crate::certificates::{list_times, signs_now};

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RevocationList<'a> {
    /// DER.
    pub(crate) der: &'a [u8],
    /// Changes with each list of a CA.
    pub(crate) number: u64,
    pub(crate) authority: &'a AuthorityId,
    /// `thisUpdate`.
    pub(crate) from: Option<Timestamp>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Missing {
    /// The path has no such form.
    #[error("ask for /crl/NAMESPACE/ISSUER.crl or /crl/CLUSTERISSUER.crl")]
    Path,
    /// No CA of ours signs for it.
    #[error("no CA of this gateway's issuer signs for {issuer}{}", there(.known))]
    Issuer {
        issuer: ObjectRef,
        /// Those that have one.
        known: Vec<String>,
    },
    /// It is not one of that issuer's.
    #[error("{issuer} has no CA {asked}; it has {}", .known.join(", "))]
    Authority {
        issuer: ObjectRef,
        asked: String,
        known: Vec<String>,
    },
    /// Its key usage forbids it, or it is yet to be signed.
    #[error("the CA of {issuer} has signed no revocation list: its key usage must have `crl sign`, and its key must be at hand")]
    Unsigned { issuer: ObjectRef },
}

fn there(known: &[String]) -> String {
    if known.is_empty() {
        "; there is none yet".to_owned()
    } else {
        format!("; there are lists of {}", known.join(", "))
    }
}

/// Whose list `path` (after `/crl/`) asks for.
pub(crate) fn issuer(path: &str) -> Result<ObjectRef, Missing> {
    let name = path.strip_suffix(".crl").ok_or(Missing::Path)?;
    match name.split_once('/') {
        None if !name.is_empty() => Ok(ObjectRef::new(Kind::ClusterIssuer, "", name)),
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectRef::new(Kind::Issuer, namespace, name))
        }
        _ => Err(Missing::Path),
    }
}

/// The list of the CA that signs now, or of the one with this id.
pub(crate) fn find<'a>(
    issued: &'a Issued,
    issuer: &ObjectRef,
    authority: Option<&str>,
    now: Timestamp,
    publication_lead: Duration,
) -> Result<RevocationList<'a>, Missing> {
    let mut own = issued
        .authorities
        .iter()
        .filter(|(_, authority)| authority.issuers.contains(issuer));
    let (id, found): (&AuthorityId, &Authority) = match authority {
        None => signs_now(issued, issuer, now, publication_lead).ok_or_else(|| Missing::Issuer {
            issuer: issuer.clone(),
            known: issuers(issued),
        })?,
        Some(asked) => {
            let known: Vec<String> = own.clone().map(|(id, _)| id.to_string()).collect();
            if known.is_empty() {
                return find(issued, issuer, None, now, publication_lead);
            }
            let found = own.find(|(id, _)| id.0.eq_ignore_ascii_case(asked));
            found
                .map(|(id, authority)| (id, authority.as_ref()))
                .ok_or_else(|| Missing::Authority {
                    issuer: issuer.clone(),
                    asked: asked.chars().filter(|letter| !letter.is_control()).take(64).collect(),
                    known,
                })?
        }
    };
    let unsigned = || Missing::Unsigned { issuer: issuer.clone() };
    let der = found.revocation_list.as_deref().ok_or_else(unsigned)?;
    Ok(RevocationList {
        der,
        number: found.list_number,
        authority: id,
        from: list_times(der).map(|(from, _)| from),
    })
}

/// The lists of every CA of an issuer of which a certificate may still be checked, as PEM: whoever verifies certificates of before and after
/// a roll-over needs them together (`openssl verify -crl_check -CRLfile`).
pub(crate) fn together(issued: &Issued, issuer: &ObjectRef) -> Result<String, Missing> {
    let own = issued
        .authorities
        .values()
        .filter(|authority| authority.issuers.contains(issuer));
    let lists: Vec<&[u8]> = own
        .clone()
        .filter_map(|authority| authority.revocation_list.as_deref())
        .collect();
    if own.count() == 0 {
        return Err(Missing::Issuer {
            issuer: issuer.clone(),
            known: issuers(issued),
        });
    }
    if lists.is_empty() {
        return Err(Missing::Unsigned { issuer: issuer.clone() });
    }
    Ok(lists.into_iter().map(|list| write_pem("X509 CRL", list)).collect())
}

fn issuers(issued: &Issued) -> Vec<String> {
    let all = issued.authorities.values().flat_map(|authority| &authority.issuers);
    let mut all: Vec<String> = all.map(ObjectRef::to_string).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use sealway_api::ObjectKey;

    use super::*;

    const LEAD: Duration = Duration::from_secs(10);

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn authority(issuers: &[&ObjectRef], published: i64, list: Option<&[u8]>) -> Arc<Authority> {
        Arc::new(Authority {
            chain: String::new(),
            key: None,
            secret: ObjectKey::new("pki", "ca"),
            issuers: issuers.iter().copied().cloned().collect::<BTreeSet<_>>(),
            published: second(published),
            issuances: Vec::new(),
            revocation_list: list.map(<[u8]>::to_vec),
            list_number: 7,
        })
    }

    fn rolling() -> (Issued, ObjectRef) {
        let issuer = ObjectRef::new(Kind::Issuer, "payment", "ca");
        let mut issued = Issued::default();
        let mut add = |id: &str, authority| issued.authorities.insert(AuthorityId(id.to_owned()), authority);
        add("aa", authority(&[&issuer], 1000, Some(b"old")));
        add("bb", authority(&[&issuer], 2000, Some(b"new")));
        add(
            "cc",
            authority(&[&ObjectRef::new(Kind::ClusterIssuer, "", "root")], 1000, None),
        );
        (issued, issuer)
    }

    #[test]
    fn the_one_that_signs_now_answers_and_others_by_their_id() {
        let (issued, issuer) = rolling();
        let list = |authority, now| find(&issued, &issuer, authority, second(now), LEAD).map(|list| list.der);
        assert_eq!(list(None, 2009), Ok(&b"old"[..]));
        assert_eq!(list(None, 2010), Ok(&b"new"[..]));
        assert_eq!(list(Some("AA"), 2010), Ok(&b"old"[..]));
        let all = together(&issued, &issuer).expect("two lists");
        assert_eq!(all.matches("BEGIN X509 CRL").count(), 2);
        // Another issuer's CA is not this one's.
        assert!(matches!(list(Some("cc"), 2010), Err(Missing::Authority { known, .. }) if known == ["aa", "bb"]));
    }

    #[test]
    fn what_is_not_there_says_what_is() {
        let (issued, _) = rolling();
        let asked = |path: &str| {
            let issuer = issuer(path)?;
            find(&issued, &issuer, None, second(3000), LEAD).map(|_| ())
        };
        assert_eq!(asked("payment/ca.crl"), Ok(()));
        assert!(matches!(asked("root.crl"), Err(Missing::Unsigned { .. })));
        let root = ObjectRef::new(Kind::ClusterIssuer, "", "root");
        assert!(matches!(together(&issued, &root), Err(Missing::Unsigned { .. })));
        let missing = asked("order/ca.crl").expect_err("not there").to_string();
        assert!(
            missing.contains("Issuer payment/ca") && missing.contains("ClusterIssuer root"),
            "{missing}"
        );
        for path in ["", ".crl", "payment/ca", "a/b/c.crl", "/ca.crl"] {
            assert_eq!(asked(path), Err(Missing::Path), "{path}");
        }
    }
}
