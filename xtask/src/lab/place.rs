//! Where a lab keeps what: below the cache directory, never in the checkout.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// The cache directory and the name of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    name: String,
    cache: PathBuf,
}

impl Place {
    /// The place of the lab called `name`. The directory is `SEALWAY_LAB_CACHE`, else `sealway/lab` in the user's cache.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let is_label =
            (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        ensure!(
            is_label,
            "a lab's name is 1 to {NAME_MAX} lower-case letters and digits: {name}"
        );
        let cache = match env::var_os("SEALWAY_LAB_CACHE") {
            Some(directory) => PathBuf::from(directory),
            None => match env::var_os("XDG_CACHE_HOME") {
                Some(directory) => PathBuf::from(directory),
                None => PathBuf::from(env::var_os("HOME").context("neither SEALWAY_LAB_CACHE nor HOME is set")?).join(".cache"),
            }
            .join("sealway/lab"),
        };
        ensure!(
            cache.is_absolute(),
            "the cache directory has to be absolute: {}",
            cache.display()
        );
        for hidden in ["/run", "/var/lib", "/var/log", "/sys", "/proc"] {
            ensure!(
                !cache.starts_with(hidden),
                "a lab hides the machine's {hidden}, so its cache directory cannot be there; set SEALWAY_LAB_CACHE"
            );
        }
        Ok(Self {
            name: name.to_owned(),
            cache,
        })
    }

    /// Hostname, node name, last part of cgroups.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What all labs share.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Programs, one directory a Go module.
    pub(crate) fn programs(&self) -> PathBuf {
        self.cache.join("programs")
    }

    /// Images that every node starts with, as OCI archives.
    pub(crate) fn images(&self) -> PathBuf {
        self.cache.join("images")
    }

    /// Data, keys and logs of this lab; gone when it is down.
    pub(crate) fn state(&self) -> PathBuf {
        self.cache.join("state").join(&self.name)
    }

    /// Keys and certificates of this lab.
    pub(crate) fn keys(&self) -> PathBuf {
        self.state().join("keys")
    }

    /// The kubeconfig of one of its clients.
    pub(crate) fn kubeconfig(&self, client: &str) -> PathBuf {
        self.state().join("kubeconfigs").join(client)
    }
}

/// Paths of sockets below the state directory have to stay short.
const NAME_MAX: usize = 20;
