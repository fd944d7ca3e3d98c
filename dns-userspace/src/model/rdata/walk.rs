//! Wire RDATA taken apart by the layout of its type: well-formedness, parts, embedded names.

use super::layout::{Field, Kind, Layout, Names, layout};
use super::{address_prefixes, bitmap, location, service};
use crate::model::name::wire_name_length;
use crate::model::record::RecordType;

/// Octets that the part of `kind` takes at `at`; `None` where there is no well-formed one.
pub(super) fn length(kind: Kind, rdata: &[u8], at: usize) -> Option<usize> {
    let rest = rdata.get(at..)?;
    let fixed = |octets: usize| (rest.len() >= octets).then_some(octets);
    let whole = |well_formed: bool| well_formed.then_some(rest.len());
    let counted = |min: usize| {
        let length = usize::from(*rest.first()?);
        (length >= min && length < rest.len()).then_some(length + 1)
    };
    match kind {
        Kind::Name => wire_name_length(rest),
        Kind::U8 | Kind::Algorithm => fixed(1),
        Kind::U16 | Kind::Type | Kind::CertificateType => fixed(2),
        Kind::U32 | Kind::Seconds | Kind::Time | Kind::Ipv4 => fixed(4),
        Kind::Ipv6 => fixed(16),
        Kind::Locator => fixed(8),
        Kind::Eui(octets) => fixed(octets),
        Kind::String | Kind::Salt => counted(0),
        Kind::Base32 => counted(1),
        Kind::Tag => counted(1).filter(|&length| rest[1..length].iter().all(u8::is_ascii_alphanumeric)),
        // RFC 4025 §2.3
        Kind::Gateway => match *rdata.get(1)? {
            0 => Some(0),
            1 => fixed(4),
            2 => fixed(16),
            3 => wire_name_length(rest),
            _ => None,
        },
        // RFC 8005 §5
        Kind::HostIdentity => {
            let [tag, _, key_high, key_low, ..] = *rest else {
                return None;
            };
            let key = usize::from(u16::from_be_bytes([key_high, key_low]));
            if tag == 0 || key == 0 {
                None
            } else {
                fixed(4 + usize::from(tag) + key)
            }
        }
        Kind::Strings => {
            let mut strings = rest;
            loop {
                let (&length, tail) = strings.split_first()?;
                strings = tail.get(usize::from(length)..)?;
                if strings.is_empty() {
                    return Some(rest.len());
                }
            }
        }
        Kind::Text(min) | Kind::Hex(min) | Kind::Base64(min) => whole(rest.len() >= min),
        Kind::TypeBitmap => whole(bitmap::is_well_formed(rest)),
        Kind::ServiceParameters => whole(service::is_well_formed(rest)),
        Kind::Location => whole(location::is_well_formed(rest)),
        Kind::AddressPrefixes => whole(address_prefixes::is_well_formed(rest)),
        Kind::Names => {
            let mut names = rest;
            while !names.is_empty() {
                names = &names[wire_name_length(names)?..];
            }
            Some(rest.len())
        }
    }
}

/// See [`super::is_well_formed`].
pub(super) fn is_well_formed(rtype: RecordType, rdata: &[u8]) -> bool {
    if rdata.len() > usize::from(u16::MAX) {
        return false;
    }
    let Some(layout) = layout(rtype) else {
        return true;
    };
    let end = layout
        .fields
        .iter()
        .try_fold(0, |at, field| Some(at + length(field.kind, rdata, at)?));
    end == Some(rdata.len())
}

/// A domain name inside an RDATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedName {
    /// Where it begins, in octets from the start of the RDATA.
    pub offset: usize,
    /// Its octets, root label included.
    pub length: usize,
    /// Whether it may be compressed (RFC 3597 §4: in the types of RFC 1035 alone).
    pub compressible: bool,
}

/// The names inside an RDATA in order of position; ends early where it is malformed.
pub(super) struct EmbeddedNames<'a> {
    rdata: &'a [u8],
    fields: &'static [Field],
    compressible: bool,
    at: usize,
}

impl<'a> EmbeddedNames<'a> {
    pub(super) fn new(layout: Option<&'static Layout>, rdata: &'a [u8]) -> Self {
        Self {
            rdata,
            fields: layout.map_or(&[], |layout| layout.fields),
            compressible: layout.is_some_and(|layout| layout.names == Names::Compressible),
            at: 0,
        }
    }
}

impl Iterator for EmbeddedNames<'_> {
    type Item = EmbeddedName;

    fn next(&mut self) -> Option<EmbeddedName> {
        while let Some((field, rest)) = self.fields.split_first() {
            let offset = self.at;
            if field.kind == Kind::Names && offset < self.rdata.len() {
                let length = wire_name_length(&self.rdata[offset..])?;
                self.at += length;
                return Some(EmbeddedName {
                    offset,
                    length,
                    compressible: self.compressible,
                });
            }
            self.fields = rest;
            // The last part, where it is no name, need not be looked at.
            if rest.is_empty() && !matches!(field.kind, Kind::Name | Kind::Gateway) {
                return None;
            }
            let length = length(field.kind, self.rdata, offset)?;
            self.at += length;
            let is_name = field.kind == Kind::Name || (field.kind == Kind::Gateway && self.rdata[1] == 3);
            if is_name {
                return Some(EmbeddedName {
                    offset,
                    length,
                    compressible: self.compressible,
                });
            }
        }
        None
    }
}
