//! Reading PATHs: files, directories, standard input.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::store::{FileRead, PathRead};

/// One `-f PATH`, with the text of what can be read only once.
#[derive(Clone)]
pub(super) struct Input {
    /// As it was given.
    pub(super) path: PathBuf,
    /// Text of standard input or of a pipe.
    once: Option<String>,
}

impl Input {
    /// Opens a PATH; `-` is standard input, which is read to its end here, as is a pipe.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let once = if path.as_os_str() == "-" {
            Some(text(io::stdin().lock())?)
        } else if let metadata = fs::metadata(path)?
            && metadata.is_dir()
        {
            fs::read_dir(path).map(|_| None)?
        } else if fs::metadata(path)?.is_file() {
            fs::File::open(path).map(|_| None)?
        } else {
            Some(text(fs::File::open(path)?)?)
        };
        Ok(Self {
            path: path.to_owned(),
            once,
        })
    }

    /// Whether it can change.
    pub(super) fn is_watchable(&self) -> bool {
        self.once.is_none()
    }
}

/// Reads every PATH. A file that several PATHs lead to is read for the first only.
pub(super) fn read(inputs: &[Input]) -> Vec<PathRead> {
    let mut seen = BTreeSet::new();
    let read = |input: &Input| PathRead {
        path: input.path.display().to_string(),
        files: match &input.once {
            Some(text) => Ok(vec![FileRead {
                name: input.path.display().to_string(),
                text: Ok(text.clone()),
            }]),
            None => read_path(&input.path, &mut seen).map_err(|error| error.to_string()),
        },
    };
    inputs.iter().map(read).collect()
}

fn read_path(path: &Path, seen: &mut BTreeSet<PathBuf>) -> io::Result<Vec<FileRead>> {
    let mut files = Vec::new();
    if fs::metadata(path)?.is_dir() {
        read_directory(path, seen, &mut files)?;
    } else if seen.insert(fs::canonicalize(path)?) {
        let text = text(fs::File::open(path)?)?;
        files.push(FileRead {
            name: path.display().to_string(),
            text: Ok(text),
        });
    }
    Ok(files)
}

/// Directories are read in order of names, without what begins with a dot: editors' own files, and the `..data` of ConfigMap mounts, which
/// the visible names lead to.
fn read_directory(directory: &Path, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<FileRead>) -> io::Result<()> {
    // A symbolic link may lead back up.
    if !seen.insert(fs::canonicalize(directory)?) {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Gone between the two calls, or a link to nothing: only a manifest's absence matters.
            Err(error) => {
                if is_manifest(&path) && error.kind() != io::ErrorKind::NotFound {
                    files.push(FileRead {
                        name: path.display().to_string(),
                        text: Err(error.to_string()),
                    });
                }
                continue;
            }
        };
        if metadata.is_dir() {
            if let Err(error) = read_directory(&path, seen, files) {
                files.push(FileRead {
                    name: path.display().to_string(),
                    text: Err(error.to_string()),
                });
            }
        } else if metadata.is_file() && is_manifest(&path) {
            let canonical = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            if seen.insert(canonical) {
                let text = fs::File::open(&path).and_then(text).map_err(|error| error.to_string());
                files.push(FileRead {
                    name: path.display().to_string(),
                    text,
                });
            }
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension.to_ascii_lowercase().as_str(), "yaml" | "yml" | "json"))
}

fn text(reader: impl Read) -> io::Result<String> {
    let mut text = String::new();
    reader.take(SIZE_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
    }
    Ok(text)
}

/// Bytes of one file; 10,000 routes need five million.
const SIZE_LIMIT: u64 = 64 << 20;
