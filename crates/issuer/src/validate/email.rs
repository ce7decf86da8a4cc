//! Email addresses by RFC 5322, as Go's `net/mail` reads them, with its messages.
//!
//! Input: text. Output: the address in it, without display name, comments and quotes. Encoded words (RFC 2047) are not decoded: they
//! can only stand in display names, which make an address that cert-manager refuses anyway.

use std::net::IpAddr;

use crate::go_text::quote;

/// The one address in a text; the error is Go's text.
pub(super) fn address(text: &str) -> Result<String, String> {
    let mut reader = Reader { rest: text };
    let mut addresses = reader.address(true)?;
    reader.skip_comments()?;
    if !reader.rest.is_empty() {
        return Err(format!("mail: expected single address, got {}", quote(reader.rest)));
    }
    match (addresses.pop(), addresses.is_empty()) {
        (None, _) => Err("mail: empty group".to_owned()),
        (Some(_), false) => Err("mail: group with multiple addresses".to_owned()),
        (Some(address), true) => Ok(address),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// A mailbox, or a group of them.
    fn address(&mut self, group: bool) -> Result<Vec<String>, String> {
        self.skip_space();
        if self.rest.is_empty() {
            return Err("mail: no address".to_owned());
        }
        let start = self.rest;
        match self.plain_address() {
            Ok(address) => {
                self.skip_space();
                if self.consume('(') {
                    self.comment()?;
                }
                return Ok(vec![address]);
            }
            // Then it is one in angle brackets, with or without a name.
            Err(_) => self.rest = start,
        }
        let name = if self.rest.starts_with('<') {
            String::new()
        } else {
            self.phrase()?
        };
        self.skip_space();
        if group && self.consume(':') {
            return self.group();
        }
        if !self.consume('<') {
            let one_word = name.chars().all(|character| is_atom(character) || character == '.');
            return Err(if one_word {
                "mail: missing '@' or angle-addr"
            } else {
                "mail: no angle-addr"
            }
            .to_owned());
        }
        let address = self.plain_address()?;
        if !self.consume('>') {
            return Err("mail: unclosed angle-addr".to_owned());
        }
        Ok(vec![address])
    }

    /// Behind the colon, up to the semicolon.
    fn group(&mut self) -> Result<Vec<String>, String> {
        let mut addresses = Vec::new();
        self.skip_space();
        if self.consume(';') {
            self.skip_comments()?;
            return Ok(addresses);
        }
        loop {
            self.skip_space();
            addresses.extend(self.address(false)?);
            self.skip_comments()?;
            if self.consume(';') {
                self.skip_comments()?;
                return Ok(addresses);
            }
            if !self.consume(',') {
                return Err("mail: expected comma".to_owned());
            }
        }
    }

    /// `local@domain`.
    fn plain_address(&mut self) -> Result<String, String> {
        self.skip_space();
        if self.rest.is_empty() {
            return Err("mail: no addr-spec".to_owned());
        }
        let local = if self.rest.starts_with('"') {
            let local = self.quoted()?;
            if local.is_empty() {
                return Err("mail: empty quoted string in addr-spec".to_owned());
            }
            local
        } else {
            self.atom(false)?
        };
        if !self.consume('@') {
            return Err("mail: missing @ in addr-spec".to_owned());
        }
        self.skip_space();
        if self.rest.is_empty() {
            return Err("mail: no domain in addr-spec".to_owned());
        }
        let domain = if self.rest.starts_with('[') {
            self.literal()?
        } else {
            self.atom(false)?
        };
        Ok(format!("{local}@{domain}"))
    }

    /// Words: the name of a mailbox or group.
    fn phrase(&mut self) -> Result<String, String> {
        let mut words: Vec<String> = Vec::new();
        loop {
            if !words.is_empty() {
                self.skip_comments()?;
            }
            self.skip_space();
            if self.rest.is_empty() {
                break;
            }
            let word = if self.rest.starts_with('"') {
                self.quoted()
            } else {
                self.atom(true)
            };
            match word {
                Ok(word) => words.push(word),
                Err(fault) if words.is_empty() => return Err(format!("mail: missing word in phrase: {fault}")),
                Err(_) => break,
            }
        }
        Ok(words.join(" "))
    }

    /// In double quotes; what is left of them.
    fn quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut escaped = false;
        for (position, character) in self.rest.char_indices().skip(1) {
            let blank = matches!(character, ' ' | '\t');
            match character {
                _ if escaped && (is_visible(character) || blank) => {
                    text.push(character);
                    escaped = false;
                }
                '"' if !escaped => {
                    self.rest = &self.rest[position + 1..];
                    return Ok(text);
                }
                '\\' if !escaped => escaped = true,
                _ if !escaped && (is_visible(character) || blank) => text.push(character),
                _ => {
                    return Err(format!(
                        "mail: bad character in quoted-string: {}",
                        quote_character(character)
                    ));
                }
            }
        }
        Err("mail: unclosed quoted-string".to_owned())
    }

    /// Atoms with dots between them; `lenient` about where the dots stand.
    fn atom(&mut self, lenient: bool) -> Result<String, String> {
        let end = self
            .rest
            .find(|character| !(is_atom(character) || character == '.'))
            .unwrap_or(self.rest.len());
        if end == 0 {
            return Err("mail: invalid string".to_owned());
        }
        let (atom, rest) = self.rest.split_at(end);
        self.rest = rest;
        if !lenient {
            if atom.starts_with('.') {
                return Err("mail: leading dot in atom".to_owned());
            }
            if atom.contains("..") {
                return Err("mail: double dot in atom".to_owned());
            }
            if atom.ends_with('.') {
                return Err("mail: trailing dot in atom".to_owned());
            }
        }
        Ok(atom.to_owned())
    }

    /// `[192.0.2.1]`.
    fn literal(&mut self) -> Result<String, String> {
        let inner = &self.rest[1..];
        for (position, character) in inner.char_indices() {
            if character == ']' {
                let address = &inner[..position];
                self.rest = &inner[position + 1..];
                return match address.parse::<IpAddr>() {
                    Ok(_) => Ok(format!("[{address}]")),
                    Err(_) => Err(format!("mail: invalid IP address in domain-literal: {}", quote(address))),
                };
            }
            if !is_visible(character) || matches!(character, '[' | '\\') {
                return Err(format!(
                    "mail: bad character in domain-literal: {}",
                    quote_character(character)
                ));
            }
        }
        Err("mail: unclosed domain-literal".to_owned())
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_comments(&mut self) -> Result<(), String> {
        self.skip_space();
        while self.consume('(') {
            self.comment()?;
            self.skip_space();
        }
        Ok(())
    }

    /// Behind its opening parenthesis, up to the closing one; comments may stand in comments.
    fn comment(&mut self) -> Result<(), String> {
        let mut depth = 1;
        let mut escaped = false;
        for (position, character) in self.rest.char_indices() {
            match character {
                _ if escaped => escaped = false,
                // One at the very end escapes nothing.
                '\\' => escaped = true,
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.rest = &self.rest[position + 1..];
                return Ok(());
            }
        }
        Err("mail: misformatted parenthetical comment".to_owned())
    }

    fn consume(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn is_visible(character: char) -> bool {
    matches!(character, '!'..='~') || !character.is_ascii()
}

fn is_atom(character: char) -> bool {
    is_visible(character) && !"()<>[]:;@\\,\".".contains(character)
}

/// As Go's `%q` prints a character. None of those that come here is a quote.
fn quote_character(character: char) -> String {
    let quoted = quote(&character.to_string());
    format!("'{}'", quoted.trim_matches('"'))
}
