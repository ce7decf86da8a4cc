//! Tickets of a listener that asks for client certificates.
//!
//! In: what the client brings back. Out: the session in it, while the certificate that it rests on is good; else the client is asked for
//! its certificate again, in a full handshake. Judging after the handshake would be too late: the client could not be told why, and has
//! by then a new ticket for its old certificate, with which it would come back even when it has a new one.

use std::fmt;
use std::sync::Arc;

use rustls::server::ProducesTickets;
use rustls_pki_types::CertificateDer;

use super::clients::Clients;

/// Sealed by another; opened only for clients that are still good.
pub(super) struct ClientTickets {
    pub(super) sealer: Arc<dyn ProducesTickets>,
    pub(super) clients: Arc<Clients>,
}

impl ProducesTickets for ClientTickets {
    fn enabled(&self) -> bool {
        self.sealer.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.sealer.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.sealer.encrypt(session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.sealer.decrypt(ticket)?;
        let chain = client_chain(&session)?;
        self.clients.may_resume(&chain).then_some(session)
    }
}

impl fmt::Debug for ClientTickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientTickets").finish_non_exhaustive()
    }
}

/// The certificates of the client in a session as rustls 0.23 writes it; none when it showed none. `None` for any other form: then no
/// session goes on, and the tests of resumption say so.
fn client_chain(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut rest = session;
    if is_there(&mut rest)? {
        // The server name.
        vector(&mut rest, 1)?;
    }
    // Version and cipher suite, the secret, whether the extended one.
    take(&mut rest, 4)?;
    vector(&mut rest, 1)?;
    take(&mut rest, 1)?;
    let mut chain = if is_there(&mut rest)? { vector(&mut rest, 3)? } else { &[] };
    if is_there(&mut rest)? {
        // The application protocol.
        vector(&mut rest, 1)?;
    }
    // Data of the application, time, age.
    vector(&mut rest, 2)?;
    take(&mut rest, 12)?;
    let mut certificates = Vec::new();
    while !chain.is_empty() {
        certificates.push(CertificateDer::from(vector(&mut chain, 3)?));
    }
    rest.is_empty().then_some(certificates)
}

fn is_there(bytes: &mut &[u8]) -> Option<bool> {
    match take(bytes, 1)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// A vector with so many bytes of length before it.
fn vector<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(bytes, width)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As rustls 0.23 writes a session: with a server name, two certificates and a protocol.
    fn session() -> Vec<u8> {
        let mut session = b"\x01\x01a\x03\x04\x13\x01\x02ms\x01\x01\x00\x00\x09".to_vec();
        session.extend_from_slice(b"\x00\x00\x02c1\x00\x00\x01c\x01\x02h2\x00\x00");
        session.extend_from_slice(&[7; 12]);
        session
    }

    #[test]
    fn certificates_are_found_and_what_is_cut_or_longer_is_no_session() {
        let whole = session();
        let chain = client_chain(&whole).unwrap();
        assert_eq!(chain, [CertificateDer::from(&b"c1"[..]), CertificateDer::from(&b"c"[..])]);
        for length in 0..whole.len() {
            assert_eq!(client_chain(&whole[..length]), None, "{length}");
        }
        assert_eq!(client_chain(&[&whole[..], b"\0"].concat()), None);
        assert_eq!(
            client_chain(&[&b"\0\x03\x03\xc0\x2f\x00\x00\x00\x00\x00\x00"[..], &[7; 12]].concat()),
            Some(Vec::new())
        );
    }
}
