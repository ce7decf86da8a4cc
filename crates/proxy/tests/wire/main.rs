//! The parsers of foreign bytes against bytes of real programs and against other people's parsers.
//! Parts: `builder` writes hellos of any shape, the others hold the tests.

#![allow(
    clippy::unwrap_used,
    reason = "all of it is test, but clippy exempts only the functions marked so"
)]

mod builder;
mod differential;
mod hellos;
mod proxy_protocol;
mod sizes;
