//! Resolutions to messages.
//!
//! RRsets are written in order until the limit is reached, and nothing is ever taken back but the RRset that did not
//! fit: names only point backwards, so what stands is a message. Missing optional addresses are not a truncation;
//! anything else that is missing is (RFC 2181 §9).
//!
//! RFCs: 1035 §4, 2181 §9, 9471.

use dns_common::order::{Draw, arrange};

use super::{Owner, Resolution, Section, Serials, class};
use crate::message::compress::{Compressor, Pointer};
use crate::message::{Edns, ExtendedError, HEADER_BYTES, Question};
use crate::model::record::Order;

/// What a reply has besides its sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing<'a> {
    /// The query's ID.
    pub id: u16,
    /// The query's opcode.
    pub opcode: u8,
    /// RD, copied from a standard query; other opcodes have none.
    pub recursion_desired: bool,
    /// RA.
    pub recursion_available: bool,
    /// Our OPT, where the query had one.
    pub edns: Option<Edns<'a>>,
    /// The most octets that the message may have, OPT included.
    pub limit: usize,
    /// What the order of RRs is drawn from; `None` leaves them as they were given.
    pub draw: Option<Draw>,
}

impl<'a> Framing<'a> {
    /// The same with an extended error, where there is an OPT.
    pub(super) fn with_error<'b>(&self, error: ExtendedError<'b>) -> Framing<'b>
    where
        'a: 'b,
    {
        let edns = self.edns.map(|edns| Edns {
            error: Some(error),
            ..edns
        });
        Framing { edns, ..*self }
    }
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
    /// Where the RDATA begin that change places with each answer.
    pub ordered: Vec<u16>,
    /// Where the optional additional RRsets begin: the octets of the message without them and without the OPT.
    pub required_length: usize,
    /// RRs up to there: ANCOUNT, NSCOUNT, ARCOUNT.
    pub required_counts: [u16; 3],
}

/// The serial field of an SOA record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialMark {
    /// Where its four octets are.
    pub offset: u16,
    /// Whose serial it is.
    pub zone_index: u32,
}

/// Octets of an SOA's RDATA behind its names; the serial is the first four (RFC 1035 §3.3.13).
const SOA_NUMBERS_BYTES: usize = 20;

/// Writes the reply into `out`, which is emptied first. `marks`, where given, is overwritten.
pub fn encode(
    resolution: &Resolution,
    question: &Question<'_>,
    framing: &Framing<'_>,
    serials: &dyn Serials,
    out: &mut Vec<u8>,
    mut marks: Option<&mut Marks>,
) -> Encoded {
    if let Some(marks) = marks.as_deref_mut() {
        *marks = Marks::default();
    }
    write_header(framing, resolution, out);
    out.extend_from_slice(question.name);
    out.extend_from_slice(&question.qtype.0.to_be_bytes());
    out.extend_from_slice(&question.qclass.to_be_bytes());

    let edns = framing
        .edns
        .map(|edns| edns.within(framing.limit.saturating_sub(out.len())));
    let room = framing.limit.saturating_sub(edns.map_or(0, |edns| edns.length()));
    let class = match question.qclass {
        class::CHAOS => class::CHAOS,
        _ => class::IN,
    };
    let mut compressor = Compressor::new(question.name, resolution.suffix_labels);
    let mut counts = [1, 0, 0, 0];
    let mut truncated = false;
    let (required, optional) = resolution.additional.split_at(resolution.required_additional);
    let parts = [
        (1, &resolution.answer[..]),
        (2, &resolution.authority),
        (3, required),
        (3, optional),
    ];
    'parts: for (part, (section, rrsets)) in parts.into_iter().enumerate() {
        let is_optional = part == 3;
        if is_optional && let Some(marks) = marks.as_deref_mut() {
            marks.required_length = out.len();
            marks.required_counts = [counts[1], counts[2], counts[3]];
        }
        for rrset in rrsets {
            let before = out.len();
            let order = ordered(rrset, section, framing.draw);
            if !write_rrset(
                (rrset, order.as_deref()),
                class,
                room,
                &mut compressor,
                serials,
                out,
                &mut marks,
            ) {
                out.truncate(before);
                if let Some(marks) = marks.as_deref_mut() {
                    marks.forget_from(before);
                }
                truncated = !is_optional;
                break 'parts;
            }
            counts[section] += rrset.rrset.rdatas.len() as u16;
        }
    }
    if truncated && let Some(marks) = marks {
        marks.required_length = out.len();
        marks.required_counts = [counts[1], counts[2], counts[3]];
    }
    if let Some(edns) = edns {
        edns.write(out);
        counts[3] += 1;
    }
    if truncated {
        out[2] |= 0x02;
    }
    for (at, count) in counts.iter().enumerate() {
        out[4 + 2 * at..][..2].copy_from_slice(&count.to_be_bytes());
    }
    Encoded { truncated, counts }
}

/// A reply with no question, or one that is only echoed, and no sections.
pub(super) fn encode_bare(rcode: u8, question: Option<&Question<'_>>, framing: &Framing<'_>, out: &mut Vec<u8>) {
    let resolution = Resolution::empty(rcode);
    match question {
        Some(question) => {
            encode(&resolution, question, framing, &(), out, None);
        }
        None => {
            write_header(framing, &resolution, out);
            if let Some(edns) = &framing.edns {
                edns.write(out);
                out[11] = 1;
            }
        }
    }
}

/// The header, counts still zero. RFC 1035 §4.1.1: ID, opcode and a standard query's RD are copied; Z, AD and CD are
/// zero.
fn write_header(framing: &Framing<'_>, resolution: &Resolution, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&framing.id.to_be_bytes());
    let authoritative = u8::from(resolution.authoritative) << 2;
    out.push(0x80 | (framing.opcode & 0x0F) << 3 | authoritative | u8::from(framing.recursion_desired));
    out.push(u8::from(framing.recursion_available) << 7 | (resolution.rcode & 0x0F));
    out.extend_from_slice(&[0; HEADER_BYTES - 4]);
}

/// The RDATA in the order in which they are written, where the RRset is ordered: those of the answer section are.
fn ordered(section: &Section, number: usize, draw: Option<Draw>) -> Option<Vec<&[u8]>> {
    let order = section.rrset.handling.order();
    if number != 1 || *order == Order::Fixed {
        return None;
    }
    let rdatas: Vec<&[u8]> = section.rrset.rdatas.iter().collect();
    let count = rdatas.len() as u16;
    if count < 2 {
        return None;
    }
    let mut places: Vec<u16> = (0..count).collect();
    if let Some(draw) = draw {
        let (weights, count) = (order.weights(), u32::from(count));
        let total = weights.iter().map(|&weight| u32::from(weight)).sum();
        let weight = |place: u32| weights.get(place as usize).copied().unwrap_or(0);
        let (kind, count) = (order.kind(), (count, count));
        arrange(&mut places[..], kind, count, draw.number(kind), (total, weight));
    }
    Some(places.into_iter().map(|place| rdatas[usize::from(place)]).collect())
}

/// Whether the RRset ends within `room`; otherwise some of it may have been written.
fn write_rrset<'a>(
    (section, order): (&'a Section, Option<&[&'a [u8]]>),
    class: u16,
    room: usize,
    compressor: &mut Compressor<'a>,
    serials: &dyn Serials,
    out: &mut Vec<u8>,
    marks: &mut Option<&mut Marks>,
) -> bool {
    let rrset = &section.rrset;
    let ttl = section.ttl_override.unwrap_or(rrset.ttl);
    let mut given = rrset.rdatas.iter();
    let mut ordered = order.map(|rdatas| rdatas.iter().copied());
    while let Some(rdata) = ordered.as_mut().map_or_else(|| given.next(), Iterator::next) {
        match &section.owner {
            Owner::Question => out.extend_from_slice(&[0xC0, HEADER_BYTES as u8]),
            Owner::Name(owner) => compressor.write(owner.as_wire(), out, pointers_of(marks)),
        }
        out.extend_from_slice(&rrset.rtype.0.to_be_bytes());
        out.extend_from_slice(&class.to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        let length_at = out.len();
        out.extend_from_slice(&[0; 2]);
        if order.is_some()
            && let Some(marks) = marks
        {
            marks.ordered.push(out.len() as u16);
        }
        compressor.write_rdata(rrset.rtype, rdata, out, pointers_of(marks));
        let length = out.len() - length_at - 2;
        // Also keeps every offset and length within 16 bits: no limit is above 65535.
        if out.len() > room {
            return false;
        }
        out[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
        if let Some(zone_index) = section.soa_zone
            && let Some(offset) = out.len().checked_sub(SOA_NUMBERS_BYTES)
            && length >= SOA_NUMBERS_BYTES
        {
            if let Some(serial) = serials.serial(zone_index) {
                out[offset..offset + 4].copy_from_slice(&serial.to_be_bytes());
            }
            if let Some(marks) = marks {
                marks.serials.push(SerialMark {
                    offset: offset as u16,
                    zone_index,
                });
            }
        }
    }
    true
}

/// Where pointers are noted, if they are.
fn pointers_of<'m>(marks: &'m mut Option<&mut Marks>) -> Option<&'m mut Vec<Pointer>> {
    marks.as_deref_mut().map(|marks| &mut marks.pointers)
}

impl Marks {
    /// Forgets what was marked at `length` octets and behind.
    fn forget_from(&mut self, length: usize) {
        self.pointers.retain(|pointer| usize::from(pointer.offset) < length);
        self.serials.retain(|serial| usize::from(serial.offset) < length);
        self.ordered.retain(|&offset| usize::from(offset) < length);
    }
}
