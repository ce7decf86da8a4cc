//! The demo's certificates, issued by the embedded issuer in memory.

use sealway_api::Timestamp;
use sealway_demo::certificates::Certificates;
use sealway_demo::manifests::manifests;
use sealway_issuer::{Keeping, Settings, Worker};
use sealway_provider::files::Loaded;

/// Issues everything that the demo's manifests ask for.
///
/// # Panics
/// When something of it cannot be issued.
#[must_use]
pub fn sample_certificates() -> Certificates {
    let texts = manifests()
        .iter()
        .map(|manifest| (manifest.name.to_owned(), manifest.yaml.to_owned()));
    let loaded = Loaded::from_texts(texts);
    let mut worker = Worker::open(Settings::default(), Keeping::Memory, None, None).expect("a worker");
    Certificates::issued(&mut worker, &loaded.resources, Timestamp::now()).expect("certificates")
}
