//! The machine's own authorities (`wellKnownCACertificates: System`).
//!
//! Read when they are first asked for, on a thread that may block, and again now and then, while connections go on with those of before.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::trust::Trust;

#[derive(Debug, Default)]
pub(super) struct System {
    read: Arc<RwLock<Option<Read>>>,
    /// Held while the authorities are read.
    reading: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Read {
    at: Instant,
    /// `None` when the machine has none.
    trust: Option<Arc<Trust>>,
}

impl System {
    /// The authorities; the same `Arc` for as long as they do not change.
    pub(super) async fn trust(&self) -> Option<Arc<Trust>> {
        let known = self.known();
        let Some(known) = known else {
            let _reading = self.reading.lock().await;
            // Another may have read them in the meantime.
            if let Some(known) = self.known() {
                return known.trust;
            }
            return read_into(Arc::clone(&self.read)).await;
        };
        if known.at.elapsed() >= READ_AGAIN
            && let Ok(reading) = Arc::clone(&self.reading).try_lock_owned()
        {
            let read = Arc::clone(&self.read);
            tokio::spawn(async move {
                read_into(read).await;
                drop(reading);
            });
        }
        known.trust
    }

    fn known(&self) -> Option<Read> {
        self.read.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read_into(place: Arc<RwLock<Option<Read>>>) -> Option<Arc<Trust>> {
    // A panic of the reader leaves us without, as an empty store does.
    let trust = spawn_blocking(read).await.ok().flatten().map(Arc::new);
    let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
    let before = place.take().and_then(|before| before.trust);
    // What cannot be read now was good before.
    let trust = match (trust, before) {
        (Some(trust), Some(before)) if trust.same_authorities(&before) => Some(before),
        (trust, before) => trust.or(before),
    };
    *place = Some(Read {
        at: Instant::now(),
        trust: trust.clone(),
    });
    trust
}

fn read() -> Option<Trust> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "an authority of the machine cannot be read");
    }
    let trust = Trust::of_certificates(found.certs);
    if !trust.has_authorities() {
        tracing::error!("the machine has no certificates of authorities (SSL_CERT_FILE, /etc/ssl/certs)");
        return None;
    }
    Some(trust)
}

const READ_AGAIN: Duration = Duration::from_secs(600);
