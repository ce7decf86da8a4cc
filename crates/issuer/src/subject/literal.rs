//! A subject as text (RFC 4514), read as cert-manager reads it: by the rules of go-ldap's `ParseDN`, with its messages.

/// One attribute of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its object identifier, dotted; `None` for a name that cert-manager does not know.
    pub kind: Option<String>,
    /// Its value. An escape may have made it something else than UTF-8; then no certificate can have it.
    pub value: Vec<u8>,
}

/// The relative names of a subject, in the order of the certificate: the last of the text first. The error is go-ldap's text.
pub fn literal_subject(text: &str) -> Result<Vec<Vec<Attribute>>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let mut attributes = Vec::new();
    let mut kind = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    // Separators are ASCII, so that bytes may be looked at one by one.
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'=' if kind.is_empty() => {
                kind = unescape(&text[start..position])?;
                start = position + 1;
            }
            b',' | b'+' | b';' => {
                if kind.is_empty() {
                    return Err("incomplete type, value pair".to_owned());
                }
                attributes.push(attribute(std::mem::take(&mut kind), &text[start..position])?);
                start = position + 1;
                if byte != b'+' {
                    names.push(std::mem::take(&mut attributes));
                }
            }
            _ => {}
        }
    }
    if kind.is_empty() {
        return Err("DN ended with incomplete type, value pair".to_owned());
    }
    attributes.push(attribute(kind, &text[start..])?);
    names.push(attributes);
    names.reverse();
    Ok(names)
}

fn attribute(kind: Vec<u8>, value: &str) -> Result<Attribute, String> {
    let value = match value.strip_prefix('#') {
        Some(digits) => encoded_value(digits).map_err(|fault| format!("failed to decode BER encoding: {fault}"))?,
        None => unescape(value)?,
    };
    Ok(Attribute {
        kind: String::from_utf8(kind).ok().and_then(known_kind),
        value,
    })
}

fn known_kind(name: String) -> Option<String> {
    let known = match name.as_str() {
        "C" => super::COUNTRY,
        "O" => super::ORGANIZATION,
        "OU" => super::ORGANIZATIONAL_UNIT,
        "CN" => super::COMMON_NAME,
        "SERIALNUMBER" => super::SERIAL_NUMBER,
        "L" => super::LOCALITY,
        "ST" => super::PROVINCE,
        "STREET" => super::STREET_ADDRESS,
        "DC" => "0.9.2342.19200300.100.1.25",
        "UID" => "0.9.2342.19200300.100.1.1",
        _ => {
            let dotted = name.split('.').all(|arc| arc.parse::<i64>().is_ok());
            return dotted.then_some(name);
        }
    };
    Some(known.to_owned())
}

/// Takes away spaces around and backslashes within.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    const FAILED: &str = "failed to decode escaped character";
    let mut stripped = text.trim_matches(' ');
    if stripped.ends_with('\\') && text.ends_with(' ') {
        // The last space was escaped.
        stripped = text.trim_start_matches(' ');
        stripped = &stripped[..stripped.trim_end_matches(' ').len() + 1];
    }
    let mut value = Vec::with_capacity(stripped.len());
    let mut characters = stripped.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.extend(character.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match characters.next() {
            None => return Err(format!("got corrupted escaped character: '{stripped}'")),
            Some(special @ (' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\')) => value.push(special as u8),
            Some(high) => {
                let Some(low) = characters.next() else {
                    return Err(format!("{FAILED}: encoding/hex: invalid byte: {high}"));
                };
                if !(high.is_ascii() && low.is_ascii()) {
                    return Err(format!("{FAILED}: invalid byte: {high}{low}"));
                }
                value.push(hexadecimal(&format!("{high}{low}")).map_err(|fault| format!("{FAILED}: {fault}"))?[0]);
            }
        }
    }
    Ok(value)
}

/// The content of the BER element whose bytes are written in hexadecimal digits.
fn encoded_value(digits: &str) -> Result<Vec<u8>, String> {
    const CONSTRUCTED: u8 = 0x20;
    let encoded = hexadecimal(digits)?;
    let (tag, rest) = encoded.split_first().ok_or("unexpected EOF")?;
    let (length, rest) = rest.split_first().ok_or("unexpected EOF")?;
    if tag & CONSTRUCTED != 0 || tag & 0x1f == 0x1f {
        return Err("only a string can be a value".to_owned());
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f)).ok_or("unexpected EOF")?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return Err("its length cannot be read".to_owned()),
    };
    rest.get(..length)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| "unexpected EOF".to_owned())
}

fn hexadecimal(digits: &str) -> Result<Vec<u8>, String> {
    let mut nibbles = Vec::with_capacity(digits.len());
    for byte in digits.bytes() {
        let digit = char::from(byte).to_digit(16);
        nibbles.push(digit.ok_or_else(|| format!("encoding/hex: invalid byte: U+{byte:04X} {:?}", char::from(byte)))? as u8);
    }
    if nibbles.len() % 2 == 1 {
        return Err("encoding/hex: odd length hex string".to_owned());
    }
    Ok(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
