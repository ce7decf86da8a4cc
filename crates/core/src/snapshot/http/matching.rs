//! Conditions on a request, each compiled once.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName};
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RequestHead;
use crate::snapshot::{text, unexpected};

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatcher {
    /// Equal, case included.
    Exact(String),
    /// By elements: `/a` holds for `/a` and `/a/b`, not for `/ab`. Without a trailing slash; empty: every path.
    Prefix(String),
    /// Over the whole path.
    Pattern(Pattern),
}

impl PathMatcher {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str());
                prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Pattern(pattern) => pattern.holds(path),
        }
    }
}

/// A condition on the value of a header or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ValueMatcher {
    /// Equal, case included.
    Exact(String),
    /// Over the whole value.
    Pattern(Pattern),
}

impl ValueMatcher {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(exact) => value == exact,
            Self::Pattern(pattern) => pattern.holds(value),
        }
    }
}

/// A condition on a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatcher {
    /// Its name.
    #[serde(serialize_with = "name", deserialize_with = "super::filters::read_name")]
    pub name: HeaderName,
    /// Several values count as one, joined by commas (RFC 9110 section 5.3).
    pub value: ValueMatcher,
}

impl HeaderMatcher {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        let Some(Ok(first)) = values.next().map(|value| std::str::from_utf8(value.as_bytes())) else {
            return false;
        };
        let mut joined: Option<String> = None;
        for value in values {
            let Ok(value) = std::str::from_utf8(value.as_bytes()) else {
                return false;
            };
            let joined = joined.get_or_insert_with(|| first.to_owned());
            joined.push(',');
            joined.push_str(value);
        }
        self.value.holds(joined.as_deref().unwrap_or(first))
    }
}

/// A condition on a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryMatcher {
    /// Its name, case included; percent-encoding is undone before names and values are compared.
    pub name: String,
    /// Of several values the first counts.
    pub value: ValueMatcher,
}

impl QueryMatcher {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, query: Option<&str>) -> bool {
        let mut pairs = query.unwrap_or_default().split('&');
        let first = pairs.find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            decoded(name).is_some_and(|name| name == self.name).then_some(value)
        });
        first.and_then(decoded).is_some_and(|value| self.value.holds(&value))
    }
}

/// A part of a query (URL standard, application/x-www-form-urlencoded); `None` when it is not UTF-8. Allocates only where something is
/// encoded.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hexadecimal(*high), hexadecimal(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high * 16 + low
                }
                _ => b'%',
            },
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A regular expression that must hold for a whole text; two of the same text are equal.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression (the syntax of the `regex` crate, which is RE2's: linear time).
    pub fn new(expression: &str) -> Result<Self, regex::Error> {
        let build = |text: &str| {
            regex::RegexBuilder::new(text)
                .size_limit(LARGEST_PROGRAM)
                .dfa_size_limit(LARGEST_CACHE)
                .build()
        };
        // By itself first: `a)|(?:b` must not get out of the group.
        build(expression)?;
        build(&format!("{BEGIN}{expression}{END}")).map(Self)
    }

    /// As it was compiled: anchored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn holds(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// What makes an expression hold for a whole text.
const BEGIN: &str = "^(?:";
const END: &str = ")$";
/// Bytes that a compiled expression may take: a manifest must not be able to take all memory.
const LARGEST_PROGRAM: usize = 1 << 20;
/// Bytes that its matcher may take beside, for each thread.
const LARGEST_CACHE: usize = 1 << 18;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pattern({})", self.0)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// Anchored, as it was written.
impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
        let expression = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let pattern = expression.and_then(|expression| Self::new(expression).ok());
        pattern.ok_or_else(|| unexpected(&text, "a regular expression such as `^(?:/v[0-9]+)$`"))
    }
}

fn name<S: Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

impl super::HttpMatch {
    /// Whether all conditions hold.
    #[must_use]
    pub fn holds(&self, head: &RequestHead<'_>) -> bool {
        self.path.holds(head.path)
            && self.method.as_ref().is_none_or(|method| method == head.method)
            && self.headers.iter().all(|matcher| matcher.holds(head.headers))
            && self.query.iter().all(|matcher| matcher.holds(head.query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_holds_for_the_whole_text_and_cannot_leave_its_group() {
        let pattern = Pattern::new("/v[0-9]+|/latest").expect("valid");
        assert!(pattern.holds("/v12") && pattern.holds("/latest"));
        assert!(!pattern.holds("/v12/x") && !pattern.holds("/a/latest"));
        assert!(Pattern::new("a)|(?:b").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err(), "too large");
    }

    #[test]
    fn queries_are_decoded_and_the_first_value_counts() {
        let matcher = |name: &str, value: &str| QueryMatcher {
            name: name.to_owned(),
            value: ValueMatcher::Exact(value.to_owned()),
        };
        assert!(matcher("a b", "1/2").holds(Some("x=0&a+b=1%2f2")));
        assert!(matcher("a", "1").holds(Some("a=1&a=2")));
        assert!(!matcher("a", "2").holds(Some("a=1&a=2")));
        assert!(matcher("a", "").holds(Some("a")));
        assert!(matcher("a", "%zz").holds(Some("a=%zz")));
        assert!(!matcher("a", "1").holds(None));
    }

    #[test]
    fn a_prefix_is_compared_by_elements() {
        let prefix = PathMatcher::Prefix("/abc".to_owned());
        for (path, holds) in [
            ("/abc", true),
            ("/abc/", true),
            ("/abc/def", true),
            ("/abcd", false),
            ("/", false),
        ] {
            assert_eq!(prefix.holds(path), holds, "{path}");
        }
        assert!(PathMatcher::Prefix(String::new()).holds("*"));
    }
}
