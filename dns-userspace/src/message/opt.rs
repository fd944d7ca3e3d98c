//! Our OPT record: what it says, and how it is written.
//!
//! RFCs: 5001 (NSID), 6891 §6.1, 7873 and 9018 (cookies), 8914 (extended DNS errors).

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::model::record::RecordType;

/// Our OPT record (RFC 6891 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP message that we take.
    pub udp_payload: u16,
    /// DO, copied (RFC 3225).
    pub dnssec_ok: bool,
    /// The upper eight bits of the RCODE.
    pub extended_rcode: u8,
    /// The client's cookie and ours (RFC 7873 §4), for those who have one.
    pub cookie: Option<[u8; COOKIE_BYTES]>,
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
    /// What is over is given, since there is no other answer (RFC 8767).
    StaleAnswer = 3,
    /// The server starts, and does not know its records yet.
    NotReady = 14,
    /// A rule of the operator's blocks the name.
    Blocked = 15,
    /// The client may not ask.
    Prohibited = 18,
    /// As [`InfoCode::StaleAnswer`], of NXDOMAIN.
    StaleNxdomain = 19,
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
    pub(crate) const fn alone(self) -> ExtendedError<'static> {
        ExtendedError { code: self, text: "" }
    }
}

/// Codes of EDNS options (IANA "DNS EDNS0 Option Codes").
mod option {
    pub(super) const NSID: u16 = 3;
    pub(super) const COOKIE: u16 = 10;
    pub(super) const EXTENDED_ERROR: u16 = 15;
    /// Of those for local use (65001 to 65534, RFC 6891 §9): [`super::Mark`].
    pub(super) const MARK: u16 = 65353;
}

/// Octets of a client cookie.
const CLIENT_COOKIE_BYTES: usize = 8;
/// Octets of a client cookie and one of our server cookies.
pub const COOKIE_BYTES: usize = CLIENT_COOKIE_BYTES + 16;
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
            + self.cookie.map_or(0, |cookie| OPTION_HEAD_BYTES + cookie.len())
            + self.nsid.map_or(0, |nsid| OPTION_HEAD_BYTES + nsid.len())
            + self
                .error
                .map_or(0, |error| ERROR_BYTES + cut(error.text, MAX_EXTRA_TEXT_BYTES).len())
    }

    /// The same with as much of the error's text as leaves the record within `room` octets.
    pub fn within(mut self, room: usize) -> Self {
        let text = self.error.as_mut().map_or("", |error| std::mem::take(&mut error.text));
        let left = room.saturating_sub(self.length());
        if let Some(error) = &mut self.error {
            error.text = cut(text, left);
        }
        self
    }

    /// Writes the record (RFC 6891 §6.1.2 and §6.1.3).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
        out.extend_from_slice(&self.udp_payload.to_be_bytes());
        out.extend_from_slice(&[self.extended_rcode, 0, u8::from(self.dnssec_ok) << 7, 0]);
        out.extend_from_slice(&((self.length() - OPT_BYTES) as u16).to_be_bytes());
        if let Some(cookie) = self.cookie {
            write_option(option::COOKIE, &[&cookie], out);
        }
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

/// Appends an option with these octets as a cookie.
pub(crate) fn write_cookie(parts: &[&[u8]], out: &mut Vec<u8>) {
    write_option(option::COOKIE, parts, out);
}

/// The octets of the first cookie in an OPT's RDATA, whatever their number.
pub(crate) fn cookie_of(mut rdata: &[u8]) -> Option<&[u8]> {
    while let Some((code, data)) = next_option(&mut rdata) {
        if code == option::COOKIE {
            return Some(data);
        }
    }
    None
}

/// The next of an OPT's options, a sequence of code, length, and that many octets (RFC 6891 §6.1.2); `None` where there
/// is none, or what there is is none.
fn next_option<'a>(rdata: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (&[high, low, long, short], rest) = rdata.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([long, short])))?;
    *rdata = rest;
    Some((u16::from_be_bytes([high, low]), data))
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

/// What a hotdns that forwards a query puts into it, so that a query that comes back is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Drawn by the first forwarder, and handed on by all others.
    pub trace: [u8; 8],
    /// Forwarders that have sent it on.
    pub hops: u8,
}

/// Octets of a mark as an option, with its code and length.
pub const MARK_BYTES: usize = OPTION_HEAD_BYTES + 9;

impl Mark {
    /// The option.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_option(option::MARK, &[&self.trace, &[self.hops]], out);
    }

    fn read(data: &[u8]) -> Option<Self> {
        let (trace, [hops]) = data.split_first_chunk()? else {
            return None;
        };
        Some(Self {
            trace: *trace,
            hops: *hops,
        })
    }
}

/// What the options of a query's OPT ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The client wants to know who answers; what is in its option means nothing (RFC 5001 §2.1).
    pub nsid: bool,
    /// The client's cookie. All cookies but the first are ignored (RFC 7873 §5.2).
    pub client_cookie: Option<[u8; CLIENT_COOKIE_BYTES]>,
    /// Where another hotdns has forwarded the query. One that is malformed is none.
    pub mark: Option<Mark>,
}

impl Options {
    /// Reads an OPT's RDATA; `None` where it is malformed, or a cookie is of a length that none has (RFC 7873 §5.2.2).
    /// What is not known is read over.
    pub fn read(mut rdata: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        while !rdata.is_empty() {
            let (code, data) = next_option(&mut rdata)?;
            match code {
                option::NSID => options.nsid = true,
                option::COOKIE if options.client_cookie.is_none() => {
                    let has_right_length = matches!(data.len(), 8 | 16..=40);
                    options.client_cookie = data.first_chunk().filter(|_| has_right_length).copied();
                    options.client_cookie?;
                }
                option::MARK => options.mark = Mark::read(data),
                _ => {}
            }
        }
        Some(options)
    }
}

/// What the server's part of a cookie is made of, besides the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieSource {
    /// The server's secret.
    pub secret: [u8; 16],
    /// Seconds since 1970, which may wrap.
    pub seconds: u32,
    /// The client's address, never one that is mapped into IPv6.
    pub client: IpAddr,
}

impl CookieSource {
    /// The client's cookie and the server's, made anew (RFC 9018 §4): version 1, reserved octets, the time, and
    /// SipHash-2-4 over all of this and the address.
    pub fn cookie(&self, client_cookie: [u8; CLIENT_COOKIE_BYTES]) -> [u8; COOKIE_BYTES] {
        let mut cookie = [0; COOKIE_BYTES];
        cookie[..8].copy_from_slice(&client_cookie);
        cookie[8] = 1;
        cookie[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&cookie[..16]);
        match self.client {
            IpAddr::V4(client) => hasher.write(&client.octets()),
            IpAddr::V6(client) => hasher.write(&client.octets()),
        }
        cookie[16..].copy_from_slice(&hasher.finish().to_le_bytes());
        cookie
    }
}
