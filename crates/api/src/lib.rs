//! Gateway API, cert-manager and core resources as data.
