//! The client's side of an HTTP/1.1 case: sends bytes as they are, and reads whatever answers come.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A final response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    /// Its status.
    pub(super) status: u16,
    /// Its body, as far as it has come.
    pub(super) body: String,
}

/// Sends `bytes` and reads until the connection closes or nothing has come for as long as `silence`.
pub(super) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], silence: Duration) -> Vec<u8> {
    let mut answer = Vec::new();
    let talking = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        read_all(&mut stream, &mut answer, silence).await
    };
    // How the connection ends is not judged, only what came before.
    let _: io::Result<()> = talking.await;
    answer
}

/// Reads until the end, an error, or silence.
async fn read_all(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>, silence: Duration) -> io::Result<()> {
    while let Ok(read) = tokio::time::timeout(silence, stream.read_buf(answer)).await {
        if read? == 0 {
            break;
        }
    }
    Ok(())
}

/// The final responses in what a gateway has sent; fails on bytes that are none.
pub(super) fn responses(mut bytes: &[u8]) -> Result<Vec<Response>, String> {
    let mut responses = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            return Err(format!("not a response: `{}`", bytes.escape_ascii()));
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.strip_prefix("http/1.1 ").or_else(|| head.strip_prefix("http/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        let Some(status) = status else {
            return Err(format!("not a response: `{}`", bytes.escape_ascii()));
        };
        bytes = &bytes[end + 4..];
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let body = match (status, field("content-length"), field("transfer-encoding")) {
            (100..200 | 204 | 304, ..) => Vec::new(),
            (.., Some(_)) => dechunked(&mut bytes),
            (_, Some(length), _) => {
                let length = length.trim().parse().map_err(|_| format!("length `{length}`"))?;
                let (body, rest) = bytes.split_at(bytes.len().min(length));
                bytes = rest;
                body.to_vec()
            }
            _ => std::mem::take(&mut bytes).to_vec(),
        };
        if status >= 200 {
            let body = String::from_utf8_lossy(&body).into_owned();
            responses.push(Response { status, body });
        }
    }
    Ok(responses)
}

fn dechunked(bytes: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let data = bytes.get(end + 2..).unwrap_or_default();
        let size = size.unwrap_or_default().min(data.len());
        body.extend_from_slice(&data[..size]);
        *bytes = data.get(size + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    body
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::responses;

    #[test]
    fn interim_and_chunked_and_open_ended_responses_are_read() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
            HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            HTTP/1.0 404 Not Found\r\n\r\nto the end";
        let found = responses(bytes).expect("responses");
        let found: Vec<_> = found
            .iter()
            .map(|response| (response.status, response.body.as_str()))
            .collect();
        assert_eq!(found, [(200, "ab"), (400, "abc"), (404, "to the end")]);
        assert!(responses(b"GET / HTTP/1.1\r\n\r\n").is_err());
    }
}
