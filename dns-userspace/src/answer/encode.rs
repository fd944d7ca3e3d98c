//! Resolutions to messages: RFC 1035 §4, truncation by whole RRsets, EDNS (RFC 6891).
use super::{Resolution, Serials};
use crate::record::RecordType;

/// The question of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// QNAME in uncompressed wire form, as it was asked.
    pub name: &'a [u8],
    /// QTYPE.
    pub qtype: RecordType,
    /// QCLASS, in host order.
    pub qclass: u16,
}

/// What a reply has besides its sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing<'a> {
    /// The query's ID.
    pub id: u16,
    /// The query's opcode.
    pub opcode: u8,
    /// RD, copied.
    pub recursion_desired: bool,
    /// RA.
    pub recursion_available: bool,
    /// Our OPT, where the query had one.
    pub edns: Option<Edns<'a>>,
    /// The most octets that the message may have, OPT included.
    pub limit: usize,
}

/// Our OPT record (RFC 6891 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP message that we take.
    pub udp_payload: u16,
    /// DO, copied (RFC 3225).
    pub dnssec_ok: bool,
    /// The upper eight bits of the RCODE.
    pub extended_rcode: u8,
    /// An extended DNS error (RFC 8914).
    pub error: Option<ExtendedError<'a>>,
}

/// An extended DNS error (RFC 8914 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedError<'a> {
    /// INFO-CODE.
    pub code: u16,
    /// EXTRA-TEXT; cut at 200 octets.
    pub text: &'a str,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Whether RRsets that belong into the answer did not fit: TC=1.
    pub truncated: bool,
    /// QDCOUNT, ANCOUNT, NSCOUNT and ARCOUNT, the OPT included.
    pub counts: [u16; 4],
}

/// The places in a message that a compiler of ready answers has to patch; offsets from the start of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Every compression pointer but the `C0 0C` of an RRset owned by the question. All of them move with the end of
    /// the question.
    pub pointers: Vec<Pointer>,
    /// Serial fields of SOA records of our zones.
    pub serials: Vec<SerialMark>,
    /// Where the optional additional RRsets begin: the octets of the message without them and without the OPT.
    pub required_length: usize,
    /// RRs up to there: ANCOUNT, NSCOUNT, ARCOUNT.
    pub required_counts: [u16; 3],
}

/// A compression pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Where its two octets are.
    pub offset: u16,
    /// The offset in it.
    pub target: u16,
}

/// The serial field of an SOA record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialMark {
    /// Where its four octets are.
    pub offset: u16,
    /// Whose serial it is.
    pub zone_index: u32,
}

/// Writes the reply into `out`, which is emptied first.
pub fn encode(
    resolution: &Resolution,
    question: &Question<'_>,
    framing: &Framing<'_>,
    serials: &dyn Serials,
    out: &mut Vec<u8>,
    marks: Option<&mut Marks>,
) -> Encoded {
    let _ = (resolution, question, framing, serials, out, marks);
    unimplemented!()
}
