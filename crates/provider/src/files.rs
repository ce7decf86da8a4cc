//! Manifests: files, directories and standard input as a source of resources.
//!
//! Job: read PATHs, admit every object as an API server would, keep the last good form of what breaks, and read again on change.
//! Input: the PATHs of `-f`. Output: [`Loaded`]: resources, problems, and where everything stands.
//! Invariant: a broken document, file or PATH never takes away what was good before.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sealway_api::Resources;
use sealway_core::Problem;

pub use self::document::{ParsedFile, parse_text};
use self::read::Input;
pub use self::source::{Excerpt, Sources};
use self::store::Store;
pub use self::watch::{Watch, WatchSettings};

mod document;
mod read;
pub(crate) mod refused;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod watch;
mod yaml;

/// Everything that the PATHs hold at one moment.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The objects in force.
    pub resources: Arc<Resources>,
    /// What is wrong with the manifests by themselves, root causes first.
    pub problems: Vec<Problem>,
    /// Where everything stands.
    pub sources: Arc<Sources>,
}

/// Reads PATHs, again and again.
pub struct Loader {
    inputs: Vec<Input>,
    store: Store,
}

/// Why the PATHs cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A PATH that does not exist, or may not be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Loader {
    /// Opens every PATH (file, directory, or `-` for standard input) and reads it for the first time.
    ///
    /// # Errors
    /// When a PATH cannot be opened. What is broken inside is a problem of [`Loaded`], not an error.
    pub fn open(paths: &[PathBuf]) -> Result<(Self, Loaded), OpenError> {
        let open = |path: &PathBuf| {
            Input::open(path).map_err(|error| OpenError::Unreadable {
                path: path.clone(),
                error,
            })
        };
        let distinct: BTreeSet<&PathBuf> = paths.iter().collect();
        let mut loader = Self {
            inputs: distinct.into_iter().map(open).collect::<Result<_, _>>()?,
            store: Store::default(),
        };
        let loaded = loader.reload();
        Ok((loader, loaded))
    }

    /// Reads everything again. What did not change is not parsed again, and keeps its allocations.
    pub fn reload(&mut self) -> Loaded {
        self.store.apply(read::read(&self.inputs))
    }
}

impl Loaded {
    /// What texts hold that are in no file, each under a name of its own.
    #[must_use]
    pub fn from_texts(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let file = |(name, text)| store::FileRead { name, text: Ok(text) };
        let files = Ok(texts.into_iter().map(file).collect());
        Store::default().apply(vec![store::PathRead {
            path: String::new(),
            files,
        }])
    }
}
