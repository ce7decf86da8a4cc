//! Hexadecimal digits: of fingerprints, and of serial numbers, which programs write in many ways.
//!
//! Input: bytes, or what somebody typed. Output: lower-case digits, two for each byte.

use std::fmt::Write as _;

/// Two lower-case digits for each byte.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A serial number (content of its INTEGER, big-endian) as [`crate::Issuance::serial`] has it: without leading zero bytes.
#[must_use]
pub fn serial_digits(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hexadecimal(&bytes[zeros..])
}

/// A serial number as programs write it (openssl and browsers: `0A:0B`), the way [`crate::Issuance::serial`] has it. `None` for what is no
/// hexadecimal number.
#[must_use]
pub fn read_serial(written: &str) -> Option<String> {
    let digits: String = written.chars().filter(|letter| !matches!(letter, ':' | ' ')).collect();
    let digits = digits.to_ascii_lowercase();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some(if digits.len().is_multiple_of(2) {
        digits.to_owned()
    } else {
        format!("0{digits}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_taken_as_programs_write_them() {
        for written in ["0a0b", "0A:0B", "0x0A0B", "00:0a:0b", "a0b", " 0a 0b "] {
            assert_eq!(read_serial(written).as_deref(), Some("0a0b"), "{written}");
        }
        for other in ["", ":", "0x", "web", "0a0g"] {
            assert_eq!(read_serial(other), None, "{other}");
        }
        assert_eq!(serial_digits(&[0, 0, 10, 11]), "0a0b");
        assert_eq!(serial_digits(&[0]), "");
    }
}
