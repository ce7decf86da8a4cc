//! Manifests as the commands read them.

use std::collections::BTreeSet;
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
    said_once(problems)
}

/// What the reader or the compiler has said of an object is not said again by the issuer in other words.
fn said_once(mut problems: Vec<Problem>) -> Vec<Problem> {
    // Where: the object, and the field down to the part that both of them name.
    let place = |problem: &Problem, depth: usize| {
        let field: Vec<&str> = problem.field.split('.').take(depth).collect();
        (problem.object.clone(), field.join("."))
    };
    let mut said = BTreeSet::new();
    for problem in &problems {
        for (first, again, depth) in SAME.iter().filter(|(first, ..)| problem.cause.code() == *first) {
            said.insert((*first, *again, place(problem, *depth)));
        }
    }
    let is_said = |problem: &Problem| {
        let mut same = SAME.iter().filter(|(_, again, _)| problem.cause.code() == *again);
        same.any(|(first, again, depth)| said.contains(&(*first, *again, place(problem, *depth))))
    };
    problems.retain(|problem| !is_said(problem));
    problems
}

/// What says the same: the code that stays, the one that goes, and how many parts of their fields must be equal.
const SAME: [(&str, &str, usize); 4] = [
    ("issuer-not-found", "issuer-missing", 2),
    ("issuer-not-found", "refused", 2),
    ("issuer-secret-missing", "key-pair-missing", 3),
    ("unknown-value", "refused", usize::MAX),
];

#[cfg(test)]
mod tests {
    use sealway_api::{Kind, ObjectRef};
    use sealway_core::{Severity, Told};

    use super::*;

    #[test]
    fn one_cause_is_one_problem() {
        let problem =
            |name: &str, cause| Problem::new(ObjectRef::new(Kind::Certificate, "shop", name), "spec.issuerRef.name", cause);
        let told = |code| {
            Cause::Told(Box::new(Told {
                severity: Severity::Error,
                code,
                message: String::new(),
                hint: None,
            }))
        };
        let missing = || Cause::IssuerNotFound {
            issuer: ObjectRef::new(Kind::Issuer, "shop", "nope"),
            elsewhere: Vec::new(),
        };
        let problems = vec![
            problem("web", missing()),
            problem("web", told("issuer-missing")),
            problem("web", told("issuance-failed")),
            problem("other", told("issuer-missing")),
        ];
        let of_usages = |field: &str, cause| Problem::new(ObjectRef::new(Kind::Certificate, "shop", "x"), field, cause);
        let unknown = Cause::UnknownValue {
            value: "x".to_owned(),
            known: Vec::new(),
        };
        let apart = vec![
            of_usages("spec.usages[0]", unknown),
            of_usages("spec.usages[0]", told("refused")),
            of_usages("spec.duration", told("refused")),
        ];
        let fields: Vec<String> = said_once(apart).into_iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["spec.usages[0]", "spec.duration"]);
        let left: Vec<&str> = said_once(problems).iter().map(|problem| problem.cause.code()).collect();
        assert_eq!(left, ["issuer-not-found", "issuance-failed", "issuer-missing"]);
    }
}
