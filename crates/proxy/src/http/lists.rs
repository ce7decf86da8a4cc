//! Header fields that are lists, separated by commas and spread over as many lines as the sender likes (RFC 9110 section 5.6.1).

use http::{HeaderMap, HeaderName};

/// The members of a list, without the space around them; members that are empty too.
pub(super) fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = headers.get_all(name).into_iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii)
}
