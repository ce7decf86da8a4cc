//! Where each part of a document stands, as a tree of the same shape as its JSON.

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    /// Exclusive.
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: u32, end: u32) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }
}

/// The place of a value, and of everything in it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Scalar,
    Sequence(Vec<Node>),
    /// In the order of the text.
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_span: Span,
    pub(super) value: Node,
}

/// One step of a field path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'path> {
    Key(&'path str),
    Index(usize),
}

impl Node {
    pub(super) fn scalar(span: Span) -> Self {
        Self {
            span,
            content: Content::Scalar,
        }
    }

    pub(super) fn sequence(span: Span, nodes: Vec<Self>) -> Self {
        Self {
            span,
            content: Content::Sequence(nodes),
        }
    }

    pub(super) fn mapping(span: Span, entries: Vec<Entry>) -> Self {
        Self {
            span,
            content: Content::Mapping(entries),
        }
    }

    /// The items, when this is a sequence.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.content {
            Content::Sequence(nodes) => nodes,
            _ => &[],
        }
    }

    /// The value under `key`, when this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Where to point for `path`: at the value when it is a scalar, else at its key, and at the nearest parent when there is no such
    /// field. With `key`, at the key even of a scalar.
    pub(crate) fn locate(&self, path: &str, key: bool) -> Span {
        let mut best = self.span;
        let mut node = self;
        for step in steps(path) {
            let next = match (step, &node.content) {
                (Step::Index(index), Content::Sequence(nodes)) => nodes.get(index).map(|node| (node.span, node)),
                (Step::Key(key), _) => node.entry(key).map(|entry| (entry.key_span, &entry.value)),
                (Step::Index(_), _) => None,
            };
            let Some((place, next)) = next else { return best };
            best = place;
            node = next;
        }
        if !key && matches!(node.content, Content::Scalar) && node.span.end > node.span.start {
            return node.span;
        }
        best
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|entry| *entry.key == *key),
            _ => None,
        }
    }
}

/// The steps of a field path: `spec.listeners[1].port`, `metadata.annotations[sealway.dev/idle-timeout]`.
pub(crate) fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return None;
        }
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = inside.split_once(']').unwrap_or((inside, ""));
            rest = after;
            return Some(step.parse().map_or(Step::Key(step), Step::Index));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (step, after) = rest.split_at(end);
        rest = after;
        Some(Step::Key(step))
    })
}
