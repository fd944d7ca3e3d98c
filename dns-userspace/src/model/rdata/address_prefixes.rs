//! Lists of address prefixes: APL (RFC 3123).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::{Fault, RdataFault};
use super::parse::integer;
use super::token::{TokenKind, Word, Words};

/// Reads the rest of the words as `[!]FAMILY:ADDRESS/LENGTH`.
pub(super) fn parse(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Fault> {
    for word in words {
        item(word, wire).ok_or(Fault::new(word.index, RdataFault::AddressPrefix))?;
    }
    Ok(())
}

fn item(word: Word<'_>, wire: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(word.octets)
        .ok()
        .filter(|_| word.kind == TokenKind::Plain)?;
    let (negation, text) = text.strip_prefix('!').map_or((0, text), |rest| (0x80, rest));
    let (family, text) = text.split_once(':')?;
    let (address, length) = text.split_once('/')?;
    let (family, octets, max) = match family {
        "1" => (1u16, address.parse::<Ipv4Addr>().ok()?.octets().to_vec(), 32),
        "2" => (2u16, address.parse::<Ipv6Addr>().ok()?.octets().to_vec(), 128),
        _ => return None,
    };
    let length = integer(length.as_bytes(), max)? as u8;
    // RFC 3123 §4: trailing zero octets are left out.
    let significant = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    wire.extend_from_slice(&family.to_be_bytes());
    wire.extend_from_slice(&[length, negation | significant as u8]);
    wire.extend_from_slice(&octets[..significant]);
    Some(())
}

/// Items of whole length; those of IPv4 and IPv6 no longer than an address, with no trailing zero octet.
pub(super) fn is_well_formed(mut rest: &[u8]) -> bool {
    while let [family_high, family_low, prefix, length, tail @ ..] = rest {
        let length = usize::from(length & 0x7F);
        let Some((address, behind)) = tail.split_at_checked(length) else {
            return false;
        };
        let bits = match u16::from_be_bytes([*family_high, *family_low]) {
            1 => 32,
            2 => 128,
            _ => 0,
        };
        if bits != 0 && (*prefix > bits || length * 8 > usize::from(bits) || address.last() == Some(&0)) {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// Appends the items of a well-formed list, with blanks between; `None` where one is of another family, for which
/// there is no presentation format.
pub(super) fn format(mut rest: &[u8], out: &mut String) -> Option<()> {
    while let [family_high, family_low, prefix, length, tail @ ..] = rest {
        let (address, behind) = tail.split_at_checked(usize::from(length & 0x7F))?;
        let negation = if length & 0x80 == 0 { "" } else { "!" };
        let mut octets = [0; 16];
        octets.get_mut(..address.len())?.copy_from_slice(address);
        let written = match u16::from_be_bytes([*family_high, *family_low]) {
            1 => {
                let [a, b, c, d, ..] = octets;
                write!(out, "{negation}1:{}/{prefix}", Ipv4Addr::new(a, b, c, d))
            }
            2 => write!(out, "{negation}2:{}/{prefix}", Ipv6Addr::from(octets)),
            _ => return None,
        };
        written.expect("a String takes all that is written to it");
        if !behind.is_empty() {
            out.push(' ');
        }
        rest = behind;
    }
    Some(())
}
