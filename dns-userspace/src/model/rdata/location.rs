//! Places on Earth: LOC (RFC 1876).

use std::fmt::Write;

use super::error::{Fault, RdataFault};
use super::parse::integer;
use super::token::{TokenKind, Words};
use crate::model::record::RecordType;

/// The equator and the prime meridian, in thousandths of an arc second (RFC 1876 §2).
const ORIGIN: u32 = 1 << 31;
const DEGREE: u32 = 3_600_000;
/// Altitude 0, in centimetres above the base of 100 km below the WGS 84 spheroid.
const SEA_LEVEL: i64 = 10_000_000;
/// RFC 1876 §3: size 1 m, horizontal precision 10 km, vertical precision 10 m.
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

/// `d1 [m1 [s1]] N|S d2 [m2 [s2]] E|W alt[m] [size[m] [hp[m] [vp[m]]]]` (RFC 1876 §3).
pub(super) fn parse(rtype: RecordType, words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Fault> {
    let latitude = angle(rtype, words, "latitude", 90, [b'N', b'S'])?;
    let longitude = angle(rtype, words, "longitude", 180, [b'E', b'W'])?;
    let altitude = next(rtype, words, "altitude")?;
    let metres = centimetres(altitude.octets)
        .and_then(|centimetres| u32::try_from(centimetres + SEA_LEVEL).ok())
        .ok_or(Fault::new(altitude.index, RdataFault::Location { what: "altitude" }))?;
    let mut sizes = DEFAULTS;
    for (size, what) in sizes
        .iter_mut()
        .zip(["size", "horizontal precision", "vertical precision"])
    {
        let Some(word) = words.next() else { break };
        *size = centimetres(word.octets)
            .and_then(pack)
            .ok_or(Fault::new(word.index, RdataFault::Location { what }))?;
    }
    wire.push(0);
    wire.extend_from_slice(&sizes);
    for part in [latitude, longitude, metres] {
        wire.extend_from_slice(&part.to_be_bytes());
    }
    Ok(())
}

fn next<'a>(rtype: RecordType, words: &mut Words<'a>, what: &'static str) -> Result<super::token::Word<'a>, Fault> {
    let missing = Fault::new(words.last_index(), RdataFault::Missing { rtype, what });
    let word = words.next().ok_or(missing)?;
    if word.kind != TokenKind::Plain {
        return Err(Fault::new(word.index, RdataFault::Quoted { what }));
    }
    Ok(word)
}

fn angle(
    rtype: RecordType,
    words: &mut Words<'_>,
    what: &'static str,
    max_degrees: u32,
    hemispheres: [u8; 2],
) -> Result<u32, Fault> {
    let first = next(rtype, words, what)?;
    let bad = |index| Fault::new(index, RdataFault::Location { what });
    let mut value = integer(first.octets, max_degrees).ok_or_else(|| bad(first.index))? * DEGREE;
    for unit in [Some(60_000), Some(1_000), None] {
        let word = next(rtype, words, what)?;
        let [letter] = word.octets else {
            value += unit
                .and_then(|unit| sexagesimal(word.octets, unit))
                .ok_or_else(|| bad(word.index))?;
            continue;
        };
        let Some(side) = hemispheres.iter().position(|side| side == &letter.to_ascii_uppercase()) else {
            value += unit
                .and_then(|unit| sexagesimal(word.octets, unit))
                .ok_or_else(|| bad(word.index))?;
            continue;
        };
        if value > max_degrees * DEGREE {
            return Err(bad(first.index));
        }
        return Ok(if side == 0 { ORIGIN + value } else { ORIGIN - value });
    }
    Err(bad(words.last_index()))
}

/// Minutes (0 to 59), or seconds (0 to 59.999), in thousandths of an arc second.
fn sexagesimal(word: &[u8], unit: u32) -> Option<u32> {
    if unit != 1_000 {
        return Some(integer(word, 59)? * unit);
    }
    let (whole, thousandths) = decimal(word, 3)?;
    (whole < 60).then(|| whole * 1_000 + thousandths)
}

/// `[-]METRES[.CENTIMETRES][m]` in centimetres.
fn centimetres(word: &[u8]) -> Option<i64> {
    let word = word.strip_suffix(b"m").unwrap_or(word);
    let (sign, word) = word.strip_prefix(b"-").map_or((1, word), |rest| (-1, rest));
    let (whole, hundredths) = decimal(word, 2)?;
    Some(sign * (i64::from(whole) * 100 + i64::from(hundredths)))
}

/// A decimal number and its fraction of up to `digits` digits, scaled to that many.
fn decimal(word: &[u8], digits: usize) -> Option<(u32, u32)> {
    let (whole, fraction) = match word.iter().position(|&octet| octet == b'.') {
        Some(dot) => (&word[..dot], &word[dot + 1..]),
        None => (word, &b"0"[..]),
    };
    if fraction.len() > digits {
        return None;
    }
    let scale = 10u32.pow((digits - fraction.len()) as u32);
    Some((integer(whole, 99_999_999)?, integer(fraction, 999)? * scale))
}

/// RFC 1876 §2: a digit and a power of ten, of centimetres. What has more digits is rounded down, as its example does.
fn pack(centimetres: i64) -> Option<u8> {
    let mut mantissa = u64::try_from(centimetres).ok()?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    (exponent <= 9).then_some((mantissa as u8) << 4 | exponent)
}

/// Version 0 has 16 octets, angles within the globe and decimal digits in its sizes; other versions are anything.
pub(super) fn is_well_formed(rdata: &[u8]) -> bool {
    match rdata {
        [0, sizes @ .., _, _, _, _, _, _, _, _, _, _, _, _] if sizes.len() == 3 => {
            let digits = sizes.iter().all(|size| size >> 4 <= 9 && size & 15 <= 9);
            let within = |at: usize, degrees: u32| u32_at(rdata, at).abs_diff(ORIGIN) <= degrees * DEGREE;
            digits && within(4, 90) && within(8, 180)
        }
        [0, ..] | [] => false,
        _ => true,
    }
}

/// Appends a well-formed location; `None` for one that presentation format would change: another version, or a
/// size of zero with an exponent.
pub(super) fn format(rdata: &[u8], out: &mut String) -> Option<()> {
    if rdata.len() != 16 || rdata[0] != 0 || rdata[1..4].iter().any(|&size| size >> 4 == 0 && size != 0) {
        return None;
    }
    for (at, hemispheres) in [(4, ['N', 'S']), (8, ['E', 'W'])] {
        let value = u32_at(rdata, at);
        let distance = value.abs_diff(ORIGIN);
        let (degrees, rest) = (distance / DEGREE, distance % DEGREE);
        let (minutes, rest) = (rest / 60_000, rest % 60_000);
        let hemisphere = hemispheres[usize::from(value < ORIGIN)];
        let (seconds, thousandths) = (rest / 1_000, rest % 1_000);
        write!(out, "{degrees} {minutes} {seconds}.{thousandths:03} {hemisphere} ").ok()?;
    }
    let altitude = i64::from(u32_at(rdata, 12)) - SEA_LEVEL;
    let sign = if altitude < 0 { "-" } else { "" };
    write!(out, "{sign}{}.{:02}m", altitude.abs() / 100, altitude.abs() % 100).ok()?;
    for size in &rdata[1..4] {
        let centimetres = u64::from(size >> 4) * 10u64.pow((size & 15).into());
        write!(out, " {}.{:02}m", centimetres / 100, centimetres % 100).ok()?;
    }
    Some(())
}

fn u32_at(rdata: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([rdata[at], rdata[at + 1], rdata[at + 2], rdata[at + 3]])
}
