//! Manifests as the commands read them.

use sealway_core::Problem;
use sealway_provider::files::Loaded;

/// The problems of reading and those of compiling together: each with its place, root causes first.
pub(crate) fn gather(loaded: &Loaded, compiled: Vec<Problem>) -> Vec<Problem> {
    let mut problems = compiled;
    problems.iter_mut().for_each(|problem| loaded.sources.place(problem));
    problems.extend(loaded.problems.iter().cloned());
    Problem::sort(&mut problems);
    problems
}
