//! Host names as the Gateway API has them, and the index that finds the most specific one.
//!
//! A wildcard covers any number of labels to its left, but not the bare suffix: `*.example.com` covers `a.b.example.com` and not
//! `example.com` (apis/v1/gateway_types.go, "Listeners that are distinct only by Hostname").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A host name in a listener or route: every name, one name, or all names under a suffix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostnamePattern {
    /// No hostname was given.
    Any,
    /// All names under this suffix; `*.example.com` is `Wildcard("example.com")`.
    Wildcard(Box<str>),
    /// This name only, in lower case.
    Exact(Box<str>),
}

impl HostnamePattern {
    /// From a manifest; absent and empty both mean every name. Case and a trailing dot do not matter.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        match text.strip_prefix("*.") {
            _ if text.is_empty() => Self::Any,
            Some(suffix) => Self::Wildcard(suffix.into()),
            None => Self::Exact(text.into()),
        }
    }

    /// Whether a server name (lower case, no trailing dot) is covered.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *name,
            Self::Wildcard(suffix) => is_under(name, suffix),
        }
    }

    /// Whether every name that `other` covers is covered by this one.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (pattern, Self::Exact(name)) => pattern.covers(name),
            (Self::Exact(_), Self::Wildcard(_)) => false,
            (Self::Wildcard(one), Self::Wildcard(two)) => one == two || is_under(two, one),
        }
    }

    /// Whether any name is covered by both.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => pattern.covers(name),
            (Self::Wildcard(one), Self::Wildcard(two)) => one == two || is_under(one, two) || is_under(two, one),
        }
    }
}

fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl fmt::Display for HostnamePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("(any name)"),
            Self::Exact(name) => formatter.write_str(name),
            Self::Wildcard(suffix) => write!(formatter, "*.{suffix}"),
        }
    }
}

/// As in manifests; every name is `*`, and the exact name `*`, which nobody can ask for, is `\*`.
impl Serialize for HostnamePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("*"),
            Self::Exact(name) if &**name == "*" => serializer.serialize_str("\\*"),
            pattern => serializer.collect_str(pattern),
        }
    }
}

/// What is not written as a pattern is written is refused.
impl<'de> Deserialize<'de> for HostnamePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let pattern = match &*text {
            "*" => Self::Any,
            "\\*" => Self::Exact("*".into()),
            text => Self::parse(Some(text)),
        };
        let is_canonical = match &pattern {
            Self::Any => *text == *"*",
            Self::Exact(name) => **name == *text || *text == *"\\*",
            Self::Wildcard(suffix) => text.strip_prefix("*.") == Some(suffix),
        };
        is_canonical
            .then_some(pattern)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a host name in lower case, or `*`"))
    }
}

/// Things found by server name, the most specific pattern first: exact, then the longest wildcard, then any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameIndex<T> {
    exact: BTreeMap<Box<str>, T>,
    wildcard: BTreeMap<Box<str>, T>,
    any: Option<T>,
}

impl<T> Default for NameIndex<T> {
    fn default() -> Self {
        Self {
            exact: BTreeMap::new(),
            wildcard: BTreeMap::new(),
            any: None,
        }
    }
}

impl<T> NameIndex<T> {
    /// Enters `value` unless the pattern is taken; then gives back who has it.
    pub fn claim(&mut self, pattern: &HostnamePattern, value: T) -> Result<(), &T> {
        use std::collections::btree_map::Entry;
        let slot = match pattern {
            HostnamePattern::Any => {
                return match &mut self.any {
                    Some(holder) => Err(holder),
                    empty => {
                        *empty = Some(value);
                        Ok(())
                    }
                };
            }
            HostnamePattern::Exact(name) => self.exact.entry(name.clone()),
            HostnamePattern::Wildcard(suffix) => self.wildcard.entry(suffix.clone()),
        };
        match slot {
            Entry::Occupied(holder) => Err(holder.into_mut()),
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
        }
    }

    /// The holder of the most specific pattern that covers `name`; a connection without a name reaches only the holder of any.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<&T> {
        self.covering(name).next()
    }

    /// The holder of a pattern, entered if there is none.
    pub(crate) fn entry(&mut self, pattern: &HostnamePattern) -> &mut T
    where
        T: Default,
    {
        match pattern {
            HostnamePattern::Any => self.any.get_or_insert_default(),
            HostnamePattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostnamePattern::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
        }
    }

    /// The same patterns with other holders.
    pub(crate) fn map<U>(self, change: impl Fn(T) -> U) -> NameIndex<U> {
        let turn = |map: BTreeMap<Box<str>, T>| map.into_iter().map(|(name, value)| (name, change(value))).collect();
        NameIndex {
            exact: turn(self.exact),
            wildcard: turn(self.wildcard),
            any: self.any.map(&change),
        }
    }

    /// Takes over the holders of another index, whose patterns are none of this one's.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.exact.extend(other.exact);
        self.wildcard.extend(other.wildcard);
        self.any = self.any.take().or(other.any);
    }

    /// A holder of any pattern that has a name in common with this one.
    pub(crate) fn intersecting(&self, pattern: &HostnamePattern) -> Option<&T> {
        match pattern {
            HostnamePattern::Any => self.iter().next().map(|(_, value)| value),
            HostnamePattern::Exact(name) => self.find(Some(name)),
            HostnamePattern::Wildcard(suffix) => self.most_specific(pattern).or_else(|| {
                let names = self.exact.iter().chain(&self.wildcard);
                names
                    .into_iter()
                    .find(|(name, _)| is_under(name, suffix))
                    .map(|(_, value)| value)
            }),
        }
    }

    /// Calls `change` with every holder and with who holds the same pattern in `other`.
    pub(crate) fn update_with(&mut self, other: &Self, mut change: impl FnMut(&mut T, &T)) {
        for (mine, theirs) in [(&mut self.exact, &other.exact), (&mut self.wildcard, &other.wildcard)] {
            // Both are sorted, so one walk finds every pair.
            let mut theirs = theirs.iter().peekable();
            for (name, value) in mine {
                while theirs.next_if(|(other, _)| *other < name).is_some() {}
                if let Some((_, old)) = theirs.next_if(|(other, _)| *other == name) {
                    change(value, old);
                }
            }
        }
        if let (Some(value), Some(old)) = (&mut self.any, &other.any) {
            change(value, old);
        }
    }

    /// The holder that gets the names of `pattern`, save those that a still narrower claim takes out.
    pub(crate) fn most_specific(&self, pattern: &HostnamePattern) -> Option<&T> {
        match pattern {
            HostnamePattern::Any => self.any.as_ref(),
            HostnamePattern::Exact(name) => self.find(Some(name)),
            // No claim is narrower than a wildcard and holds a label `*`.
            HostnamePattern::Wildcard(suffix) => self.find(Some(&format!("*.{suffix}"))),
        }
    }

    /// Holders of every pattern that includes this one, itself among them, the most specific first.
    pub(crate) fn including(&self, pattern: &HostnamePattern) -> Vec<&T> {
        match pattern {
            HostnamePattern::Any => self.any.iter().collect(),
            HostnamePattern::Exact(name) => self.covering(Some(name)).collect(),
            // As in `most_specific`.
            HostnamePattern::Wildcard(suffix) => self.covering(Some(&format!("*.{suffix}"))).collect(),
        }
    }

    /// Holders of every pattern that covers `name`, the most specific first.
    pub fn covering<'a, 'name>(&'a self, name: Option<&'name str>) -> impl Iterator<Item = &'a T> + use<'a, 'name, T> {
        let exact = name.and_then(|name| self.exact.get(name));
        // An empty first label is no label: as in `covers`.
        let first = name.map_or(1, |name| 1 + usize::from(name.starts_with('.')));
        let suffixes = std::iter::successors(name, |name| name.split_once('.').map(|(_, suffix)| suffix)).skip(first);
        exact
            .into_iter()
            .chain(suffixes.filter_map(|suffix| self.wildcard.get(suffix)))
            .chain(&self.any)
    }

    /// Every pattern with its holder: exact names, wildcards, any.
    pub fn iter(&self) -> impl Iterator<Item = (HostnamePattern, &T)> {
        self.exact
            .iter()
            .map(|(name, value)| (HostnamePattern::Exact(name.clone()), value))
            .chain(
                self.wildcard
                    .iter()
                    .map(|(suffix, value)| (HostnamePattern::Wildcard(suffix.clone()), value)),
            )
            .chain(self.any.iter().map(|value| (HostnamePattern::Any, value)))
    }

    /// Whether nothing was entered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.any.is_none()
    }
}

/// As a map from pattern to holder.
impl<T: Serialize> Serialize for NameIndex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_covers_any_depth_but_not_its_suffix() {
        let wildcard = HostnamePattern::parse(Some("*.Example.com."));
        assert!(wildcard.covers("a.example.com"));
        assert!(wildcard.covers("a.b.example.com"));
        assert!(!wildcard.covers("example.com"));
        assert!(!wildcard.covers("badexample.com"));
        assert!(!wildcard.covers(".example.com"));
    }

    #[test]
    fn what_is_written_is_read_as_the_same_and_nothing_else_is_read() {
        for text in [None, Some("*"), Some("*.example.com"), Some("a.example.com"), Some("*.*")] {
            let pattern = HostnamePattern::parse(text);
            let json = serde_json::to_string(&pattern).expect("JSON");
            assert_eq!(
                serde_json::from_str::<HostnamePattern>(&json).expect("read"),
                pattern,
                "{json}"
            );
        }
        for text in ["", "A.test", "a.test.", ".", "*.", "*.a.test."] {
            assert!(serde_json::from_value::<HostnamePattern>(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_intersect_when_a_name_is_covered_by_both() {
        let pattern = |text| HostnamePattern::parse(Some(text));
        assert!(pattern("*.example.com").intersects(&pattern("a.example.com")));
        assert!(pattern("*.example.com").intersects(&pattern("*.b.example.com")));
        assert!(!pattern("*.example.com").intersects(&pattern("example.com")));
        assert!(!pattern("*.example.com").intersects(&pattern("*.example.org")));
        assert!(HostnamePattern::Any.intersects(&pattern("a.b")));
    }

    #[test]
    fn an_index_finds_whoever_has_a_name_in_common() {
        let pattern = |text| HostnamePattern::parse(Some(text));
        let index = |text: &'static str| {
            let mut index = NameIndex::default();
            index.claim(&pattern(text), text).expect("free");
            index
        };
        for one in ["", "*.com", "*.example.com", "a.example.com", "example.com", "*.test"] {
            for two in ["", "*.com", "*.example.com", "a.example.com", "example.com", "*.test"] {
                let meet = index(one).intersecting(&pattern(two)).is_some();
                assert_eq!(meet, pattern(one).intersects(&pattern(two)), "{one} {two}");
            }
        }
    }

    #[test]
    fn a_pattern_includes_what_it_covers_wholly() {
        let pattern = |text| HostnamePattern::parse(Some(text));
        assert!(pattern("*.com").includes(&pattern("*.example.com")));
        assert!(pattern("*.com").includes(&pattern("*.com")));
        assert!(pattern("*.com").includes(&pattern("a.com")));
        assert!(!pattern("*.example.com").includes(&pattern("*.com")));
        assert!(!pattern("a.com").includes(&pattern("*.a.com")));
        assert!(!pattern("*.com").includes(&HostnamePattern::Any));
        assert!(HostnamePattern::Any.includes(&HostnamePattern::Any));
    }

    #[test]
    fn most_specific_pattern_wins_whatever_the_order_of_entry() {
        let mut index = NameIndex::default();
        for text in ["", "*.com", "*.example.com", "a.example.com"] {
            index.claim(&HostnamePattern::parse(Some(text)), text).expect("free");
        }
        assert_eq!(index.find(Some("a.example.com")), Some(&"a.example.com"));
        assert_eq!(index.find(Some("b.a.example.com")), Some(&"*.example.com"));
        assert_eq!(index.find(Some("example.com")), Some(&"*.com"));
        assert_eq!(index.find(Some("com")), Some(&""));
        assert_eq!(index.find(Some(".example.com")), Some(&"*.com"));
        assert_eq!(index.find(None), Some(&""));
        assert_eq!(index.claim(&HostnamePattern::parse(Some("*.COM")), "late"), Err(&"*.com"));
    }
}
