//! From wire to canonical presentation format: follows the layout of the type, part by part.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER};

use super::layout::{Kind, layout};
use super::{address_prefixes, bitmap, location, service, strings, time, walk};
use crate::model::name::{Name, wire_name_length};
use crate::model::record::RecordType;

/// The value, in its type's own format where it has one that gives the same octets back, else as `\# LENGTH HEX`.
pub(super) fn format(rtype: RecordType, rdata: &[u8]) -> String {
    let mut out = String::with_capacity(rdata.len() * 2);
    append(rtype, rdata, &mut out);
    out
}

/// [`format`], behind what is in `out`.
pub(super) fn append(rtype: RecordType, rdata: &[u8], out: &mut String) {
    let start = out.len();
    if own_format(rtype, rdata, out).is_none() {
        out.truncate(start);
        generic(rdata, out);
    }
}

fn generic(rdata: &[u8], out: &mut String) {
    let _ = write!(out, "\\# {}", rdata.len());
    if !rdata.is_empty() {
        out.push(' ');
        HEXLOWER.encode_append(rdata, out);
    }
}

/// Where it gives `None`, `out` has a part of the value.
fn own_format(rtype: RecordType, rdata: &[u8], out: &mut String) -> Option<()> {
    let layout = layout(rtype)?;
    let start = out.len();
    let mut at = 0;
    for field in layout.fields {
        let length = walk::length(field.kind, rdata, at)?;
        if at > 0 && !brings_own_blank(field.kind) {
            out.push(' ');
        }
        part(field.kind, rdata, &rdata[at..at + length], out)?;
        at += length;
    }
    // An empty last part leaves the blank in front of it; an empty value has no format of its own.
    let end = out[start..].trim_end_matches(' ').len();
    out.truncate(start + end);
    (at == rdata.len() && end > 0).then_some(())
}

fn brings_own_blank(kind: Kind) -> bool {
    matches!(kind, Kind::Names | Kind::TypeBitmap | Kind::ServiceParameters)
}

/// Appends one part, `octets` of `rdata`.
fn part(kind: Kind, rdata: &[u8], octets: &[u8], out: &mut String) -> Option<()> {
    let number = || {
        octets
            .iter()
            .fold(0u32, |number, &octet| number << 8 | u32::from(octet))
    };
    match kind {
        Kind::Name => name(octets, out)?,
        Kind::Names => {
            let mut rest = octets;
            while !rest.is_empty() {
                let (first, behind) = rest.split_at(wire_name_length(rest)?);
                out.push(' ');
                name(first, out)?;
                rest = behind;
            }
        }
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::Seconds | Kind::Algorithm | Kind::CertificateType => {
            write!(out, "{}", number()).ok()?;
        }
        Kind::Time => out.push_str(&time::format_time(number())),
        Kind::Type => write!(out, "{}", RecordType(number() as u16)).ok()?,
        Kind::Ipv4 => write!(out, "{}", Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)).ok()?,
        Kind::Ipv6 => write!(out, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)).ok()?,
        Kind::Locator => {
            let groups: Vec<_> = octets.chunks_exact(2).map(|group| HEXLOWER.encode(group)).collect();
            out.push_str(&groups.join(":"));
        }
        Kind::Eui(_) => {
            let pairs: Vec<_> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            out.push_str(&pairs.join("-"));
        }
        Kind::String => strings::quote(&octets[1..], out),
        Kind::Strings => {
            let mut rest = octets;
            while let Some((&length, tail)) = rest.split_first() {
                let (text, behind) = tail.split_at(usize::from(length));
                strings::quote(text, out);
                if !behind.is_empty() {
                    out.push(' ');
                }
                rest = behind;
            }
        }
        Kind::Text(_) => strings::quote(octets, out),
        Kind::Salt if octets.len() == 1 => out.push('-'),
        Kind::Salt => HEXLOWER.encode_append(&octets[1..], out),
        Kind::Base32 => out.push_str(&BASE32HEX_NOPAD.encode(&octets[1..]).to_ascii_lowercase()),
        Kind::Tag => out.push_str(std::str::from_utf8(&octets[1..]).ok()?),
        Kind::Gateway => match rdata[1] {
            0 => out.push('.'),
            1 => part(Kind::Ipv4, rdata, octets, out)?,
            2 => part(Kind::Ipv6, rdata, octets, out)?,
            _ => name(octets, out)?,
        },
        Kind::HostIdentity => {
            let (tag, key) = octets[4..].split_at(usize::from(octets[0]));
            write!(out, "{} {} {}", octets[1], HEXLOWER.encode(tag), BASE64.encode(key)).ok()?;
        }
        Kind::Hex(_) => HEXLOWER.encode_append(octets, out),
        Kind::Base64(_) => BASE64.encode_append(octets, out),
        Kind::TypeBitmap => bitmap::format(octets, out),
        Kind::ServiceParameters => service::format(octets, out),
        Kind::Location => location::format(octets, out)?,
        Kind::AddressPrefixes => address_prefixes::format(octets, out)?,
    }
    Some(())
}

fn name(wire: &[u8], out: &mut String) -> Option<()> {
    write!(out, "{}", Name::from_wire(wire).ok()?).ok()
}
