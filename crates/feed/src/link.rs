//! One end of a connection: frames that come are read beside, and what is sent has a deadline.

use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use zeroize::Zeroize as _;

use crate::frame::{self, FrameFault, Payload};
use crate::message;

/// Each end says something at least that often.
pub(crate) const PING: Duration = Duration::from_secs(3);
/// Who says nothing for so long is silent: three pings are lost.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);
/// Frames that are read ahead.
const AHEAD: usize = 8;

/// Bytes that are sent at once.
const BUFFER: usize = 1 << 16;

/// A connection.
pub(crate) struct Connection<S> {
    frames: mpsc::Receiver<Result<Payload, FrameFault>>,
    writer: WriteHalf<S>,
    /// Frames that have not left yet. It never grows: that would leave copies of keys behind.
    buffer: Payload,
    reader: JoinHandle<()>,
    heard: Instant,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection<S> {
    /// Begins to read frames, no more than `most` within three seconds, where 4 KiB count as one more: who sends more is read later.
    pub(crate) fn new(stream: S, most: u32) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let (sender, frames) = mpsc::channel(AHEAD);
        Self {
            frames,
            writer,
            buffer: Payload::new(Vec::with_capacity(BUFFER)),
            reader: tokio::spawn(pump(reader, most, sender)),
            heard: Instant::now(),
        }
    }

    /// The next frame. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Payload, FrameFault> {
        let frame = self.frames.recv().await.unwrap_or(Err(FrameFault::Ended))?;
        self.heard = Instant::now();
        Ok(frame)
    }

    /// When the other end is silent, unless something comes before; `None` while something has come.
    pub(crate) fn silent_at(&self) -> Option<Instant> {
        self.frames.is_empty().then(|| self.heard + SILENCE)
    }

    /// Sends a frame with the ones after it; [`Self::say`] sees that all leave.
    pub(crate) async fn put(&mut self, payload: &[u8]) -> Result<(), FrameFault> {
        let length = frame::length(payload)?;
        if self.buffer.len() + length.len() + payload.len() > BUFFER {
            self.flush().await?;
        }
        if length.len() + payload.len() > BUFFER {
            frame::write(&mut self.writer, &length).await?;
            return frame::write(&mut self.writer, payload).await;
        }
        self.buffer.extend_from_slice(&length);
        self.buffer.extend_from_slice(payload);
        Ok(())
    }

    /// Sends a message and everything before it.
    pub(crate) async fn say(&mut self, message: &impl Serialize) -> Result<(), FrameFault> {
        self.put(&message::encode(message)).await?;
        self.flush().await
    }

    /// Sees that everything leaves.
    pub(crate) async fn flush(&mut self) -> Result<(), FrameFault> {
        if !self.buffer.is_empty() {
            frame::write(&mut self.writer, &self.buffer).await?;
            self.buffer.zeroize();
        }
        Ok(())
    }

    /// Ends it in good order, as far as the other end lets that be done.
    pub(crate) async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.writer.shutdown()).await;
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn pump<S: AsyncRead>(mut reader: ReadHalf<S>, most: u32, sender: mpsc::Sender<Result<Payload, FrameFault>>) {
    let mut until = Instant::now() + PING;
    let mut count = 0_u32;
    loop {
        let frame = frame::read(&mut reader, frame::LONGEST).await;
        if Instant::now() >= until {
            until = Instant::now() + PING;
            count = 0;
        }
        let size = frame.as_ref().map_or(0, |payload| payload.len());
        count = u32::try_from(size / 4096)
            .unwrap_or(u32::MAX)
            .saturating_add(count)
            .saturating_add(1);
        if count > most {
            sleep_until(until).await;
        }
        let is_over = frame.is_err();
        if sender.send(frame).await.is_err() || is_over {
            return;
        }
    }
}

/// Comes at that time, or never.
pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Ticks every three seconds, from now.
pub(crate) fn pings() -> Interval {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}
