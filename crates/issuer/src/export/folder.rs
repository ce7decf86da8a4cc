//! The files of one object: generations, and the links that lead to the one in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use sealway_api::Timestamp;

use super::{ExportFault, Readers, disk, is_directory, make};

/// Leads to the generation in force.
const DATA: &str = "..data";
/// Becomes [`DATA`].
const NEXT: &str = "..data_next";
/// What the names of generations begin with; nothing else does.
const GENERATION: &str = "..sealway-";

/// The directory of one object.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether we have written to it.
    pub(super) fn is_ours(&self) -> bool {
        self.generation().is_some()
    }

    /// Brings the files to these; whether that changed any, and what kept us from clearing away what is no longer read.
    pub(super) fn bring(
        &self,
        now: Timestamp,
        files: &BTreeMap<&str, &[u8]>,
        readers: Readers,
    ) -> Result<(bool, Option<ExportFault>), ExportFault> {
        let data = self.path.join(DATA);
        let before = self.generation();
        if before.is_none() && data.symlink_metadata().is_ok() {
            return Err(ExportFault::Foreign { path: data });
        }
        // Looked at before anything is changed: half of our files beside somebody else's would be a key without its certificate.
        let mut missing = Vec::new();
        for name in files.keys() {
            let path = self.path.join(name);
            if path.symlink_metadata().is_err() {
                missing.push(*name);
            } else if !self.is_our_link(name) {
                return Err(ExportFault::Foreign { path });
            }
        }
        let is_same = before.as_ref().is_some_and(|generation| self.holds(generation, files));
        if !is_same {
            self.switch(now, files, readers)?;
        }
        for name in &missing {
            let path = self.path.join(name);
            symlink(Path::new(DATA).join(name), &path).map_err(disk(&path))?;
        }
        let obsolete = self.obsolete(now);
        let cleared = self
            .remove_links(|name| !files.contains_key(name))
            .and_then(|()| self.remove_generations(|generation| obsolete.contains(generation)));
        Ok((!is_same || !missing.is_empty(), cleared.err()))
    }

    /// Generations that were replaced long enough ago: whoever resolved `..data` before is not still reading. At most eight wait.
    fn obsolete(&self, now: Timestamp) -> BTreeSet<String> {
        let current = self.generation();
        let mut before: Vec<(u64, String)> = names(&self.path)
            .into_iter()
            .filter(|name| is_generation(name) && Some(name) != current.as_ref())
            .map(|name| (number(&name), name))
            .collect();
        before.sort();
        let replaced = before.iter().skip(1).map(|(_, name)| name).chain(&current);
        let is_over = |successor: &String| {
            // A clock that was set back keeps nothing for ever.
            made(successor).is_none_or(|made| made > now || now.duration_since(made).as_secs() >= READING)
        };
        let over: Vec<bool> = replaced.map(is_over).collect();
        let surplus = before.len().saturating_sub(WAITING);
        let names = before.into_iter().map(|(_, name)| name);
        names
            .enumerate()
            .filter(|(place, _)| *place < surplus || over.get(*place).copied().unwrap_or(true))
            .map(|(_, name)| name)
            .collect()
    }

    /// Removes what we made.
    pub(super) fn clear(&self) -> Result<(), ExportFault> {
        self.remove_links(|_| true)?;
        self.remove_generations(|_| true)?;
        // Last: as long as it is there, a later attempt knows that the rest is ours.
        let data = self.path.join(DATA);
        fs::remove_file(&data).map_err(disk(&data))
    }

    /// The generation in force, when there is one of ours.
    fn generation(&self) -> Option<String> {
        let target = fs::read_link(self.path.join(DATA)).ok()?;
        let name = target.to_str()?;
        is_generation(name).then(|| name.to_owned())
    }

    fn holds(&self, generation: &str, files: &BTreeMap<&str, &[u8]>) -> bool {
        let path = self.path.join(generation);
        names(&path).len() == files.len()
            && files
                .iter()
                .all(|(name, bytes)| fs::read(path.join(name)).is_ok_and(|there| there == *bytes))
    }

    fn switch(&self, now: Timestamp, files: &BTreeMap<&str, &[u8]>, readers: Readers) -> Result<(), ExportFault> {
        let path = self.make_generation(now, readers)?;
        let written = write_files(&path, files, readers).and_then(|()| self.point_to(&path));
        written.map_err(|(at, error)| {
            // Nothing leads there; the next switch removes it if this does not.
            let _ = fs::remove_dir_all(&path);
            ExportFault::Disk { path: at, error }
        })
    }

    /// An empty directory under a name that was never there before: whoever has resolved `..data` and is slow must find nothing rather
    /// than newer files. The number grows, because the generation in force always stays.
    fn make_generation(&self, now: Timestamp, readers: Readers) -> Result<PathBuf, ExportFault> {
        let last = names(&self.path)
            .iter()
            .filter(|name| is_generation(name))
            .map(|name| number(name))
            .max();
        let number = last.unwrap_or_default().saturating_add(1);
        let path = self.path.join(format!("{GENERATION}{}-{number}", now.strftime(TIME)));
        make(&path, readers)?;
        Ok(path)
    }

    /// Switches all files at once.
    fn point_to(&self, generation: &Path) -> Result<(), (PathBuf, io::Error)> {
        let next = self.path.join(NEXT);
        let switch = || {
            if next.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
                fs::remove_file(&next)?;
            }
            symlink(generation.file_name().unwrap_or_default(), &next)?;
            fs::rename(&next, self.path.join(DATA))
        };
        switch().map_err(|error| (next.clone(), error))
    }

    fn is_our_link(&self, name: &str) -> bool {
        fs::read_link(self.path.join(name)).is_ok_and(|target| target == Path::new(DATA).join(name))
    }

    fn remove_links(&self, is_obsolete: impl Fn(&str) -> bool) -> Result<(), ExportFault> {
        for name in names(&self.path) {
            if is_obsolete(&name) && self.is_our_link(&name) {
                let path = self.path.join(name);
                fs::remove_file(&path).map_err(disk(&path))?;
            }
        }
        Ok(())
    }

    fn remove_generations(&self, is_obsolete: impl Fn(&str) -> bool) -> Result<(), ExportFault> {
        for name in names(&self.path) {
            let path = self.path.join(&name);
            if is_generation(&name) && is_obsolete(&name) && is_directory(&path) {
                fs::remove_dir_all(&path).map_err(disk(&path))?;
            }
        }
        Ok(())
    }
}

/// How many seconds a generation outlives its replacement, and how many wait for that at most.
const READING: i64 = 60;
const WAITING: usize = 8;
/// When a generation was made, as its name says it.
const TIME: &str = "%Y%m%dT%H%M%SZ";

fn number(generation: &str) -> u64 {
    let number = generation.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    number.unwrap_or_default()
}

fn made(generation: &str) -> Option<Timestamp> {
    let (time, _) = generation.strip_prefix(GENERATION)?.rsplit_once('-')?;
    let time = jiff::civil::DateTime::strptime(TIME, time).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn is_generation(name: &str) -> bool {
    name.starts_with(GENERATION) && !name.contains('/')
}

fn write_files(directory: &Path, files: &BTreeMap<&str, &[u8]>, readers: Readers) -> Result<(), (PathBuf, io::Error)> {
    for (name, bytes) in files {
        let path = directory.join(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.set_permissions(Permissions::from_mode(readers.file()))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| (path.clone(), error))?;
    }
    Ok(())
}

/// Names in a directory that are text, sorted; none when it cannot be read.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
