//! One file, written whole or not at all.
//!
//! A new file is written under another name in the same directory, brought to the disk, renamed, and then the directory is brought to
//! the disk. Whatever happens in between, a reader finds the old bytes or the new ones.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::fault::{OpenFault, WriteFault, unusable};

const BEFORE_PARTIAL: &str = ".";
const AFTER_PARTIAL: &str = ".partial";
const DAMAGED: &str = ".damaged-";

/// Where writing may be cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// The directory of a namespace is there, perhaps not yet on the disk.
    Folder,
    /// The new file is there, empty.
    Created,
    /// Its bytes are written, perhaps not yet on the disk.
    Written,
    /// They are on the disk.
    Synced,
    /// The new file has its name, perhaps not yet on the disk; or the old one is gone.
    Renamed,
}

/// The state directory, as a place to write to.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    #[cfg(test)]
    pub(super) trouble: std::sync::Mutex<Option<Trouble>>,
}

/// For tests: what goes wrong, and when.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// The process dies when this many points have been passed.
    Crash { after: usize },
    /// Each time this point is reached, the system says this.
    Error { at: Point, kind: io::ErrorKind },
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            #[cfg(test)]
            trouble: std::sync::Mutex::new(None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `file`, or replaces it.
    pub(super) fn replace(&self, file: &Path, bytes: &[u8]) -> Result<(), WriteFault> {
        let target = self.path.join(file);
        let partial = partial(&target);
        self.try_replace(&target, &partial, bytes).map_err(|error| {
            if !is_crash(&error) {
                // It is in nobody's way if it stays: the next write or start removes it.
                let _ = fs::remove_file(&partial);
            }
            WriteFault::from_io(&target, error)
        })
    }

    fn try_replace(&self, target: &Path, partial: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.path);
        self.make_folder(folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = match options.open(partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(partial)?;
                options.open(partial)?
            }
            opened => opened?,
        };
        self.reached(Point::Created)?;
        file.write_all(bytes)?;
        self.reached(Point::Written)?;
        file.sync_all()?;
        self.reached(Point::Synced)?;
        fs::rename(partial, target)?;
        self.reached(Point::Renamed)?;
        sync(folder)
    }

    /// Removes `file`, if it is there.
    pub(super) fn remove(&self, file: &Path) -> Result<(), WriteFault> {
        let target = self.path.join(file);
        let removed = match fs::remove_file(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed,
        };
        removed
            .and_then(|()| self.reached(Point::Renamed))
            .and_then(|()| sync(target.parent().unwrap_or(&self.path)))
            .map_err(|error| WriteFault::from_io(&target, error))
    }

    /// Gives a file another name that nothing has; says which.
    pub(super) fn set_aside(&self, file: &Path) -> Result<PathBuf, OpenFault> {
        let target = self.path.join(file);
        let name = |number: u32| {
            let mut name = target.clone().into_os_string();
            name.push(format!("{DAMAGED}{number}"));
            PathBuf::from(name)
        };
        let free = (1..=u32::MAX)
            .map(name)
            .find(|name| name.symlink_metadata().is_err())
            .unwrap_or_else(|| name(0));
        fs::rename(&target, &free)
            .and_then(|()| sync(target.parent().unwrap_or(&self.path)))
            .map_err(unusable(&target))?;
        Ok(free)
    }

    /// Makes the directory of a namespace, and the one above; never the state directory, which is somebody's mistake when it is gone.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let Ok(below) = folder.strip_prefix(&self.path) else {
            return Ok(());
        };
        let mut path = self.path.clone();
        for part in below {
            let parent = path.clone();
            path.push(part);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    self.reached(Point::Folder)?;
                    sync(&parent)?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "in tests it stops here")]
    fn reached(&self, _point: Point) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn reached(&self, point: Point) -> io::Result<()> {
        let mut trouble = self.trouble.lock().expect("not poisoned");
        match &mut *trouble {
            Some(Trouble::Crash { after: 0 }) => Err(io::Error::other(CRASH)),
            Some(Trouble::Crash { after }) => {
                *after -= 1;
                Ok(())
            }
            Some(Trouble::Error { at, kind }) if *at == point => Err(io::Error::from(*kind)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
const CRASH: &str = "the process died here";

#[cfg(test)]
fn is_crash(error: &io::Error) -> bool {
    error.to_string() == CRASH
}

#[cfg(not(test))]
fn is_crash(_error: &io::Error) -> bool {
    false
}

/// The name under which a file is written: hidden, so that it is nothing's name.
fn partial(target: &Path) -> PathBuf {
    let mut name = BEFORE_PARTIAL.to_owned();
    name.push_str(&target.file_name().unwrap_or_default().to_string_lossy());
    name.push_str(AFTER_PARTIAL);
    target.with_file_name(name)
}

/// Whether a file of this name was being written when its process died.
pub(super) fn is_leftover(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(BEFORE_PARTIAL) && name.ends_with(AFTER_PARTIAL))
}

/// The name that a file had before it was set aside; `None` when it was not.
pub(super) fn before_damage(file: &Path) -> Option<PathBuf> {
    let (before, number) = file.to_str()?.rsplit_once(DAMAGED)?;
    number.parse::<u32>().ok()?;
    Some(PathBuf::from(before))
}

/// Brings a directory's names to the disk.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
