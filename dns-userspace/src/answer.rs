//! The reference answerer: RFC 1034 §4.3.2 over an immutable snapshot, with no hash, no table and no ready answer.
//!
//! ```text
//!  query bytes ─ query::parse ─► Query ─ resolve ─► Resolution ─ encode ─► reply bytes
//!                   │                      ▲  │
//!                   └ FORMERR, NOTIMP …    snapshot   └► Forward, CompleteUpstream (effects of the caller)
//! ```
//!
//! It answers all that the fast path passes, and it is what XDP and the fast path are tested against. The compiler of
//! ready answers calls [`resolve`] and [`encode`] too, so the bytes are the same wherever an answer is made.
//!
//! RFCs: 1034, 1035, 2181, 2308, 3597, 4592, 4892, 5001, 6604, 6672, 6891, 6895, 7873, 8020, 8482, 8906, 8914, 9018,
//! 9471, 9619.
//! `docs/answers.md` says what was decided where they leave a choice.

mod additional;
mod chaos;
mod encode;
mod resolve;
mod respond;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dns_common::order::{Draw, Prefixes};

use crate::message::Limit;
use crate::model::name::{Name, NameKey};
use crate::model::prefixes::address_words;
use crate::model::record::{RecordType, RrSet};

pub use crate::message::CookieSource;
pub use encode::{Encoded, Framing, Marks, SerialMark, encode};
pub use resolve::resolve;
pub(crate) use resolve::resolve_at;
pub use respond::{Resumed, is_dropped_by_zone, is_ours, respond, resume, zone_asked};

/// What an answer depends on besides the query and the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment<'a> {
    /// `edns.udp_payload`: the class of our OPT, and the most that a UDP answer may have; octets.
    pub udp_payload: u16,
    /// Whether this client may use the upstream: RA, and what happens to names that are not ours.
    pub recursion_available: bool,
    /// The largest reply that may be sent.
    pub limit: Limit,
    /// Whether the client has shown that it receives what is sent to its address.
    pub is_proven: bool,
    /// `backend.max_cname_depth`: the most aliases of one chain.
    pub max_cname_depth: u8,
    /// `backend.resolve_cname_chain`: whether an answer goes on behind its first alias.
    pub resolve_cname_chain: bool,
    /// `backend.return_soa_on_nxdomain`.
    pub return_soa_on_nxdomain: bool,
    /// `backend.hash_ipv4_prefix` and `backend.hash_ipv6_prefix`: the prefixes of clients that get one order by hash.
    pub hash_prefixes: Prefixes,
    /// What cookies are made of.
    pub cookies: CookieSource,
    /// What the server says of itself; `None` is nothing.
    pub identity: Option<&'a Identity>,
    /// Whether the query is answered at all.
    pub admission: Admission,
    /// What the order of RRs is drawn from, but where it follows from the client.
    pub random: u64,
}

/// How far a query is answered: what access lists and rate limits have decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Admission {
    /// As it asks.
    Admitted,
    /// Over a rate limit: empty with TC=1, so that a real client asks again over TCP.
    Truncated,
    /// The client may not ask: REFUSED.
    Refused,
}

/// What the server says of itself to those who ask; `None` is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `edns.nsid` (RFC 5001).
    pub nsid: Option<Box<str>>,
    /// `chaos.version`, at most 255 octets: `version.bind` and `version.server` in class CHAOS.
    pub version: Option<Box<str>>,
    /// `chaos.hostname`, likewise: `hostname.bind`.
    pub hostname: Option<Box<str>>,
    /// `chaos.id`, likewise: `id.server` (RFC 4892).
    pub id: Option<Box<str>>,
}

/// The SOA serials in force; they move without a new snapshot.
pub trait Serials {
    /// The serial to serve for the zone with this index; `None`: the one in its SOA record.
    fn serial(&self, zone_index: u32) -> Option<u32>;
}

/// Every zone with the serial of its SOA record.
impl Serials for () {
    fn serial(&self, _zone_index: u32) -> Option<u32> {
        None
    }
}

/// What became of a query.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is in `out`.
    Reply,
    /// Nothing is to be sent: a response, or too short to have a header.
    Silence,
    /// Nothing is to be sent, and a connection is to be closed: the zone's access list says so.
    Denied,
    /// A name that is not ours, RD=1, and the client may use the upstream: forward the query.
    Forward,
    /// Our chain leads to a name that is not ours: `target` is to be resolved upstream.
    CompleteUpstream(PartialChain),
}

/// A chain of aliases whose end is to be asked upstream.
#[derive(Debug)]
pub struct PartialChain {
    /// The name to ask upstream, with the query's type.
    pub target: Name,
    /// The query's type.
    pub qtype: RecordType,
    /// The sections so far: the aliases.
    pub resolution: Resolution,
}

#[cfg(test)]
impl PartialChain {
    /// A chain of these RRsets; no owner means the question's.
    pub(crate) fn of(target: Name, qtype: RecordType, aliases: Vec<(Option<Name>, Arc<RrSet>)>) -> Self {
        let section = |(owner, rrset): (Option<Name>, _)| Section {
            owner: owner.map_or(Owner::Question, Owner::Name),
            rrset,
            ttl_override: None,
            soa_zone: None,
        };
        let resolution = Resolution {
            answer: aliases.into_iter().map(section).collect(),
            ..Resolution::empty(rcode::NOERROR)
        };
        Self {
            target,
            qtype,
            resolution,
        }
    }
}

/// The parts of the configuration that decide what is in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolveOptions {
    /// The most aliases of one chain; at least one is given.
    pub max_cname_depth: u8,
    /// Whether an answer goes on behind its first alias.
    pub resolve_cname_chain: bool,
    /// Whether NXDOMAIN carries the SOA.
    pub return_soa_on_nxdomain: bool,
    /// Whether the client's address is proven: then ANY gets all RRsets, else RFC 8482's HINFO.
    pub is_proven: bool,
}

impl Environment<'_> {
    /// A UDP client's where the configuration says nothing, and there is neither a secret nor an upstream.
    pub const DEFAULT: Self = Self {
        udp_payload: 1232,
        recursion_available: false,
        limit: Limit::Datagram,
        is_proven: false,
        max_cname_depth: 10,
        resolve_cname_chain: true,
        return_soa_on_nxdomain: true,
        hash_prefixes: Prefixes::DEFAULT,
        cookies: CookieSource {
            secret: [0; 16],
            seconds: 0,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        },
        identity: None,
        admission: Admission::Admitted,
        random: 0,
    };
}

impl<'a> Environment<'a> {
    /// What orders are drawn from.
    pub fn draw(&self) -> Draw {
        Draw {
            random: self.random,
            client: address_words(self.cookies.client),
            prefixes: self.hash_prefixes,
        }
    }

    /// `edns.nsid`.
    pub fn nsid(&self) -> Option<&'a str> {
        self.identity?.nsid.as_deref()
    }

    /// The part of this environment that [`resolve`] takes.
    pub fn resolve_options(&self) -> ResolveOptions {
        ResolveOptions {
            max_cname_depth: self.max_cname_depth,
            resolve_cname_chain: self.resolve_cname_chain,
            return_soa_on_nxdomain: self.return_soa_on_nxdomain,
            is_proven: self.is_proven,
        }
    }
}

/// What an answer depends on. Any change to one of these may change the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consulted {
    /// The data at this name, and whether it exists.
    Data(NameKey),
    /// Only whether this name exists (has data, or a name below it has).
    Existence(NameKey),
}

/// The sections of an answer to one question, before they are encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// RCODE, one of the 4-bit ones.
    pub rcode: u8,
    /// AA.
    pub authoritative: bool,
    /// The chain in order, then what it leads to.
    pub answer: Vec<Section>,
    /// The SOA of a negative answer, the NS of a referral.
    pub authority: Vec<Section>,
    /// Addresses: first those that a referral needs, then the optional ones.
    pub additional: Vec<Section>,
    /// How many RRsets of `additional` are required glue (RFC 9471).
    pub required_additional: usize,
    /// Names are compressed onto the suffixes of the question with at most this many labels, so that the text of the
    /// answer does not depend on the labels before.
    pub suffix_labels: usize,
    /// How the search ended.
    pub end: End,
    /// Whether an ALIAS was followed: then the answer may have data of names that do not show in it.
    pub is_flattened: bool,
}

/// How the search for an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The sections are the answer.
    Final,
    /// The question's name is in no zone and no overlay; sections empty, REFUSED.
    NotOurs,
    /// The answer is a chain whose last alias leads to this name, which is not ours.
    ChainLeaves(Name),
    /// The answer is NXDOMAIN of a zone whose missing names are looked up elsewhere, for clients that may: the
    /// question's name, or this one where a chain leads there.
    FallsThrough(Option<Name>),
    /// The zone has no content; sections empty, SERVFAIL.
    ZoneFailed,
    /// An ALIAS whose addresses are asked has none to give, for this reason; sections empty, SERVFAIL.
    AliasFailed(AliasFault),
}

/// Why the addresses of an ALIAS are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AliasFault {
    /// It leads out of our zones, or below one of their cuts.
    #[error("the ALIAS leads to a name that is not this server's")]
    NotOurs,
    /// It leads through a circle, or too many aliases.
    #[error("the ALIAS leads through a circle or too many aliases")]
    Endless,
}

/// One RRset in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its owner as written.
    pub owner: Owner,
    /// Type, TTL and RDATA.
    pub rrset: Arc<RrSet>,
    /// The TTL to write in place of the RRset's (RFC 2308 §5).
    pub ttl_override: Option<u32>,
    /// Set where this is the SOA of the zone with this index: its serial comes from [`Serials`].
    pub soa_zone: Option<u32>,
}

/// The owner of an RRset in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The question's name, written as a pointer to it.
    Question,
    /// This name.
    Name(Name),
}

impl Owner {
    /// The name itself, in an answer to this question.
    pub(crate) fn name<'a>(&'a self, question: &'a Name) -> &'a Name {
        match self {
            Self::Question => question,
            Self::Name(owner) => owner,
        }
    }
}

impl Resolution {
    /// No sections, AA=0, this RCODE.
    fn empty(rcode: u8) -> Self {
        Self {
            rcode,
            authoritative: false,
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            required_additional: 0,
            suffix_labels: 0,
            end: End::Final,
            is_flattened: false,
        }
    }
}

/// Classes (IANA "DNS CLASSes").
mod class {
    pub(super) const IN: u16 = 1;
    pub(super) const CHAOS: u16 = 3;
    /// A QCLASS alone, `*` in RFC 1035 §3.2.5.
    pub(super) const ANY: u16 = 255;
}

/// RCODEs (RFC 1035 §4.1.1, RFC 6891 §9).
mod rcode {
    pub(super) const NOERROR: u8 = 0;
    pub(super) const FORMERR: u8 = 1;
    pub(super) const SERVFAIL: u8 = 2;
    pub(super) const NXDOMAIN: u8 = 3;
    pub(super) const NOTIMP: u8 = 4;
    pub(super) const REFUSED: u8 = 5;
    pub(super) const YXDOMAIN: u8 = 6;
}
