//! Whose the state directory is: one user's, one process's.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::fault::{OpenFault, unusable};
use super::file;

const LOCK: &str = "lock";

/// Makes the directory if need be and closes it to other users. Returns its path without links, and the mode that it had when others
/// could read what was in it.
pub(super) fn prepare(directory: &Path) -> Result<(PathBuf, Option<u32>), OpenFault> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(unusable(directory))?;
    let path = directory.canonicalize().map_err(unusable(directory))?;
    // Each time: one that was made just before a crash may not be on the disk yet.
    if let Some(parent) = path.parent() {
        // One that we may not open is not ours to bring to the disk.
        let _ = file::sync(parent);
    }
    let metadata = fs::metadata(&path).map_err(unusable(&path))?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(OpenFault::Owner {
            directory: path,
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok((path, None));
    }
    // `--state-dir /tmp` is a mistake, and closing /tmp to everybody would be a worse one.
    let is_ours = path.join(LOCK).symlink_metadata().is_ok_and(|lock| lock.is_file()) && mode & 0o1000 == 0;
    let is_empty = fs::read_dir(&path).map_err(unusable(&path))?.next().is_none();
    if !is_ours && !is_empty {
        return Err(OpenFault::Shared { directory: path, mode });
    }
    fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(unusable(&path))?;
    Ok((path, is_ours.then_some(mode)))
}

/// The lock of a state directory, taken. It ends with this value, or with the process.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a child of ours that is just being started has it too, for a moment.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock, or says who has it.
pub(super) fn lock(directory: &Path) -> Result<Lock, OpenFault> {
    let path = directory.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // A link would have us write into somebody else's file.
        .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
        .open(&path)
        .map_err(unusable(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message: a lock without a number is a lock too.
            let _ = file.take(32).read_to_string(&mut holder);
            return Err(OpenFault::Locked {
                directory: directory.to_owned(),
                process: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(unusable(&path))?;
    Ok(Lock(file))
}
