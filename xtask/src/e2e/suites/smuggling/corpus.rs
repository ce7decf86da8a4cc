//! The committed cases: `conformance/suites/smuggling.yaml`, whose head explains its words.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// What a case demands beside the rule for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Must {
    /// The backend answers it, and what follows on the connection too.
    Answer,
    /// The backend never sees it.
    Refuse,
    /// Nothing that follows on the connection is answered.
    Close,
}

/// One case as it is sent.
#[derive(Debug)]
pub(super) struct Case {
    /// What it tries.
    pub(super) name: String,
    /// What it demands.
    pub(super) must: Vec<Must>,
    /// Its bytes or frames.
    pub(super) message: Message,
    /// It makes sense inside TLS only.
    pub(super) tls: bool,
    /// Its number, which marks all that belongs to it.
    pub(super) number: usize,
}

/// The request.
#[derive(Debug)]
pub(super) enum Message {
    /// Bytes on an HTTP/1.1 connection.
    Http1(Vec<u8>),
    /// A stream of an HTTP/2 connection.
    Http2(Stream),
}

/// The frames of a request.
#[derive(Debug)]
pub(super) struct Stream {
    /// Names and values, pseudo-header fields included.
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// DATA, when there is any.
    pub(super) body: Option<Vec<u8>>,
    /// A second HEADERS frame.
    pub(super) trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Case {
    /// Whether it demands this.
    pub(super) fn demands(&self, must: Must) -> bool {
        self.must.contains(&must)
    }

    /// Whether this is the target of what another case has sent openly, before this one.
    pub(super) fn is_of_another(&self, target: &str) -> bool {
        let (kind, number) = target.rsplit_once('-').unwrap_or_default();
        let is_known = ["/case", "/victim", "/bystander"].contains(&kind);
        is_known && number.parse().is_ok_and(|number: usize| number < self.number)
    }

    /// Its own target.
    pub(super) fn target(&self) -> String {
        target("case", self.number)
    }

    /// The target of the request that follows it on the same connection.
    pub(super) fn victim(&self) -> String {
        target("victim", self.number)
    }

    /// The target of a request on another connection afterwards.
    pub(super) fn bystander(&self) -> String {
        target("bystander", self.number)
    }
}

/// Reads the file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let entries: Vec<Entry> = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    let cases = entries.into_iter().enumerate();
    cases
        .map(|(number, entry)| {
            let name = entry.name.clone();
            case(number, entry).with_context(|| name)
        })
        .collect()
}

/// A case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    tls: bool,
    #[serde(default)]
    must: Vec<Must>,
    raw: Option<String>,
    fields: Option<Vec<String>>,
    http2: Option<Vec<(String, String)>>,
    body: Option<String>,
    #[serde(default)]
    trailers: Vec<(String, String)>,
}

fn case(number: usize, entry: Entry) -> anyhow::Result<Case> {
    let fill = |text: &str| fill(text, number);
    let body = entry.body.as_deref().map(fill).transpose()?;
    let length = body.as_ref().map_or(0, Vec::len).to_string();
    let with_length = |text: &str| fill(&text.replace("{length}", &length));
    let pairs = |pairs: &[(String, String)]| {
        let filled = pairs
            .iter()
            .map(|(name, value)| anyhow::Ok((with_length(name)?, with_length(value)?)));
        filled.collect::<anyhow::Result<Vec<_>>>()
    };
    let message = match (entry.raw, entry.fields, entry.http2) {
        (Some(raw), None, None) => Message::Http1([with_length(&raw)?, body.unwrap_or_default()].concat()),
        (None, Some(fields), None) => {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let head = with_length(&format!("POST {{case}} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))?;
            Message::Http1([head, body.unwrap_or_default()].concat())
        }
        (None, None, Some(fields)) => Message::Http2(Stream {
            fields: pairs(&with_defaults(fields, body.is_some()))?,
            body,
            trailers: pairs(&entry.trailers)?,
        }),
        _ => bail!("exactly one of raw, fields and http2"),
    };
    Ok(Case {
        name: entry.name,
        must: entry.must,
        tls: entry.tls,
        message,
        number,
    })
}

/// Pseudo-header fields in front, except those that the case has itself or, with the value `{none}`, wants to be missing.
fn with_defaults(fields: Vec<(String, String)>, has_body: bool) -> Vec<(String, String)> {
    let defaults = [
        (":method", if has_body { "POST" } else { "GET" }),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "{case}"),
    ];
    let missing = defaults
        .into_iter()
        .filter(|(name, _)| !fields.iter().any(|(own, _)| own == name));
    let mut all: Vec<_> = missing.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.extend(fields.into_iter().filter(|(_, value)| value != "{none}"));
    all
}

/// Placeholders out; each character is one byte.
fn fill(text: &str, number: usize) -> anyhow::Result<Vec<u8>> {
    let smuggled = target("smuggled", number);
    let text = text
        .replace("{get}", "{prefix-less}\r\n\r\n")
        .replace("{prefix}", "{prefix-less}\r\nX-Swallow: ")
        .replace("{prefix-less}", "GET {smuggled} HTTP/1.1\r\nHost: localhost")
        .replace("{smuggled}", &smuggled)
        .replace("{case}", &target("case", number));
    let text = expand(&text)?;
    ensure!(!text.contains('{'), "unknown placeholder in {text:?}");
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).context("a character above 255"))
        .collect()
}

/// `{N*TEXT}`: `TEXT` so many times.
fn expand(text: &str) -> anyhow::Result<String> {
    let Some((before, rest)) = text.split_once('{') else {
        return Ok(text.to_owned());
    };
    let (inside, after) = rest.split_once('}').context("no closing brace")?;
    let (count, repeated) = inside
        .split_once('*')
        .with_context(|| format!("unknown placeholder {inside:?}"))?;
    Ok(format!("{before}{}{}", repeated.repeat(count.parse()?), expand(after)?))
}

/// Three digits, so that lengths in the file hold for every case.
fn target(kind: &str, number: usize) -> String {
    format!("/{kind}-{number:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chunk sizes in the file count on these.
    #[test]
    fn placeholders_have_the_lengths_that_the_file_says() {
        assert_eq!(fill("{get}", 7).expect("filled").len(), 0x2f);
        assert_eq!(fill("{prefix}", 7).expect("filled").len(), 0x38);
        assert_eq!(fill("{3*ab}\u{ff}", 7).expect("filled"), b"ababab\xff");
        assert!(fill("{what}", 7).is_err());
    }

    #[test]
    fn the_corpus_is_read_and_every_name_stands_once() {
        let cases = read(&crate::root().join("conformance/suites/smuggling.yaml")).expect("corpus");
        let names: std::collections::BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() >= 60 && cases.len() < 1000);
    }
}
