//! What can be wrong with the state directory, and what mends it.

use std::io;
use std::path::{Path, PathBuf};

use sealway_api::{Kind, ObjectRef};

use super::place::LONGEST_NAME;
use crate::issued::Issued;
use crate::plan::{Finding, Severity};

/// Why a state directory is not opened. Nothing was read into use, and nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// Another process has it.
    #[error("{} is in use by {}", directory.display(), holder(*process))]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// Process ID of the holder, if it could be read.
        process: Option<u32>,
    },
    /// Another user's.
    #[error("{} belongs to user {owner}, and this process is user {user}", directory.display())]
    Owner {
        /// The directory.
        directory: PathBuf,
        /// Its owner's ID.
        owner: u32,
        /// Ours.
        user: u32,
    },
    /// Others may look into it, and it holds what is not ours.
    #[error("{} is open to other users (mode {mode:o}) and holds files that are not the issuer's", directory.display())]
    Shared {
        /// The directory.
        directory: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Written by a newer Sealway.
    #[error("{} has format {version}; this Sealway reads format {} only", file.display(), super::format::VERSION)]
    Newer {
        /// The first such file.
        file: PathBuf,
        /// Its format.
        version: u64,
    },
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    Unusable {
        /// File or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl OpenFault {
    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Locked { process, .. } => format!(
                "end {} first, ask it over its socket, or choose another directory with --state-dir",
                holder(*process)
            ),
            Self::Owner { directory, user, .. } => format!(
                "run as the owner, give it away with `chown -R {user} {0}`, or let Sealway make its own: --state-dir {0}/sealway",
                directory.display()
            ),
            Self::Shared { directory, .. } => format!(
                "let Sealway make a directory of its own: --state-dir {}/sealway",
                directory.display()
            ),
            Self::Newer { .. } => {
                "run the Sealway that wrote it; to begin anew with other CAs, move the directory away".to_owned()
            }
            Self::Unusable { error, .. } => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "the whole directory must belong to the user that Sealway runs as: `chown -R`, or choose another with --state-dir"
                }
                io::ErrorKind::ReadOnlyFilesystem => "choose a directory that can be written with --state-dir",
                _ => "mend it, or choose another directory with --state-dir",
            }
            .to_owned(),
        }
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
}

/// For `map_err`: the system refuses this path.
pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> OpenFault + use<'_> {
    move |error| OpenFault::Unusable {
        path: path.to_owned(),
        error,
    }
}

/// Why a change was not kept. What was kept before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    /// A name that no Kubernetes object has, or one that is too long for a file.
    #[error("{object} cannot be kept under its name")]
    Name {
        /// What was to be kept.
        object: ObjectRef,
    },
    /// The disk, or the user's share of it, is full.
    #[error("{}: {error}", file.display())]
    Full {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It may not be written.
    #[error("{}: {error}", file.display())]
    Forbidden {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The state directory is no longer there.
    #[error("{}: the state directory is gone", file.display())]
    Gone {
        /// The file.
        file: PathBuf,
    },
    /// Anything else that the system says.
    #[error("{}: {error}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl WriteFault {
    pub(super) fn from_io(file: &Path, error: io::Error) -> Self {
        let file = file.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full { file, error },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Forbidden { file, error },
            io::ErrorKind::NotFound => Self::Gone { file },
            _ => Self::Disk { file, error },
        }
    }

    /// Stable name of the variant.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Name { .. } => "state-name",
            Self::Full { .. } => "state-disk-full",
            Self::Forbidden { .. } => "state-not-writable",
            Self::Gone { .. } => "state-directory-gone",
            Self::Disk { .. } => "state-write-failed",
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Name { .. } => format!("give it a DNS name of at most {LONGEST_NAME} characters"),
            Self::Full { .. } => "free some space; it is tried again by itself".to_owned(),
            Self::Forbidden { .. } => "let the user that Sealway runs as write there; it is tried again by itself".to_owned(),
            Self::Gone { .. } => "put the directory back where it was, or start again".to_owned(),
            Self::Disk { .. } => "look at the disk and the system's log; it is tried again by itself".to_owned(),
        }
    }
}

/// What is wrong with the bytes of one file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It ends early, or is something else. The text is not repeated: it may be a key.
    #[error("not the JSON that was written (line {line}, column {column})")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It is another object's: a copy under a wrong name.
    #[error("it is {object}'s")]
    Misplaced {
        /// Whose.
        object: String,
    },
    /// Longer than anything that is written.
    #[error("too long")]
    TooLong,
    /// A directory, for instance.
    #[error("not a file")]
    NoFile,
    /// The disk does not give it back.
    #[error("the disk cannot read it")]
    Disk,
    /// A format that this version does not know.
    #[error("it has format {version}")]
    Newer {
        /// Which.
        version: u64,
    },
}

/// What was found wrong when a state directory was opened. None of it keeps the rest from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A file that cannot be read was given another name.
    SetAside {
        /// What it was about.
        object: ObjectRef,
        /// Where it lies now.
        kept_as: PathBuf,
        /// What is wrong with it.
        reason: Unreadable,
    },
    /// One from an earlier start is still there.
    StillAside {
        /// What it was about.
        object: ObjectRef,
        /// Where it lies.
        kept_as: PathBuf,
        /// Whether there is a new one.
        is_replaced: bool,
    },
    /// Other users could look into the directory; now they cannot.
    WasOpen {
        /// The directory.
        directory: PathBuf,
        /// The mode that it had.
        mode: u32,
    },
}

impl Damage {
    /// Whether there is a new Secret in place of the damaged one: then it is no longer worth a word.
    #[must_use]
    pub fn is_over(&self, issued: &Issued) -> bool {
        match self {
            Self::SetAside { object, .. } => object.kind == Kind::Secret && !issued.damaged.contains(&object.key),
            Self::StillAside { .. } | Self::WasOpen { .. } => false,
        }
    }

    /// For status, log and `check`.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let (severity, label, object, message, hint) = match self {
            Self::SetAside { object, kept_as, reason } => (
                Severity::Error,
                "state-damaged",
                object.clone(),
                format!(
                    "its file in the state directory cannot be read: {reason}. It was set aside as {}",
                    kept_as.display()
                ),
                mend(object, kept_as),
            ),
            Self::StillAside {
                object,
                kept_as,
                is_replaced,
            } => (
                if *is_replaced { Severity::Warning } else { Severity::Error },
                "state-damaged-earlier",
                object.clone(),
                format!(
                    "its file in the state directory could not be read at an earlier start; it is still set aside as {}",
                    kept_as.display()
                ),
                if *is_replaced {
                    format!(
                        "it was restored or made anew since; remove {} when you need it no longer",
                        kept_as.display()
                    )
                } else {
                    mend(object, kept_as)
                },
            ),
            Self::WasOpen { directory, mode } => (
                Severity::Warning,
                "state-directory-was-open",
                ObjectRef::new(Kind::Other("StateDirectory".to_owned()), "", directory.display().to_string()),
                format!("other users could look into it (mode {mode:o}); now they cannot"),
                "if others use this machine, keys in it may be known: renew what is in it".to_owned(),
            ),
        };
        Finding {
            severity,
            label,
            object,
            field: String::new(),
            message,
            hint: Some(hint),
        }
    }
}

fn mend(object: &ObjectRef, kept_as: &Path) -> String {
    let file = kept_as.display();
    match &object.kind {
        Kind::Secret => format!(
            "put a copy from a backup in its place and start again; or have it made anew with `sealway certs renew` (a CA: its old \
             certificate and key are also in the directory `authorities`); then remove {file}"
        ),
        Kind::Certificate => format!("it held only failures and back-off: remove {file}"),
        _ => format!(
            "put a copy from a backup in its place and start again; or revoke again what this CA has revoked, because its list no longer \
             says so; then remove {file}"
        ),
    }
}
