//! A backend that writes down what reaches it, and answers each request with the request's own target.
//!
//! A connection on which something ambiguous has come is closed: nobody knows what would follow.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sealway_testkit::LOOPBACK;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::strict::{self, Head, Reading};

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Heads of requests, bodies complete or not.
    pub(super) requests: Vec<Head>,
    /// Why bytes were ambiguous, and the bytes.
    pub(super) ambiguous: Vec<String>,
}

/// The running backend; it ends when dropped.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Where it listens.
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts one.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(LOOPBACK).await?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let seen = Arc::clone(&seen);
                    // Its end, whatever it is, is the gateway's business.
                    tokio::spawn(async move { serve(stream, &seen).await });
                }
            }
        });
        Ok(Self { address, seen, task })
    }

    /// What has come since the last call.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let record = |write: &mut dyn FnMut(&mut Seen)| write(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    let ambiguous = |reason: &str, bytes: &[u8]| {
        let shown = &bytes[..bytes.len().min(SHOWN)];
        record(&mut |seen| seen.ambiguous.push(format!("{reason}: `{}`", shown.escape_ascii())));
        Ok(())
    };
    loop {
        let head = loop {
            match strict::head(&bytes) {
                Reading::Complete(head) => break head,
                Reading::Ambiguous(reason) => return ambiguous(&reason, &bytes),
                Reading::Incomplete => {}
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        record(&mut |seen| seen.requests.push(head.clone()));
        let is_early = head.target.contains(EARLY);
        if is_early {
            stream.write_all(&answer(&head)).await?;
        } else if head.field("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length = loop {
            match strict::body(&head, &bytes[head.length..]) {
                Reading::Complete(length) => break length,
                Reading::Ambiguous(reason) => return ambiguous(&reason, &bytes),
                Reading::Incomplete => {}
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        bytes.drain(..head.length + length);
        if !is_early {
            stream.write_all(&answer(&head)).await?;
        }
        if head
            .field("connection")
            .is_some_and(|options| options.eq_ignore_ascii_case("close"))
        {
            return stream.shutdown().await;
        }
    }
}

fn answer(head: &Head) -> Vec<u8> {
    let body = if head.method == "HEAD" { "" } else { &head.target };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", head.target.len()).into_bytes()
}

/// In a target: the answer comes before the body has.
const EARLY: &str = "early";
/// Bytes of an ambiguous request that failures show.
const SHOWN: usize = 400;
