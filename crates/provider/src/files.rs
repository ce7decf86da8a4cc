//! Manifests.

mod yaml;
