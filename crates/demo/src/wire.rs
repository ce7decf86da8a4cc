//! PostgreSQL's wire format, as far as the sample database and its client need it.
//!
//! Messages are a tag, a big-endian length that counts itself, and a body; before TLS and at start-up there is no tag.
//! No body longer than [`MESSAGE_MAX`] is read. Source: PostgreSQL 18 documentation, "Message Formats".

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The ALPN protocol name for direct TLS, registered with IANA.
pub const ALPN: &str = "postgresql";
/// Asks the server whether it speaks TLS; it answers `S` or `N`.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Asks the server whether it speaks GSSAPI encryption; it answers `G` or `N`.
pub const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
/// Longest message that is read: the samples' own are far shorter.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// A message with its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which kind of message.
    pub tag: u8,
    /// What follows tag and length.
    pub body: Vec<u8>,
}

impl Message {
    /// The body as text, without its closing NUL.
    pub fn text(&self) -> String {
        let text = self.body.strip_suffix(&[0]).unwrap_or(&self.body);
        String::from_utf8_lossy(text).into_owned()
    }

    /// The columns of a DataRow; nothing when the body is not one.
    pub fn columns(&self) -> Option<Vec<Option<String>>> {
        let mut rest = self.body.as_slice();
        let count = i16::from_be_bytes(take(&mut rest)?);
        (0..count)
            .map(|_| {
                let length = i32::from_be_bytes(take(&mut rest)?);
                let Ok(length) = usize::try_from(length) else {
                    return Some(None);
                };
                let (value, after) = rest.split_at_checked(length)?;
                rest = after;
                Some(Some(String::from_utf8_lossy(value).into_owned()))
            })
            .collect()
    }

    /// SQLSTATE and message of an ErrorResponse; empty where it does not say.
    pub fn error_fields(&self) -> (String, String) {
        let field = |kind: u8| {
            let found = self
                .body
                .split(|byte| *byte == 0)
                .find_map(|field| field.strip_prefix(&[kind]));
            String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
        };
        (field(b'C'), field(b'M'))
    }
}

/// A client's first message inside TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartUp {
    version: i32,
    options: Vec<String>,
}

impl StartUp {
    /// NegotiateProtocolVersion, when the client asked for more than protocol 3.0.
    pub fn negotiation(&self) -> Option<Vec<u8>> {
        let unknown: Vec<_> = self.options.iter().filter(|name| name.starts_with("_pq_.")).collect();
        if self.version == PROTOCOL_3_0 && unknown.is_empty() {
            return None;
        }
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        body.extend((unknown.len() as i32).to_be_bytes());
        for name in unknown {
            body.extend(name.as_bytes());
            body.push(0);
        }
        Some(message(b'v', &body))
    }
}

/// Reads one message with its tag.
pub async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let tag = stream.read_u8().await?;
    Ok(Message {
        tag,
        body: read_body(stream).await?,
    })
}

/// Reads a StartupMessage of protocol 3.
pub async fn read_start_up(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<StartUp> {
    let body = read_body(stream).await?;
    let mut rest = body.as_slice();
    let version = take(&mut rest).map(i32::from_be_bytes).filter(|version| version >> 16 == 3);
    let version = version.ok_or_else(|| invalid("not a start-up of protocol 3"))?;
    let words = rest
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned());
    Ok(StartUp {
        version,
        options: words.step_by(2).filter(|name| !name.is_empty()).collect(),
    })
}

/// A StartupMessage of protocol 3.0 for `user` and `database`.
pub fn start_up(user: &str, database: &str) -> Vec<u8> {
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    body.extend(format!("user\0{user}\0database\0{database}\0\0").as_bytes());
    let mut bytes = length_of(&body);
    bytes.extend(body);
    bytes
}

/// A message: tag, length, body.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(length_of(body));
    bytes.extend(body);
    bytes
}

/// An ErrorResponse with severity, SQLSTATE and message.
pub fn error(severity: &str, code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0").as_bytes())
}

/// A RowDescription of text columns.
pub fn row_description(names: &[&str]) -> Vec<u8> {
    let mut body = (names.len() as i16).to_be_bytes().to_vec();
    for name in names {
        body.extend(name.as_bytes());
        // NUL; no table, no column number; type text; length -1; modifier -1; format text.
        body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    message(b'T', &body)
}

/// A DataRow; nothing is NULL.
pub fn data_row(values: &[Option<&str>]) -> Vec<u8> {
    let mut body = (values.len() as i16).to_be_bytes().to_vec();
    for value in values {
        match value {
            Some(value) => {
                body.extend((value.len() as i32).to_be_bytes());
                body.extend(value.as_bytes());
            }
            None => body.extend((-1_i32).to_be_bytes()),
        }
    }
    message(b'D', &body)
}

async fn read_body(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_i32().await?;
    let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let length = length
        .filter(|length| *length <= MESSAGE_MAX)
        .ok_or_else(|| invalid("message length out of range"))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*head)
}

fn length_of(body: &[u8]) -> Vec<u8> {
    (body.len() as i32 + 4).to_be_bytes().to_vec()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const PROTOCOL_3_0: i32 = 3 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn data_row_comes_back_with_nulls() {
        let bytes = data_row(&[Some("payment"), None, Some("")]);
        let message = read_message(&mut bytes.as_slice()).await.expect("message");
        assert_eq!(
            message.columns(),
            Some(vec![Some("payment".to_owned()), None, Some(String::new())])
        );
    }

    #[tokio::test]
    async fn truncated_row_is_no_row() {
        let mut message = read_message(&mut data_row(&[Some("payment")]).as_slice())
            .await
            .expect("message");
        message.body.truncate(8);
        assert_eq!(message.columns(), None);
    }

    #[tokio::test]
    async fn length_beyond_the_cap_is_refused_before_it_is_read() {
        let mut bytes = vec![b'Q'];
        bytes.extend((MESSAGE_MAX as i32 + 5).to_be_bytes());
        let error = read_message(&mut bytes.as_slice()).await.expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn newer_protocol_and_unknown_options_are_negotiated_down() {
        let mut body = ((3_i32 << 16) + 2).to_be_bytes().to_vec();
        body.extend(b"user\0a\0_pq_.grease\0x\0\0");
        let mut bytes = length_of(&body);
        bytes.extend(body);
        let start_up = read_start_up(&mut bytes.as_slice()).await.expect("start-up");
        let negotiation = start_up.negotiation().expect("negotiation");
        assert!(negotiation.ends_with(b"\0\0\0\x01_pq_.grease\0"));
        let plain = read_start_up(&mut super::start_up("a", "b").as_slice())
            .await
            .expect("start-up");
        assert_eq!(plain.negotiation(), None);
    }
}
