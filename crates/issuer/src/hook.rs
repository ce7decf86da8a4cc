//! `--on-renew CMD`: tells other programs that their certificate is another one now.
//!
//! Input: [`Switch`]es, after the files are switched. Output: one run of the command for each, by `/bin/sh`, one after the other, and a
//! log line for each that fails. Invariant: issuing never waits for it, and no byte of a key goes through it.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sealway_api::{ObjectKey, ObjectRef};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;

#[cfg(test)]
mod tests;

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Switches that may wait for their turn.
const QUEUE: usize = 1024;
/// How much of the end of standard error is kept, in bytes: enough for its last line.
const TAIL: usize = 1024;
/// How long standard error is read on when the command has ended, for what it wrote last: something that it left running may hold the
/// other end.
const LINGER: Duration = Duration::from_millis(100);

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The Secret or ConfigMap.
    pub object: ObjectRef,
    /// The Certificate that it is of; `None` for what Bundles write.
    pub certificate: Option<ObjectKey>,
    /// Serial number of its first certificate, as in [`crate::Issuance::serial`]; empty for what Bundles write.
    pub serial: String,
    /// Where its files are, when they are exported.
    pub directory: Option<PathBuf>,
}

/// Where to say so.
#[derive(Clone, Debug)]
pub struct Hook {
    queue: mpsc::Sender<Switch>,
}

/// The other end: who runs the command.
#[derive(Debug)]
pub struct HookRunner {
    command: String,
    queue: mpsc::Receiver<Switch>,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HookFault {
    /// There is no shell.
    #[error("/bin/sh: {0}")]
    NotStarted(io::Error),
    /// It says so itself.
    #[error("{status}: {last_line}")]
    Failed {
        /// What it ended with.
        status: ExitStatus,
        /// The last line of its standard error.
        last_line: String,
    },
    /// It was ended, with everything that it had started.
    #[error("not done after {} seconds: {last_line}", limit.as_secs())]
    TooSlow {
        /// How long it had.
        limit: Duration,
        /// The last line of its standard error.
        last_line: String,
    },
}

impl Hook {
    /// A hook that runs `command`, once [`HookRunner::run`] does.
    #[must_use]
    pub fn new(command: String) -> (Self, HookRunner) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self { queue: sender }, HookRunner { command, queue })
    }

    /// Has the command run in its turn; never waits. When too many wait, this one is left out and logged.
    pub fn tell(&self, switch: Switch) {
        if let Err(mpsc::error::TrySendError::Full(switch) | mpsc::error::TrySendError::Closed(switch)) =
            self.queue.try_send(switch)
        {
            tracing::warn!(object = %switch.object, "the --on-renew command is not run for this change: too many wait already");
        }
    }
}

impl HookRunner {
    /// What waits, without running it.
    #[cfg(test)]
    pub(crate) fn try_next(&mut self) -> Option<Switch> {
        self.queue.try_recv().ok()
    }

    /// Runs the command for each switch, until no [`Hook`] is left.
    pub async fn run(mut self) {
        while let Some(switch) = self.queue.recv().await {
            // Of a Bundle there is none.
            let serial = Some(switch.serial.as_str()).filter(|serial| !serial.is_empty());
            match run_once(&self.command, &switch, LIMIT).await {
                Ok(()) => tracing::info!(object = %switch.object, serial, "the --on-renew command has run"),
                Err(fault) => {
                    tracing::warn!(object = %switch.object, serial, %fault, "the --on-renew command failed");
                }
            }
        }
    }
}

async fn run_once(command: &str, switch: &Switch, limit: Duration) -> Result<(), HookFault> {
    let certificate = switch.certificate.as_ref().map(|key| key.name.as_str());
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("SEALWAY_KIND", switch.object.kind.as_str())
        .env("SEALWAY_NAMESPACE", &switch.object.key.namespace)
        .env("SEALWAY_NAME", &switch.object.key.name)
        .env("SEALWAY_CERTIFICATE", certificate.unwrap_or_default())
        .env("SEALWAY_SERIAL", &switch.serial)
        .env("SEALWAY_DIRECTORY", switch.directory.clone().unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(HookFault::NotStarted)?;
    let mut complaint = Complaint {
        pipe: child.stderr.take(),
        tail: Vec::new(),
    };
    let Ok(ended) = tokio::time::timeout(limit, end(&mut child, &mut complaint)).await else {
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // All that may fail is that it has just ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait().await;
        let last_line = complaint.last_line().await;
        return Err(HookFault::TooSlow { limit, last_line });
    };
    let status = ended.map_err(HookFault::NotStarted)?;
    if status.success() {
        return Ok(());
    }
    let last_line = complaint.last_line().await;
    Err(HookFault::Failed { status, last_line })
}

/// Reads on while it runs: a full pipe would stop it.
async fn end(child: &mut Child, complaint: &mut Complaint) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            () = complaint.read(), if complaint.pipe.is_some() => {}
        }
    }
}

/// The end of what a command writes to standard error.
struct Complaint {
    pipe: Option<ChildStderr>,
    tail: Vec<u8>,
}

impl Complaint {
    /// Reads some more. `pipe` is `None` once there is no more.
    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else {
            return;
        };
        let mut bytes = [0; TAIL];
        let count = pipe.read(&mut bytes).await.unwrap_or(0);
        if count == 0 {
            self.pipe = None;
        }
        self.tail.extend(bytes.iter().take(count));
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    async fn last_line(mut self) -> String {
        let rest = async {
            while self.pipe.is_some() {
                self.read().await;
            }
        };
        let _ = tokio::time::timeout(LINGER, rest).await;
        let text = String::from_utf8_lossy(&self.tail);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.unwrap_or("it said nothing")
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect()
    }
}
