//! The Go modules of `conformance/`.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The module called `name`.
pub(crate) fn module(name: &str) -> PathBuf {
    crate::root().join("conformance").join(name)
}

/// Go, in that module, for programs that need no libraries. A toolchain that the module asks for comes from the module proxy.
pub(crate) fn command(module: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(module).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "auto");
    go
}

/// Changes when a Go source or the module's requirements do.
pub(crate) fn fingerprint(module: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    sources(module, &mut files)?;
    ensure!(!files.is_empty(), "no sources in {}", module.display());
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.strip_prefix(module)?.hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn sources(directory: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else if path
            .extension()
            .is_some_and(|ending| ["go", "mod", "sum"].iter().any(|wanted| ending == *wanted))
        {
            into.push(path);
        }
    }
    Ok(())
}
