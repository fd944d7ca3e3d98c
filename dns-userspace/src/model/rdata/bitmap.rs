//! Type bitmaps of NSEC, NSEC3 and CSYNC (RFC 4034 §4.1.2).

use std::collections::BTreeMap;
use std::fmt::Write;

use super::error::{Fault, RdataFault};
use super::token::{TokenKind, Word, Words};
use crate::model::record::{RecordType, UnknownType};

/// Reads the rest of the words as types.
pub(super) fn parse(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Fault> {
    let mut windows: BTreeMap<u8, [u8; 32]> = BTreeMap::new();
    for word in words {
        let [window, low] = parse_type(word)?.0.to_be_bytes();
        windows.entry(window).or_default()[usize::from(low / 8)] |= 0x80 >> (low % 8);
    }
    for (window, bits) in windows {
        let length = bits.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        wire.extend_from_slice(&[window, length as u8]);
        wire.extend_from_slice(&bits[..length]);
    }
    Ok(())
}

/// A type by its mnemonic or as `TYPE123`.
pub(super) fn parse_type(word: Word<'_>) -> Result<RecordType, Fault> {
    let text = std::str::from_utf8(word.octets)
        .ok()
        .filter(|_| word.kind == TokenKind::Plain);
    let unknown = || UnknownType(String::from_utf8_lossy(word.octets).into_owned());
    let parsed = text.ok_or_else(unknown).and_then(str::parse);
    parsed.map_err(|error| Fault::new(word.index, RdataFault::Type(error)))
}

/// Windows ascending, of 1 to 32 octets of which the last is not zero.
pub(super) fn is_well_formed(mut rest: &[u8]) -> bool {
    let mut least = 0;
    while let [window, length, tail @ ..] = rest {
        let length = usize::from(*length);
        if u16::from(*window) < least || !(1..=32).contains(&length) || tail.len() < length || tail[length - 1] == 0 {
            return false;
        }
        least = u16::from(*window) + 1;
        rest = &tail[length..];
    }
    rest.is_empty()
}

/// Appends the types of a well-formed bitmap, each with a blank in front.
pub(super) fn format(mut rest: &[u8], out: &mut String) {
    while let [window, length, tail @ ..] = rest {
        let (bits, behind) = tail.split_at(usize::from(*length).min(tail.len()));
        for (at, octet) in bits.iter().enumerate() {
            for bit in (0..8u8).filter(|bit| octet & (0x80 >> bit) != 0) {
                let rtype = RecordType(u16::from_be_bytes([*window, at as u8 * 8 + bit]));
                write!(out, " {rtype}").expect("a String takes all that is written to it");
            }
        }
        rest = behind;
    }
}
