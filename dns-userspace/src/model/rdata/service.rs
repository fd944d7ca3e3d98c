//! Service parameters of SVCB and HTTPS (RFC 9460), with `dohpath` (RFC 9461) and `ohttp` (RFC 9540).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use super::error::{Fault, RdataFault};
use super::parse::integer;
use super::strings;
use super::token::{TokenKind, Word, Words};
use crate::model::work;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// "Invalid key" of the registry: no parameter.
const INVALID: u16 = 65_535;

/// The parameters with a presentation format of their own, and what they take.
const KEYS: &[(u16, &str, &str)] = &[
    (
        MANDATORY,
        "mandatory",
        "other keys with commas between, none of them twice",
    ),
    (
        ALPN,
        "alpn",
        "protocol names of 1 to 255 octets with commas between, as in `h2,h3`",
    ),
    (NO_DEFAULT_ALPN, "no-default-alpn", "no value"),
    (PORT, "port", "a port number, 0 to 65535"),
    (IPV4HINT, "ipv4hint", "IPv4 addresses with commas between"),
    (ECH, "ech", "an ECHConfigList in base64"),
    (IPV6HINT, "ipv6hint", "IPv6 addresses with commas between"),
    (
        DOHPATH,
        "dohpath",
        "a URI template in UTF-8, relative and with the variable `dns`, as in `/dns-query{?dns}`",
    ),
    (OHTTP, "ohttp", "no value"),
];

/// Reads the rest of the words as `key`, `key=value` or `key="value"`.
pub(super) fn parse(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Fault> {
    let mut parameters: BTreeMap<u16, (Vec<u8>, usize)> = BTreeMap::new();
    for word in words {
        let (key, value) = parameter(word).map_err(|fault| Fault::new(word.index, fault))?;
        if parameters.insert(key, (value, word.index)).is_some() {
            return Err(Fault::new(
                word.index,
                RdataFault::ParameterTwice { key: key_name(key) },
            ));
        }
    }
    // RFC 9460 §8: the keys that are listed as mandatory must be there.
    if let Some((listed, index)) = parameters.get(&MANDATORY)
        && let Some(key) = u16s(listed).find(|key| !parameters.contains_key(key))
    {
        return Err(Fault::new(*index, RdataFault::ParameterMissing { key: key_name(key) }));
    }
    if let Some((_, index)) = parameters.get(&NO_DEFAULT_ALPN)
        && !parameters.contains_key(&ALPN)
    {
        return Err(Fault::new(*index, RdataFault::NoDefaultAlpn));
    }
    for (key, (value, index)) in parameters {
        let length =
            u16::try_from(value.len()).map_err(|_| Fault::new(index, RdataFault::TooLong { bytes: value.len() }))?;
        wire.extend_from_slice(&key.to_be_bytes());
        wire.extend_from_slice(&length.to_be_bytes());
        wire.extend_from_slice(&value);
    }
    Ok(())
}

fn parameter(word: Word<'_>) -> Result<(u16, Vec<u8>), RdataFault> {
    if word.kind == TokenKind::Quoted {
        return Err(RdataFault::Quoted {
            what: "service parameter",
        });
    }
    let (name, text) = match word.octets.iter().position(|&octet| octet == b'=') {
        Some(equals) => (&word.octets[..equals], Some(&word.octets[equals + 1..])),
        None => (word.octets, None),
    };
    let key = key_number(name).ok_or(RdataFault::ParameterKey)?;
    let text = match text {
        Some([b'"', inner @ .., b'"']) if word.kind == TokenKind::PartlyQuoted && !has_bare_quote(inner) => Some(inner),
        Some(_) if word.kind == TokenKind::PartlyQuoted => return Err(RdataFault::PartlyQuoted),
        text => text,
    };
    let mut octets = Vec::new();
    strings::decode(text.unwrap_or_default(), &mut octets).ok_or(RdataFault::Escape)?;
    // RFC 9460 §2.1: under its number a key takes the value's octets as they are on the wire.
    let by_number = name.len() > 3 && name.starts_with(b"key") && name[3].is_ascii_digit();
    let value = if by_number {
        Some(octets)
    } else {
        own_format(key, text.is_some(), &octets)
    };
    match value {
        Some(value) if value_is_well_formed(key, &value) => Ok((key, value)),
        _ => {
            let takes = KEYS
                .iter()
                .find(|(number, ..)| *number == key)
                .map_or("octets", |&(.., takes)| takes);
            Err(RdataFault::ParameterValue {
                key: key_name(key),
                takes,
            })
        }
    }
}

fn has_bare_quote(text: &[u8]) -> bool {
    let mut rest = text.iter();
    while let Some(octet) = rest.next() {
        match octet {
            b'\\' => _ = rest.next(),
            b'"' => return true,
            _ => {}
        }
    }
    false
}

/// The wire form of a value written in its key's own format.
fn own_format(key: u16, has_value: bool, text: &[u8]) -> Option<Vec<u8>> {
    let items = || text.split(|&octet| octet == b',');
    let item_text = |item| std::str::from_utf8(item).ok();
    let mut wire = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = items().map(key_number).collect::<Option<Vec<_>>>()?;
            keys.sort_unstable();
            for key in keys {
                wire.extend_from_slice(&key.to_be_bytes());
            }
        }
        ALPN => {
            for item in value_list(text)? {
                wire.push(u8::try_from(item.len()).ok()?);
                wire.extend_from_slice(&item);
            }
        }
        NO_DEFAULT_ALPN | OHTTP if has_value => return None,
        NO_DEFAULT_ALPN | OHTTP => {}
        PORT => wire.extend_from_slice(&(integer(text, u16::MAX.into())? as u16).to_be_bytes()),
        IPV4HINT => {
            for item in items() {
                wire.extend_from_slice(&item_text(item)?.parse::<Ipv4Addr>().ok()?.octets());
            }
        }
        IPV6HINT => {
            for item in items() {
                wire.extend_from_slice(&item_text(item)?.parse::<Ipv6Addr>().ok()?.octets());
            }
        }
        ECH => wire = BASE64.decode(text).ok()?,
        _ => wire = text.to_vec(),
    }
    Some(wire)
}

/// RFC 9460 appendix A.1: items between commas, `\,` and `\\` inside them.
fn value_list(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut rest = text.iter();
    while let Some(&octet) = rest.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(*rest.next()?),
            octet => items.last_mut()?.push(octet),
        }
    }
    Some(items)
}

fn key_number(name: &[u8]) -> Option<u16> {
    if let Some((number, ..)) = KEYS.iter().find(|(_, known, _)| known.as_bytes() == name) {
        return Some(*number);
    }
    let (head, digits) = name.split_at_checked(3)?;
    let number = integer(digits, u32::from(INVALID) - 1)?;
    // RFC 9460 §2.1: no leading zeros.
    (head == b"key" && (digits.len() == 1 || digits[0] != b'0')).then_some(number as u16)
}

fn key_name(key: u16) -> String {
    let known = KEYS.iter().find(|(number, ..)| *number == key);
    known.map_or_else(|| format!("key{key}"), |(_, name, _)| (*name).to_owned())
}

fn u16s(octets: &[u8]) -> impl Iterator<Item = u16> {
    octets
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The parameters of a well-formed list; `None` at a part that is cut off.
fn parameters(mut rest: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let [key_high, key_low, length_high, length_low, tail @ ..] = rest else {
            rest = &[];
            return Some(None);
        };
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let (value, behind) = tail.split_at_checked(length).unwrap_or_default();
        let whole = value.len() == length && tail.len() >= length;
        rest = if whole { behind } else { &[] };
        Some(whole.then_some((u16::from_be_bytes([*key_high, *key_low]), value)))
    })
}

/// RFC 9460 §2.2: keys strictly ascending, values well-formed, mandatory keys present.
pub(super) fn is_well_formed(rdata: &[u8]) -> bool {
    let mut least = 0u32;
    for parameter in parameters(rdata) {
        let Some((key, value)) = parameter else { return false };
        if u32::from(key) < least || !value_is_well_formed(key, value) {
            return false;
        }
        least = u32::from(key) + 1;
    }
    let has = |wanted: u16| parameters(rdata).flatten().any(|(key, _)| key == wanted);
    let mandatory = parameters(rdata).flatten().find(|(key, _)| *key == MANDATORY);
    // Both ascend, so one walk finds all that are listed.
    let mut keys = parameters(rdata)
        .flatten()
        .map(|(key, _)| key)
        .inspect(|_| work::step());
    let is_there = |wanted: u16| keys.by_ref().find(|key| *key >= wanted) == Some(wanted);
    mandatory.is_none_or(|(_, listed)| u16s(listed).all(is_there)) && (!has(NO_DEFAULT_ALPN) || has(ALPN))
}

fn value_is_well_formed(key: u16, value: &[u8]) -> bool {
    match key {
        // RFC 9460 §8: ascending, not itself, at least one.
        MANDATORY => {
            let keys: Vec<_> = u16s(value).collect();
            !keys.is_empty()
                && value.len().is_multiple_of(2)
                && keys[0] != MANDATORY
                && keys.is_sorted_by(|first, second| first < second)
        }
        ALPN => {
            let mut rest = value;
            while let Some((&length, tail)) = rest.split_first() {
                let Some(behind) = tail.get(usize::from(length)..).filter(|_| length != 0) else {
                    return false;
                };
                rest = behind;
            }
            !value.is_empty()
        }
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6HINT => !value.is_empty() && value.len().is_multiple_of(16),
        ECH => !value.is_empty(),
        // RFC 9461 §5
        DOHPATH => std::str::from_utf8(value).is_ok_and(|path| path.starts_with('/') && path.contains("dns")),
        INVALID => false,
        _ => true,
    }
}

/// Appends the parameters of a well-formed list, each with a blank in front.
pub(super) fn format(rdata: &[u8], out: &mut String) {
    for (key, value) in parameters(rdata).flatten() {
        out.push(' ');
        out.push_str(&key_name(key));
        let written = match key {
            NO_DEFAULT_ALPN | OHTTP => Ok(()),
            MANDATORY => write!(out, "={}", u16s(value).map(key_name).collect::<Vec<_>>().join(",")),
            PORT => write!(out, "={}", u16s(value).next().unwrap_or_default()),
            IPV4HINT => write!(out, "={}", addresses::<4, Ipv4Addr>(value)),
            IPV6HINT => write!(out, "={}", addresses::<16, Ipv6Addr>(value)),
            ECH => write!(out, "={}", BASE64.encode(value)),
            ALPN => {
                out.push('=');
                strings::quote(&alpn_list(value), out);
                Ok(())
            }
            _ if value.is_empty() => Ok(()),
            _ => {
                out.push('=');
                strings::quote(value, out);
                Ok(())
            }
        };
        written.expect("a String takes all that is written to it");
    }
}

fn addresses<const OCTETS: usize, A: From<[u8; OCTETS]> + ToString>(value: &[u8]) -> String {
    let (addresses, _) = value.as_chunks::<OCTETS>();
    addresses
        .iter()
        .map(|&octets| A::from(octets).to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// The protocol names with commas between and the escapes of a value list.
fn alpn_list(mut rest: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    while let Some((&length, tail)) = rest.split_first() {
        let (item, behind) = tail.split_at(usize::from(length).min(tail.len()));
        if !list.is_empty() {
            list.push(b',');
        }
        for &octet in item {
            if matches!(octet, b',' | b'\\') {
                list.push(b'\\');
            }
            list.push(octet);
        }
        rest = behind;
    }
    list
}
