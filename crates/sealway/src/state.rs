//! Where a command keeps what it leaves on disk.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

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
