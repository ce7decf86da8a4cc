//! The last good snapshot in a file, keys included, so that a proxy that starts anew serves without a controller.
//!
//! The directory is a tmpfs in production: it goes with the pod. The file is a line that says its format, the frames that would have come
//! over the feed, and a SHA-256 of all of it. It is 0600, and there is always an old one or a new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::client::{Building, State};
use crate::frame::{self, Frame, FrameFault, Payload};

/// Why the last good snapshot is not there, or cannot be kept. The proxy waits for its controller then.
#[derive(Debug, Error)]
pub enum KeptFault {
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Another version wrote it, or another program.
    #[error("{}: not a file of this version; it is written anew once the controller is heard", .0.display())]
    Format(PathBuf),
    /// It is not as it was written.
    #[error("{}: damaged; it is written anew once the controller is heard", .0.display())]
    Damaged(PathBuf),
    /// Its parts make no snapshot.
    #[error("{}: {detail}; it is written anew once the controller is heard", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

const NAME: &str = "last-good";
const FORMAT: &[u8] = b"sealway-feed 1\n";
/// Bytes of the file: beyond all that a proxy has memory for.
const LARGEST: u64 = 1 << 30;
const DIGEST: usize = 32;

/// What the file of a directory holds; `None`: there is none.
pub(crate) fn load(directory: &Path) -> Result<Option<State>, KeptFault> {
    let path = directory.join(NAME);
    let unusable = |error| KeptFault::Unusable {
        path: path.clone(),
        error,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    let size = file.metadata().map_err(unusable)?.len();
    if size > LARGEST {
        return Err(KeptFault::Format(path));
    }
    // At once as large as it gets: a buffer that grows leaves copies of keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    file.take(size).read_to_end(&mut bytes).map_err(unusable)?;
    let Some(frames) = bytes.strip_prefix(FORMAT) else {
        return Err(KeptFault::Format(path));
    };
    let content = bytes.len().checked_sub(DIGEST).and_then(|end| bytes.split_at_checked(end));
    let frames = match (content, frames.len().checked_sub(DIGEST)) {
        (Some((content, digest)), Some(end)) if checksum(content).as_ref() == digest => frames.get(..end).unwrap_or_default(),
        _ => return Err(KeptFault::Damaged(path)),
    };
    match read(frames) {
        Ok(state) => Ok(Some(state)),
        Err(detail) => Err(KeptFault::Unfit { path, detail }),
    }
}

fn read(mut frames: &[u8]) -> Result<State, String> {
    let mut building = Building::default();
    while let Some((length, rest)) = frames.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (payload, rest) = rest.split_at_checked(length).ok_or("a frame is cut")?;
        let frame = Frame::parse(payload).map_err(|fault| fault.to_string())?;
        building.take(frame).map_err(|fault| fault.to_string())?;
        frames = rest;
    }
    State::default().follow(building).map_err(|unfit| unfit.to_string())
}

/// Writes what a proxy has into the file of a directory.
pub(crate) fn store(directory: &Path, state: &State) -> Result<(), KeptFault> {
    let path = directory.join(NAME);
    let temporary = directory.join(format!(".{NAME}.{}", std::process::id()));
    let written = write(&temporary, state).and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|error| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        KeptFault::Unusable { path, error }
    })
}

fn write(path: &Path, state: &State) -> io::Result<()> {
    // What a process of the same number left behind when it was killed.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut writer = Writer {
        file,
        buffer: Payload::new(Vec::with_capacity(BUFFER)),
        context: digest::Context::new(&digest::SHA256),
    };
    writer.put(FORMAT)?;
    for (key, bytes) in state.assembly.parts() {
        for payload in frame::part(key, bytes) {
            writer.frame(&payload)?;
        }
    }
    for (content, key) in &state.keys.0 {
        let encoded = key.encode();
        for payload in frame::key(content, &encoded) {
            writer.frame(&payload)?;
        }
    }
    writer.end()
}

const BUFFER: usize = 1 << 16;

struct Writer {
    file: File,
    buffer: Payload,
    context: digest::Context,
}

impl Writer {
    fn frame(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = frame::length(payload).map_err(|fault: FrameFault| io::Error::other(fault.to_string()))?;
        self.put(&length)?;
        self.put(payload)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.context.update(bytes);
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() > BUFFER {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        zeroize::Zeroize::zeroize(&mut *self.buffer);
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        self.flush()?;
        let digest = self.context.finish();
        self.file.write_all(digest.as_ref())?;
        self.file.sync_all()
    }
}

fn checksum(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}
