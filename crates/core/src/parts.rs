//! A snapshot in parts, each under a name that stays: what travels from the controller to a proxy is the parts that differ.
//!
//! In: a [`Snapshot`] and the parts of the one before. Out: [`Parts`], and from them the [`Delta`] to what somebody has; at the other end
//! [`Assembly`] makes a snapshot of them again. Invariants: assembling the parts of a snapshot gives that snapshot; what a change leaves
//! alone keeps its part here and its `Arc` there; parts that do not fit together change nothing.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;

mod assemble;
mod build;
mod indexes;
mod relations;
mod split;
mod wire;

pub use assemble::Assembly;
use split::{Index, Source};

/// The name of a part, for people too: `head`, `tcp/443`, `tcp/443/LISTENER`, `forward/TLSRoute NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartKey(Arc<str>);

impl PartKey {
    /// A name from a peer; `None` when it is empty or longer than any name that is given.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= LONGEST_KEY).then(|| Self(text.into()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the part is a backend: a Service's port with its endpoints.
    #[must_use]
    pub fn is_backend(&self) -> bool {
        self.0.starts_with(BACKEND)
    }
}

/// With what names of backends begin.
const BACKEND: &str = "backend/";
/// Bytes. Names of Kubernetes are 253 at most, so that three of them and a hostname fit.
const LONGEST_KEY: usize = 2048;

impl Borrow<str> for PartKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The first half of the SHA-256 of a part's name and bytes; serialises in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartDigest(pub [u8; 16]);

impl PartDigest {
    fn of(key: &PartKey, bytes: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&u64::try_from(key.as_str().len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(key.as_str().as_bytes());
        context.update(bytes);
        let whole = context.finish();
        let mut half = [0; 16];
        half.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        Self(half)
    }
}

impl Serialize for PartDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl<'de> Deserialize<'de> for PartDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = Some(&text).filter(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = digits.and_then(|text| u128::from_str_radix(text, 16).ok());
        value
            .map(|value| Self(value.to_be_bytes()))
            .ok_or_else(|| serde::de::Error::custom("a digest has 32 hexadecimal digits"))
    }
}

/// The parts of one snapshot. What a change leaves alone is in memory once for both.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    parts: OrdMap<PartKey, Entered>,
    index: Index,
}

/// A part with its digest beside it: all digests are read for each change, and that in one go.
#[derive(Clone, Debug)]
struct Entered {
    digest: PartDigest,
    part: Arc<Part>,
}

impl PartialEq for Entered {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// One of them. Its bytes are JSON; no key of a certificate stands in them.
#[derive(Debug)]
pub struct Part {
    bytes: Arc<[u8]>,
    source: Source,
}

impl Part {
    /// What travels.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl Parts {
    /// Takes a snapshot apart. What is as in `before` keeps its name and its part.
    #[must_use]
    pub fn of(snapshot: &Snapshot, before: &Self) -> Self {
        split::split(snapshot, before)
    }

    /// What has to be told to somebody who holds parts with these digests, in the order of their names.
    #[must_use]
    pub fn since<'a>(&self, held: impl IntoIterator<Item = (&'a PartKey, PartDigest)>) -> Delta {
        let mut delta = Delta::default();
        let mut held = held.into_iter().peekable();
        for (key, entered) in &self.parts {
            while let Some((gone, _)) = held.next_if(|(other, _)| *other < key) {
                delta.remove.insert(gone.clone());
            }
            let known = held.next_if(|(other, _)| *other == key);
            if known.is_none_or(|(_, digest)| digest != entered.digest) {
                delta.tell(key, entered);
            }
        }
        delta.remove.extend(held.map(|(gone, _)| gone.clone()));
        delta
    }

    /// The same for somebody who holds these: takes as long as what differs is large.
    #[must_use]
    pub fn since_parts(&self, held: &Self) -> Delta {
        let mut delta = Delta::default();
        for difference in held.parts.diff(&self.parts) {
            match difference {
                DiffItem::Add(key, entered) | DiffItem::Update { new: (key, entered), .. } => delta.tell(key, entered),
                DiffItem::Remove(key, _) => drop(delta.remove.insert(key.clone())),
            }
        }
        delta
    }

    /// Every name with the digest of its part, in the order of the names.
    pub fn digests(&self) -> impl Iterator<Item = (&PartKey, PartDigest)> {
        self.parts.iter().map(|(key, entered)| (key, entered.digest))
    }

    /// The part of a name.
    #[must_use]
    pub fn get(&self, key: &PartKey) -> Option<&Arc<Part>> {
        self.parts.get(key).map(|entered| &entered.part)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Parts that are new or other than before, and names that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Bytes by name.
    pub set: BTreeMap<PartKey, Arc<[u8]>>,
    /// Names.
    pub remove: BTreeSet<PartKey>,
}

impl Delta {
    fn tell(&mut self, key: &PartKey, entered: &Entered) {
        self.set.insert(key.clone(), Arc::clone(&entered.part.bytes));
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Bytes of the parts in it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.set.values().map(|bytes| bytes.len()).sum()
    }
}

/// Why parts make no snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A part is no JSON, or says what this version does not know.
    Unreadable {
        /// Its name.
        part: PartKey,
        /// What the reader says.
        detail: String,
    },
    /// A part has a value that none may have.
    Value {
        /// Its name.
        part: PartKey,
        /// What the value must be.
        expected: &'static str,
    },
    /// A part needs another that is not there.
    Missing {
        /// Who needs it.
        part: PartKey,
        /// What it needs.
        needs: PartKey,
    },
    /// A part needs another that is of another kind.
    Misfit {
        /// Who needs it.
        part: PartKey,
        /// What it needs.
        needs: PartKey,
    },
    /// Two parts claim one place.
    Twice {
        /// One of them.
        part: PartKey,
    },
    /// There is no head, or more than one.
    Head,
}

impl Unfit {
    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Value { .. } => {
                "controller and proxies must be of neighbouring versions: finish the update of both"
            }
            Self::Missing { .. } | Self::Misfit { .. } | Self::Twice { .. } | Self::Head => {
                "restart the proxy, which makes it ask for everything; report it if that does not help"
            }
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { part, detail } => write!(formatter, "part `{part}` cannot be read: {detail}"),
            Self::Value { part, expected } => write!(formatter, "part `{part}` has a value that is not {expected}"),
            Self::Missing { part, needs } => write!(formatter, "part `{part}` needs `{needs}`, which is not there"),
            Self::Misfit { part, needs } => write!(formatter, "part `{part}` needs `{needs}`, which is something else"),
            Self::Twice { part } => write!(formatter, "part `{part}` claims a place that another has"),
            Self::Head => formatter.write_str("there is not exactly one head"),
        }
    }
}

impl std::error::Error for Unfit {}
