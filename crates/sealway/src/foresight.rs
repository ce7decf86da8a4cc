//! What the embedded issuer would make of manifests, with nothing issued before: for `check`, which assumes that all goes well.
//!
//! Input: the manifests, the time. Output: the resources as the gateway would have them, and the issuer's outlook. Nothing is kept: what is
//! issued here is to be thrown away.

use std::sync::Arc;

use sealway_api::{Certificate, KeyAlgorithm, PrivateKeySpec, Resource, Resources, Timestamp};
use sealway_issuer::{Behaviour, Keeping, Outlook, RSA_SIZES, Settings, Worker};

use crate::issuance;

/// What would come of it.
#[derive(Clone, Debug)]
pub(crate) struct Foresight {
    /// The manifests, and what the issuer adds to them.
    pub(crate) resources: Arc<Resources>,
    pub(crate) outlook: Arc<Outlook>,
}

/// Issues in memory until nothing is left to do at `now`.
pub(crate) fn foresee(now: Timestamp, resources: &Arc<Resources>, behaviour: Behaviour) -> anyhow::Result<Foresight> {
    if !issuance::is_wanted(resources) {
        return Ok(Foresight {
            resources: Arc::clone(resources),
            outlook: Arc::default(),
        });
    }
    let cheap = with_cheap_keys(resources);
    let settings = Settings {
        behaviour,
        ..Settings::default()
    };
    let mut worker = Worker::open(settings, Keeping::Memory, None, None)?;
    let mut outlook = worker.step(now, &cheap);
    for _ in 0..STEPS_MAX {
        if outlook.wake_at.is_none_or(|wake_at| now < wake_at) {
            break;
        }
        outlook = worker.step(now, &cheap);
    }
    Ok(Foresight {
        resources: issuance::with_overlay(resources, &outlook),
        outlook,
    })
}

/// Finding two primes takes a tenth of a second, and nobody will see these keys: RSA keys become ECDSA ones. A Certificate that says
/// something wrong about its key stays as it is, so that it is told.
fn with_cheap_keys(resources: &Resources) -> Resources {
    let mut cheap = resources.clone();
    let of_rsa = resources
        .certificates
        .values()
        .filter(|certificate| has_plain_rsa_key(certificate));
    for certificate in of_rsa {
        let mut changed = Certificate::clone(certificate);
        let key = changed.spec.private_key.take().unwrap_or_default();
        changed.spec.private_key = Some(PrivateKeySpec {
            algorithm: Some(KeyAlgorithm::Ecdsa),
            size: 0,
            ..key
        });
        cheap.insert(Resource::Certificate(Arc::new(changed)));
    }
    cheap
}

fn has_plain_rsa_key(certificate: &Certificate) -> bool {
    let is_rsa = |key: &PrivateKeySpec| {
        matches!(key.algorithm, None | Some(KeyAlgorithm::Rsa))
            && (key.size == 0 || u32::try_from(key.size).is_ok_and(|size| RSA_SIZES.contains(&size)))
    };
    certificate.spec.signature_algorithm.is_none() && certificate.spec.private_key.as_ref().is_none_or(is_rsa)
}

/// A step does a few dozen actions; this is more than manifests can ask for.
const STEPS_MAX: usize = 10_000;
