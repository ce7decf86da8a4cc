//! For tests of this crate: everything that the manifests ask for, issued once.

use std::sync::LazyLock;

use sealway_issuer::{Keeping, Settings};
use sealway_provider::files::Loaded;

use super::*;
use crate::manifests::manifests;

pub(crate) fn certificates() -> &'static Certificates {
    &ISSUED
}

static ISSUED: LazyLock<Certificates> = LazyLock::new(|| {
    let texts = manifests()
        .iter()
        .map(|manifest| (manifest.name.to_owned(), manifest.yaml.to_owned()));
    let loaded = Loaded::from_texts(texts);
    let mut worker = Worker::open(Settings::default(), Keeping::Memory, None, None).expect("a worker");
    Certificates::issued(&mut worker, &loaded.resources, Timestamp::now()).expect("certificates")
});
