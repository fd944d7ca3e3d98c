//! DNS messages: how they travel, how they are read, and how names in them are written (RFC 1035 §4).
//!
//! ```text
//!              ┌─ query     a client's query: strict, in place, nothing allocated
//! octets ─ Reader
//!              └─ record    any other message: records that own their octets, names in full
//!
//! names ─ compress ─► octets, with pointers            OPT: read and written by opt
//! ```
//!
//! There is one reader of messages in userspace and one writer of names. The XDP program and the sockets' fast path
//! have a reader of their own, `dns_common::scan`, which allocates nothing and knows nothing but queries.

pub(crate) mod compress;
pub(crate) mod embedded;
mod opt;
mod protocol;
mod query;
mod rcode;
mod reader;
mod record;

use crate::model::record::RecordType;

pub use compress::Pointer;
pub use opt::{CookieSource, Edns, ExtendedError, InfoCode, MARK_BYTES, Mark, Options};
pub(crate) use opt::{cookie_of, write_cookie};
pub use protocol::{Limit, Protocol};
pub(crate) use query::{Fault, Query, QueryEdns, parse};
pub(crate) use rcode::{parse_rcode, rcode_name};
pub(crate) use reader::Reader;
pub use record::Message;
pub(crate) use record::{Record, RecordWriter};

/// Octets of a message's header.
pub(crate) const HEADER_BYTES: usize = 12;
/// Octets of a question behind its name: QTYPE and QCLASS.
pub(crate) const QUESTION_TAIL_BYTES: usize = 4;

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

/// What a reply keeps of the third octet of a query's header: the opcode, and RD of a standard query. RFC 1035 §4.1.1
/// has RD as "recursion desired" of a query, and RFC 2136 §2.2 has zero there: other opcodes give the bit no meaning,
/// or another (RFC 8906 §3.1.3), so that nobody may copy it who does not know the opcode.
pub(crate) fn kept_flags(header: &[u8; HEADER_BYTES]) -> u8 {
    let opcode = header[2] & 0x78;
    if opcode == 0 { header[2] & 0x01 } else { opcode }
}

/// Writes to `out` the reply that says `rcode` and nothing else: the header and, where it can be read, the question.
/// False, and nothing is written, where `query` is no query.
pub fn write_failure(query: &[u8], rcode: u8, out: &mut Vec<u8>) -> bool {
    out.clear();
    let Some(header) = query.first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    if header[2] & 0x80 != 0 {
        return false;
    }
    out.extend_from_slice(&[header[0], header[1], 0x80 | kept_flags(header), rcode]);
    out.extend_from_slice(&[0; HEADER_BYTES - 4]);
    let mut reader = Reader::behind_header(query);
    if header[4..6] == [0, 1] && reader.question().is_some() {
        out[5] = 1;
        out.extend_from_slice(&query[HEADER_BYTES..reader.at()]);
    }
    true
}
