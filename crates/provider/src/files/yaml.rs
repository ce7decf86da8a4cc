//! YAML and JSON text, read as the API server reads it, with the place of every key and value.
//!
//! Job: split a text into documents and give each as JSON and as a tree of places of the same shape. Input: text of a manifest.
//! Output: [`Document`]s and [`YamlError`]s in the order of the text.
//! Invariant: a syntax error costs its own document only; scalars mean what sigs.k8s.io/yaml (go-yaml v2) makes of them; no input can
//! make it recurse or grow without bound.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScanError, StrInput};
use serde_json::{Map, Value};

use self::node::Content;
pub(crate) use self::node::{Node, Span};

mod node;
mod scalar;
#[cfg(test)]
mod tests;

/// One document that could be read.
#[derive(Debug)]
pub(crate) struct Document {
    /// As JSON.
    pub(crate) value: Value,
    /// Where each part of `value` stands.
    pub(crate) node: Node,
    /// Keys that stand twice in one mapping; the first value is the one in `value`.
    pub(crate) duplicates: Vec<DuplicateKey>,
}

/// A key that stands twice in one mapping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DuplicateKey {
    pub(crate) key: String,
    pub(crate) first: Span,
    pub(crate) second: Span,
}

/// Why a document could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// What is wrong; never holds a value of the document.
    pub(crate) detail: String,
    /// Where, in bytes.
    pub(crate) offset: u32,
}

/// Reads every document of `text`; empty documents are left out.
pub(crate) fn parse(text: &str) -> Vec<Result<Document, YamlError>> {
    if u32::try_from(text.len()).is_err() {
        return vec![Err(YamlError::new("larger than 4 GiB", 0))];
    }
    // Comments are events when another crate of the build asks for them (kube does, through serde-saphyr): never here.
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
        emit_comments: false,
    };
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        duplicates: Vec::new(),
        copied: 0,
        end: text.len(),
    };
    let mut documents = Vec::new();
    loop {
        match reader.next_document() {
            Ok(None) => return documents,
            Ok(Some(Document { value: Value::Null, .. })) => {}
            Ok(Some(document)) => documents.push(Ok(document)),
            Err(error) => {
                documents.push(Err(error));
                match reader.parser.proceed_next_document() {
                    Ok(true) => {}
                    Ok(false) => return documents,
                    Err(error) => {
                        documents.push(Err(reader.scan_error(&error)));
                        return documents;
                    }
                }
            }
        }
    }
}

impl YamlError {
    fn new(detail: impl Into<String>, offset: u32) -> Self {
        Self {
            detail: detail.into(),
            offset,
        }
    }
}

struct Reader<'text> {
    parser: Parser<'text, StrInput<'text>>,
    /// What aliases of the current document may refer to.
    anchors: HashMap<usize, Rc<Read>>,
    duplicates: Vec<DuplicateKey>,
    /// Cost of what aliases have copied into the current document.
    copied: usize,
    end: usize,
}

/// A value that has been read, with what it would cost to copy it.
#[derive(Clone)]
struct Read {
    value: Value,
    node: Node,
    /// Levels of collections in it.
    height: usize,
    /// Bytes, roughly.
    cost: usize,
}

type Parsed<T> = Result<T, YamlError>;

impl<'text> Reader<'text> {
    fn next_document(&mut self) -> Parsed<Option<Document>> {
        self.anchors.clear();
        self.duplicates.clear();
        self.copied = 0;
        loop {
            let Some((event, span)) = self.next_event()? else {
                return Ok(None);
            };
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => {
                    let read = self.value(event, span, 0)?;
                    return Ok(Some(Document {
                        value: read.value,
                        node: read.node,
                        duplicates: std::mem::take(&mut self.duplicates),
                    }));
                }
            }
        }
    }

    fn next_event(&mut self) -> Parsed<Option<(Event<'text>, Span)>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, Span::new(self.offset(&span.start), self.offset(&span.end))))),
            Some(Err(error)) => Err(self.scan_error(&error)),
        }
    }

    fn offset(&self, marker: &granit_parser::Marker) -> u32 {
        // The input is a `str` that fits into `u32`: every marker has a byte offset.
        u32::try_from(marker.byte_offset().unwrap_or(self.end)).unwrap_or(u32::MAX)
    }

    fn scan_error(&self, error: &ScanError) -> YamlError {
        YamlError::new(error.info(), self.offset(error.marker()))
    }

    /// The value that begins with `event`. Recursion ends at [`DEPTH_LIMIT`], where the parser refuses.
    fn value(&mut self, event: Event<'text>, span: Span, depth: usize) -> Parsed<Read> {
        let (anchor, read) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let cost = text.len() + NODE_COST;
                let value = scalar::resolve(&text, style, tag.as_deref()).map_err(|detail| YamlError::new(detail, span.start))?;
                (
                    anchor,
                    Read {
                        value,
                        node: Node::scalar(span),
                        height: 0,
                        cost,
                    },
                )
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(span, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(span, depth)?),
            Event::Alias(id) => return self.alias(id, span, depth),
            _ => return Err(YamlError::new("unexpected end of the document", span.start)),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::new(read.clone()));
        }
        Ok(read)
    }

    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Parsed<Read> {
        let Some(read) = self.anchors.get(&id).cloned() else {
            return Err(YamlError::new("an alias inside the very value that it names", span.start));
        };
        self.copied += read.cost;
        if self.copied > COPY_LIMIT {
            return Err(YamlError::new("aliases make the document too large", span.start));
        }
        if depth + read.height > DEPTH_LIMIT {
            return Err(YamlError::new("aliases nest too deeply", span.start));
        }
        Ok(Rc::unwrap_or_clone(read))
    }

    fn sequence(&mut self, span: Span, depth: usize) -> Parsed<Read> {
        let (mut values, mut nodes, mut height, mut cost) = (Vec::new(), Vec::new(), 0, NODE_COST);
        loop {
            let (event, item_span) = self.expect_event(span)?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let read = self.value(event, item_span, depth + 1)?;
            values.push(read.value);
            nodes.push(read.node);
            height = height.max(read.height);
            cost += read.cost;
        }
        Ok(Read {
            value: Value::Array(values),
            node: Node::sequence(span, nodes),
            height: height + 1,
            cost,
        })
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Parsed<Read> {
        let mut mapping = Mapping::default();
        let mut merges = Vec::new();
        loop {
            let (event, key_span) = self.expect_event(span)?;
            let (key, is_merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, anchor, tag) => {
                    let key =
                        scalar::key(&text, style, tag.as_deref()).map_err(|detail| YamlError::new(detail, key_span.start))?;
                    if anchor != 0 {
                        let (value, node) = (Value::String(key.clone()), Node::scalar(key_span));
                        let cost = key.len() + NODE_COST;
                        self.anchors.insert(
                            anchor,
                            Rc::new(Read {
                                value,
                                node,
                                height: 0,
                                cost,
                            }),
                        );
                    }
                    let is_merge = key == "<<" && scalar::is_plain(style);
                    (key, is_merge)
                }
                Event::Alias(id) => match self.alias(id, key_span, depth)?.value {
                    Value::String(key) => (key, false),
                    _ => return Err(YamlError::new("a key that is not text", key_span.start)),
                },
                _ => return Err(YamlError::new("a key that is a mapping or a list", key_span.start)),
            };
            let (event, value_span) = self.expect_event(span)?;
            let read = self.value(event, value_span, depth + 1)?;
            if is_merge {
                merges.push((read, key_span));
            } else {
                self.insert(&mut mapping, key, key_span, read);
            }
        }
        for (read, key_span) in merges {
            mapping.merge(read).map_err(|detail| YamlError::new(detail, key_span.start))?;
        }
        Ok(mapping.finish(span))
    }

    fn insert(&mut self, mapping: &mut Mapping, key: String, key_span: Span, read: Read) {
        if !mapping.values.contains_key(&key) {
            mapping.insert(key, key_span, read);
        } else if self.duplicates.len() < DUPLICATES_LIMIT
            && let Some(first) = mapping.key_span(&key)
        {
            let second = key_span;
            self.duplicates.push(DuplicateKey { key, first, second });
        }
    }

    fn expect_event(&mut self, start: Span) -> Parsed<(Event<'text>, Span)> {
        self.next_event()?
            .ok_or_else(|| YamlError::new("unexpected end of the document", start.start))
    }
}

#[derive(Default)]
struct Mapping {
    values: Map<String, Value>,
    entries: Vec<node::Entry>,
    height: usize,
    cost: usize,
}

impl Mapping {
    fn key_span(&self, key: &str) -> Option<Span> {
        self.entries
            .iter()
            .find(|entry| *entry.key == *key)
            .map(|entry| entry.key_span)
    }

    fn insert(&mut self, key: String, key_span: Span, read: Read) {
        self.height = self.height.max(read.height);
        self.cost += read.cost + key.len();
        self.entries.push(node::Entry {
            key: key.as_str().into(),
            key_span,
            value: read.node,
        });
        self.values.insert(key, read.value);
    }

    /// `<<`: adds the keys of a mapping, or of several, that are not there yet.
    fn merge(&mut self, read: Read) -> Result<(), &'static str> {
        match (read.value, read.node.content) {
            (Value::Object(mut values), Content::Mapping(entries)) => {
                for entry in entries {
                    if let Some(value) = values.remove(&*entry.key)
                        && !self.values.contains_key(&*entry.key)
                    {
                        let read = Read {
                            value,
                            node: entry.value,
                            height: read.height,
                            cost: 0,
                        };
                        self.insert(entry.key.into(), entry.key_span, read);
                    }
                }
                self.cost += read.cost;
                Ok(())
            }
            (Value::Array(values), Content::Sequence(nodes)) => values.into_iter().zip(nodes).try_for_each(|(value, node)| {
                if !value.is_object() {
                    return Err("`<<` merges mappings only");
                }
                self.merge(Read {
                    value,
                    node,
                    height: read.height,
                    cost: read.cost,
                })
            }),
            _ => Err("`<<` merges mappings only"),
        }
    }

    fn finish(self, span: Span) -> Read {
        Read {
            value: Value::Object(self.values),
            node: Node::mapping(span, self.entries),
            height: self.height + 1,
            cost: self.cost + NODE_COST,
        }
    }
}

/// Nested collections; Kubernetes' own objects need fewer than 20.
const DEPTH_LIMIT: usize = 100;
/// Keys of one document that are reported as standing twice: each costs a search.
const DUPLICATES_LIMIT: usize = 100;
/// Bytes that aliases may copy into one document.
const COPY_LIMIT: usize = 64 << 20;
/// Bytes of an empty value with its place, roughly.
const NODE_COST: usize = 96;
