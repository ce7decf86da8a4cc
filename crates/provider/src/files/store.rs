//! What is in force: the files as they are now, and the last good form of what is broken.
//!
//! Job: turn what was read into resources. Input: one [`PathRead`] for each PATH, and what the store remembers. Output: a [`Loaded`].
//! Invariant: no I/O; an object leaves only when its document is gone, never because something is broken; one that cannot be used and
//! never could is named as refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{BackendTlsPolicy, ObjectRef, Resource, Resources};
use sealway_core::{Cause, Location, Problem};

use super::Loaded;
use super::document::{Accepted, Object, ParsedFile, parse_text};
use super::source::{Place, Sources};

/// What came of reading one PATH.
#[derive(Clone, Debug)]
pub(super) struct PathRead {
    /// As it was given on the command line.
    pub(super) path: String,
    /// Its files in order, or why it cannot be read.
    pub(super) files: Result<Vec<FileRead>, String>,
}

/// What came of reading one file.
#[derive(Clone)]
pub(super) struct FileRead {
    /// PATH, and the way from there.
    pub(super) name: String,
    /// Its text, or why it cannot be read.
    pub(super) text: Result<String, String>,
}

impl std::fmt::Debug for FileRead {
    /// Text may hold keys.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.text.as_ref().map(String::len);
        formatter
            .debug_struct("FileRead")
            .field("name", &self.name)
            .field("length", &length)
            .finish()
    }
}

/// Remembers what was read last, and what was good last.
#[derive(Default)]
pub(super) struct Store {
    /// Files of each PATH, by name.
    paths: BTreeMap<String, BTreeMap<String, Arc<ParsedFile>>>,
    /// What is in force.
    good: BTreeMap<ObjectRef, Good>,
}

/// An object in force.
struct Good {
    object: Accepted,
    generation: i64,
    /// The file that it came from.
    file: String,
}

/// An object in a file.
type Found<'files> = (&'files Arc<ParsedFile>, usize, &'files Object);

impl Store {
    /// Takes in what was read, and says what is in force now.
    pub(super) fn apply(&mut self, reads: Vec<PathRead>) -> Loaded {
        let mut problems = Vec::new();
        for read in reads {
            self.take(read, &mut problems);
        }
        // A file that two PATHs lead to counts once, as the more particular PATH has it.
        let files = self
            .paths
            .values()
            .flatten()
            .map(|(name, file)| (name.clone(), Arc::clone(file)));
        let files: BTreeMap<String, Arc<ParsedFile>> = files.collect();
        let mut found: BTreeMap<&ObjectRef, Vec<Found<'_>>> = BTreeMap::new();
        for file in files.values() {
            problems.extend(file.problems().cloned());
            for (index, object) in file.objects.iter().enumerate() {
                found.entry(&object.reference).or_default().push((file, index, object));
            }
        }
        let mut before = std::mem::take(&mut self.good);
        let mut sources = Sources::default();
        let mut refused = BTreeMap::new();
        for (reference, found) in &found {
            let good = before.remove(reference);
            let Some(choice) = choose(found, &mut problems) else {
                continue;
            };
            let place = match choice {
                Choice::Use((file, index, _), object) => {
                    let good = Good::update(good, object, file.source.name());
                    self.good.insert((*reference).clone(), good);
                    Place::Read(Arc::clone(file), index)
                }
                Choice::Clash((file, index, _)) => {
                    refused.insert((*reference).clone(), targets(found));
                    Place::Read(Arc::clone(file), index)
                }
                Choice::Broken((file, index, object)) => match good {
                    Some(good) => {
                        problems.push(Problem::at(
                            object.location.clone(),
                            Some((*reference).clone()),
                            Cause::LastGoodKept,
                        ));
                        self.good.insert((*reference).clone(), good);
                        Place::Broken(object.location.clone())
                    }
                    None => {
                        refused.insert((*reference).clone(), targets(found));
                        Place::Read(Arc::clone(file), index)
                    }
                },
            };
            sources.objects.insert((*reference).clone(), place);
        }
        drop(found);
        self.keep_unrecognised(before, &files, &mut sources, &mut problems);
        sources.files = files;
        Problem::sort(&mut problems);
        Loaded {
            resources: Arc::new(self.resources(refused)),
            problems,
            sources: Arc::new(sources),
        }
    }

    /// Replaces the files of one PATH, as far as they could be read. Files that did not change are not parsed again.
    fn take(&mut self, read: PathRead, problems: &mut Vec<Problem>) {
        let before = self.paths.entry(read.path.clone()).or_default();
        let mut unreadable = |file: String, error: String| {
            let location = Location {
                file,
                line: 1,
                column: 1,
            };
            problems.push(Problem::at(location, None, Cause::PathUnreadable { error }));
        };
        let files = match read.files {
            Ok(files) => files,
            Err(error) => return unreadable(read.path, error),
        };
        let mut after = BTreeMap::new();
        for file in files {
            let parsed = before.remove(&file.name);
            let parsed = match (file.text, parsed) {
                (Ok(text), Some(parsed)) if parsed.source.text() == text => parsed,
                (Ok(text), _) => Arc::new(parse_text(&file.name, &text)),
                (Err(error), parsed) => {
                    unreadable(file.name.clone(), error);
                    let Some(parsed) = parsed else { continue };
                    parsed
                }
            };
            after.insert(file.name, parsed);
        }
        *before = after;
    }

    /// A document that cannot be recognised may be any object that its file held and that stands nowhere else: those stay.
    fn keep_unrecognised(
        &mut self,
        before: BTreeMap<ObjectRef, Good>,
        files: &BTreeMap<String, Arc<ParsedFile>>,
        sources: &mut Sources,
        problems: &mut Vec<Problem>,
    ) {
        let broken: BTreeMap<&str, &Location> = files
            .iter()
            .filter_map(|(name, file)| Some((name.as_str(), file.broken.first()?)))
            .collect();
        for (reference, good) in before {
            if let Some(location) = broken.get(good.file.as_str()) {
                problems.push(Problem::at((*location).clone(), Some(reference.clone()), Cause::LastGoodKept));
                sources.objects.insert(reference.clone(), Place::Broken((*location).clone()));
                self.good.insert(reference, good);
            }
        }
    }

    fn resources(&self, refused: BTreeMap<ObjectRef, Option<BackendTlsPolicy>>) -> Resources {
        let mut resources = Resources::default();
        for (reference, policy) in refused {
            resources.refused.insert(reference);
            if let Some(policy) = policy {
                resources.insert(Resource::BackendTlsPolicy(Arc::new(policy)));
            }
        }
        for resource in self.good.values().filter_map(|good| good.object.resource.clone()) {
            resources.insert(resource);
        }
        resources
    }
}

impl Good {
    /// `object` as it is now. Its generation counts changes of the spec, from 1 or from what is written.
    fn update(before: Option<Self>, object: &Accepted, file: &str) -> Self {
        let written = object.resource.as_ref().map_or(1, |resource| resource.metadata().generation);
        let file = file.to_owned();
        let Some(before) = before else {
            return Self {
                object: object.clone(),
                generation: written,
                file,
            };
        };
        let counted = before.generation + i64::from(before.object.spec != object.spec);
        let generation = counted.max(written);
        if before.object.content == object.content && before.generation == generation {
            // The same allocation: whoever compares by pointer sees that nothing changed.
            return Self { file, ..before };
        }
        let resource = object.resource.clone().map(|resource| {
            if resource.metadata().generation == generation {
                resource
            } else {
                resource.with_generation(generation)
            }
        });
        Self {
            object: Accepted {
                resource,
                ..object.clone()
            },
            generation,
            file,
        }
    }
}

/// Which of the objects of one name is used.
enum Choice<'files> {
    Use(Found<'files>, &'files Accepted),
    /// Several with different content: none.
    Clash(Found<'files>),
    /// None of them can be used.
    Broken(Found<'files>),
}

/// What all the documents of a policy target, when none of them is used.
fn targets(found: &[Found<'_>]) -> Option<BackendTlsPolicy> {
    let mut policies = found.iter().filter_map(|(_, _, object)| object.policy.as_ref());
    let mut first = policies.next()?.clone();
    for policy in policies {
        first.spec.target_refs.extend_from_slice(&policy.spec.target_refs);
    }
    Some(first)
}

/// `None` only for no objects at all.
fn choose<'files>(found: &[Found<'files>], problems: &mut Vec<Problem>) -> Option<Choice<'files>> {
    let good = found.iter().filter_map(|found| Some((*found, found.2.accepted.as_ref()?)));
    let good: Vec<(Found<'files>, &Accepted)> = good.collect();
    let [(first, object), others @ ..] = &good[..] else {
        return found.first().copied().map(Choice::Broken);
    };
    let contents: BTreeSet<u64> = good.iter().map(|(_, object)| object.content).collect();
    if contents.len() == 1 {
        for ((_, _, object), _) in others {
            let cause = Cause::RepeatedObject {
                other: first.2.location.clone(),
            };
            problems.push(Problem::at(object.location.clone(), Some(object.reference.clone()), cause));
        }
        return Some(Choice::Use(*first, object));
    }
    for (index, ((_, _, object), _)) in good.iter().enumerate() {
        let other = if index == 0 {
            others.first().map_or(first, |(other, _)| other)
        } else {
            first
        };
        let cause = Cause::DuplicateObject {
            other: other.2.location.clone(),
        };
        problems.push(Problem::at(object.location.clone(), Some(object.reference.clone()), cause));
    }
    Some(Choice::Clash(*first))
}

#[cfg(test)]
mod tests;
