//! What a proxy has, and what is on its way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_core::{Assembly, ContentHash, Delta, KeyMaterial, KeyUnfit, Keys, PartKey, Unfit};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::content::Content;
use crate::frame::{Frame, FrameFault, Piece};

/// Parts and keys that fit together.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) assembly: Assembly,
    pub(crate) keys: Keys,
}

/// Why a delta is not obeyed.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("{0}; {hint}", hint = .0.hint())]
    Unfit(#[from] Unfit),
    #[error("certificate {content}: {unfit}")]
    Key { content: ContentHash, unfit: KeyUnfit },
    #[error("what it leads to is not what the controller has")]
    Content,
    #[error("it is of another Gateway")]
    Gateway,
}

/// A delta that has not come to its end.
#[derive(Default)]
pub(crate) struct Building {
    parts: BTreeMap<PartKey, Vec<u8>>,
    keys: BTreeMap<ContentHash, Zeroizing<Vec<u8>>>,
    removed: BTreeSet<PartKey>,
    removed_keys: BTreeSet<ContentHash>,
    /// Whose last piece has not come.
    open: Option<Open>,
    size: usize,
}

#[derive(PartialEq, Eq)]
enum Open {
    Part(PartKey),
    Key(ContentHash),
}

/// Bytes of a delta: beyond what a proxy has memory for.
const LARGEST: usize = 1 << 30;

impl Building {
    /// Takes a part or a key, or the next piece of the last one.
    pub(crate) fn take(&mut self, frame: Frame<'_>) -> Result<(), FrameFault> {
        let (open, Piece { is_last, bytes }) = match frame {
            Frame::Part(key, piece) => (Open::Part(key), piece),
            Frame::Key(content, piece) => (Open::Key(content), piece),
            Frame::Message(_) => return Err(FrameFault::Malformed),
        };
        self.size = self.size.saturating_add(bytes.len());
        let goes_on = self.open.as_ref().is_none_or(|last| *last == open);
        if !goes_on || self.size > LARGEST {
            return Err(FrameFault::Malformed);
        }
        match &open {
            Open::Part(key) => self.parts.entry(key.clone()).or_default().extend_from_slice(bytes),
            Open::Key(content) => self.keys.entry(*content).or_default().extend_from_slice(bytes),
        }
        self.open = (!is_last).then_some(open);
        Ok(())
    }

    /// Takes what is gone.
    pub(crate) fn remove(&mut self, parts: Vec<PartKey>, keys: Vec<ContentHash>) {
        self.removed.extend(parts);
        self.removed_keys.extend(keys);
    }

    /// Whether nothing has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.keys.is_empty() && self.removed.is_empty() && self.removed_keys.is_empty()
    }
}

impl State {
    /// Of everything that is there; `None`: nothing is.
    pub(crate) fn content(&self) -> Option<Content> {
        self.assembly.snapshot()?;
        Some(Content::of(self.assembly.digests(), self.keys.0.keys()))
    }

    /// What comes of a delta. Keys that no part names are not kept, whoever sent them.
    pub(crate) fn follow(&self, building: Building) -> Result<Self, Refusal> {
        let Building {
            parts,
            keys: new,
            removed,
            removed_keys,
            ..
        } = building;
        let delta = Delta {
            set: parts.into_iter().map(|(key, bytes)| (key, bytes.into())).collect(),
            remove: removed,
        };
        let assembly = self.assembly.apply(&delta)?;
        let mut keys = self.keys.clone();
        keys.0.retain(|content, _| !removed_keys.contains(content));
        for (content, bytes) in new {
            let key = KeyMaterial::decode(&content, &bytes).map_err(|unfit| Refusal::Key { content, unfit })?;
            keys.0.insert(content, Arc::new(key));
        }
        let snapshot = assembly.snapshot().into_iter();
        let named = snapshot.flat_map(|snapshot| snapshot.certificates());
        let named: BTreeSet<ContentHash> = named.map(|certificate| certificate.content).collect();
        keys.0.retain(|content, _| named.contains(content));
        Ok(Self { assembly, keys })
    }
}
