//! Where a system keeps the CAs that it believes, and the steps by which one gets in and out.
//!
//! Input: the root folder, what exists below it, what the store holds ([`Contents`]) and a certificate. Output: a [`Plan`]: files to
//! write and to remove, commands to run, and the way back if one of them fails. Invariants: pure; a file is Sealway's when its name
//! carries a fingerprint and its content is exactly that certificate; no plan touches another file of the store.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::certificate::{Certificate, Fingerprint};

/// The kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Store {
    /// Debian, Ubuntu and what comes from them: package ca-certificates.
    Debian,
    /// Fedora, RHEL and what comes from them: p11-kit's shared store.
    Fedora,
    /// The System keychain.
    MacOs,
}

/// A store below a root folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct System {
    pub(super) store: Store,
    root: PathBuf,
}

/// What a store holds, as far as it concerns Sealway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// What Sealway has installed.
    pub(super) installed: Vec<Certificate>,
    /// Files that are named as if Sealway had installed them, and are something else.
    pub(super) changed: Vec<PathBuf>,
    /// Removed from the store's folder, but not from what is made of it: an `uninstall` was cut short.
    pub(super) unfinished: BTreeSet<Fingerprint>,
    /// What programs believe at present, whoever wanted it.
    pub(super) believed: BTreeSet<Fingerprint>,
    /// Debian's choice among the distributed CAs (`/etc/ca-certificates.conf`).
    pub(super) selection: String,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In this order.
    pub(super) steps: Vec<Step>,
    /// When a step fails: each of these, as far as they go.
    pub(super) way_back: Vec<Step>,
}

/// One thing that is done to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A file of mode 0644, whole.
    Write { path: PathBuf, content: String },
    /// A file that may be gone already.
    Remove(PathBuf),
    /// A command that has to succeed.
    Run(Invocation),
    /// A command that finds nothing to do when an earlier attempt came this far.
    Attempt(Invocation),
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// What `install` comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Installing {
    /// Sealway has done it already.
    Done,
    /// The system believes it for another reason, which is not Sealway's to take back.
    BelievedAnyway,
    /// There is a file of the name that is wanted, and Sealway has not written it so.
    Occupied(PathBuf),
    /// This is to be done.
    Steps(Plan),
}

impl System {
    /// The store of the system below `root`.
    pub(super) fn detect(root: &Path, exists: impl Fn(&Path) -> bool) -> Option<Self> {
        let has = |paths: &[&str]| paths.iter().all(|path| exists(&root.join(path)));
        let store = if has(&["etc/debian_version", DEBIAN_FOLDER, DEBIAN_UPDATE]) {
            Store::Debian
        } else if has(&[FEDORA_FOLDER, FEDORA_UPDATE]) {
            Store::Fedora
        } else if has(&[MACOS_KEYCHAIN, MACOS_SECURITY]) {
            Store::MacOs
        } else {
            return None;
        };
        Some(Self {
            store,
            root: root.to_path_buf(),
        })
    }

    /// Where Sealway's files are: the store's own folder, or on macOS, whose store is no folder, one beside it.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(match self.store {
            Store::Debian => DEBIAN_FOLDER,
            Store::Fedora => FEDORA_FOLDER,
            Store::MacOs => MACOS_FOLDER,
        })
    }

    /// The file of a certificate.
    pub(super) fn file(&self, fingerprint: Fingerprint) -> PathBuf {
        self.folder().join(file_name(fingerprint))
    }

    /// The file of all certificates that programs believe, PEM.
    pub(super) fn bundle(&self) -> Option<PathBuf> {
        match self.store {
            Store::Debian => Some(self.root.join(DEBIAN_LINKS).join("ca-certificates.crt")),
            Store::Fedora => Some(self.root.join(FEDORA_EXTRACTED).join("pem/tls-ca-bundle.pem")),
            Store::MacOs => None,
        }
    }

    /// The command that lists the fingerprints of all certificates of the store.
    pub(super) fn listing(&self) -> Option<Invocation> {
        let arguments = ["find-certificate".into(), "-a".into(), "-Z".into(), self.keychain()];
        (self.store == Store::MacOs).then(|| self.invocation(MACOS_SECURITY, arguments))
    }

    /// The folder in which Debian links to the certificates.
    pub(super) fn links(&self) -> Option<PathBuf> {
        (self.store == Store::Debian).then(|| self.root.join(DEBIAN_LINKS))
    }

    /// The file with Debian's choice among the distributed CAs.
    pub(super) fn selection(&self) -> Option<PathBuf> {
        (self.store == Store::Debian).then(|| self.root.join(DEBIAN_SELECTION))
    }

    /// What has to be writable.
    pub(super) fn written(&self) -> Vec<PathBuf> {
        let paths: &[&str] = match self.store {
            Store::Debian => &[DEBIAN_FOLDER, DEBIAN_LINKS],
            Store::Fedora => &[FEDORA_FOLDER, FEDORA_EXTRACTED],
            Store::MacOs => &[MACOS_KEYCHAIN, MACOS_FOLDER],
        };
        paths.iter().map(|path| self.root.join(path)).collect()
    }

    /// How `certificate` gets in.
    pub(super) fn install(&self, certificate: &Certificate, contents: &Contents) -> Installing {
        let file = self.file(certificate.fingerprint);
        let is_believed = contents.believed.contains(&certificate.fingerprint);
        let is_installed = contents
            .installed
            .iter()
            .any(|installed| installed.fingerprint == certificate.fingerprint);
        if contents.changed.contains(&file) {
            return Installing::Occupied(file);
        }
        let write = match (is_installed, is_believed) {
            (true, true) => return Installing::Done,
            (false, true) if !contents.unfinished.contains(&certificate.fingerprint) => return Installing::BelievedAnyway,
            // An `install` was cut short.
            (true, false) => None,
            (false, _) => Some(Step::Write {
                path: file.clone(),
                content: certificate.pem(),
            }),
        };
        let run = match self.store {
            Store::Debian => self.invocation(DEBIAN_UPDATE, []),
            Store::Fedora => self.invocation(FEDORA_UPDATE, ["extract".into()]),
            Store::MacOs => self.invocation(
                MACOS_SECURITY,
                [
                    "add-trusted-cert".into(),
                    "-d".into(),
                    "-r".into(),
                    "trustRoot".into(),
                    "-k".into(),
                    self.keychain(),
                    file.into_os_string(),
                ],
            ),
        };
        Installing::Steps(Plan {
            steps: write.into_iter().chain([Step::Run(run)]).collect(),
            way_back: self.removal(&[certificate], &BTreeSet::new(), &contents.selection, |_| true),
        })
    }

    /// How what Sealway has installed gets out: all of it, or the one that is wanted. No steps: there is nothing of the kind.
    pub(super) fn uninstall(&self, wanted: Option<Fingerprint>, contents: &Contents) -> (Vec<Certificate>, Plan) {
        let is_wanted = |fingerprint: Fingerprint| wanted.is_none_or(|wanted| wanted == fingerprint);
        let installed = contents.installed.iter().filter(|installed| is_wanted(installed.fingerprint));
        let leaving: Vec<Certificate> = installed.cloned().collect();
        let unfinished = contents.unfinished.iter().copied().filter(|left| is_wanted(*left));
        let unfinished: BTreeSet<Fingerprint> = unfinished.collect();
        if leaving.is_empty() && unfinished.is_empty() {
            return (leaving, Plan::default());
        }
        let again = leaving.iter().map(|certificate| Step::Write {
            path: self.file(certificate.fingerprint),
            content: certificate.pem(),
        });
        let selection = (self.store == Store::Debian).then(|| Step::Remove(self.root.join(DEBIAN_DESELECTION)));
        let plan = Plan {
            steps: self.removal(
                &leaving.iter().collect::<Vec<_>>(),
                &unfinished,
                &contents.selection,
                |fingerprint| contents.believed.contains(&fingerprint),
            ),
            // Then the same command can be given again.
            way_back: again.chain(selection).collect(),
        };
        (leaving, plan)
    }

    fn removal(
        &self,
        leaving: &[&Certificate],
        unfinished: &BTreeSet<Fingerprint>,
        selection: &str,
        is_believed: impl Fn(Fingerprint) -> bool,
    ) -> Vec<Step> {
        let files = leaving
            .iter()
            .map(|certificate| Step::Remove(self.file(certificate.fingerprint)));
        match self.store {
            Store::Debian => {
                // A plain update leaves the links of a file that is gone, and tells the hooks (Java's store is one) nothing; `--fresh`
                // clears the links and still tells them nothing. What is deselected leaves in every respect.
                let path = self.root.join(DEBIAN_DESELECTION);
                let mut content = selection.to_owned();
                if !content.is_empty() && !content.ends_with('\n') {
                    content.push('\n');
                }
                let fingerprints = leaving.iter().map(|certificate| certificate.fingerprint);
                for fingerprint in fingerprints.chain(unfinished.iter().copied()) {
                    content += &format!("!{}\n", file_name(fingerprint));
                }
                let update = self.invocation(DEBIAN_UPDATE, ["--certsconf".into(), path.clone().into_os_string()]);
                let last = [
                    Step::Write {
                        path: path.clone(),
                        content,
                    },
                    Step::Run(update),
                    Step::Remove(path),
                ];
                files.chain(last).collect()
            }
            Store::Fedora => {
                let update = self.invocation(FEDORA_UPDATE, ["extract".into()]);
                files.chain([Step::Run(update)]).collect()
            }
            Store::MacOs => {
                // One that somebody has deleted from the keychain cannot be deleted again.
                let present = leaving.iter().filter(|certificate| is_believed(certificate.fingerprint));
                let commands = present.flat_map(|certificate| {
                    let file = self.file(certificate.fingerprint).into_os_string();
                    let hash = certificate.fingerprint.hex().to_uppercase().into();
                    [
                        Step::Attempt(self.invocation(MACOS_SECURITY, ["remove-trusted-cert".into(), "-d".into(), file])),
                        Step::Run(self.invocation(
                            MACOS_SECURITY,
                            ["delete-certificate".into(), "-Z".into(), hash, self.keychain()],
                        )),
                    ]
                });
                // The file last: without it nobody would know what is left to do.
                commands.chain(files).collect()
            }
        }
    }

    fn keychain(&self) -> OsString {
        self.root.join(MACOS_KEYCHAIN).into_os_string()
    }

    fn invocation(&self, program: &str, arguments: impl IntoIterator<Item = OsString>) -> Invocation {
        Invocation {
            program: self.root.join(program),
            arguments: arguments.into_iter().collect(),
        }
    }
}

fn file_name(fingerprint: Fingerprint) -> String {
    format!("{PREFIX}{}.crt", fingerprint.hex())
}

/// The fingerprint in the name of a file that Sealway may have written; `extension` is `crt`, or that of Debian's links.
pub(super) fn fingerprint_in(name: &str, extension: &str) -> Option<Fingerprint> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(extension)?.strip_suffix('.')?;
    Fingerprint::from_hex(digits).filter(|fingerprint| fingerprint.hex() == digits)
}

impl Store {
    /// Whose it is.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian's trust store",
            Self::Fedora => "Fedora's trust store",
            Self::MacOs => "the System keychain",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, .. } => write!(formatter, "write {}", path.display()),
            Self::Remove(path) => write!(formatter, "remove {}", path.display()),
            Self::Run(invocation) | Self::Attempt(invocation) => write!(formatter, "run {invocation}"),
        }
    }
}

/// As a shell takes it.
impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&quoted(self.program.as_os_str()))?;
        let mut arguments = self.arguments.iter();
        arguments.try_for_each(|argument| write!(formatter, " {}", quoted(argument)))
    }
}

/// One word for a shell.
pub(super) fn quoted(word: &OsStr) -> String {
    let word = word.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

const PREFIX: &str = "sealway-";
const DEBIAN_FOLDER: &str = "usr/local/share/ca-certificates";
const DEBIAN_UPDATE: &str = "usr/sbin/update-ca-certificates";
const DEBIAN_LINKS: &str = "etc/ssl/certs";
const DEBIAN_SELECTION: &str = "etc/ca-certificates.conf";
/// Only root writes there, and it does not outlive a restart.
const DEBIAN_DESELECTION: &str = "run/sealway-ca-certificates.conf";
const FEDORA_FOLDER: &str = "etc/pki/ca-trust/source/anchors";
const FEDORA_UPDATE: &str = "usr/bin/update-ca-trust";
const FEDORA_EXTRACTED: &str = "etc/pki/ca-trust/extracted";
const MACOS_FOLDER: &str = "Library/Application Support";
const MACOS_SECURITY: &str = "usr/bin/security";
const MACOS_KEYCHAIN: &str = "Library/Keychains/System.keychain";

#[cfg(test)]
mod tests;
