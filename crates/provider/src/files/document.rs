//! From the text of a file to objects.
//!
//! Job: read each document, find the kind, admit the object as an API server would, and say what is wrong and where.
//! Input: name and text of a file. Output: a [`ParsedFile`]. Invariant: pure and total; no object depends on another.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use sealway_api::{BackendTlsPolicy, Kind, ObjectRef, Resource};
use sealway_core::{Cause, Location, Problem};
use serde_json::Value;

use super::refused;
use super::source::SourceText;
use super::yaml::{self, DuplicateKey, Node};
use crate::schema::{Finding, KindSchema};

/// Reads every document of a file. `name` is how its problems call it.
///
/// Total: whatever `text` is, there is an answer, and it costs time and memory in proportion to the text.
#[must_use]
pub fn parse_text(name: &str, text: &str) -> ParsedFile {
    let mut file = ParsedFile {
        source: SourceText::new(name, text),
        objects: Vec::new(),
        problems: Vec::new(),
        broken: Vec::new(),
    };
    for document in yaml::parse(text) {
        match document {
            Ok(document) => {
                let first = file.objects.len();
                file.read(document.value, document.node);
                file.blame_duplicates(first, document.duplicates);
            }
            Err(error) => {
                let location = file.source.location(error.offset);
                let cause = Cause::Syntax { detail: error.detail };
                file.problems.push(Problem::at(location.clone(), None, cause));
                file.broken.push(location);
            }
        }
    }
    file
}

/// What stands in a file.
pub struct ParsedFile {
    pub(super) source: SourceText,
    /// Objects of kinds that Sealway reads, in the order of the text.
    pub(super) objects: Vec<Object>,
    /// What belongs to no object.
    problems: Vec<Problem>,
    /// Documents that are not YAML, or in which no object can be recognised: what they were before may be wanted still.
    pub(super) broken: Vec<Location>,
}

/// An object that could be recognised.
pub(super) struct Object {
    pub(super) reference: ObjectRef,
    /// Where it begins.
    pub(super) location: Location,
    /// `None` when an API server would refuse it.
    pub(super) accepted: Option<Accepted>,
    /// What holds of a policy even when it is refused.
    pub(super) policy: Option<BackendTlsPolicy>,
    problems: Vec<Problem>,
    node: Node,
}

/// An object that can be used.
#[derive(Clone)]
pub(super) struct Accepted {
    /// `None` for kinds that are checked, but not read as data yet.
    pub(super) resource: Option<Resource>,
    /// Equal for equal content, whatever the version.
    pub(super) content: u64,
    /// Equal as long as the generation stays: everything but metadata and status.
    pub(super) spec: u64,
}

impl fmt::Debug for ParsedFile {
    /// Text and objects may hold keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects: Vec<_> = self.objects.iter().map(|object| &object.reference).collect();
        formatter
            .debug_struct("ParsedFile")
            .field("name", &self.source.name())
            .field("objects", &objects)
            .finish_non_exhaustive()
    }
}

impl ParsedFile {
    /// Everything that is wrong with the file by itself, in the order of the text.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .chain(self.objects.iter().flat_map(|object| &object.problems))
    }

    /// The objects that can be used.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.objects
            .iter()
            .filter_map(|object| object.accepted.as_ref()?.resource.as_ref())
    }

    /// Where the field of an object stands, or its nearest parent.
    pub(super) fn locate(&self, index: usize, path: &str, key: bool) -> Option<Location> {
        let object = self.objects.get(index)?;
        Some(self.source.location(object.node.locate(path, key).start))
    }

    /// The object that begins last before `offset`.
    pub(super) fn object_at(&self, offset: u32) -> Option<&Object> {
        self.objects.iter().rfind(|object| object.node.span.start <= offset)
    }

    fn read(&mut self, value: Value, node: Node) {
        let field = |name: &str| value.get(name).and_then(Value::as_str);
        let (version, kind) = match (field("apiVersion"), field("kind")) {
            (Some(version), Some(kind)) => (version, kind),
            (version, _) => {
                let missing = if version.is_none() { "apiVersion" } else { "kind" };
                let detail = if value.is_object() {
                    format!("no `{missing}`")
                } else {
                    "no mapping".to_owned()
                };
                return self.refuse(&node, detail);
            }
        };
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        if let Some(of) = kind.strip_suffix("List")
            && (group.is_empty() && of.is_empty() || KindSchema::find(group, of).is_some())
        {
            let Some((Value::Array(items), nodes)) = items(value, node) else {
                return;
            };
            for (item, node) in items.into_iter().zip(nodes) {
                self.read(item, node);
            }
            return;
        }
        if let Some(schema) = KindSchema::find(group, kind) {
            let version = version.to_owned();
            self.admit(schema, &version, value, node);
        }
    }

    fn admit(&mut self, schema: &'static KindSchema, version: &str, mut value: Value, node: Node) {
        let text = |pointer| value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(name) = text("/metadata/name") else {
            return self.refuse(&node, "no `metadata.name`".to_owned());
        };
        let namespace = if schema.cluster_scoped {
            ""
        } else {
            text("/metadata/namespace").unwrap_or("default")
        };
        let reference = ObjectRef::new(schema.kind.clone(), namespace, name);
        let api_version = |version: &str| match schema.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        let policy = refused::policy(&reference, &value);
        let mut findings = Vec::new();
        let mut accepted = None;
        match schema.version(version) {
            None => {
                let served = schema.version_names().iter().map(|version| api_version(version)).collect();
                let cause = Cause::UnknownVersion {
                    version: api_version(version),
                    served,
                };
                findings.push(Finding {
                    path: "apiVersion".to_owned(),
                    key: false,
                    cause,
                });
            }
            Some(known) => {
                if let Some(successor) = schema.successor(known) {
                    let cause = Cause::SupersededVersion {
                        version: api_version(version),
                        successor: api_version(successor),
                    };
                    findings.push(Finding {
                        path: "apiVersion".to_owned(),
                        key: false,
                        cause,
                    });
                }
                findings.extend(schema.admit(known, &mut value));
                if !findings.iter().any(Finding::refuses) {
                    match accept(&schema.kind, value) {
                        Ok(object) => accepted = Some(object),
                        Err(detail) => findings.push(Finding {
                            path: String::new(),
                            key: false,
                            cause: Cause::Invalid { detail },
                        }),
                    }
                }
            }
        }
        let problems = findings.into_iter().map(|finding| {
            let span = node.locate(&finding.path, finding.key);
            Problem {
                object: Some(reference.clone()),
                field: finding.path,
                location: Some(self.source.location(span.start)),
                cause: finding.cause,
            }
        });
        let problems = problems.collect();
        let location = self.source.location(node.span.start);
        self.objects.push(Object {
            reference,
            location,
            accepted,
            policy,
            problems,
            node,
        });
    }

    /// A document, or an item of a list, in which no object can be recognised.
    fn refuse(&mut self, node: &Node, detail: String) {
        let location = self.source.location(node.span.start);
        self.problems
            .push(Problem::at(location.clone(), None, Cause::NotAnObject { detail }));
        self.broken.push(location);
    }

    /// Keys that stand twice refuse the object that they stand in, one of those from `first` on.
    fn blame_duplicates(&mut self, first: usize, duplicates: Vec<DuplicateKey>) {
        for DuplicateKey {
            key,
            first: before,
            second,
        } in duplicates
        {
            let cause = Cause::DuplicateKey {
                key,
                first: self.source.location(before.start),
            };
            let location = self.source.location(second.start);
            let objects = self.objects.get_mut(first..).unwrap_or_default();
            // None: an object that Sealway does not read, which changes nothing.
            if let Some(object) = objects.iter_mut().rfind(|object| object.node.span.start <= second.start) {
                object.accepted = None;
                object
                    .problems
                    .push(Problem::at(location, Some(object.reference.clone()), cause));
            }
        }
    }
}

/// The `items` of a list, with their places.
fn items(mut value: Value, node: Node) -> Option<(Value, Vec<Node>)> {
    let nodes = node.get("items")?.items().to_vec();
    Some((value.get_mut("items")?.take(), nodes))
}

/// Reads an object that has been admitted.
///
/// # Errors
/// When our own types cannot hold what the schema takes, in words without any value of the object.
fn accept(kind: &Kind, mut value: Value) -> Result<Accepted, String> {
    if let Value::Object(object) = &mut value {
        object.remove("apiVersion");
    }
    let written = match value.pointer_mut("/metadata/generation") {
        Some(generation) => generation.take().as_i64(),
        None => None,
    };
    let mut content = DefaultHasher::new();
    value.hash(&mut content);
    let mut spec = DefaultHasher::new();
    for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != "metadata") {
        (key, value).hash(&mut spec);
    }
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.insert("generation".to_owned(), written.unwrap_or(1).max(1).into());
    }
    let resource = Resource::read(kind, value).transpose();
    let resource = resource.map_err(|error| match kind {
        Kind::Secret => "cannot be read as a Secret".to_owned(),
        _ => error.to_string(),
    })?;
    Ok(Accepted {
        resource,
        content: content.finish(),
        spec: spec.finish(),
    })
}
