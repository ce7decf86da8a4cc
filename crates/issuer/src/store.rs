//! The state directory: keeps what was made, and gives it back after a restart.
//!
//! Input: one [`Change`] after the other. Output: [`Issued`], as of the last change that was reported as kept. One file for each Secret
//! (`secrets/NAMESPACE/NAME.json`), Certificate (`attempts/NAMESPACE/NAME.json`) and CA (`authorities/ID.json`). Invariant: wherever the
//! process or the machine stops, each file is the old one or the new one, whole; what cannot be read is set aside and never deleted.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use self::directory::Lock;
use self::fault::unusable;
use self::file::Directory;
use self::place::Place;
use crate::issued::{Attempt, Change, Issued};

pub use self::fault::{Damage, OpenFault, Unreadable, WriteFault};
pub(crate) use self::place::is_object_name;

#[cfg(test)]
mod crashes;
mod directory;
mod fault;
mod file;
mod format;
mod place;
#[cfg(test)]
mod tests;

/// The most that one file may hold, in bytes: a CA remembers about 300,000 certificates in that.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// An open state directory. No other process has it open.
#[derive(Debug)]
pub struct Store {
    directory: Directory,
    /// Held for as long as the store is open.
    _lock: Lock,
}

impl Store {
    /// Opens `directory`, made if it is not there, and reads everything. Leftovers of a crash are removed; files that cannot be read are
    /// set aside as `NAME.json.damaged-N` and reported, at every start for as long as they lie there.
    ///
    /// # Errors
    /// When the directory is another process's, another user's, of a newer version, or cannot be used. Nothing in it was changed then.
    pub fn open(directory: &Path) -> Result<(Self, Issued, Vec<Damage>), OpenFault> {
        let (path, widest) = directory::prepare(directory)?;
        let lock = directory::lock(&path)?;
        let mut damage: Vec<Damage> = widest
            .map(|mode| Damage::WasOpen {
                directory: path.clone(),
                mode,
            })
            .into_iter()
            .collect();

        let found = find(&path)?;
        // Everything is read before anything is touched: who starts an older version by mistake must be able to go back.
        let mut issued = Issued::default();
        let mut unreadable = Vec::new();
        for (place, file) in found.files {
            match read(&path.join(&file), &place)? {
                Ok(change) => issued.apply(change),
                Err(Unreadable::Newer { version }) => {
                    return Err(OpenFault::Newer {
                        file: path.join(file),
                        version,
                    });
                }
                Err(reason) => unreadable.push((place, file, reason)),
            }
        }

        for file in found.leftovers {
            let file = path.join(file);
            fs::remove_file(&file).map_err(unusable(&file))?;
        }
        let mut aside: BTreeSet<Place> = BTreeSet::new();
        for (place, file) in found.aside {
            damage.push(Damage::StillAside {
                object: place.object(),
                is_replaced: place.is_in(&issued),
                kept_as: path.join(file),
            });
            aside.insert(place);
        }
        let directory = Directory::new(path);
        for (place, file, reason) in unreadable {
            let kept_as = directory.set_aside(&file)?;
            damage.push(Damage::SetAside {
                object: place.object(),
                kept_as,
                reason,
            });
            aside.insert(place);
        }
        for place in aside {
            if let Place::Secret(key) = place
                && !issued.secrets.contains_key(&key)
            {
                issued.damaged.insert(key);
            }
        }
        let store = Self { directory, _lock: lock };
        Ok((store, issued, damage))
    }

    /// Reads `directory` without the lock and without changing anything, while another process may be at work in it: each file is the old
    /// one or the new one, whole, but they need not be of one moment. What cannot be read is passed over; of Secrets it is told as
    /// [`Issued::damaged`]. A directory that is not there holds nothing.
    ///
    /// # Errors
    /// When it is of a newer version, or cannot be read.
    pub fn peek(directory: &Path) -> Result<Issued, OpenFault> {
        let mut issued = Issued::default();
        let found = find(directory)?;
        let mut unreadable: Vec<Place> = found.aside.into_iter().map(|(place, _)| place).collect();
        for (place, file) in found.files {
            match read(&directory.join(&file), &place) {
                Ok(Ok(change)) => issued.apply(change),
                Ok(Err(Unreadable::Newer { version })) => {
                    return Err(OpenFault::Newer {
                        file: directory.join(file),
                        version,
                    });
                }
                Ok(Err(_)) => unreadable.push(place),
                // Removed since its name was read.
                Err(OpenFault::Unusable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        for place in unreadable {
            if let Place::Secret(key) = place
                && !issued.secrets.contains_key(&key)
            {
                issued.damaged.insert(key);
            }
        }
        Ok(issued)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// From now on, or no longer: the system says this instead of writing.
    #[cfg(test)]
    pub(crate) fn fail(&self, kind: Option<io::ErrorKind>) {
        let at = file::Point::Written;
        self.directory.set_trouble(kind.map(|kind| file::Trouble::Error { at, kind }));
    }

    /// The process dies when so many points have been passed: no write comes to its end from then on.
    #[cfg(test)]
    pub(crate) fn crash(&self, after: usize) {
        self.directory.set_trouble(Some(file::Trouble::Crash { after }));
    }

    /// Whether it has come to that.
    #[cfg(test)]
    pub(crate) fn has_crashed(&self) -> bool {
        self.directory.has_crashed()
    }

    /// Whether a change has a name under which it can be kept.
    ///
    /// # Errors
    /// When it has not.
    pub fn check(&self, change: &Change) -> Result<(), WriteFault> {
        Place::of_change(change).file().map(|_| ())
    }

    /// Keeps one change. When this returns, it outlives a crash of the process and of the machine.
    ///
    /// # Errors
    /// When it could not be kept: what was kept before is still there, whole.
    pub fn write(&self, change: &Change) -> Result<(), WriteFault> {
        let bytes = match change {
            Change::Secret(_, secret) => Some(format::secret(secret)),
            Change::Attempt(_, attempt) if **attempt == Attempt::default() => None,
            Change::Attempt(key, attempt) => Some(format::attempt(key, attempt)),
            Change::Authority(_, authority) => Some(format::authority(authority)),
            Change::AuthorityGone(_) => None,
        };
        let file = Place::of_change(change).file()?;
        match bytes {
            Some(bytes) => self.directory.replace(&file, bytes.expose()),
            None => self.directory.remove(&file),
        }
    }
}

/// Files of a state directory, relative to it.
#[derive(Default)]
struct Found {
    files: Vec<(Place, PathBuf)>,
    /// Set aside at an earlier start.
    aside: Vec<(Place, PathBuf)>,
    /// Half-written by a process that died.
    leftovers: Vec<PathBuf>,
}

/// Looks at names only. What is not ours is left alone.
fn find(path: &Path) -> Result<Found, OpenFault> {
    let mut found = Found::default();
    let mut folders = vec![PathBuf::from(place::AUTHORITIES)];
    for parent in [place::SECRETS, place::ATTEMPTS] {
        for name in names(&path.join(parent))? {
            let folder = Path::new(parent).join(name);
            if path.join(&folder).is_dir() {
                folders.push(folder);
            }
        }
    }
    for folder in folders {
        for name in names(&path.join(&folder))? {
            let file = folder.join(&name);
            if file::is_leftover(&name) {
                found.leftovers.push(file);
            } else if let Some(place) = Place::of(&file) {
                found.files.push((place, file));
            } else if let Some(place) = file::before_damage(&file).and_then(|before| Place::of(&before)) {
                found.aside.push((place, file));
            }
        }
    }
    Ok(found)
}

/// Names in a directory, sorted; none when it is not there.
fn names(directory: &Path) -> Result<Vec<OsString>, OpenFault> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(directory)(error)),
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable(directory))?;
    names.sort();
    Ok(names)
}

/// What a file says. Bytes that are wrong are damage; a file that may not be read is a fault of the whole directory, for the operator
/// to mend: were it set aside, it would be missing once it is mended.
fn read(path: &Path, place: &Place) -> Result<Result<Change, Unreadable>, OpenFault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > MOST_BYTES => Ok(Err(Unreadable::TooLong)),
        Ok(_) => Ok(format::read(place, &bytes)),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Err(Unreadable::NoFile)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(Err(Unreadable::Disk)),
        Err(error) => Err(unusable(path)(error)),
    }
}
