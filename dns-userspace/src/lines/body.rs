//! Bodies: what the reference answerer sends behind the question, with what moves in it listed.
//!
//! ```text
//! header │ question │ answer, authority, additional
//!                    └ the body: octets, counts, pointers that move, the place of the serial, the order of the RRs
//! ```
//!
//! A body is compiled for a *base*: the name in whose place longer ones may stand. `*.x.` has a body for `0.x.`. A
//! query for `long.x.` gets the same octets, with each listed pointer raised by the four octets that its name is
//! longer.

use dns_common::order::{MOST, WEIGHT_NUMBERS};
use dns_common::slot::RR_HEAD_BYTES;
use dns_common::wire::{HEADER_BYTES, QUESTION_TAIL_BYTES, flags};

use crate::answer::{Framing, Marks, Owner, Resolution, encode};
use crate::message::Question;
use crate::model::name::Name;
use crate::model::record::{Order, RecordType};
use crate::table::{Body, BodyOrder};

/// The answer behind the question, compiled for `base`. `None` where only userspace can send it.
pub(super) fn body(resolution: &Resolution, base: &[u8], moves: bool) -> Option<Body> {
    let question = Question {
        name: base,
        qtype: RecordType::A,
        qclass: 1,
    };
    let framing = Framing {
        id: 0,
        opcode: 0,
        recursion_desired: false,
        recursion_available: false,
        edns: None,
        limit: usize::from(u16::MAX),
        draw: None,
    };
    let mut message = Vec::with_capacity(512);
    let mut marks = Marks::default();
    let encoded = encode(resolution, &question, &framing, &(), &mut message, Some(&mut marks));
    let start = HEADER_BYTES + base.len() + QUESTION_TAIL_BYTES;
    if encoded.truncated || marks.serials.len() > 1 || message.len() > usize::from(u16::MAX) {
        return None;
    }
    let mut octets = message.split_off(start);
    let serial = marks
        .serials
        .first()
        .map(|mark| (mark.offset - start as u16, mark.zone_index));
    if let Some((at, _)) = serial {
        octets[usize::from(at)..usize::from(at) + 4].fill(0);
    }
    let order = match &marks.ordered[..] {
        [] => None,
        places => Some(body_order(resolution, places, start)?),
    };
    let pointers = if moves {
        marks
            .pointers
            .iter()
            .map(|pointer| pointer.offset - start as u16)
            .collect()
    } else {
        Vec::new()
    };
    let authoritative = if resolution.authoritative { flags::AA } else { 0 };
    let [_, answers, authorities, additionals] = encoded.counts;
    Some(Body {
        octets,
        counts: [answers, authorities, additionals],
        flags: authoritative | u16::from(resolution.rcode),
        pointers,
        serial,
        order,
        base_bytes: base.len() as u32,
    })
}

/// How the RRs of an answer are ordered, whose RDATA begin at `places` of the message; `None` where they are too many,
/// or no addresses (names in RDATA would be compressed anew), or owned by the root, which is shorter than a pointer.
fn body_order(resolution: &Resolution, places: &[u16], start: usize) -> Option<BodyOrder> {
    let rrset = &resolution.answer.last()?.rrset;
    let order = rrset.handling.order();
    let [first, _, ..] = places else { return None };
    let step = (RR_HEAD_BYTES + rrset.rdatas.first()?.len()) as u16;
    let is_even = places.windows(2).all(|pair| pair[1] - pair[0] == step);
    let is_simple = rrset.rtype.is_address() && is_even && places.len() == rrset.rdatas.len();
    let mut weights = Vec::new();
    if let Order::Weighted(own) = order {
        let total: u32 = own.iter().map(|&weight| u32::from(weight)).sum();
        weights.extend([total as u16, (total >> 16) as u16]);
        weights.extend(own.iter());
        weights.resize(WEIGHT_NUMBERS, 0);
    }
    (is_simple && places.len() <= MOST as usize).then_some(BodyOrder {
        kind: order.kind(),
        count: places.len() as u8,
        at: first - start as u16,
        step,
        weights,
    })
}

/// Makes the sections of an answer independent of whether its owner is the question.
pub(super) fn own_by_name(resolution: &mut Resolution, owner: &Name) {
    let sections = resolution
        .answer
        .iter_mut()
        .chain(&mut resolution.authority)
        .chain(&mut resolution.additional);
    for section in sections {
        if section.owner == Owner::Question {
            section.owner = Owner::Name(owner.clone());
        }
    }
}
