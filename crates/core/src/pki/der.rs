//! Values of DER one after another, for what no library reads the way it is needed here.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

/// The next value.
pub(super) fn any<'a>(bytes: &mut &'a [u8]) -> Option<Any<'a>> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    *bytes = rest;
    Some(any)
}

/// Content of the next value, which must be of this universal type.
pub(super) fn next<'a>(bytes: &mut &'a [u8], tag: Tag) -> Option<&'a [u8]> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    let is_it = any.class() == Class::Universal && any.tag() == tag;
    is_it.then(|| {
        *bytes = rest;
        any.data
    })
}

/// Content of the next value, if it has this context-specific tag.
pub(super) fn tagged<'a>(bytes: &mut &'a [u8], tag: u32) -> Option<&'a [u8]> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    let is_it = any.class() == Class::ContextSpecific && any.tag() == Tag(tag);
    is_it.then(|| {
        *bytes = rest;
        any.data
    })
}
