//! Sample CA, backends and clients, as sealway demo shows them.
