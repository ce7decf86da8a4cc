//! Entry points for the workspace in fuzz/.

use crate::client::{Building, State};
use crate::frame::Frame;
use crate::message::{self, Down, Up};

/// Whatever comes over the feed, from either end, is refused or understood without a panic. Each frame stands behind two bytes of length.
pub fn frames(mut bytes: &[u8]) {
    let mut building = Building::default();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        match Frame::parse(payload) {
            Ok(Frame::Message(message)) => {
                let _ = message::decode(message, Up::Unknown);
                if let Ok(Down::Remove { parts, keys }) = message::decode(message, Down::Unknown) {
                    building.remove(parts, keys);
                }
            }
            Ok(piece) => {
                if building.take(piece).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
    let _ = State::default().follow(building);
}
