//! `--export-certs DIR`: issued Secrets, and what Bundles write, as files that other programs mount.
//!
//! Input: the [`Overlay`]. Output: `DIR/NAMESPACE/NAME/KEY`, as the kubelet lays out a volume: each file is a link into `..data`, which
//! is a link to a directory that is never written to again. One rename switches all files of an object, so that whoever resolves
//! `..data` once reads a key and a certificate that belong together. Invariant: what we did not make is neither changed nor removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sealway_api::{Kind, ObjectKey, ObjectRef, Timestamp};

use self::folder::Folder;
use crate::plan::Overlay;
use crate::store::is_object_name;

mod folder;
#[cfg(test)]
mod tests;

/// A directory that issued Secrets are written to. It holds no state: what is there is looked at each time.
#[derive(Debug)]
pub struct Export {
    directory: PathBuf,
    readers: Readers,
}

/// Who may read what is exported, beside the user that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    /// Nobody.
    Owner,
    /// The group of the directory, whose owner has said so by its setgid bit.
    Group,
}

impl Readers {
    fn of(mode: u32) -> Self {
        if mode & 0o2050 == 0o2050 { Self::Group } else { Self::Owner }
    }

    fn directory(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group => 0o2750,
        }
    }

    fn file(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o640,
        }
    }
}

/// What one [`Export::write`] has done.
#[derive(Debug, Default)]
pub struct Exported {
    /// Objects whose files are others now, or are there for the first time.
    pub switched: BTreeSet<ObjectKey>,
    /// Objects whose files could not be written: the old ones are still there.
    pub faults: Vec<(ObjectKey, ExportFault)>,
}

/// Why something is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// One of the two directories lies in the other.
    #[error("{} and the state directory {} overlap", directory.display(), state.display())]
    InState {
        /// Where to export to.
        directory: PathBuf,
        /// Where state is kept.
        state: PathBuf,
    },
    /// A name that no Kubernetes object has, or one that is too long for a file.
    #[error("{object} cannot be a directory")]
    Name {
        /// Whose.
        object: ObjectRef,
    },
    /// A key that is no name of a file.
    #[error("{object}: key `{key}` cannot be a file")]
    Key {
        /// Whose.
        object: ObjectRef,
        /// Which.
        key: String,
    },
    /// Something that we did not make is in the way.
    #[error("{} is not ours, and is left alone", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    Disk {
        /// File or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl ExportFault {
    /// Stable name of the variant.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::InState { .. } => "export-in-state",
            Self::Name { .. } => "export-name",
            Self::Key { .. } => "export-key",
            Self::Foreign { .. } => "export-foreign-file",
            Self::Disk { .. } => "export-failed",
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::InState { .. } => {
                "export to a directory of its own: what is mounted elsewhere must not hold every key".to_owned()
            }
            Self::Name { .. } => "give it a DNS name of at most 220 characters".to_owned(),
            Self::Key { .. } => "use letters, digits, `-`, `_` and `.`".to_owned(),
            Self::Foreign { path } => format!("move {} away, or export to another directory", path.display()),
            Self::Disk { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space; it is tried again by itself",
                io::ErrorKind::PermissionDenied => "let the user that Sealway runs as write there; it is tried again by itself",
                _ => "it is tried again by itself",
            }
            .to_owned(),
        }
    }
}

/// For `map_err`: the system refuses this path.
fn disk(path: &Path) -> impl FnOnce(io::Error) -> ExportFault + use<'_> {
    move |error| ExportFault::Disk {
        path: path.to_owned(),
        error,
    }
}

impl Export {
    /// Uses `directory`, made 0700 if it is not there. The mode of one that is there is its owner's business; if it has the setgid bit and its
    /// group may read it (`install -d -m 2750 -g GROUP DIR`), then that group may read what is in it too.
    ///
    /// # Errors
    /// When it cannot be made, or overlaps with the state directory `state`.
    pub fn open(directory: &Path, state: Option<&Path>) -> Result<Self, ExportFault> {
        let is_new = !directory.exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(disk(directory))?;
        let path = directory.canonicalize().map_err(disk(directory))?;
        if let Some(state) = state {
            let state = state.canonicalize().unwrap_or_else(|_| state.to_owned());
            if path.starts_with(&state) || state.starts_with(&path) {
                if is_new {
                    let _ = fs::remove_dir(&path);
                }
                return Err(ExportFault::InState { directory: path, state });
            }
        }
        let mode = path.metadata().map_err(disk(&path))?.mode();
        Ok(Self {
            directory: path,
            readers: Readers::of(mode),
        })
    }

    /// Where the files of an object are.
    #[must_use]
    pub fn place(&self, key: &ObjectKey) -> PathBuf {
        self.directory.join(&key.namespace).join(&key.name)
    }

    /// Brings the files to what `overlay` has, and removes those of objects that it does not have, unless they are in `kept`: a Secret
    /// whose state is damaged may have its last good copy here.
    ///
    /// A Secret and a ConfigMap of the same name (a Bundle writes such) share a directory; where both have a key, the Secret's is taken.
    pub fn write(&self, now: Timestamp, overlay: &Overlay, kept: &BTreeSet<ObjectKey>) -> Exported {
        let mut wanted: BTreeMap<&ObjectKey, (Kind, BTreeMap<&str, &[u8]>)> = BTreeMap::new();
        for (key, map) in &overlay.config_maps {
            let files = map.data.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
            let binary = map.binary_data.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
            wanted.insert(key, (Kind::ConfigMap, files.chain(binary).collect()));
        }
        for (key, secret) in &overlay.secrets {
            let (kind, files) = wanted.entry(key).or_insert((Kind::Secret, BTreeMap::new()));
            *kind = Kind::Secret;
            files.extend(secret.data.iter().map(|(name, bytes)| (name.as_str(), bytes.expose())));
        }
        let mut exported = Exported::default();
        for (key, (kind, files)) in &wanted {
            match self.write_one(now, &ObjectRef::of(kind.clone(), key), files) {
                Ok((is_switched, uncleared)) => {
                    if is_switched {
                        exported.switched.insert((*key).clone());
                    }
                    exported.faults.extend(uncleared.map(|fault| ((*key).clone(), fault)));
                }
                Err(fault) => exported.faults.push(((*key).clone(), fault)),
            }
        }
        for key in self.there() {
            if !wanted.contains_key(&key)
                && !kept.contains(&key)
                && let Err(fault) = self.remove(&key)
            {
                exported.faults.push((key, fault));
            }
        }
        exported
    }

    /// See [`Folder::bring`].
    fn write_one(
        &self,
        now: Timestamp,
        object: &ObjectRef,
        files: &BTreeMap<&str, &[u8]>,
    ) -> Result<(bool, Option<ExportFault>), ExportFault> {
        if !is_object_name(&object.key.namespace) || !is_object_name(&object.key.name) {
            return Err(ExportFault::Name { object: object.clone() });
        }
        if let Some(key) = files.keys().find(|key| !is_file_name(key)) {
            return Err(ExportFault::Key {
                object: object.clone(),
                key: (*key).to_owned(),
            });
        }
        make(&self.directory.join(&object.key.namespace), self.readers)?;
        make(&self.place(&object.key), self.readers)?;
        Folder::new(self.place(&object.key)).bring(now, files, self.readers)
    }

    fn remove(&self, key: &ObjectKey) -> Result<(), ExportFault> {
        Folder::new(self.place(key)).clear()?;
        // Either may hold what is somebody else's: then they stay.
        let _ = fs::remove_dir(self.place(key));
        let _ = fs::remove_dir(self.directory.join(&key.namespace));
        Ok(())
    }

    /// Objects that have files here that we made.
    fn there(&self) -> Vec<ObjectKey> {
        let mut keys = Vec::new();
        for namespace in folder::names(&self.directory) {
            let path = self.directory.join(&namespace);
            if !is_object_name(&namespace) || !is_directory(&path) {
                continue;
            }
            for name in folder::names(&path) {
                if is_object_name(&name) && is_directory(&path.join(&name)) && Folder::new(path.join(&name)).is_ours() {
                    keys.push(ObjectKey::new(namespace.clone(), name));
                }
            }
        }
        keys
    }
}

/// Makes a directory, unless it is there: itself, not a link to somewhere else.
fn make(path: &Path, readers: Readers) -> Result<(), ExportFault> {
    match DirBuilder::new().mode(0o700).create(path) {
        // Whatever the umask is.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(readers.directory())).map_err(disk(path)),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(disk(path)(error)),
        Err(_) if is_directory(path) => Ok(()),
        Err(_) => Err(ExportFault::Foreign { path: path.to_owned() }),
    }
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Keys as Kubernetes allows them in Secrets and ConfigMaps: `..` at the beginning is for the likes of `..data`.
fn is_file_name(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key != "."
        && !key.starts_with("..")
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
