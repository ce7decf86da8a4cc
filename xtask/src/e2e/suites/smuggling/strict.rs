//! Reads what reached the backend so strictly that no other reader can see other requests in it.
//!
//! Input: the bytes that have come. Output: a head, the length of its body, or why the bytes are ambiguous. Invariant: what is accepted
//! has one framing, spelled the one way that every implementation agrees on; anything that a lenient reader might take otherwise
//! (a bare line feed, two lengths, a chunk extension, a folded line) is ambiguous, harmless as it may be to some.

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The method.
    pub(super) method: String,
    /// The request target.
    pub(super) target: String,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// Up to and with the empty line.
    pub(super) length: usize,
}

impl Head {
    /// The value of a field that stands there at most once.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What bytes are the beginning of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading<T> {
    /// More has to come.
    Incomplete,
    /// It is all there.
    Complete(T),
    /// Two readers may disagree.
    Ambiguous(String),
}

/// Reads a head.
pub(super) fn head(bytes: &[u8]) -> Reading<Head> {
    let mut lines = Vec::new();
    let mut position = 0;
    loop {
        match line(&bytes[position..]) {
            Reading::Complete([]) => {
                position += CRLF.len();
                break;
            }
            Reading::Complete(line) => {
                position += line.len() + CRLF.len();
                lines.push(line);
            }
            Reading::Incomplete => return Reading::Incomplete,
            Reading::Ambiguous(reason) => return Reading::Ambiguous(format!("{reason} in the head")),
        }
    }
    match parse(&lines, position) {
        Ok(head) => Reading::Complete(head),
        Err(reason) => Reading::Ambiguous(reason),
    }
}

/// Length of the body that follows `head`.
pub(super) fn body(head: &Head, rest: &[u8]) -> Reading<usize> {
    if head.field("transfer-encoding").is_some() {
        return chunked(rest);
    }
    let length = head.field("content-length").map_or(Ok(0), str::parse::<usize>);
    match length {
        Ok(length) if length <= rest.len() => Reading::Complete(length),
        Ok(_) => Reading::Incomplete,
        Err(_) => Reading::Ambiguous("a length that does not fit".to_owned()),
    }
}

fn parse(lines: &[&[u8]], length: usize) -> Result<Head, String> {
    let (request_line, fields) = lines.split_first().ok_or("an empty line instead of a request")?;
    let words: Vec<&[u8]> = request_line.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = words.as_slice() else {
        return Err(format!("request line `{}`", request_line.escape_ascii()));
    };
    if !is_token(method) {
        return Err(format!("method `{}`", method.escape_ascii()));
    }
    if !target.starts_with(b"/") || !target.iter().all(u8::is_ascii_graphic) {
        return Err(format!("target `{}`", target.escape_ascii()));
    }
    let head = Head {
        method: text(method),
        target: text(target),
        fields: fields.iter().map(|line| field(line)).collect::<Result<_, _>>()?,
        length,
    };
    framing(&head)?;
    Ok(head)
}

/// What may be there only once, and only in one spelling.
fn framing(head: &Head) -> Result<(), String> {
    for name in ["host", "content-length", "transfer-encoding", "expect"] {
        let count = head.fields.iter().filter(|(field, _)| field == name).count();
        if count > 1 || (name == "host" && count == 0) {
            return Err(format!("{count} fields `{name}`"));
        }
    }
    let (length, coding) = (head.field("content-length"), head.field("transfer-encoding"));
    if length.is_some() && coding.is_some() {
        return Err("both Content-Length and Transfer-Encoding".to_owned());
    }
    if let Some(length) = length.filter(|length| length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("Content-Length `{}`", length.escape_debug()));
    }
    if let Some(coding) = coding.filter(|coding| *coding != "chunked") {
        return Err(format!("Transfer-Encoding `{}`", coding.escape_debug()));
    }
    // Meant for the gateway, not for who is behind it.
    for name in ["http2-settings", "proxy-connection", "keep-alive"] {
        if head.field(name).is_some() {
            return Err(format!("hop-by-hop field `{name}`"));
        }
    }
    // Who takes it up speaks HTTP/2 that nobody checks.
    let mut upgrades = head.fields.iter().filter(|(name, _)| name == "upgrade");
    if upgrades.any(|(_, protocols)| protocols.to_ascii_lowercase().contains("h2c")) {
        return Err("an upgrade to HTTP/2".to_owned());
    }
    if head.field("te").is_some_and(|codings| codings != "trailers") {
        return Err("TE of the client".to_owned());
    }
    Ok(())
}

fn field(line: &[u8]) -> Result<(String, String), String> {
    let shown = || line.escape_ascii().to_string();
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or_else(|| format!("no colon in `{}`", shown()))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(format!("field name in `{}`", shown()));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(format!("control character in `{}`", shown()));
    }
    Ok((text(name).to_ascii_lowercase(), text(value.trim_ascii())))
}

fn chunked(bytes: &[u8]) -> Reading<usize> {
    let mut position = 0;
    loop {
        let size = match line(&bytes[position..]) {
            Reading::Complete(line) => {
                position += line.len() + CRLF.len();
                line
            }
            Reading::Incomplete => return Reading::Incomplete,
            Reading::Ambiguous(reason) => return Reading::Ambiguous(format!("{reason} in a chunk size")),
        };
        let is_plain = !size.is_empty() && size.len() <= CHUNK_SIZE_DIGITS && size.iter().all(u8::is_ascii_hexdigit);
        let Some(size) = usize::from_str_radix(&text(size), 16).ok().filter(|_| is_plain) else {
            return Reading::Ambiguous(format!("chunk size `{}`", size.escape_ascii()));
        };
        if size == 0 {
            return match trailers(&bytes[position..]) {
                Reading::Complete(length) => Reading::Complete(position + length),
                other => other,
            };
        }
        let Some(end) = bytes.get(position + size..position + size + CRLF.len()) else {
            return Reading::Incomplete;
        };
        if end != CRLF {
            return Reading::Ambiguous("a chunk that does not end with its size".to_owned());
        }
        position += size + CRLF.len();
    }
}

fn trailers(bytes: &[u8]) -> Reading<usize> {
    let mut position = 0;
    loop {
        match line(&bytes[position..]) {
            Reading::Complete([]) => return Reading::Complete(position + CRLF.len()),
            Reading::Complete(line) => {
                position += line.len() + CRLF.len();
                match field(line) {
                    Err(reason) => return Reading::Ambiguous(format!("{reason} in the trailers")),
                    Ok((name, _)) if NO_TRAILERS.contains(&name.as_str()) => {
                        return Reading::Ambiguous(format!("trailer `{name}`"));
                    }
                    Ok(_) => {}
                }
            }
            Reading::Incomplete => return Reading::Incomplete,
            Reading::Ambiguous(reason) => return Reading::Ambiguous(format!("{reason} in the trailers")),
        }
    }
}

/// A line without its CRLF, which is the only way to end one.
fn line(bytes: &[u8]) -> Reading<&[u8]> {
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Reading::Incomplete;
    };
    match bytes.get(end..end + CRLF.len()) {
        Some(found) if found == CRLF => Reading::Complete(&bytes[..end]),
        None if bytes[end] == b'\r' => Reading::Incomplete,
        _ => Reading::Ambiguous("a bare CR or LF".to_owned()),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Each byte one character: nothing is lost and nothing decoded.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

const CRLF: &[u8] = b"\r\n";
/// More of them overflow somebody.
const CHUNK_SIZE_DIGITS: usize = 8;
/// Fields that frame, route or authenticate: RFC 9110, 6.5.1.
const NO_TRAILERS: [&str; 9] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole requests in `bytes`, or why they are ambiguous.
    fn requests(mut bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut targets = Vec::new();
        loop {
            let head = match head(bytes) {
                Reading::Incomplete => return Ok(targets),
                Reading::Complete(head) => head,
                Reading::Ambiguous(reason) => return Err(reason),
            };
            match body(&head, &bytes[head.length..]) {
                Reading::Incomplete => return Ok(targets),
                Reading::Complete(length) => bytes = &bytes[head.length + length..],
                Reading::Ambiguous(reason) => return Err(reason),
            }
            targets.push(head.target);
        }
    }

    #[test]
    fn unambiguous_requests_are_read_one_after_the_other() {
        let bytes = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n\
            POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
            POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n\
            GET /d HTTP/1.1\r\nHost: x\r\n";
        assert_eq!(requests(bytes), Ok(["/a", "/b", "/c"].map(str::to_owned).to_vec()));
        for end in 0..bytes.len() {
            assert!(requests(&bytes[..end]).is_ok(), "ambiguous when cut at {end}");
        }
    }

    #[test]
    fn whatever_two_readers_may_take_differently_is_ambiguous() {
        let in_fields = [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: +1",
            "Content-Length:",
            "Content-Length : 1",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: \u{b}chunked",
            "X: a\r\n b",
            "X: a\nY: b",
            "X: a\rY: b",
            "X: \0",
            "Host: y",
            "no colon",
            "Upgrade: h2c",
        ];
        for field in in_fields {
            let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\na");
            assert!(requests(bytes.as_bytes()).is_err(), "{field:?}");
        }
        for body in [
            "1;a\r\na\r\n0\r\n\r\n",
            "1\na\r\n",
            "1\r\naa\r\n",
            "0x1\r\n",
            "0\r\nHost: y\r\n\r\n",
            "100000000\r\n",
        ] {
            let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert!(requests(bytes.as_bytes()).is_err(), "{body:?}");
        }
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.0",
            "GET /a b HTTP/1.1",
            "GET http://x/ HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET /",
        ] {
            assert!(requests(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).is_err(), "{line:?}");
        }
        assert!(requests(b"GET / HTTP/1.1\r\n\r\n").is_err(), "no host");
    }
}
