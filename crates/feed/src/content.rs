//! What a proxy has, in one digest, so that both ends see at once whether there is anything to tell.

use std::fmt;

use aws_lc_rs::digest;
use sealway_core::{ContentHash, PartDigest, PartKey};
use serde::{Deserialize, Serialize};

/// SHA-256 over the digests of all parts, in which their names are, and over the names of all keys. The same snapshot has the same one at
/// every controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(ContentHash);

impl Content {
    /// Of parts and keys, each in the order of its names.
    pub(crate) fn of<'a>(
        parts: impl Iterator<Item = (&'a PartKey, PartDigest)>,
        keys: impl Iterator<Item = &'a ContentHash>,
    ) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut count = 0_u64;
        for (_, PartDigest(digest)) in parts {
            context.update(&digest);
            count += 1;
        }
        for ContentHash(hash) in keys {
            context.update(hash);
        }
        // So that no part reads as a key.
        context.update(&count.to_be_bytes());
        let mut whole = [0; 32];
        whole
            .iter_mut()
            .zip(context.finish().as_ref())
            .for_each(|(to, from)| *to = *from);
        Self(ContentHash(whole))
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
