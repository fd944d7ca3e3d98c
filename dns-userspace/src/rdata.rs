//! RDATA between presentation format and wire form.

use crate::name::Name;
use crate::record::{Rdata, RecordType};

/// Why a text is no RDATA of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RdataError(pub String);

/// The RDATA that `text` stands for.
pub fn parse_value(rtype: RecordType, text: &str) -> Result<Rdata, RdataError> {
    let fail = |error: &dyn std::fmt::Display| RdataError(error.to_string());
    match rtype {
        RecordType::A => text
            .parse::<std::net::Ipv4Addr>()
            .map(|address| Box::from(address.octets()))
            .map_err(|error| fail(&error)),
        RecordType::AAAA => text
            .parse::<std::net::Ipv6Addr>()
            .map(|address| Box::from(address.octets()))
            .map_err(|error| fail(&error)),
        RecordType::CNAME => Name::parse(text)
            .map(|name| name.as_wire().into())
            .map_err(|error| fail(&error)),
        RecordType::TXT => Ok(text
            .as_bytes()
            .chunks(255)
            .flat_map(|part| std::iter::once(part.len() as u8).chain(part.iter().copied()))
            .collect()),
        _ => Ok(text.as_bytes().into()),
    }
}

/// The form in which RDATA are compared.
pub fn canonical(_rtype: RecordType, rdata: &[u8]) -> Rdata {
    rdata.into()
}
