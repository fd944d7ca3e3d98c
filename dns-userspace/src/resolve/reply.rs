//! From a client's query to the reply that it gets.

use super::chain::Leg;
use crate::message::{Edns, Limit, Mark, QUESTION_TAIL_BYTES, QueryEdns, Record, RecordWriter, parse};

const RA: u8 = 0x80;
const TC: u16 = 0x0200;

/// What of a client's query matters here.
pub(super) struct Query<'a> {
    header: &'a [u8; 12],
    /// Name, QTYPE and QCLASS, as they came.
    pub(super) question: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// CD (RFC 4035 §3.2.2).
    pub(super) checking_disabled: bool,
    /// AD: the client understands it (RFC 6840 §5.7).
    pub(super) authentic_data: bool,
    pub(super) edns: Option<QueryEdns>,
}

impl<'a> Query<'a> {
    /// `None` where it is not a query with one question. Its records are not read but for the OPT.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<12>()?;
        let query = parse(bytes)?;
        let question = query.question?;
        Some(Self {
            header,
            question: rest.get(..question.name.len() + QUESTION_TAIL_BYTES)?,
            name: question.name,
            qtype: question.qtype.0,
            qclass: question.qclass,
            checking_disabled: header[3] & 0x10 != 0,
            authentic_data: header[3] & 0x20 != 0,
            edns: query.edns,
        })
    }

    /// What a hotdns has put into it that forwards it.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.edns.as_ref()?.options.mark
    }

    pub(super) fn dnssec_ok(&self) -> bool {
        self.edns.as_ref().is_some_and(|edns| edns.dnssec_ok)
    }

    /// The first four octets of a reply: QR, opcode and RD as asked, RA; CD is copied (RFC 4035 §3.2.2). AD stays 0:
    /// nothing was validated here.
    pub(super) fn head(&self, rcode: u8) -> [u8; 4] {
        let header = self.header;
        [
            header[0],
            header[1],
            0x80 | header[2] & 0x79,
            RA | header[3] & 0x10 | rcode & 0x0F,
        ]
    }

    /// Octets that a reply may have.
    pub(super) fn limit(&self, limit: Limit, udp_payload: u16) -> usize {
        limit.octets(self.edns.map(|edns| edns.udp_payload), udp_payload).into()
    }
}

/// The reply, with this OPT, from the legs of the answer (`failure` where there are none). AA is about the first owner
/// name in the answer section (RFC 1035 §4.1.1): `begins_here` where that is ours.
///
/// Where it is too large, what does not fit is left out from the end by whole RRsets; TC says so unless only additional
/// data is missing (RFC 2181 §9).
pub(super) fn write(
    query: &Query<'_>,
    legs: &[Leg],
    failure: u8,
    begins_here: bool,
    edns: Option<Edns<'_>>,
    limit: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    // RFC 6604 §3: the RCODE is that of the last name of a chain.
    let last = legs.last();
    out.extend_from_slice(&query.head(last.map_or(failure, |leg| leg.message().rcode() as u8)));
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(query.question);
    let mut writer = RecordWriter::new(out, query.name);
    let room = limit.saturating_sub(edns.map_or(0, |edns| edns.length()));
    if let Some(last) = last {
        if begins_here {
            writer.out[2] |= 0x04;
        }
        let truncated = legs.iter().any(|leg| leg.message().flags & TC != 0);
        let sections = [
            (6, legs.iter().flat_map(Leg::answer).collect::<Vec<_>>()),
            (8, last.message().authority.iter().collect()),
            (10, last.additional().collect()),
        ];
        let fitted = sections.iter().all(|(count_at, records)| {
            let fits = write_section(&mut writer, *count_at, records, room);
            fits || *count_at == 10
        });
        if truncated || !fitted {
            writer.out[2] |= 0x02;
        }
    }
    let mut out = writer.out;
    if let Some(edns) = edns {
        edns.write(&mut out);
        let count = u16::from_be_bytes([out[10], out[11]]) + 1;
        out[10..12].copy_from_slice(&count.to_be_bytes());
    }
    out
}

/// Writes `records` as far as whole RRsets fit into `room`; false where they do not all.
fn write_section<'a>(writer: &mut RecordWriter<'a>, count_at: usize, records: &[&'a Record], room: usize) -> bool {
    let mut written = 0u16;
    let mut boundary = (writer.out.len(), 0u16);
    let mut previous: Option<&Record> = None;
    for record in records {
        let continues = previous.is_some_and(|previous| {
            previous.rtype == record.rtype && previous.owner.eq_ignore_ascii_case(&record.owner)
        });
        if !continues {
            boundary = (writer.out.len(), written);
        }
        writer.record(record);
        previous = Some(record);
        if writer.out.len() > room {
            writer.out.truncate(boundary.0);
            writer.out[count_at..count_at + 2].copy_from_slice(&boundary.1.to_be_bytes());
            return false;
        }
        written = written.saturating_add(1);
    }
    writer.out[count_at..count_at + 2].copy_from_slice(&written.to_be_bytes());
    true
}
