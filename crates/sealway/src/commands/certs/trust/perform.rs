//! What touches the system: reading what a store holds, and doing what was decided.
//!
//! Input: a [`System`] and the steps of a plan. Output: its [`Contents`]; files that are whole or absent, and commands that have ended.
//! Invariant: every read has a cap and every command a deadline; what a step leaves behind after a failure is taken back.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{Access, access};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::certificate::{Certificate, Fingerprint, fingerprints};
use super::store::{Contents, Invocation, Plan, Step, System, fingerprint_in};

/// Why something was not done.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("cannot remove {}: {error}", path.display())]
    Remove { path: PathBuf, error: io::Error },
    #[error("cannot run {invocation}: {error}")]
    Start { invocation: Invocation, error: io::Error },
    #[error("{invocation} failed with {status}: what it said stands above")]
    Status { invocation: Invocation, status: ExitStatus },
    #[error("{invocation} did not end within {} s", DEADLINE.as_secs())]
    Late { invocation: Invocation },
}

/// A whole file of at most `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let fail = |error| Failure::Read {
        path: path.to_path_buf(),
        error,
    };
    let mut content = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(most + 1).read_to_end(&mut content).map_err(fail)?;
    if content.len() as u64 > most {
        let path = path.to_path_buf();
        return Err(Failure::TooLarge { path, most });
    }
    Ok(content)
}

/// What the store holds.
pub(super) async fn contents(system: &System) -> Result<Contents, Failure> {
    let mut contents = Contents::default();
    for (path, fingerprint) in named(&system.folder(), "crt")? {
        let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let content = if is_file {
            read(&path, LARGEST_CERTIFICATE)?
        } else {
            Vec::new()
        };
        let certificate = Certificate::read(&content).ok();
        match certificate.filter(|read| read.fingerprint == fingerprint && read.pem().as_bytes() == content) {
            Some(certificate) => contents.installed.push(certificate),
            None => contents.changed.push(path),
        }
    }
    if let Some(links) = system.links() {
        for (link, fingerprint) in named(&links, "pem")? {
            let target = system.file(fingerprint);
            if link.read_link().is_ok_and(|to| to == target) && !target.exists() {
                contents.unfinished.insert(fingerprint);
            }
        }
    }
    if let Some(bundle) = system.bundle() {
        contents.believed = fingerprints(&read_if_there(&bundle, LARGEST_BUNDLE)?).collect();
    }
    if let Some(listing) = system.listing() {
        contents.believed = hashes(&String::from_utf8_lossy(&output(&listing).await?));
    }
    if let Some(selection) = system.selection() {
        let bytes = read_if_there(&selection, LARGEST_SELECTION)?;
        contents.selection = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(contents)
}

/// The first path that may not be written, if there is one.
pub(super) fn forbidden(paths: Vec<PathBuf>) -> Option<PathBuf> {
    paths.into_iter().find(|path| access(path, Access::WRITE_OK).is_err())
}

/// Does the steps in their order. After a failure it goes the way back, as far as that goes, and the failure stands.
pub(super) async fn perform(plan: &Plan, quiet: bool) -> Result<(), Failure> {
    for step in &plan.steps {
        if let Err(failure) = take(step, quiet).await {
            for step in &plan.way_back {
                // The failure that matters is the first one.
                let _ = take(step, true).await;
            }
            return Err(failure);
        }
    }
    Ok(())
}

async fn take(step: &Step, quiet: bool) -> Result<(), Failure> {
    match step {
        Step::Write { path, content } => write(path, content.as_bytes()).map_err(|error| Failure::Write {
            path: path.clone(),
            error,
        }),
        Step::Remove(path) => remove(path).map_err(|error| Failure::Remove {
            path: path.clone(),
            error,
        }),
        Step::Run(invocation) => {
            let status = run(invocation, quiet).await?;
            let invocation = invocation.clone();
            if status.success() {
                Ok(())
            } else {
                Err(Failure::Status { invocation, status })
            }
        }
        Step::Attempt(invocation) => run(invocation, quiet).await.map(drop),
    }
}

/// A new file beside it, synced, then renamed over it, and the folder synced.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    // A name that no store reads: Debian's takes `*.crt`.
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = path.with_file_name(temporary);
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(path))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // One may be left from a process that was killed here.
    remove(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    // Whatever the umask: what may not be read by everybody is believed by root alone.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// What it says goes to standard error: it is talk.
async fn run(invocation: &Invocation, quiet: bool) -> Result<ExitStatus, Failure> {
    let said = if quiet { Stdio::null() } else { Stdio::from(io::stderr()) };
    let mut command = command(invocation);
    command.stdout(said);
    within(invocation, async { command.spawn()?.wait().await }).await
}

/// What it prints, up to a cap.
async fn output(invocation: &Invocation) -> Result<Vec<u8>, Failure> {
    let mut command = command(invocation);
    command.stdout(Stdio::piped());
    let all = async {
        let mut child = command.spawn()?;
        let mut text = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(LARGEST_BUNDLE).read_to_end(&mut text).await?;
        }
        Ok((text, child.wait().await?))
    };
    let (text, status) = within(invocation, all).await?;
    let invocation = invocation.clone();
    if status.success() {
        Ok(text)
    } else {
        Err(Failure::Status { invocation, status })
    }
}

fn command(invocation: &Invocation) -> Command {
    let mut command = Command::new(&invocation.program);
    command.args(&invocation.arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn within<T>(invocation: &Invocation, work: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    let invocation = invocation.clone();
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failure::Start { invocation, error }),
        Err(_) => Err(Failure::Late { invocation }),
    }
}

/// Files of a folder whose name carries a fingerprint, in the order of their names.
fn named(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, Fingerprint)>, Failure> {
    let fail = |error| Failure::Read {
        path: folder.to_path_buf(),
        error,
    };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let fingerprint = name.to_str().and_then(|name| fingerprint_in(name, extension));
        found.extend(fingerprint.map(|fingerprint| (folder.join(&name), fingerprint)));
    }
    found.sort();
    Ok(found)
}

fn read_if_there(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    match read(path, most) {
        Err(Failure::Read { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// As macOS' `security find-certificate -Z` prints them.
fn hashes(listing: &str) -> BTreeSet<Fingerprint> {
    let lines = listing.lines().filter_map(|line| line.trim().strip_prefix("SHA-256 hash: "));
    lines.filter_map(Fingerprint::from_hex).collect()
}

/// In bytes.
pub(super) const LARGEST_CERTIFICATE: u64 = 1 << 20;
const LARGEST_BUNDLE: u64 = 32 << 20;
const LARGEST_SELECTION: u64 = 1 << 20;
/// macOS may ask for a password meanwhile, Debian rewrite Java's store.
const DEADLINE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
