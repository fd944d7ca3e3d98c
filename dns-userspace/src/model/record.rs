//! Records as every part of the server passes them on: type, RDATA, RRset, and where an RRset came from.

use std::fmt;
use std::str::FromStr;

mod handling;

pub use handling::{Handling, Keeping, Order, Wildcard};

use crate::model::name::Name;
use crate::model::octets::Octets;
use crate::model::shown::{MOST_OF_TEXT, shorten};
use crate::model::source::Origin;
use crate::model::work;

/// RDATA in uncompressed wire form.
pub type Rdata = Box<[u8]>;

/// A resource record type or QTYPE, in host order (IANA "DNS Resource Record (RR) TYPEs").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

macro_rules! record_types {
    ($($name:ident = $number:literal $text:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "the mnemonics are the IANA registry's")]
        impl RecordType {
            $(pub const $name: RecordType = RecordType($number);)*
        }
        const MNEMONICS: &[(u16, &str)] = &[$(($number, $text)),*];
    };
}

record_types! {
    A = 1 "A", NS = 2 "NS", CNAME = 5 "CNAME", SOA = 6 "SOA", PTR = 12 "PTR", HINFO = 13 "HINFO",
    MINFO = 14 "MINFO", MX = 15 "MX", TXT = 16 "TXT", RP = 17 "RP", AFSDB = 18 "AFSDB", RT = 21 "RT", SIG = 24 "SIG",
    KEY = 25 "KEY", AAAA = 28 "AAAA", LOC = 29 "LOC", SRV = 33 "SRV", NAPTR = 35 "NAPTR", KX = 36 "KX",
    CERT = 37 "CERT", DNAME = 39 "DNAME", OPT = 41 "OPT", APL = 42 "APL", DS = 43 "DS", SSHFP = 44 "SSHFP",
    IPSECKEY = 45 "IPSECKEY", RRSIG = 46 "RRSIG", NSEC = 47 "NSEC", DNSKEY = 48 "DNSKEY", DHCID = 49 "DHCID",
    NSEC3 = 50 "NSEC3", NSEC3PARAM = 51 "NSEC3PARAM", TLSA = 52 "TLSA", SMIMEA = 53 "SMIMEA", HIP = 55 "HIP",
    CDS = 59 "CDS", CDNSKEY = 60 "CDNSKEY", OPENPGPKEY = 61 "OPENPGPKEY", CSYNC = 62 "CSYNC",
    ZONEMD = 63 "ZONEMD", SVCB = 64 "SVCB", HTTPS = 65 "HTTPS", SPF = 99 "SPF", NID = 104 "NID",
    L32 = 105 "L32", L64 = 106 "L64", LP = 107 "LP", EUI48 = 108 "EUI48",
    EUI64 = 109 "EUI64", TKEY = 249 "TKEY", TSIG = 250 "TSIG", IXFR = 251 "IXFR", AXFR = 252 "AXFR",
    ANY = 255 "ANY", URI = 256 "URI", CAA = 257 "CAA",
    // Not registered: the number that PowerDNS uses, one for private use (RFC 6895 §3.1).
    ALIAS = 65401 "ALIAS",
}

impl RecordType {
    /// Whether RRs of this type can be data in a zone: not a QTYPE, not a meta-TYPE (RFC 6895 §3.1), not 0.
    pub fn is_data(self) -> bool {
        !matches!(self.0, 0 | 41 | 128..=255)
    }

    /// Whether an RRset of this type holds one RR at most (RFC 1034 §3.6.2, RFC 1035 §6.1, RFC 6672 §2.4; an ALIAS
    /// stands for one target).
    pub fn is_singleton(self) -> bool {
        matches!(self, Self::CNAME | Self::DNAME | Self::SOA | Self::ALIAS)
    }

    /// Whether this is A or AAAA, the types that an ALIAS stands for.
    pub fn is_address(self) -> bool {
        matches!(self, Self::A | Self::AAAA)
    }

    /// Why RRsets of these two types cannot be at one owner; `None` where they can, or are of one type.
    pub fn clash(self, other: Self) -> Option<Clash> {
        let beside_cname = |rtype: Self| matches!(rtype, Self::RRSIG | Self::NSEC | Self::KEY);
        match (self, other) {
            _ if self == other => None,
            (Self::CNAME, data) | (data, Self::CNAME) => (!beside_cname(data)).then_some(Clash::Cname),
            (Self::ALIAS, data) | (data, Self::ALIAS) => data.is_address().then_some(Clash::Alias),
            _ => None,
        }
    }

    /// The first type at an owner that this one cannot be beside. `types` are those at the owner, ascending, and `has`
    /// says whether one of them is there: few are asked for, however many there are.
    pub fn first_clash(
        self,
        has: impl Fn(Self) -> bool,
        types: impl IntoIterator<Item = Self>,
    ) -> Option<(Self, Clash)> {
        let clash = |other: Self| Some((other, self.clash(other)?));
        match self {
            Self::CNAME => types.into_iter().inspect(|_| work::step()).find_map(clash),
            _ => [Self::A, Self::CNAME, Self::AAAA, Self::ALIAS]
                .into_iter()
                .filter_map(clash)
                .find(|(other, _)| has(*other)),
        }
    }

    /// The registered mnemonic, where it is one this server knows.
    pub fn mnemonic(self) -> Option<&'static str> {
        MNEMONICS
            .iter()
            .find(|(number, _)| *number == self.0)
            .map(|(_, text)| *text)
    }
}

impl fmt::Display for RecordType {
    /// The mnemonic, or `TYPE123` (RFC 3597 §5).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(text) => f.write_str(text),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// Why two RRsets cannot be at one owner; shown as the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// CNAME beside other data.
    #[error("a CNAME stands alone but for RRSIG, NSEC and KEY (RFC 1034 §3.6.2, RFC 4035 §2.5)")]
    Cname,
    /// ALIAS beside A or AAAA.
    #[error("an ALIAS stands for the A and AAAA records of its target, and not beside others")]
    Alias,
}

/// The text is neither a known mnemonic nor `TYPE` with a number up to 65535.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown record type `{0}`; write a mnemonic such as AAAA, or TYPE with its number (RFC 3597)")]
pub struct UnknownType(pub String);

impl FromStr for RecordType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        if let Some((number, _)) = MNEMONICS.iter().find(|(_, known)| known.eq_ignore_ascii_case(text)) {
            return Ok(Self(*number));
        }
        let (head, digits) = text.split_at_checked(4).unwrap_or(("", ""));
        if head.eq_ignore_ascii_case("TYPE")
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && let Ok(number) = digits.parse()
        {
            return Ok(Self(number));
        }
        Err(UnknownType(shorten(text.as_bytes(), MOST_OF_TEXT)))
    }
}

/// The most octets of a message (RFC 1035 §4.2.2).
pub const MOST_OF_MESSAGE: usize = 65_535;

/// Octets of an answer with these RDATA: header, question, the RRs with their owner as a pointer (RFC 1035 §4.1.4), no
/// name in them compressed, and an OPT.
pub fn octets_of_answer<'a>(owner: &Name, rdatas: impl IntoIterator<Item = &'a [u8]>) -> usize {
    let fixed = 12 + owner.as_wire().len() + 4 + 11;
    fixed + rdatas.into_iter().map(|rdata| rdata.len() + 12).sum::<usize>()
}

/// All RRs of one type at one owner; the owner is the node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RrSet {
    /// The type of every RR.
    pub rtype: RecordType,
    /// Seconds, at most 2^31-1 (RFC 2181 §8).
    pub ttl: u32,
    /// No two equal; never empty.
    pub rdatas: Rdatas,
    /// Who brought it.
    pub origin: Origin,
    /// How it is answered.
    pub handling: Handling,
}

/// The RDATA of an RRset, in the order in which they were given, in one piece of memory.
///
/// Each is its length in two octets, most significant first, and its octets in uncompressed wire form.
#[derive(Clone, PartialEq, Eq)]
pub struct Rdatas(Octets<22>);

impl Rdatas {
    /// None at all.
    pub const EMPTY: Self = Self(Octets::EMPTY);

    /// One after the other.
    pub fn iter(&self) -> RdataIter<'_> {
        RdataIter(&self.0)
    }

    /// The octets in which they are kept.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// From such octets; `None` where a length leads beyond their end.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let mut rdatas = RdataIter(octets);
        while rdatas.next().is_some() {}
        rdatas.0.is_empty().then(|| Self(octets.into()))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first.
    pub fn first(&self) -> Option<&[u8]> {
        self.iter().next()
    }
}

impl<R: AsRef<[u8]>> FromIterator<R> for Rdatas {
    fn from_iter<I: IntoIterator<Item = R>>(rdatas: I) -> Self {
        let mut octets = Vec::new();
        for rdata in rdatas {
            push_rdata(&mut octets, rdata.as_ref());
        }
        Self(octets.into())
    }
}

impl<R: AsRef<[u8]>> From<Vec<R>> for Rdatas {
    fn from(rdatas: Vec<R>) -> Self {
        rdatas.into_iter().collect()
    }
}

impl<R: AsRef<[u8]>, const N: usize> From<[R; N]> for Rdatas {
    fn from(rdatas: [R; N]) -> Self {
        rdatas.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Rdatas {
    type Item = &'a [u8];
    type IntoIter = RdataIter<'a>;

    fn into_iter(self) -> RdataIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Rdatas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

fn push_rdata(octets: &mut Vec<u8>, rdata: &[u8]) {
    // RDLENGTH has 16 bits (RFC 1035 §3.2.1).
    let length = u16::try_from(rdata.len()).expect("RDATA of at most 65,535 octets");
    octets.extend_from_slice(&length.to_be_bytes());
    octets.extend_from_slice(rdata);
}

/// RDATA that are gathered, in the memory in which an RRset keeps them.
#[derive(Debug, Clone, Default)]
pub struct RdataList {
    octets: Vec<u8>,
    count: usize,
}

impl RdataList {
    /// Adds one at the end.
    pub fn push(&mut self, rdata: &[u8]) {
        push_rdata(&mut self.octets, rdata);
        self.count += 1;
    }

    /// One after the other.
    pub fn iter(&self) -> RdataIter<'_> {
        RdataIter(&self.octets)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl From<&Rdatas> for RdataList {
    fn from(rdatas: &Rdatas) -> Self {
        Self {
            octets: rdatas.as_octets().to_vec(),
            count: rdatas.len(),
        }
    }
}

impl From<RdataList> for Rdatas {
    fn from(list: RdataList) -> Self {
        Self(list.octets.into())
    }
}

/// See [`Rdatas::iter`].
#[derive(Clone)]
pub struct RdataIter<'a>(&'a [u8]);

impl<'a> Iterator for RdataIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (rdata, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(rdata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_at_one_owner() {
        use RecordType as T;
        for (one, other, clash) in [
            (T::CNAME, T::A, Some(Clash::Cname)),
            (T::CNAME, T::ALIAS, Some(Clash::Cname)),
            (T::CNAME, T::NSEC, None),
            (T::ALIAS, T::A, Some(Clash::Alias)),
            (T::ALIAS, T::AAAA, Some(Clash::Alias)),
            (T::ALIAS, T::SOA, None),
            (T::ALIAS, T::ALIAS, None),
            (T::A, T::NS, None),
        ] {
            assert_eq!((one.clash(other), other.clash(one)), (clash, clash), "{one} {other}");
        }
    }

    #[test]
    fn types_parse_and_print() {
        for text in ["A", "AAAA", "CAA", "TYPE65280", "HTTPS", "ALIAS"] {
            assert_eq!(text.parse::<RecordType>().expect("known").to_string(), text);
        }
        assert_eq!("type1".parse(), Ok(RecordType::A));
        for text in ["", "B", "TYPE", "TYPE65536", "TYPE+1", "TYP€"] {
            assert!(text.parse::<RecordType>().is_err(), "{text}");
        }
    }
}
