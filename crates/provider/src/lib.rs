//! Where resources come from and where statuses go.

pub mod files;
mod schema;
