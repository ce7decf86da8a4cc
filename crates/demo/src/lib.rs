//! Sample CA, backends and clients, as `sealway demo` shows them.
//!
//! Everything runs in this process on loopback sockets, with certificates made when it starts; nothing here knows how the
//! gateway works. The clients judge the gateway from outside, by what arrives: the certificate, the answer, the alert.

pub mod backends;
pub mod certificates;
pub mod clients;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod manifests;
pub mod output;
pub mod rows;
pub mod wire;
