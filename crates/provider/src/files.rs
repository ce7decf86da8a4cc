//! Manifests.
#![allow(dead_code)]
mod yaml;
