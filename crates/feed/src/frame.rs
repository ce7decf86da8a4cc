//! How messages, parts and keys follow each other on a connection, and in the file of the last good snapshot.
//!
//! A frame is four bytes of length, then what it holds: JSON, which begins with `{`; `P`, a piece of a part; `K`, a piece of a key. Pieces
//! are cut so that no frame is longer than [`LONGEST`]. Parts travel as they are and keys as they are encoded: no key passes through JSON.

use std::io;
use std::time::Duration;

use sealway_core::{ContentHash, PartKey};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Bytes of a frame without its length.
pub(crate) const LONGEST: usize = 1 << 20;
/// Bytes of a frame of somebody who has not shown a token yet.
pub(crate) const LONGEST_HELLO: usize = 1 << 16;
/// Until a frame has to be taken by the other end's buffers.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a part or key in one frame: what stands before them fits in the rest.
const PIECE: usize = LONGEST - 4096;

/// The bytes of a frame. They may be a key's.
pub(crate) type Payload = Zeroizing<Vec<u8>>;

/// Why no frame could be read or written.
#[derive(Debug, Error)]
pub(crate) enum FrameFault {
    #[error("the connection ended")]
    Ended,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a frame cannot be understood")]
    Malformed,
    #[error("the other end takes nothing")]
    Late,
}

/// What a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// JSON.
    Message(&'a [u8]),
    /// The next bytes of a part.
    Part(PartKey, Piece<'a>),
    /// The next bytes of a key.
    Key(ContentHash, Piece<'a>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) is_last: bool,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, FrameFault> {
        Self::parsed(payload).ok_or(FrameFault::Malformed)
    }

    fn parsed(payload: &'a [u8]) -> Option<Self> {
        match payload.split_first()? {
            (b'{', _) => Some(Self::Message(payload)),
            (b'P', rest) => {
                let (last, rest) = rest.split_first()?;
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let (key, bytes) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                let key = PartKey::parse(std::str::from_utf8(key).ok()?)?;
                Some(Self::Part(key, Piece::new(*last, bytes)?))
            }
            (b'K', rest) => {
                let (last, rest) = rest.split_first()?;
                let (content, bytes) = rest.split_first_chunk::<32>()?;
                Some(Self::Key(ContentHash(*content), Piece::new(*last, bytes)?))
            }
            _ => None,
        }
    }
}

impl<'a> Piece<'a> {
    fn new(last: u8, bytes: &'a [u8]) -> Option<Self> {
        (last <= 1).then_some(Self {
            is_last: last == 1,
            bytes,
        })
    }
}

/// The payloads that carry a part.
pub(crate) fn part<'a>(key: &'a PartKey, bytes: &'a [u8]) -> impl Iterator<Item = Payload> + 'a {
    let name = key.as_str().as_bytes();
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
    pieces(bytes).map(move |(last, piece)| payload(&[b"P", &[last], &length, name, piece]))
}

/// The payloads that carry a key.
pub(crate) fn key<'a>(content: &'a ContentHash, bytes: &'a [u8]) -> impl Iterator<Item = Payload> + 'a {
    pieces(bytes).map(move |(last, piece)| payload(&[b"K", &[last], &content.0, piece]))
}

fn pieces(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let count = bytes.len().div_ceil(PIECE).max(1);
    (1..=count).map(move |number| {
        let rest = bytes.get((number - 1) * PIECE..).unwrap_or_default();
        (u8::from(number == count), rest.get(..PIECE).unwrap_or(rest))
    })
}

fn payload(fields: &[&[u8]]) -> Payload {
    // At once as large as it gets: a buffer that grows leaves copies behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(fields.iter().map(|field| field.len()).sum()));
    fields.iter().for_each(|field| payload.extend_from_slice(field));
    payload
}

/// The payload of the next frame, no longer than `longest`. Not to be dropped half way.
pub(crate) async fn read(reader: &mut (impl AsyncRead + Unpin), longest: usize) -> Result<Payload, FrameFault> {
    let mut length = [0; 4];
    if let Err(error) = reader.read_exact(&mut length).await {
        return Err(match error.kind() {
            io::ErrorKind::UnexpectedEof => FrameFault::Ended,
            _ => FrameFault::Broken(error),
        });
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > longest {
        return Err(FrameFault::TooLong(length));
    }
    let mut payload = Zeroizing::new(vec![0; length]);
    reader.read_exact(&mut payload).await?;
    Ok(payload)
}

/// What stands before a payload.
pub(crate) fn length(payload: &[u8]) -> Result<[u8; 4], FrameFault> {
    match u32::try_from(payload.len()) {
        Ok(length) if payload.len() <= LONGEST => Ok(length.to_be_bytes()),
        _ => Err(FrameFault::TooLong(payload.len())),
    }
}

/// Writes bytes, and sees that they leave.
pub(crate) async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), FrameFault> {
    let write = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    timeout(WRITE_DEADLINE, write).await.map_err(|_| FrameFault::Late)??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_into_pieces_is_whole_again() {
        let name = PartKey::parse("tcp/443").expect("a name");
        for size in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let bytes: Vec<u8> = (0..size).map(|number| u8::try_from(number % 251).expect("small")).collect();
            let mut whole = Vec::new();
            let mut lasts = Vec::new();
            for payload in part(&name, &bytes) {
                assert!(payload.len() <= LONGEST);
                let Ok(Frame::Part(key, piece)) = Frame::parse(&payload) else {
                    panic!("no part");
                };
                assert_eq!(key, name);
                whole.extend_from_slice(piece.bytes);
                lasts.push(piece.is_last);
            }
            assert_eq!(whole, bytes);
            assert_eq!(lasts.iter().filter(|last| **last).count(), 1);
            assert_eq!(lasts.last(), Some(&true));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for payload in [
            &b""[..],
            b"P",
            b"P\x02\x00\x01a",
            b"P\x01\x00\x05abc",
            b"P\x01\x00\x00",
            b"K\x01abc",
            b"x",
            b"P\x01\x00\x01\xff",
        ] {
            assert!(Frame::parse(payload).is_err(), "{payload:?}");
        }
        let key = [b"K\x00".as_slice(), &[7; 32]].concat();
        assert!(matches!(Frame::parse(&key), Ok(Frame::Key(ContentHash(hash), _)) if hash == [7; 32]));
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_is_not_waited_for() {
        let mut bytes: &[u8] = &[0xff; 64];
        assert!(matches!(read(&mut bytes, LONGEST).await, Err(FrameFault::TooLong(_))));
        let mut bytes: &[u8] = &[0, 0, 0, 9, b'{'];
        assert!(matches!(read(&mut bytes, LONGEST).await, Err(FrameFault::Broken(_))));
    }
}
