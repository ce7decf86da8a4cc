//! The one way out of a [`SessionKey`]: to the Gateway's own proxies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer};
use zeroize::Zeroizing;

use crate::snapshot::SessionKey;

pub(super) fn serialize<S: Serializer>(key: &Option<SessionKey>, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Some(key) => serializer.serialize_str(&Zeroizing::new(STANDARD.encode(key.expose()))),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SessionKey>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(&*text).map(Zeroizing::new).ok();
    let key = bytes
        .and_then(|bytes| <[u8; 32]>::try_from(&bytes[..]).ok())
        .map(SessionKey::new);
    key.map(Some)
        .ok_or_else(|| serde::de::Error::custom("a session key has 32 bytes"))
}
