//! The client's side of an HTTP/2 case: frames by hand, so that nothing keeps a field from being sent as it is written.
//!
//! Field blocks are literals without index and without Huffman coding. Of responses only the DATA is read, and statuses of the static
//! table: the backend's answers tell which they are by their bodies.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::corpus::Stream;

/// What became of a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its DATA.
    pub(super) body: String,
    /// Whether the response's head says 200.
    pub(super) is_ok: bool,
    /// How it ended.
    pub(super) end: End,
}

/// How a stream ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It did not, or only with its connection.
    #[default]
    Open,
    /// With its response.
    Finished,
    /// RST_STREAM with this code.
    Reset(u32),
}

/// Sends the case on stream 1, then a `GET` of `victim` on stream 3. Gives the answers to both, when they
/// have ended or nothing has come for as long as `silence`.
pub(super) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    case: &Stream,
    victim: &str,
    silence: Duration,
) -> (Answer, Answer) {
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    request(&mut bytes, 1, case);
    let pseudo = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", victim),
    ];
    let pseudo = pseudo.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let victim = Stream {
        fields: pseudo.to_vec(),
        body: None,
        trailers: Vec::new(),
    };
    request(&mut bytes, 3, &victim);
    let mut answers = (Answer::default(), Answer::default());
    let talking = async {
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        while let Ok(frame) = tokio::time::timeout(silence, read_frame(&mut stream)).await {
            let frame = frame?;
            if frame.kind == GOAWAY && frame.code() != 0 {
                break;
            }
            if frame.kind == SETTINGS && frame.flags & ACK == 0 {
                let mut bytes = Vec::new();
                self::frame(&mut bytes, SETTINGS, ACK, 0, &[]);
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            match frame.stream {
                1 => answers.0.take(&frame),
                3 => answers.1.take(&frame),
                _ => {}
            }
            if answers.0.end != End::Open && answers.1.end != End::Open {
                break;
            }
        }
        Ok(())
    };
    // How the connection ends is not judged, only what came before.
    let _: io::Result<()> = talking.await;
    answers
}

impl Answer {
    fn take(&mut self, frame: &Frame) {
        match frame.kind {
            DATA => self.body.push_str(&String::from_utf8_lossy(&frame.payload)),
            // The first field is `:status`; index 8 of the static table is 200. Perhaps a table size update comes first.
            HEADERS => {
                let status = frame.payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                self.is_ok |= status == Some(&0x88);
            }
            RST_STREAM => self.end = End::Reset(frame.code()),
            _ => {}
        }
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            self.end = End::Finished;
        }
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The error code, which ends RST_STREAM and, after the last stream's number, GOAWAY.
    fn code(&self) -> u32 {
        let offset = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(offset..offset + 4).and_then(|code| code.try_into().ok());
        code.map_or(u32::MAX, u32::from_be_bytes)
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [high, middle, low, kind, flags, number @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes(number) & 0x7fff_ffff,
        payload,
    })
}

fn request(bytes: &mut Vec<u8>, number: u32, stream: &Stream) {
    let has_trailers = !stream.trailers.is_empty();
    let end = if stream.body.is_none() && !has_trailers {
        END_STREAM
    } else {
        0
    };
    headers(bytes, number, end, &stream.fields);
    if let Some(body) = &stream.body {
        frame(bytes, DATA, if has_trailers { 0 } else { END_STREAM }, number, body);
    }
    if has_trailers {
        headers(bytes, number, END_STREAM, &stream.trailers);
    }
}

/// One HEADERS frame, and as many of CONTINUATION as its fields need.
fn headers(bytes: &mut Vec<u8>, number: u32, flags: u8, fields: &[(Vec<u8>, Vec<u8>)]) {
    let mut block = Vec::new();
    for (name, value) in fields {
        // Literal without indexing, new name.
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    let mut pieces = block.chunks(FRAME_MAX).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let first = if kind == HEADERS { flags } else { 0 };
        frame(bytes, kind, first | last, number, piece);
        kind = CONTINUATION;
    }
}

/// A string literal: its length with a prefix of seven bits (RFC 7541, 5.1), then its bytes.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 0x7f {
        block.push(length as u8);
    } else {
        block.push(0x7f);
        length -= 0x7f;
        while length >= 0x80 {
            block.push((length % 0x80) as u8 | 0x80);
            length /= 0x80;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text);
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
    bytes.extend_from_slice(&[high, middle, low, kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What every peer takes.
const FRAME_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn long_strings_have_long_lengths() {
        for (length, expected) in [(3, &[3][..]), (126, &[126]), (127, &[127, 0]), (300, &[127, 173, 1])] {
            let mut block = Vec::new();
            string(&mut block, &vec![b'a'; length]);
            assert_eq!(&block[..block.len() - length], expected);
        }
    }
}
