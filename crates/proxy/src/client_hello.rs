//! Reads a TLS ClientHello from the bytes that a client sends, without ending TLS.
//!
//! In: everything received so far, again and again as it grows; the caller keeps that one buffer and replays it
//! to the backend. Out: [`Progress`]. The parser holds positions only and copies nothing while it waits, and its
//! work is linear in the bytes however they arrive. It is pure; deadlines are the caller's.
//!
//! Invariants: nothing is accepted before the last byte of the hello; the answer depends on the bytes, never on how
//! TCP cut them; while it wants more, fewer than [`MAX_RAW_BYTES`] have arrived.

mod body;
mod error;
mod reader;
mod server_name;

use std::borrow::Cow;

pub use body::{ClientHello, MAX_PROTOCOLS};
pub use error::{HelloError, HelloPart};
pub use server_name::{NameError, ServerName};

use crate::preface::{self, Preface};

/// What a [`ClientHelloParser`] knows after the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The hello is not complete.
    NeedMore,
    /// The whole hello is there and well-formed.
    Done(ClientHello),
    /// These bytes are no ClientHello that a TLS server would take.
    Refused(HelloError),
}

/// An incremental ClientHello parser, across TCP segments and TLS records.
#[derive(Debug, Default)]
pub struct ClientHelloParser {
    /// Bytes of the buffer that are understood: up to a record header, or up to somewhere inside a record's payload.
    position: usize,
    /// Payload bytes of the current record beyond `position`; 0 means that a record header comes next.
    record_left: usize,
    /// Records begun.
    records: u32,
    empty_records: u32,
    /// The handshake message's header: type and length.
    header: [u8; HANDSHAKE_HEADER_BYTES],
    /// Handshake bytes before `position`, its header included.
    handshake_bytes: usize,
}

impl ClientHelloParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with `received`: **everything** received since the connection (or its TLS part) began, not only the new
    /// bytes. Bytes beyond the hello, such as early data, are left alone. Once the answer is not
    /// [`Progress::NeedMore`], asking again gives the same answer.
    pub fn advance(&mut self, received: &[u8]) -> Progress {
        match self.walk(received) {
            Ok(None) => Progress::NeedMore,
            Ok(Some(hello)) => Progress::Done(hello),
            Err(error) => Progress::Refused(error),
        }
    }

    fn walk(&mut self, received: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        if self.position == 0 {
            match preface::classify(received) {
                Preface::NeedMore => return Ok(None),
                Preface::Tls => {}
                other => return Err(HelloError::from_preface(other)),
            }
        }
        loop {
            let wanted = self.handshake_wanted()?;
            if wanted == 0 {
                return self.finish(received).map(Some);
            }
            let arrived = received.get(self.position..).unwrap_or_default();
            if self.record_left == 0 {
                let Some(length) = record_length(arrived)? else {
                    return Ok(None);
                };
                if length == 0 {
                    self.count_empty_record()?;
                }
                self.records += 1;
                self.record_left = length;
                self.position += RECORD_HEADER_BYTES;
                continue;
            }
            let taken = arrived.len().min(self.record_left).min(wanted);
            if taken == 0 {
                return Ok(None);
            }
            let header_left = self.header.iter_mut().skip(self.handshake_bytes);
            for (slot, byte) in header_left.zip(arrived.iter().take(taken)) {
                *slot = *byte;
            }
            self.position += taken;
            self.record_left -= taken;
            self.handshake_bytes += taken;
        }
    }

    /// Handshake bytes still to come, as far as the header tells: the header is read first, by itself.
    fn handshake_wanted(&self) -> Result<usize, HelloError> {
        let [kind, length @ ..] = self.header;
        if self.handshake_bytes > 0 && kind != CLIENT_HELLO {
            return Err(HelloError::UnexpectedHandshake { kind });
        }
        if self.handshake_bytes < HANDSHAKE_HEADER_BYTES {
            // The type by itself, so that a wrong one is refused at its first byte however the bytes are cut.
            return Ok(if self.handshake_bytes == 0 {
                1
            } else {
                HANDSHAKE_HEADER_BYTES - self.handshake_bytes
            });
        }
        let [high, middle, low] = length;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > MAX_BODY_BYTES {
            return Err(HelloError::TooLong { length });
        }
        Ok(HANDSHAKE_HEADER_BYTES + length - self.handshake_bytes)
    }

    fn count_empty_record(&mut self) -> Result<(), HelloError> {
        if self.empty_records == MAX_EMPTY_RECORDS {
            return Err(HelloError::TooManyEmptyRecords);
        }
        self.empty_records += 1;
        Ok(())
    }

    fn finish(&self, received: &[u8]) -> Result<ClientHello, HelloError> {
        let framed = received.get(..self.position).unwrap_or_default();
        let message = if self.records == 1 {
            Cow::Borrowed(framed.get(RECORD_HEADER_BYTES..).unwrap_or_default())
        } else {
            Cow::Owned(without_framing(framed, self.handshake_bytes))
        };
        let body = message.get(HANDSHAKE_HEADER_BYTES..).unwrap_or_default();
        body::parse(body, self.position, self.records)
    }
}

/// The payload length that a record header states, or `None` when the header is incomplete.
/// Each field is judged as soon as it is there, so that the verdict does not depend on how the bytes were cut.
fn record_length(bytes: &[u8]) -> Result<Option<usize>, HelloError> {
    match *bytes {
        [content_type, ..] if content_type != HANDSHAKE => Err(HelloError::UnexpectedRecord { content_type }),
        // OpenSSL and rustls look at the major version alone; 0x0300 to 0x0304 are seen in the wild.
        [_, major, ..] if major != 3 => Err(HelloError::RecordVersion { major }),
        [_, _, _, high, low, ..] => match usize::from(u16::from_be_bytes([high, low])) {
            length if length > MAX_RECORD_BYTES => Err(HelloError::RecordTooLong { length }),
            length => Ok(Some(length)),
        },
        _ => Ok(None),
    }
}

/// The payloads of `framed`'s records, one after the other. The last record may be cut short.
fn without_framing(mut framed: &[u8], capacity: usize) -> Vec<u8> {
    let mut payloads = Vec::with_capacity(capacity);
    while let Some(([.., high, low], rest)) = framed.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (payload, next) = rest.split_at(length.min(rest.len()));
        payloads.extend_from_slice(payload);
        framed = next;
    }
    payloads
}

/// The longest ClientHello body that is read: four times what a single record holds. The largest real ones (several
/// post-quantum key shares, big tickets) stay far below; rustls takes up to 64 KiB as well.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The most raw bytes that a hello can take: every handshake byte in a record of its own, six bytes each, and the
/// empty records. One-byte records are legal, so no lower cap would be honest. A peer has to send each byte that it
/// makes us hold, and the deadline bounds how long.
pub const MAX_RAW_BYTES: usize =
    (HANDSHAKE_HEADER_BYTES + MAX_BODY_BYTES) * (RECORD_HEADER_BYTES + 1) + MAX_EMPTY_RECORDS as usize * RECORD_HEADER_BYTES;

/// Records without payload are forbidden for handshakes (RFC 8446 section 5.1), but OpenSSL bears up to 32 in a row.
pub const MAX_EMPTY_RECORDS: u32 = 16;

/// RFC 8446 section 5.1: a longer plaintext record MUST be answered with `record_overflow`.
const MAX_RECORD_BYTES: usize = 1 << 14;
const RECORD_HEADER_BYTES: usize = 5;
const HANDSHAKE_HEADER_BYTES: usize = 4;
/// Record content type.
const HANDSHAKE: u8 = 22;
/// Handshake message type.
const CLIENT_HELLO: u8 = 1;

#[cfg(test)]
mod tests;
