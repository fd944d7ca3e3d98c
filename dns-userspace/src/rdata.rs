//! RDATA between presentation format and wire form.
//!
//! A stand-in for the types that the control plane's tests use.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::{Name, wire_name_length};
use crate::record::{Rdata, RecordType};

/// Why a value is no RDATA of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {rtype} value")]
pub struct RdataError {
    rtype: RecordType,
    text: String,
}

/// One RR's RDATA from presentation format.
pub fn parse_value(rtype: RecordType, text: &str) -> Result<Rdata, RdataError> {
    parse(rtype, text).ok_or_else(|| RdataError {
        rtype,
        text: text.to_owned(),
    })
}

fn parse(rtype: RecordType, text: &str) -> Option<Rdata> {
    let name = |text: &str| Name::parse(text).ok().map(|name| name.as_wire().to_vec());
    Some(match rtype {
        RecordType::A => text.parse::<Ipv4Addr>().ok()?.octets().into(),
        RecordType::AAAA => text.parse::<Ipv6Addr>().ok()?.octets().into(),
        RecordType::CNAME | RecordType::NS | RecordType::DNAME => name(text)?.into(),
        RecordType::TXT => {
            let mut wire = Vec::new();
            for chunk in text.trim_matches('"').as_bytes().chunks(255) {
                wire.push(chunk.len() as u8);
                wire.extend_from_slice(chunk);
            }
            wire.into()
        }
        RecordType::MX => {
            let (preference, exchange) = text.split_once(' ')?;
            let mut wire = preference.parse::<u16>().ok()?.to_be_bytes().to_vec();
            wire.extend(name(exchange)?);
            wire.into()
        }
        RecordType::SOA => {
            let fields: Vec<&str> = text.split_ascii_whitespace().collect();
            let mut wire = name(fields.first()?)?;
            wire.extend(name(fields.get(1)?)?);
            for field in fields.get(2..7)? {
                wire.extend(field.parse::<u32>().ok()?.to_be_bytes());
            }
            wire.into()
        }
        _ => return None,
    })
}

/// The canonical presentation format.
pub fn format_value(rtype: RecordType, rdata: &[u8]) -> String {
    let name = |wire: &[u8]| {
        let length = wire_name_length(wire).expect("stored RDATA is well-formed");
        let name = Name::from_wire(&wire[..length]).expect("stored RDATA is well-formed");
        (name.to_string(), length)
    };
    match rtype {
        RecordType::A => Ipv4Addr::from(<[u8; 4]>::try_from(rdata).expect("4 octets")).to_string(),
        RecordType::AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(rdata).expect("16 octets")).to_string(),
        RecordType::MX => format!("{} {}", u16::from_be_bytes([rdata[0], rdata[1]]), name(&rdata[2..]).0),
        RecordType::TXT => format!("\"{}\"", String::from_utf8_lossy(&rdata[1..])),
        RecordType::SOA => {
            let (mname, first) = name(rdata);
            let (rname, second) = name(&rdata[first..]);
            let numbers: Vec<String> = rdata[first + second..]
                .chunks(4)
                .map(|four| u32::from_be_bytes(four.try_into().expect("4 octets")).to_string())
                .collect();
            format!("{mname} {rname} {}", numbers.join(" "))
        }
        _ => name(rdata).0,
    }
}

/// RDATA with embedded names in lower case, for comparing.
pub fn canonical(rtype: RecordType, rdata: &[u8]) -> Rdata {
    match rtype {
        RecordType::CNAME | RecordType::NS | RecordType::DNAME | RecordType::MX | RecordType::SOA => {
            rdata.to_ascii_lowercase().into()
        }
        _ => rdata.into(),
    }
}

/// Whether wire RDATA is well-formed for its type.
pub fn is_well_formed(_rtype: RecordType, rdata: &[u8]) -> bool {
    !rdata.is_empty()
}
