//! The binary as a process: run to its end, or kept running and asked.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sealway_testkit::wait_until;
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The binary with these arguments, and nothing of the tests' environment that it would heed.
pub(crate) fn sealway<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealway"));
    let heeded = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("SEALWAY_") || ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"].contains(&&*name)
    });
    for name in heeded {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a finished process left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }
}

/// Runs to the end, with `input` on standard input.
pub(crate) fn finish(mut command: Command, input: &str) -> Finished {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    // It may end without reading.
    let _ = child.stdin.take().expect("standard input").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("ended");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// `sealway run`, logging JSON, its admin API on a port of the system's choice. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    pub(crate) admin: SocketAddr,
}

impl Running {
    /// Starts and waits until it is ready.
    pub(crate) async fn ready<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Self {
        let running = Self::start(arguments).await;
        running
            .until("ready", || running.get("/readyz").starts_with("HTTP/1.1 200"))
            .await;
        running
    }

    /// Starts and waits for the admin address only.
    pub(crate) async fn start<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Self {
        let mut command = sealway(["run", "--log-format", "json", "--admin", "127.0.0.1:0"]);
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().expect("started");
        let stderr = BufReader::new(child.stderr.take().expect("standard error"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().expect("log").push(line);
            }
        });
        let mut running = Self {
            child,
            log,
            admin: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        running.until("admin address", || running.logged("admin API").is_some()).await;
        let line = running.logged("admin API").expect("just seen");
        running.admin = line["address"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .expect("address");
        running
    }

    /// The first log line with this message.
    pub(crate) fn logged(&self, message: &str) -> Option<Value> {
        self.log().into_iter().find(|line| line["message"] == message)
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().expect("log").clone()
    }

    /// `GET` from the admin address, or from another: status line, headers and body; empty when there is no answer.
    pub(crate) fn get(&self, path: &str) -> String {
        get(self.admin, path)
    }

    /// The body of an answer as JSON; null when there is none.
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// Waits until something holds, or fails with the log.
    pub(crate) async fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(wait_until(DEADLINE, condition).await, "never {what}; log: {:#?}", self.log());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalled");
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        let ended = wait_until(DEADLINE, || {
            status = child.try_wait().expect("waited");
            status.is_some()
        });
        assert!(ended.await, "never ended; log: {:#?}", self.log());
        status.expect("ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `GET` over plain HTTP; empty when there is no answer.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let _ = stream.set_read_timeout(Some(DEADLINE));
        let _ = stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_end(&mut answer).map(drop));
    }
    // A revocation list is no text.
    String::from_utf8_lossy(&answer).into_owned()
}
