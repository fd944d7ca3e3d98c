//! RDATA between presentation format and wire form.
//!
//! ```text
//!                     layout::LAYOUTS: type ─► parts
//!                                │
//! words ── parse ──► wire RDATA ─┼─ walk ──► well-formed? embedded names
//!                                └─ format ► canonical presentation format
//! ```
//!
//! One table says what each type's RDATA is made of; one reader, one writer and one checker follow it. Types that the
//! table lacks are octets, written `\# LENGTH HEX` (RFC 3597 §5); so may those be that it has. What is formatted parses
//! back to the same octets.
//!
//! RFC 1035 §3.3 and §5.1, RFC 3597, and the RFC of each type.

mod address_prefixes;
mod bitmap;
mod error;
mod format;
mod layout;
mod location;
mod mnemonic;
mod parse;
mod service;
mod strings;
mod time;
mod token;
#[cfg(test)]
mod vectors;
mod walk;

use crate::model::name::wire_name_length;
use crate::model::record::{Rdata, RecordType};
use crate::model::shown::{MOST_OF_VALUE, shorten};

pub use error::{RdataError, RdataFault};
pub use token::LexError;
pub use walk::EmbeddedName;

pub(crate) use error::Fault;
pub(crate) use parse::{integer, parse};
pub(crate) use strings::decode as unescape_word;
pub(crate) use time::parse_seconds;
pub(crate) use token::{Lexer, Token, TokenKind, Word, Words};

/// The RDATA of one RR from a value of the configuration or the API: presentation format with absolute names, the
/// final dot optional. Text (TXT, SPF) that does not begin with `"` is taken literally and split at 255 octets.
pub fn parse_value(rtype: RecordType, text: &str) -> Result<Rdata, RdataError> {
    let whole = |fault| RdataError {
        fault,
        text: shorten(text.as_bytes(), MOST_OF_VALUE),
    };
    if !rtype.is_data() {
        return Err(whole(RdataFault::NoData { rtype }));
    }
    if matches!(rtype, RecordType::TXT | RecordType::SPF) && !text.starts_with('"') {
        let wire = strings::split_literal(text.as_bytes());
        if wire.len() > usize::from(u16::MAX) {
            return Err(whole(RdataFault::TooLong { bytes: wire.len() }));
        }
        return Ok(wire.into());
    }
    let octets = text.as_bytes();
    let mut lexer = Lexer::new(octets);
    let mut tokens = Vec::new();
    lexer.next_entry(&mut tokens).map_err(|error| whole(error.into()))?;
    if lexer.has_seen_comment() {
        return Err(whole(RdataFault::Comment));
    }
    let mut wire = Vec::new();
    if let Err(Fault { token, fault }) = parse(rtype, &mut Words::new(octets, &tokens), None, &mut wire) {
        let part = tokens
            .get(token)
            .map_or(octets, |token| &octets[token.start..token.end]);
        return Err(RdataError {
            fault,
            text: shorten(part, MOST_OF_VALUE),
        });
    }
    match lexer.next_entry(&mut tokens) {
        Ok(None) if !lexer.has_seen_comment() => Ok(wire.into()),
        Ok(None) => Err(whole(RdataFault::Comment)),
        _ => Err(whole(RdataFault::SeveralLines)),
    }
}

/// The canonical presentation format: absolute names with their case, numbers instead of mnemonics, hexadecimal in
/// lower case, text in quotes. Unknown types, and RDATA that is malformed or that its type's format cannot give back
/// octet for octet, are written as `\# LENGTH HEX` (RFC 3597 §5).
pub fn format_value(rtype: RecordType, rdata: &[u8]) -> String {
    format::format(rtype, rdata)
}

/// [`format_value`], behind what is in `out`: for those who look at many values.
pub fn append_value(rtype: RecordType, rdata: &[u8], out: &mut String) {
    format::append(rtype, rdata, out);
}

/// Whether `rdata` is well-formed for its type. For a type without a layout, any octets up to 65,535 are.
pub fn is_well_formed(rtype: RecordType, rdata: &[u8]) -> bool {
    walk::is_well_formed(rtype, rdata)
}

/// The names inside `rdata`, in order of position; ends early where it is malformed.
pub fn embedded_names(rtype: RecordType, rdata: &[u8]) -> impl Iterator<Item = EmbeddedName> {
    walk::EmbeddedNames::new(layout::layout(rtype), rdata)
}

/// The wire name whose addresses belong into the additional section: of NS, MX (RFC 1035 §3.3), SRV (RFC 2782), SVCB
/// and HTTPS (RFC 9460 §4.1). `None` for the root, which stands for "none" or for
/// the owner ([`is_own_target`]).
pub fn additional_target(rtype: RecordType, rdata: &[u8]) -> Option<&[u8]> {
    use RecordType as T;
    if !matches!(rtype, T::NS | T::MX | T::SRV | T::SVCB | T::HTTPS) {
        return None;
    }
    let name = embedded_names(rtype, rdata).next()?;
    (name.length > 1).then(|| &rdata[name.offset..name.offset + name.length])
}

/// Whether the owner's own addresses belong into the additional section: SVCB and HTTPS that stand for a service at
/// their owner (RFC 9460 §2.5.2).
pub fn is_own_target(rtype: RecordType, rdata: &[u8]) -> bool {
    let is_service = matches!(rtype, RecordType::SVCB | RecordType::HTTPS);
    is_service && rdata.first_chunk().is_some_and(|priority| *priority != [0, 0]) && rdata.get(2) == Some(&0)
}

/// The character-strings of a TXT record as one text (RFC 1035 §3.3.14); `None` where they are no UTF-8.
pub fn joined_text(mut rdata: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(rdata.len());
    while let Some((length, rest)) = rdata.split_first() {
        let (string, rest) = rest.split_at_checked(usize::from(*length))?;
        text.extend_from_slice(string);
        rdata = rest;
    }
    String::from_utf8(text).ok()
}

/// The serial in an SOA's RDATA: behind MNAME and RNAME (RFC 1035 §3.3.13).
pub fn serial(soa: &[u8]) -> Option<u32> {
    let at = serial_position(soa)?;
    Some(u32::from_be_bytes(soa[at..at + 4].try_into().ok()?))
}

/// Writes `serial` into an SOA's RDATA.
pub fn set_serial(soa: &mut [u8], serial: u32) {
    if let Some(at) = serial_position(soa) {
        soa[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    }
}

fn serial_position(soa: &[u8]) -> Option<usize> {
    let mname = wire_name_length(soa)?;
    let at = mname + wire_name_length(&soa[mname..])?;
    (soa.len() >= at + 4).then_some(at)
}

/// The form in which values are compared: names in lower case in the types of RFC 4034 §6.2 (as RFC 6840 §5.1
/// corrects it), all else as it is.
pub fn canonical(rtype: RecordType, rdata: &[u8]) -> Rdata {
    let mut canonical: Rdata = rdata.into();
    if layout::layout(rtype).is_some_and(|layout| layout.names != layout::Names::Kept) {
        for name in embedded_names(rtype, rdata) {
            canonical[name.offset..name.offset + name.length].make_ascii_lowercase();
        }
    }
    canonical
}

/// Whether two RDATA are the same value: equal in [`canonical`] form.
pub fn same_value(rtype: RecordType, first: &[u8], second: &[u8]) -> bool {
    first == second || (first.eq_ignore_ascii_case(second) && canonical(rtype, first) == canonical(rtype, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_of_an_soa_is_found_behind_its_names() {
        let mut soa = [
            0, 1, b'a', 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
        ];
        assert_eq!(serial(&soa), Some(7));
        set_serial(&mut soa, 0x0102_0304);
        assert_eq!(soa[4..8], [1, 2, 3, 4]);
        assert_eq!(serial(&soa[..7]), None);
    }
}
