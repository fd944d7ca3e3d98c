//! What can be wrong with a value, told so that whoever wrote it can put it right.

use super::layout::layout;
use super::token::LexError;
use crate::model::name::NameError;
use crate::model::record::{RecordType, UnknownType};

/// A value that is no RDATA of its type, and the part of it that is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: `{text}`")]
pub struct RdataError {
    /// What is wrong and what to do.
    pub fault: RdataFault,
    /// The offending part of the value.
    pub text: String,
}

/// What is wrong with a value or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the variants and their fields are")]
pub enum RdataFault {
    #[error("the {what} is missing; {}", usage(*.rtype))]
    Missing { rtype: RecordType, what: &'static str },
    #[error("this is more than the value takes; {}", usage(*.rtype))]
    Extra { rtype: RecordType },
    #[error("the {what} is no number from 0 to {max}")]
    Integer { what: &'static str, max: u32 },
    #[error("the {what} is neither a number from 0 to {max} nor a mnemonic that is known here")]
    Mnemonic { what: &'static str, max: u32 },
    #[error("the {what} is no time; write seconds from 0 to 4294967295, or units such as `1h30m`")]
    Seconds { what: &'static str },
    #[error("the {what} is no date; write `YYYYMMDDHHmmSS` in UTC (1970 to 2106) or seconds since 1970")]
    Time { what: &'static str },
    #[error("this is no IPv4 address; write four numbers, as in `192.0.2.1`")]
    Ipv4,
    #[error("this is no IPv6 address; write it as in `2001:db8::1`")]
    Ipv6,
    #[error(
        "this is no identifier; write four groups of hexadecimal digits with `:` between them, as in \
         `2001:db8:1140:1000`"
    )]
    Locator,
    #[error("this is no {octets}-octet address; write pairs of hexadecimal digits with `-` between them")]
    Eui { octets: usize },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("`@` stands for the origin of a zone file; write the name itself")]
    OriginInValue,
    #[error(transparent)]
    Type(#[from] UnknownType),
    #[error("quotes do not belong around the {what}; remove them")]
    Quoted { what: &'static str },
    #[error("quotes begin inside a word; put them around the whole of it, or write `\\\"`")]
    PartlyQuoted,
    #[error("a backslash must be followed by a character or by three digits from 000 to 255")]
    Escape,
    #[error("a character-string has {bytes} octets; the limit is 255: split it into several, each in quotes")]
    StringTooLong { bytes: usize },
    #[error("the strings of a TXT value that begins with a quote must all be in quotes")]
    TextUnquoted,
    #[error("the {what} is not hexadecimal; write pairs of the digits 0 to 9 and a to f")]
    Hex { what: &'static str },
    #[error("the {what} is not base64 (RFC 4648 §4, padded with `=`)")]
    Base64 { what: &'static str },
    #[error("the {what} is not base32hex (RFC 4648 §7, without padding)")]
    Base32 { what: &'static str },
    #[error("the {what} has {bytes} octets; it takes from {min} to {max}")]
    Length {
        what: &'static str,
        bytes: usize,
        min: usize,
        max: usize,
    },
    #[error("a tag is made of letters and digits, 1 to 255 of them")]
    Tag,
    #[error("the gateway type is none of 0 (none), 1 (IPv4), 2 (IPv6) and 3 (name)")]
    GatewayType,
    #[error("gateway type 0 has no gateway; write `.`")]
    GatewayNone,
    #[error("this is no address prefix; write `[!]1:ADDRESS/LENGTH` for IPv4 or `[!]2:ADDRESS/LENGTH` for IPv6")]
    AddressPrefix,
    #[error(
        "the {what} is out of range or badly written; write a location as in `52 22 23.000 N 4 53 32.000 E -2.00m`"
    )]
    Location { what: &'static str },
    #[error("unknown service parameter; write a registered key such as `alpn`, or `key` with its number up to 65534")]
    ParameterKey,
    #[error("the service parameter `{key}` is given twice")]
    ParameterTwice { key: String },
    #[error("bad value of the service parameter `{key}`: it takes {takes}")]
    ParameterValue { key: String, takes: &'static str },
    #[error("the service parameter `{key}` is listed as mandatory and is not there")]
    ParameterMissing { key: String },
    #[error("`no-default-alpn` needs `alpn` beside it (RFC 9460 §7.1.1)")]
    NoDefaultAlpn,
    #[error("{rtype} values are written as `\\# LENGTH HEX` here (RFC 3597 §5)")]
    GenericOnly { rtype: RecordType },
    #[error("after `\\#` comes the number of octets, 0 to 65535 (RFC 3597 §5)")]
    GenericLength,
    #[error("`\\#` announces {announced} octets, then come {found}")]
    GenericMismatch { announced: usize, found: usize },
    #[error("these octets are no well-formed RDATA of the type {rtype}")]
    Malformed { rtype: RecordType },
    #[error("a value has {bytes} octets; the limit is 65535")]
    TooLong { bytes: usize },
    #[error("{rtype} is no type that data can have")]
    NoData { rtype: RecordType },
    #[error("a value is one record's data on one line; write the records as values of their own")]
    SeveralLines,
    #[error("a value takes no comment; write `;` inside quotes, or as `\\;`")]
    Comment,
    #[error(transparent)]
    Words(#[from] LexError),
}

/// How a value of `rtype` is written: its parts and an example.
fn usage(rtype: RecordType) -> String {
    let Some(layout) = layout(rtype) else {
        return format!("write `\\# LENGTH HEX` for {rtype} (RFC 3597 §5)");
    };
    let parts: Vec<_> = layout.fields.iter().map(|field| field.what).collect();
    format!("{rtype} takes {}, as in `{}`", parts.join(", "), layout.example)
}

/// A fault and the number of the token that has it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) token: usize,
    pub(crate) fault: RdataFault,
}

impl Fault {
    pub(crate) fn new(token: usize, fault: impl Into<RdataFault>) -> Self {
        Self {
            token,
            fault: fault.into(),
        }
    }
}
