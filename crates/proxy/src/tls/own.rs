//! The gateway's own certificate, shown to every backend that asks; and whether one asked in vain.
//!
//! A backend of TLS 1.2 that is shown none says `handshake_failure` (RFC 5246 section 7.4.6), as it does for much else. Configurations are
//! shared by connections, for sessions are resumed within one; so who asked is noted beside the handshake that is being polled.

use std::cell::Cell;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// The certificate, if there is one.
#[derive(Debug)]
pub(super) struct Own(pub(super) Option<Arc<CertifiedKey>>);

tokio::task_local! {
    static ASKED_IN_VAIN: Cell<bool>;
}

/// Does a handshake, and says whether the backend asked for a certificate and was shown none.
pub(super) async fn noting<T>(handshake: impl Future<Output = T>) -> (T, bool) {
    let noted = async { (handshake.await, ASKED_IN_VAIN.with(Cell::get)) };
    ASKED_IN_VAIN.scope(Cell::new(false), noted).await
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fitting = self.0.as_ref().filter(|own| own.key.choose_scheme(schemes).is_some());
        // Nobody notes it of what is read after the handshake, where TLS 1.3 has alerts of its own.
        let _ = ASKED_IN_VAIN.try_with(|asked| asked.set(fitting.is_none()));
        fitting.cloned()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
