//! Our OPT record: what it says, and how it is written.
//!
//! RFCs: 5001 (NSID), 6891 §6.1, 8914 (extended DNS errors).

use crate::record::RecordType;

/// Our OPT record (RFC 6891 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP message that we take.
    pub udp_payload: u16,
    /// DO, copied (RFC 3225).
    pub dnssec_ok: bool,
    /// The upper eight bits of the RCODE.
    pub extended_rcode: u8,
    /// Who we are, for those who ask (RFC 5001).
    pub nsid: Option<&'a str>,
    /// An extended DNS error (RFC 8914).
    pub error: Option<ExtendedError<'a>>,
}

/// An extended DNS error (RFC 8914 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedError<'a> {
    /// INFO-CODE.
    pub code: InfoCode,
    /// EXTRA-TEXT; cut at 200 octets, and where the message has less room.
    pub text: &'a str,
}

/// The INFO-CODEs of extended DNS errors that this server gives (RFC 8914 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum InfoCode {
    /// None of the others; the text says what.
    Other = 0,
    /// The name is in no zone of ours, and not forwarded for this client.
    NotAuthoritative = 20,
    /// An operation that this server does not have.
    NotSupported = 21,
    /// No upstream server sent a reply.
    NoReachableAuthority = 22,
    /// An upstream server sent an error.
    NetworkError = 23,
    /// What the zone was to be loaded from has an error.
    InvalidData = 24,
}

impl InfoCode {
    /// The code, without a text.
    pub(super) const fn alone(self) -> ExtendedError<'static> {
        ExtendedError { code: self, text: "" }
    }
}

/// Codes of EDNS options (IANA "DNS EDNS0 Option Codes").
mod option {
    pub(super) const NSID: u16 = 3;
    pub(super) const EXTENDED_ERROR: u16 = 15;
}

/// Octets of EXTRA-TEXT that are written at most.
const MAX_EXTRA_TEXT_BYTES: usize = 200;
/// Octets of an OPT record without options.
const OPT_BYTES: usize = 11;
/// Octets of an option's code and length.
const OPTION_HEAD_BYTES: usize = 4;
/// Octets of an extended error without its text.
const ERROR_BYTES: usize = OPTION_HEAD_BYTES + 2;

impl<'a> Edns<'a> {
    /// Octets of the record.
    pub fn length(&self) -> usize {
        OPT_BYTES
            + self.nsid.map_or(0, |nsid| OPTION_HEAD_BYTES + nsid.len())
            + self
                .error
                .map_or(0, |error| ERROR_BYTES + cut(error.text, MAX_EXTRA_TEXT_BYTES).len())
    }

    /// The same with as much of the error's text as leaves the record within `room` octets.
    pub fn within(self, room: usize) -> Self {
        let Some(error) = self.error else { return self };
        let with = |text| Self {
            error: Some(ExtendedError { text, ..error }),
            ..self
        };
        with(cut(error.text, room.saturating_sub(with("").length())))
    }

    /// Writes the record (RFC 6891 §6.1.2 and §6.1.3).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
        out.extend_from_slice(&self.udp_payload.to_be_bytes());
        out.extend_from_slice(&[self.extended_rcode, 0, u8::from(self.dnssec_ok) << 7, 0]);
        out.extend_from_slice(&((self.length() - OPT_BYTES) as u16).to_be_bytes());
        if let Some(nsid) = self.nsid {
            write_option(option::NSID, &[nsid.as_bytes()], out);
        }
        if let Some(ExtendedError { code, text }) = self.error {
            // RFC 8914 §2: the text has no terminating zero.
            let text = cut(text, MAX_EXTRA_TEXT_BYTES);
            let code = (code as u16).to_be_bytes();
            write_option(option::EXTENDED_ERROR, &[&code, text.as_bytes()], out);
        }
    }
}

fn write_option(code: u16, parts: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The text's first octets, at most so many.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// What the options of a query's OPT ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The client wants to know who answers; what is in its option means nothing (RFC 5001 §2.1).
    pub nsid: bool,
}

impl Options {
    /// Reads an OPT's RDATA, a sequence of code, length, and that many octets (RFC 6891 §6.1.2); `None` where it is
    /// none. What is not known is read over.
    pub fn read(mut rdata: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        while !rdata.is_empty() {
            let (&[high, low, long, short], rest) = rdata.split_first_chunk()?;
            rdata = rest.get(usize::from(u16::from_be_bytes([long, short]))..)?;
            if u16::from_be_bytes([high, low]) == option::NSID {
                options.nsid = true;
            }
        }
        Some(options)
    }
}
