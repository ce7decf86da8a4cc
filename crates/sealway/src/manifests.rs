//! Manifests as the commands read them.

use std::path::{Path, PathBuf};

use anyhow::bail;
use sealway_core::{Cause, Problem};
use sealway_provider::files::{Loaded, Loader};

/// Reads every PATH for the first time. A PATH that cannot be read at all is an error; later, and inside directories, it is a problem.
pub(crate) fn open(paths: &[PathBuf]) -> anyhow::Result<(Loader, Loaded)> {
    let (loader, loaded) = Loader::open(paths)?;
    for problem in &loaded.problems {
        if let (Cause::PathUnreadable { error }, Some(location)) = (&problem.cause, &problem.location)
            && paths.iter().any(|path| path == Path::new(&location.file))
        {
            bail!("{}: {error}", location.file);
        }
    }
    Ok((loader, loaded))
}

/// The problems of reading and those of compiling together: each with its place, root causes first.
pub(crate) fn gather(loaded: &Loaded, compiled: Vec<Problem>) -> Vec<Problem> {
    let mut problems = compiled;
    problems.iter_mut().for_each(|problem| loaded.sources.place(problem));
    problems.extend(loaded.problems.iter().cloned());
    Problem::sort(&mut problems);
    problems
}
