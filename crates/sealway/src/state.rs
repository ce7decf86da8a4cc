//! Where a command keeps what it leaves on disk.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The state directory: as told, else `$XDG_STATE_HOME/sealway`, else `~/.local/state/sealway` (XDG Base Directory Specification 0.8).
pub(crate) fn state_directory(told: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(told) = told {
        return Ok(told.to_path_buf());
    }
    // The specification has relative paths ignored.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("sealway"))
        .context("there is no home directory to keep state in: pass --state-dir DIR")
}

/// The state directory of a command that looks at what is there: one that was named is not made, for it is a slip of the pen.
pub(crate) fn existing_state_directory(told: Option<&Path>) -> anyhow::Result<PathBuf> {
    let directory = state_directory(told)?;
    if told.is_some() && !directory.is_dir() {
        bail!("--state-dir {}: there is no such directory", directory.display());
    }
    Ok(directory)
}
