//! Addresses in the line itself, which need no slot.
//!
//! `www.example. A 192.0.2.1, 192.0.2.2` takes one cell of its line. Up to four A addresses and one AAAA address are
//! taken so, where they have one TTL. Where they leave no room for references to the name's other answers, they become
//! bodies like these.

use dns_common::line::{CELLS, flag};

use super::body::body;
use super::compiler::Compiler;
use crate::answer::{Owner, Resolution};
use crate::model::name::Name;
use crate::model::record::{Order, RecordType, RrSet};
use crate::table::Entry;

/// Takes an answer of nothing but addresses into the line itself.
pub(super) fn inline(resolution: &Resolution, rtype: RecordType, entry: &mut Entry, ttl: &mut Option<u32>) -> bool {
    let [section] = &resolution.answer[..] else {
        return false;
    };
    let is_plain = section.owner == Owner::Question
        && section.rrset.rtype == rtype
        && resolution.authority.is_empty()
        && resolution.additional.is_empty()
        && resolution.authoritative
        && ttl.is_none_or(|ttl| ttl == section.rrset.ttl);
    if !is_plain {
        return false;
    }
    let taken = match rtype {
        RecordType::A => inline_a(&section.rrset, entry),
        RecordType::AAAA => inline_aaaa(&section.rrset, entry),
        _ => false,
    };
    if taken {
        *ttl = Some(section.rrset.ttl);
    }
    taken
}

fn inline_a(rrset: &RrSet, entry: &mut Entry) -> bool {
    let addresses: Option<Vec<[u8; 4]>> = rrset.rdatas.iter().map(|rdata| rdata.try_into().ok()).collect();
    let order = rrset.handling.order();
    // A line has no room for weights, and no number for the order by hash.
    let needs_slot = matches!(order, Order::Weighted(_) | Order::Hash);
    match addresses {
        Some(addresses) if addresses.len() <= 4 && !needs_slot => {
            if addresses.len() > 1 {
                entry.flags |= u32::from(order.kind()) << flag::ORDER_SHIFT;
            }
            entry.inline_a = addresses;
            true
        }
        _ => false,
    }
}

fn inline_aaaa(rrset: &RrSet, entry: &mut Entry) -> bool {
    let mut rdatas = rrset.rdatas.iter();
    match (rdatas.next(), rdatas.next()) {
        (Some(rdata), None) => {
            entry.inline_aaaa = rdata.try_into().ok();
            entry.inline_aaaa.is_some()
        }
        _ => false,
    }
}

/// Where inline addresses leave too little room for references, they become bodies.
pub(super) fn make_room(entry: &mut Entry, compiler: &mut Compiler<'_>, question: &Name, moves: bool) {
    // One cell is enough for all bodies: then it leads to a list of them.
    let cells = |entry: &Entry| {
        entry.bodies.len().min(1) + entry.inline_a.len().div_ceil(2) + 2 * usize::from(entry.inline_aaaa.is_some())
    };
    if cells(entry) > CELLS && entry.inline_aaaa.take().is_some() {
        let resolution = compiler.resolve(question, RecordType::AAAA);
        let at = entry.bodies.len().min(1);
        entry
            .bodies
            .extend(body(&resolution, question.as_wire(), moves).map(|body| (RecordType::AAAA.0, body)));
        entry.bodies[at..].rotate_right(1);
    }
    if cells(entry) > CELLS && entry.inline_a.len() > 2 {
        entry.inline_a.clear();
        entry.flags &= !flag::ORDERED;
        let resolution = compiler.resolve(question, RecordType::A);
        entry
            .bodies
            .extend(body(&resolution, question.as_wire(), moves).map(|body| (RecordType::A.0, body)));
        entry.bodies.rotate_right(1);
    }
}
