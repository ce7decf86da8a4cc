//! Which file holds what: names of objects to names of files and back, and no other names.

use std::path::{Path, PathBuf};

use sealway_api::{Kind, ObjectKey, ObjectRef};

use super::fault::WriteFault;
use crate::issued::{AuthorityId, Change, Issued};

pub(super) const SECRETS: &str = "secrets";
pub(super) const ATTEMPTS: &str = "attempts";
pub(super) const AUTHORITIES: &str = "authorities";

const ENDING: &str = ".json";
/// The longest name, in bytes: file systems take 255, of which endings need some.
pub(super) const LONGEST_NAME: usize = 220;

/// What a file of the state directory is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A Secret.
    Secret(ObjectKey),
    /// A Certificate.
    Attempt(ObjectKey),
    /// A CA.
    Authority(AuthorityId),
}

impl Place {
    /// What a change is about.
    pub(super) fn of_change(change: &Change) -> Self {
        match change {
            Change::Secret(key, _) => Self::Secret(key.clone()),
            Change::Attempt(key, _) => Self::Attempt(key.clone()),
            Change::Authority(id, _) | Change::AuthorityGone(id) => Self::Authority(id.clone()),
        }
    }

    /// The file, relative to the state directory. Only names that a Kubernetes object can have become one: whatever a manifest says, no
    /// path leads out of the directory.
    pub(super) fn file(&self) -> Result<PathBuf, WriteFault> {
        let (parent, key) = match self {
            Self::Secret(key) => (SECRETS, key),
            Self::Attempt(key) => (ATTEMPTS, key),
            Self::Authority(AuthorityId(id)) if is_digest(id) => return Ok(Path::new(AUTHORITIES).join(format!("{id}{ENDING}"))),
            Self::Authority(_) => return Err(WriteFault::Name { object: self.object() }),
        };
        if is_object_name(&key.namespace) && is_object_name(&key.name) {
            Ok(Path::new(parent).join(&key.namespace).join(format!("{}{ENDING}", key.name)))
        } else {
            Err(WriteFault::Name { object: self.object() })
        }
    }

    /// What the file at this path, relative to the state directory, is about; `None` when it is not one of ours.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let parts = file.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>()?;
        let place = match parts.as_slice() {
            [SECRETS, namespace, name] => Self::Secret(ObjectKey::new(*namespace, name.strip_suffix(ENDING)?)),
            [ATTEMPTS, namespace, name] => Self::Attempt(ObjectKey::new(*namespace, name.strip_suffix(ENDING)?)),
            [AUTHORITIES, id] => Self::Authority(AuthorityId(id.strip_suffix(ENDING)?.to_owned())),
            _ => return None,
        };
        place.file().is_ok().then_some(place)
    }

    /// For messages.
    pub(super) fn object(&self) -> ObjectRef {
        match self {
            Self::Secret(key) => ObjectRef::of(Kind::Secret, key),
            Self::Attempt(key) => ObjectRef::of(Kind::Certificate, key),
            Self::Authority(AuthorityId(id)) => ObjectRef::new(Kind::Other("CA".to_owned()), "", id),
        }
    }

    /// Whether there is something under this name.
    pub(super) fn is_in(&self, issued: &Issued) -> bool {
        match self {
            Self::Secret(key) => issued.secrets.contains_key(key),
            Self::Attempt(key) => issued.attempts.contains_key(key),
            Self::Authority(id) => issued.authorities.contains_key(id),
        }
    }
}

/// A DNS subdomain as Kubernetes has it, near enough that it is one plain part of a path, and never hidden.
pub(crate) fn is_object_name(name: &str) -> bool {
    let is_inside = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= LONGEST_NAME
        && bytes.first().is_some_and(is_inside)
        && bytes.iter().all(|byte| is_inside(byte) || matches!(byte, b'-' | b'.'))
}

fn is_digest(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_objects_become_files() {
        let place = |namespace: &str, name: &str| Place::Secret(ObjectKey::new(namespace, name));
        let file = place("payment", "wildcard.cert-1").file().expect("a file");
        assert_eq!(file, Path::new("secrets/payment/wildcard.cert-1.json"));
        let longest = "a".repeat(LONGEST_NAME);
        assert!(place(&longest, &longest).file().is_ok());
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            ".hidden",
            "-a",
            "A",
            "ä",
            "a\0",
            "a\n",
            "~",
            &"a".repeat(LONGEST_NAME + 1),
        ] {
            assert!(
                matches!(place("payment", bad).file(), Err(WriteFault::Name { .. })),
                "{bad:?}"
            );
            assert!(matches!(place(bad, "cert").file(), Err(WriteFault::Name { .. })), "{bad:?}");
            assert!(
                matches!(
                    Place::Authority(AuthorityId(bad.to_owned())).file(),
                    Err(WriteFault::Name { .. })
                ),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_file_leads_back_to_what_it_is_about() {
        let key = ObjectKey::new("payment", "cert.json");
        for place in [
            Place::Secret(key.clone()),
            Place::Attempt(key),
            Place::Authority(AuthorityId("0f".repeat(32))),
        ] {
            assert_eq!(Place::of(&place.file().expect("a file")), Some(place));
        }
        for other in [
            "secrets/a/b",
            "secrets/a/b.json.bak",
            "secrets/a.json",
            "secrets/a/b/c.json",
            "lock",
            "authorities/root.json",
        ] {
            assert_eq!(Place::of(Path::new(other)), None, "{other}");
        }
    }
}
