//! Character-strings and text in presentation format (RFC 1035 §5.1).

use std::fmt::Write;

use crate::model::name::unescape;

/// Appends the octets that `escaped`, the inside of a word, stands for; `None` where an escape is bad.
pub(crate) fn decode(escaped: &[u8], octets: &mut Vec<u8>) -> Option<()> {
    let mut rest = escaped;
    while let Some(at) = rest.iter().position(|&octet| octet == b'\\') {
        octets.extend_from_slice(&rest[..at]);
        let (octet, used) = unescape(&rest[at + 1..])?;
        octets.push(octet);
        rest = &rest[at + 1 + used..];
    }
    octets.extend_from_slice(rest);
    Some(())
}

/// Appends `octets` in quotes.
pub(super) fn quote(octets: &[u8], out: &mut String) {
    out.push('"');
    for &octet in octets {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => write!(out, "\\{octet:03}").expect("a String takes all that is written to it"),
        }
    }
    out.push('"');
}

/// The character-strings of a literal text: split at 255 octets, one empty string where there is no text.
pub(super) fn split_literal(text: &[u8]) -> Vec<u8> {
    if text.is_empty() {
        return vec![0];
    }
    let mut wire = Vec::with_capacity(text.len() + text.len() / 255 + 1);
    for chunk in text.chunks(255) {
        wire.push(chunk.len() as u8);
        wire.extend_from_slice(chunk);
    }
    wire
}
