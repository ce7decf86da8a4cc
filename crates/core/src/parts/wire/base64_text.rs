//! Bytes in JSON: base64 (RFC 4648 section 4). The only bytes in parts are certificates and revocation lists.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|bytes| STANDARD.encode(bytes)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    let decoded = list.iter().map(|text| STANDARD.decode(text));
    decoded.collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}
