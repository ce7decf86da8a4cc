//! Reading again on change.
//!
//! Job: notice that files under the PATHs change, wait until they rest, and hand on what they hold then. Input: a [`Loader`].
//! Output: a channel that always holds the newest [`Loaded`]. Directories are watched, not files: editors and ConfigMap mounts replace
//! files by renaming, and a watch of a file would follow the old one. Where the system cannot watch, files are read at intervals.
//! Invariant: a change is seen at the next interval at the latest.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use super::{Loaded, Loader};

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// How long files must rest before they are read, when the last sign was of a file that is complete: closed by who wrote it,
    /// renamed or removed. Just long enough for the other files of one change.
    pub pause: Duration,
    /// How long they must rest when somebody may still be writing.
    pub settle: Duration,
    /// How long to wait for rest at most.
    pub patience: Duration,
    /// How often to read without any sign of change: some file systems (network, FUSE) give none.
    pub interval: Duration,
    /// Whether to ask the system for signs of change at all.
    pub notify: bool,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(20),
            settle: Duration::from_millis(120),
            patience: Duration::from_secs(2),
            interval: Duration::from_secs(10),
            notify: true,
        }
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    newest: watch::Receiver<Loaded>,
    wake: mpsc::Sender<Wake>,
}

enum Wake {
    /// A file may be half written.
    Changing,
    /// What has changed is complete.
    Changed,
    Stop,
}

impl Watch {
    /// Starts a thread that reads again whenever something changes; `first` is what `loader` read last.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(loader: Loader, first: Loaded, settings: WatchSettings) -> io::Result<Self> {
        let (publish, newest) = watch::channel(first);
        let (wake, woken) = mpsc::channel();
        let signal = wake.clone();
        std::thread::Builder::new()
            .name("manifests".to_owned())
            .spawn(move || Watching::new(loader, settings, signal).run(&woken, &publish))?;
        Ok(Self { newest, wake })
    }

    /// The newest state, and a way to wait for the next.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Loaded> {
        self.newest.clone()
    }

    /// Reads again now, whether something changed or not.
    pub fn reload(&self) {
        // The thread lives as long as this value.
        let _ = self.wake.send(Wake::Changed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
    }
}

struct Watching {
    loader: Loader,
    settings: WatchSettings,
    watcher: Option<RecommendedWatcher>,
    /// What is watched, with the identity of the directory: one that was replaced must be watched anew.
    directories: BTreeMap<PathBuf, Identity>,
}

impl Watching {
    fn new(loader: Loader, settings: WatchSettings, signal: mpsc::Sender<Wake>) -> Self {
        let changed = move |event: notify::Result<notify::Event>| {
            // Errors (a queue that overflowed) may hide a change.
            let wake = event.map_or(Some(Wake::Changing), |event| sign(event.kind));
            if let Some(wake) = wake {
                let _ = signal.send(wake);
            }
        };
        let watcher = settings.notify.then(|| notify::recommended_watcher(changed)).transpose();
        let watcher = watcher.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot watch for changes; manifests are read every {:?}", settings.interval);
            None
        });
        Self {
            loader,
            settings,
            watcher,
            directories: BTreeMap::new(),
        }
    }

    fn run(mut self, woken: &mpsc::Receiver<Wake>, publish: &watch::Sender<Loaded>) {
        // Something may have changed between the first reading and the first watch.
        self.watch_directories();
        self.read(publish);
        loop {
            match woken.recv_timeout(self.settings.interval) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(wake @ (Wake::Changing | Wake::Changed)) => {
                    if !settled(wake, woken, &self.settings) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.watch_directories();
            self.read(publish);
        }
    }

    fn read(&mut self, publish: &watch::Sender<Loaded>) {
        let loaded = self.loader.reload();
        publish.send_if_modified(|newest| {
            let differs = loaded.problems != newest.problems || loaded.resources != newest.resources;
            // Places may have moved even so.
            *newest = loaded;
            differs
        });
    }

    /// Watches the directories that matter now, and no others.
    fn watch_directories(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let paths = self
            .loader
            .inputs
            .iter()
            .filter(|input| input.is_watchable())
            .map(|input| input.path.as_path());
        let wanted = directories(paths);
        self.directories.retain(|directory, identity| {
            let keep = wanted.get(directory) == Some(identity);
            if !keep {
                // Fails when the directory is gone, and its watch with it.
                let _ = watcher.unwatch(directory);
            }
            keep
        });
        for (directory, identity) in wanted {
            let Entry::Vacant(entry) = self.directories.entry(directory) else {
                continue;
            };
            match watcher.watch(entry.key(), RecursiveMode::NonRecursive) {
                Ok(()) => {
                    entry.insert(identity);
                }
                Err(error) => tracing::debug!(%error, directory = %entry.key().display(), "cannot watch"),
            }
        }
    }
}

/// What an event says; `None`: our own reading, which is no change.
fn sign(kind: EventKind) -> Option<Wake> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Remove(_) => Some(Wake::Changed),
        EventKind::Access(_) => None,
        _ => Some(Wake::Changing),
    }
}

/// Waits until no change has come for a while; false when it is time to stop.
fn settled(first: Wake, woken: &mpsc::Receiver<Wake>, settings: &WatchSettings) -> bool {
    let deadline = Instant::now() + settings.patience;
    let mut last = first;
    loop {
        let rest = match last {
            Wake::Changed => settings.pause,
            Wake::Changing => settings.settle,
            Wake::Stop => return false,
        };
        match woken.recv_timeout(rest.min(deadline.saturating_duration_since(Instant::now()))) {
            Ok(wake @ (Wake::Changed | Wake::Changing)) if Instant::now() < deadline => last = wake,
            Ok(Wake::Changed | Wake::Changing) | Err(RecvTimeoutError::Timeout) => return true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Tells a directory from another that took its name.
type Identity = (u64, u64);

/// Every directory in which a change can change what `paths` hold: directories with all below them, the directories of files, and those of
/// every symbolic link on the way.
fn directories<'path>(paths: impl Iterator<Item = &'path Path>) -> BTreeMap<PathBuf, Identity> {
    let mut found = BTreeMap::new();
    let mut walked = BTreeSet::new();
    for path in paths {
        let target = follow(path, &mut found);
        match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => add_below(&target, &mut found, &mut walked),
            Ok(_) => add(&parent(&target), &mut found),
            // Not there at the moment: it will appear in the nearest directory that is.
            Err(_) => {
                if let Some(ancestor) = target.ancestors().skip(1).map(or_here).find(|ancestor| ancestor.is_dir()) {
                    add(&ancestor, &mut found);
                }
            }
        }
    }
    found
}

/// Adds a directory, those below it, and where links in it lead. Links may lead in circles, under a new path each time: a directory is
/// walked once, whatever it is called.
fn add_below(directory: &Path, found: &mut BTreeMap<PathBuf, Identity>, walked: &mut BTreeSet<PathBuf>) {
    let Ok(canonical) = fs::canonicalize(directory) else { return };
    if !walked.insert(canonical) {
        return;
    }
    add(directory, found);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => add_below(&path, found, walked),
            Ok(kind) if kind.is_symlink() => {
                let target = follow(&path, found);
                if target.is_dir() {
                    add_below(&target, found, walked);
                } else {
                    add(&parent(&target), found);
                }
            }
            _ => {}
        }
    }
}

/// Where `path` leads in the end; adds the directory of every symbolic link on the way.
fn follow(path: &Path, found: &mut BTreeMap<PathBuf, Identity>) -> PathBuf {
    let mut rest: VecDeque<OsString> = components(path);
    let mut resolved = PathBuf::new();
    let mut links = 0;
    while let Some(component) = rest.pop_front() {
        // No link is left in `resolved`, so going up is dropping its last part.
        if component == ".." && resolved.file_name().is_some() {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&component);
        match fs::read_link(&next) {
            Ok(target) if links < LINK_LIMIT => {
                links += 1;
                add(&or_here(&resolved), found);
                for component in components(&target).into_iter().rev() {
                    rest.push_front(component);
                }
                if target.is_absolute() {
                    resolved = PathBuf::new();
                }
            }
            _ => resolved = next,
        }
    }
    or_here(&resolved)
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

fn add(directory: &Path, found: &mut BTreeMap<PathBuf, Identity>) {
    if let Ok(metadata) = fs::metadata(directory) {
        found.insert(directory.to_owned(), identity(&metadata));
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Identity {
    (0, 0)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), or_here)
}

/// The empty path stands for the current directory.
fn or_here(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path.to_owned()
    }
}

/// As many as Linux follows.
const LINK_LIMIT: usize = 40;

#[cfg(test)]
mod tests;
