//! Queries from their octets: strict, every read checked, no panic on any input.
//!
//! What is wrong with a query becomes a [`Fault`]; what could be read before it (the question, that there was an OPT)
//! is kept, so that the reply can say as much as RFC 8906 wants. The order of the checks is the order in which a
//! reader meets them: header, opcode, question, records, OPT.
//!
//! RFCs: 1035 §4.1, 6891 §6.1 and §7, 7873 §5, 8906, 9619.

use super::opt::Options;
use super::{HEADER_BYTES, Question, Reader, kept_flags};
use crate::model::record::RecordType;

/// One query, as far as it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query<'a> {
    pub(crate) id: u16,
    pub(crate) opcode: u8,
    /// RD of a standard query.
    pub(crate) recursion_desired: bool,
    /// Where it could be read; the octets behind it are whatever they are.
    pub(crate) question: Option<Question<'a>>,
    /// Where there was an OPT, well-formed or not.
    pub(crate) edns: Option<QueryEdns>,
    /// What is wrong, if something is.
    pub(crate) fault: Option<Fault>,
    /// No question, and a cookie: the client wants to learn ours (RFC 7873 §5.4).
    pub(crate) asks_for_cookie_alone: bool,
}

/// What an answer needs of the query's OPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueryEdns {
    /// The largest UDP message that the client takes.
    pub(crate) udp_payload: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Options,
}

/// Why a message is not answered from data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// FORMERR.
    Malformed,
    /// NOTIMP: an opcode other than QUERY.
    Opcode,
    /// BADVERS: an EDNS version above 0 (RFC 6891 §6.1.3).
    Version,
}

/// Reads a message. `None`: no reply at all, since there is no header or it is itself a response (RFC 8906 §2: all
/// else gets one).
pub(crate) fn parse(message: &[u8]) -> Option<Query<'_>> {
    parse_from(message, &mut Reader::behind_header(message))
}

fn parse_from<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Option<Query<'a>> {
    let header: &[u8; HEADER_BYTES] = message.first_chunk()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if header[2] & 0x80 != 0 {
        return None;
    }
    let mut query = Query {
        id: word(0),
        opcode: (header[2] >> 3) & 0x0F,
        recursion_desired: kept_flags(header) & 1 != 0,
        question: None,
        edns: None,
        fault: None,
        asks_for_cookie_alone: false,
    };
    let counts = [word(4), word(6), word(8), word(10)];
    let read = read_sections(reader, counts, &mut query);
    // Other opcodes give the sections another meaning: what they hold is no fault, and no question to echo.
    if query.opcode != 0 {
        query.question = None;
        // The version goes before: what an opcode means is up to it (RFC 6891 §6.1.3).
        let is_known = read != Err(Fault::Version);
        query.fault = Some(if is_known { Fault::Opcode } else { Fault::Version });
    } else if let Err(fault) = read {
        query.fault = Some(fault);
    } else if query.question.is_none() {
        let has_cookie = query.edns.is_some_and(|edns| edns.options.client_cookie.is_some());
        match has_cookie {
            true => query.asks_for_cookie_alone = true,
            false => query.fault = Some(Fault::Malformed),
        }
    }
    Some(query)
}

fn read_sections<'a>(reader: &mut Reader<'a>, counts: [u16; 4], query: &mut Query<'a>) -> Result<(), Fault> {
    let [questions, answers, authorities, additionals] = counts;
    // RFC 9619: a query has at most one question, and none but to learn a cookie. Of several none is echoed.
    let is_one = questions == 1;
    for _ in 0..questions {
        query.question = Some(reader.question().ok_or(Fault::Malformed)?).filter(|_| is_one);
    }
    // A query answers nothing. IXFR alone has the client's SOA in its authority section (RFC 1995 §3).
    let is_ixfr = query
        .question
        .is_some_and(|question| question.qtype == RecordType::IXFR);
    // What is there in excess is read past: an OPT behind it gets one in the reply (RFC 6891 §6.1.1).
    let is_in_excess = questions > 1 || answers != 0 || (authorities != 0 && !is_ixfr);
    let mut fault = (query.opcode == 0 && is_in_excess).then_some(Fault::Malformed);
    for _ in 0..u32::from(answers) + u32::from(authorities) {
        reader.record().ok_or(Fault::Malformed)?;
    }
    for _ in 0..additionals {
        let record = reader.record().ok_or(Fault::Malformed)?;
        if record.rtype != RecordType::OPT {
            continue;
        }
        // RFC 6891 §6.1.1: more than one OPT is FORMERR, and so is one whose owner is not the root.
        if query.edns.is_some() || !record.owner_is_root {
            fault = Some(Fault::Malformed);
        }
        let edns = query.edns.get_or_insert(QueryEdns {
            udp_payload: record.class,
            dnssec_ok: record.ttl & 0x8000 != 0,
            options: Options::default(),
        });
        let version = (record.ttl >> 16) & 0xFF;
        if version != 0 {
            // What the options of another version look like is not known.
            fault = fault.or(Some(Fault::Version));
            continue;
        }
        match Options::read(record.rdata) {
            Some(options) => edns.options = options,
            None => fault = Some(Fault::Malformed),
        }
    }
    if !reader.is_at_end() {
        return Err(Fault::Malformed);
    }
    fault.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_full_of_pointers_costs_a_step_for_each() {
        // A chain of pointers in one record, records that begin at its end, and an OPT behind.
        let mut query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        query.extend_from_slice(b"\xC0\x0C\xFF\x01\0\x01\0\0\0\0\x3E\x80");
        let mut target = 12u16;
        for _ in 0..8000 {
            let at = query.len() as u16;
            query.extend_from_slice(&(0xC000 | target).to_be_bytes());
            target = at;
        }
        let mut additionals = 2u16;
        while query.len() < 65_500 {
            query.extend_from_slice(&(0xC000 | target).to_be_bytes());
            query.extend_from_slice(b"\0\x01\0\x01\0\0\0\0\0\0");
            additionals += 1;
        }
        query.extend_from_slice(b"\0\0\x29\x04\xD0\0\0\0\0\0\0");
        query[10..12].copy_from_slice(&additionals.to_be_bytes());
        let mut reader = Reader::behind_header(&query);
        let read = parse_from(&query, &mut reader).expect("a query");
        assert!(read.fault.is_none() && read.edns.is_some());
        assert_eq!(reader.steps(), usize::from(additionals));
    }
}
