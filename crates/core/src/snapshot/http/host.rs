//! Everything that routes say about one hostname.
//!
//! The order of the matches alone decides. Where there are many, an index by path finds those that may hold, so that a thousand rules on
//! one name cost no more than a few. Invariant: with and without the index the answer is the same.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{HttpMatch, PathMatcher, RequestHead};

/// Everything that routes say about one hostname.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHost {
    matches: Vec<HttpMatch>,
    #[serde(skip)]
    paths: Option<PathIndex>,
}

/// Below that, looking at all of them is as fast.
const FEW: usize = 8;

impl HttpHost {
    /// From matches in order of precedence.
    #[must_use]
    pub fn new(matches: Vec<HttpMatch>) -> Self {
        let paths = (matches.len() > FEW).then(|| PathIndex::new(&matches));
        Self { matches, paths }
    }

    /// In order of precedence.
    #[must_use]
    pub fn matches(&self) -> &[HttpMatch] {
        &self.matches
    }

    /// The first match that holds.
    #[must_use]
    pub fn find(&self, head: &RequestHead<'_>) -> Option<&HttpMatch> {
        match &self.paths {
            Some(paths) => paths.find(&self.matches, head),
            None => self.matches.iter().find(|matched| matched.holds(head)),
        }
    }
}

/// Positions of matches, in order, by their path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PathIndex {
    exact: BTreeMap<Box<str>, Vec<usize>>,
    prefix: BTreeMap<Box<str>, Vec<usize>>,
    /// No key of `prefix` is longer.
    longest_prefix: usize,
    patterns: Vec<usize>,
}

impl PathIndex {
    fn new(matches: &[HttpMatch]) -> Self {
        let mut index = Self::default();
        for (position, matched) in matches.iter().enumerate() {
            match &matched.path {
                PathMatcher::Exact(path) => index.exact.entry(path.as_str().into()).or_default().push(position),
                PathMatcher::Prefix(path) => {
                    index.longest_prefix = index.longest_prefix.max(path.len());
                    index.prefix.entry(path.as_str().into()).or_default().push(position);
                }
                PathMatcher::Pattern(_) => index.patterns.push(position),
            }
        }
        index
    }

    fn find<'a>(&self, matches: &'a [HttpMatch], head: &RequestHead<'_>) -> Option<&'a HttpMatch> {
        let exact = self.exact.get(head.path);
        // `/a/b`, `/a` and the empty prefix, which holds for every path.
        let shorter = |path: &&'_ str| path.rfind('/').and_then(|end| head.path.get(..end));
        let prefixes = std::iter::successors(Some(head.path), shorter).chain((!head.path.contains('/')).then_some(""));
        let prefixes = prefixes.filter(|prefix| prefix.len() <= self.longest_prefix);
        let groups = exact.into_iter().chain(prefixes.filter_map(|prefix| self.prefix.get(prefix)));
        let mut best = matches.len();
        for group in groups.chain([&self.patterns]) {
            let earlier = group.iter().copied().take_while(|position| *position < best);
            let mut holding = earlier.filter_map(|position| Some((position, matches.get(position)?)));
            let first = holding.find(|(_, matched)| matched.holds(head));
            best = first.map_or(best, |(position, _)| position);
        }
        matches.get(best)
    }
}
