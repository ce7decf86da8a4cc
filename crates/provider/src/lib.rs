//! Where resources come from and where statuses go.

pub mod files;
pub mod kube;
pub mod provision;
mod schema;
