//! Slots: taking them, writing them, and giving them back after a grace period.

use std::sync::atomic::Ordering;

use dns_common::checksum;
use dns_common::line::{MORE, Reference};
use dns_common::slot::{
    CLASS_BYTES, MAX_POINTERS, SLOT_CLASSES, SLOT_HEADER_BYTES, SlotHeader, class_for, marks_of, name_tag, places_of,
};
use serde::{Deserialize, Serialize};

use super::memory::Memory;

/// A ready answer: everything behind the question, and what is patched into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The octets; a serial's place holds zeros.
    pub octets: Vec<u8>,
    /// ANCOUNT, NSCOUNT, ARCOUNT without OPT.
    pub counts: [u16; 3],
    /// AA and rcode.
    pub flags: u16,
    /// Offsets of pointers that move with the length of the question's name.
    pub pointers: Vec<u16>,
    /// Where the zone's serial goes, and the zone's index.
    pub serial: Option<(u16, u32)>,
    /// The RRs that change places with each answer.
    pub order: Option<BodyOrder>,
    /// Octets of the name for which this was compiled.
    pub base_bytes: u32,
}

/// The RRs of a body whose order is drawn for each answer. Their RDATA have four octets each, or sixteen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyOrder {
    /// Of [`dns_common::order::kind`], not the fixed one.
    pub kind: u8,
    /// How many there are, at most [`dns_common::order::MOST`].
    pub count: u8,
    /// Where the RDATA of the first one is.
    pub at: u16,
    /// Octets from one RDATA to the next.
    pub step: u16,
    /// Where they are weighted: [`dns_common::order::WEIGHT_NUMBERS`].
    pub weights: Vec<u16>,
}

impl Body {
    /// The smallest class with room for it; `None` where only userspace can send it.
    pub fn class(&self) -> Option<usize> {
        let is_countable = self.counts.iter().all(|&count| count <= u16::from(u8::MAX));
        // What is ordered has its place where the serial's would be; no answer has both.
        let is_patchable = self.pointers.len() <= MAX_POINTERS && (self.serial.is_none() || self.order.is_none());
        (is_countable && is_patchable)
            .then(|| class_for(self.octets.len(), self.numbers().count()))
            .flatten()
    }

    /// The header of its slot, for the name with this tag.
    fn header(&self, tag: u64) -> SlotHeader {
        let mut header = SlotHeader {
            tag: name_tag(tag),
            body_bytes: self.octets.len() as u16,
            sum: checksum::of_bytes(&self.octets),
            answers: self.counts[0] as u8,
            authorities: self.counts[1] as u8,
            additionals: self.counts[2] as u8,
            marks: marks_of(self.flags),
            pointers: self.pointers.len() as u8,
            base_bytes: self.base_bytes as u8,
            ..SlotHeader::NONE
        };
        if let Some((at, zone)) = self.serial {
            header.set_serial(at, zone);
        }
        if let Some(order) = &self.order {
            header.set_order(order.kind, order.count, order.at, order.step);
        } else if let Some(places) = self.places() {
            header.set_places(places);
        }
        header
    }

    /// The places of the pointers in the header, if they are there and not behind the body.
    fn places(&self) -> Option<u64> {
        match self.order {
            None => places_of(&self.pointers, self.serial.is_some()),
            Some(_) => None,
        }
    }

    /// What lies behind the body.
    fn numbers(&self) -> impl Iterator<Item = u16> {
        let pointers = if self.places().is_some() {
            &[]
        } else {
            &self.pointers[..]
        };
        pointers.iter().chain(self.weights()).copied()
    }

    fn weights(&self) -> &[u16] {
        self.order.as_ref().map_or(&[], |order| &order.weights)
    }
}

/// Which slots are free, which are waiting.
#[derive(Default)]
pub(super) struct Slots {
    free: [Vec<u32>; SLOT_CLASSES],
    next: [u32; SLOT_CLASSES],
    waiting: Vec<(u8, u32)>,
}

impl Slots {
    /// Slots that wait for [`Slots::release_waiting`].
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Slots in use or waiting, by class.
    pub(super) fn used(&self) -> [u32; SLOT_CLASSES] {
        std::array::from_fn(|class| self.next[class] - self.free[class].len() as u32)
    }

    /// Writes a body into a slot to which nothing refers yet. `None` where the class is full.
    pub(super) fn put(&mut self, memory: &Memory, body: &Body, rtype: u16, tag: u64) -> Option<Reference> {
        let class = body.class()?;
        let slot = match self.free[class].pop() {
            Some(slot) => slot,
            None if self.next[class] < memory.sizes.slots[class] => {
                self.next[class] += 1;
                self.next[class] - 1
            }
            None => return None,
        };
        let mut octets = vec![0; CLASS_BYTES[class]];
        octets[..SLOT_HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&body.header(tag)));
        let start = SLOT_HEADER_BYTES;
        octets[start..start + body.octets.len()].copy_from_slice(&body.octets);
        let list = start + body.octets.len().next_multiple_of(2);
        for (index, number) in body.numbers().enumerate() {
            octets[list + 2 * index..list + 2 * index + 2].copy_from_slice(&number.to_le_bytes());
        }
        let words = memory.slots[class].words(slot as usize * CLASS_BYTES[class] / 8, CLASS_BYTES[class] / 8)?;
        for (word, octets) in words.iter().zip(octets.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*octets), Ordering::Relaxed);
        }
        Some(Reference {
            rtype,
            class: class as u8,
            slot,
        })
    }

    /// Writes a slot of references, for which a name has no cells.
    pub(super) fn put_list(&mut self, memory: &Memory, listed: &[Reference], tag: u64) -> Option<Reference> {
        let body = Body {
            octets: listed
                .iter()
                .flat_map(|reference| reference.to_word().to_le_bytes())
                .collect(),
            counts: [0; 3],
            flags: 0,
            pointers: Vec::new(),
            serial: None,
            order: None,
            base_bytes: 0,
        };
        self.put(memory, &body, MORE, tag)
    }

    /// The references in such a slot.
    pub(super) fn list(memory: &Memory, list: Reference) -> Vec<Reference> {
        let class = usize::from(list.class);
        let start = list.slot as usize * CLASS_BYTES[class] / 8;
        let words = memory.slots[class].words(start, CLASS_BYTES[class] / 8);
        let words: Vec<u64> = words
            .into_iter()
            .flatten()
            .map(|word| word.load(Ordering::Relaxed))
            .collect();
        let (header, octets) = words.split_at(SLOT_HEADER_BYTES / 8);
        let header: &SlotHeader = bytemuck::from_bytes(bytemuck::cast_slice(header));
        let listed = &octets[..usize::from(header.body_bytes) / 8];
        listed.iter().map(|&word| Reference::from_word(word)).collect()
    }

    /// Puts a slot to which nothing refers any more among those that wait.
    pub(super) fn retire(&mut self, reference: Reference) {
        self.waiting.push((reference.class, reference.slot));
    }

    /// Makes the waiting slots free. Only after a grace period.
    pub(super) fn release_waiting(&mut self) {
        for (class, slot) in self.waiting.drain(..) {
            self.free[usize::from(class)].push(slot);
        }
    }
}
