//! The control socket: renewals and revocations that are asked of a running gateway.
//!
//! Input: one line of JSON on the Unix socket `control` in the state directory. Output: one line of JSON, after the issuer's worker has done
//! it. Invariants: only processes of the same user are heard; the socket is 0600 and goes when the gateway ends; a client can neither
//! keep a connection longer than [`DEADLINE`], nor send more than a line of [`LONGEST_LINE`] bytes.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealway_api::ObjectKey;
use sealway_issuer::{Command, Outlook};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

mod message;
#[cfg(test)]
mod tests;

pub(crate) use message::{Answer, Asked, Outcome, Question, Refused};

/// Why there is no socket. The gateway runs without it.
#[derive(Debug, Error)]
pub(crate) enum BindFault {
    /// Something that is no socket has the name.
    #[error("{} is in the way and is no socket: move it away, or choose another directory with --state-dir", .0.display())]
    Occupied(PathBuf),
    /// Another process answers there.
    #[error("another sealway answers at {}: end it, or choose another directory with --state-dir", .0.display())]
    Answered(PathBuf),
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
}

/// An open control socket. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// Which file is ours: another process may have put its own there.
    inode: Option<u64>,
}

impl Drop for Control {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            // Whoever comes next removes a socket that nobody answers.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Control {
    /// Opens the socket in a state directory that this process has locked and that is closed to other users. One that nobody answers is
    /// replaced.
    pub(crate) fn bind(state_directory: &Path) -> Result<Self, BindFault> {
        let path = state_directory.join(SOCKET);
        let unusable = |error| BindFault::Unusable {
            path: path.clone(),
            error,
        };
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error)),
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(BindFault::Occupied(path)),
            Ok(_) => {
                if std::os::unix::net::UnixStream::connect(&path).is_ok() {
                    return Err(BindFault::Answered(path));
                }
                std::fs::remove_file(&path).map_err(unusable)?;
            }
        }
        let listener = UnixListener::bind(&path).map_err(unusable)?;
        // Nobody else gets into the directory in between.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(unusable)?;
        let inode = inode(&path);
        Ok(Self { listener, path, inode })
    }

    /// Serves until dropped.
    pub(crate) async fn serve(self, commands: mpsc::Sender<Command>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let commands = commands.clone();
                    tokio::spawn(async move {
                        if let Err(error) = connection(stream, &commands).await {
                            tracing::debug!(%error, "control connection ended");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket cannot accept");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

/// Opens the socket in a state directory once the issuer has it, and serves it.
pub(crate) async fn run(state_directory: PathBuf, mut outlook: watch::Receiver<Arc<Outlook>>, commands: mpsc::Sender<Command>) {
    // The first step of a worker is the first generation: from then on the directory is locked by this process.
    if outlook.wait_for(|outlook| outlook.generation > 0).await.is_err() {
        return;
    }
    match Control::bind(&state_directory) {
        Ok(control) => control.serve(commands).await,
        Err(fault) => {
            tracing::warn!("`sealway certs renew` and `revoke` cannot reach this process: {fault}");
            std::future::pending().await
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

async fn connection(stream: UnixStream, commands: &mpsc::Sender<Command>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    if !may_ask(peer, rustix::process::geteuid().as_raw()) {
        tracing::warn!(user = peer, "control socket: another user was turned away");
        let answer = Answer::refused(Refused::other_user()).line();
        return timeout(LINE_DEADLINE, write.write_all(answer.as_bytes())).await?;
    }
    let mut line = String::new();
    let mut limited = BufReader::new(read.take(LONGEST_LINE));
    timeout(LINE_DEADLINE, limited.read_line(&mut line)).await??;
    let answer = match Question::read(&line) {
        Err(refused) => Answer::refused(refused),
        Ok(asked) => timeout(DEADLINE, answer(asked, commands))
            .await
            .unwrap_or_else(|_| Answer::refused(Refused::busy())),
    };
    timeout(LINE_DEADLINE, write.write_all(answer.line().as_bytes())).await??;
    write.shutdown().await
}

/// The directory lets no other user in; this holds even if somebody has opened it.
fn may_ask(peer: u32, own: u32) -> bool {
    peer == own
}

async fn answer(asked: Asked, commands: &mpsc::Sender<Command>) -> Answer {
    match asked {
        Asked::Renew { namespace, name } => {
            let (reply, answered) = oneshot::channel();
            let certificate = ObjectKey::new(namespace, name);
            tracing::info!(%certificate, "renewal asked for");
            if commands.send(Command::Renew { certificate, reply }).await.is_err() {
                return Answer::refused(Refused::gone());
            }
            answered
                .await
                .map_or_else(|_| Answer::refused(Refused::gone()), |done| Answer::renewed(&done))
        }
        Asked::Revoke { serial, reason } => {
            let (reply, answered) = oneshot::channel();
            tracing::info!(serial, reason, "revocation asked for");
            if commands.send(Command::Revoke { serial, reason, reply }).await.is_err() {
                return Answer::refused(Refused::gone());
            }
            answered
                .await
                .map_or_else(|_| Answer::refused(Refused::gone()), |done| Answer::revoked(&done))
        }
    }
}

/// Asks the gateway that runs on a state directory; `None` when none does.
pub(crate) async fn ask(state_directory: &Path, asked: Asked) -> io::Result<Option<Answer>> {
    let mut stream = match UnixStream::connect(state_directory.join(SOCKET)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.write_all(Question::new(asked).line().as_bytes()).await?;
    let mut line = String::new();
    let mut limited = BufReader::new(stream.take(LONGEST_LINE));
    timeout(PATIENCE, limited.read_line(&mut line)).await??;
    serde_json::from_str(&line).map(Some).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the gateway's answer cannot be read: does another version run?",
        )
    })
}

/// In the state directory.
const SOCKET: &str = "control";
/// Both ways, in bytes: room for names, serial numbers and a sentence.
const LONGEST_LINE: u64 = 16 * 1024;
const CONNECTIONS_MAX: usize = 16;
/// For a line to come or go.
const LINE_DEADLINE: Duration = Duration::from_secs(5);
/// For the worker: large RSA keys take their time.
const DEADLINE: Duration = Duration::from_secs(60);
/// The other side says so when its own deadline is over.
const PATIENCE: Duration = Duration::from_secs(75);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
