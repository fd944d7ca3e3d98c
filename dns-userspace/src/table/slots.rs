//! Slots: taking them, writing them, and giving them back after a grace period.

use std::sync::atomic::Ordering;

use dns_common::checksum;
use dns_common::line::{MORE, Reference};
use dns_common::slot::{
    CLASS_BYTES, MAX_POINTERS, SLOT_CLASSES, SLOT_HEADER_BYTES, SlotHeader, class_for, marks_of, name_tag, places_of,
    slots_ahead,
};
use serde::{Deserialize, Serialize};

use super::memory::{Memory, Sizes};

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

/// Where a body is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// Where the program asks memory for it ahead, if it does so for its type and class, and if that is free.
    Ahead,
    /// Anywhere.
    Any,
}

/// Which slots of a class are free.
struct FreeSlots {
    /// A bit for each slot in use or waiting. Bits of the last word that stand for no slot are set.
    taken: Vec<u64>,
    /// Slots in use or waiting.
    used: u32,
    /// The word with which a search for any slot begins, behind those that are asked for ahead; it ends with those.
    start: usize,
    /// So many words from there have no free slot.
    full: usize,
}

impl FreeSlots {
    /// All of a class. Of these, the first `ahead` are those that are asked for ahead.
    fn new(slots: u32, ahead: u32) -> Self {
        let mut taken = vec![0; slots.div_ceil(u64::BITS) as usize];
        if let (Some(last), rest @ 1..) = (taken.last_mut(), slots % u64::BITS) {
            *last = u64::MAX << rest;
        }
        Self {
            start: ahead.div_ceil(u64::BITS) as usize % taken.len().max(1),
            taken,
            used: 0,
            full: 0,
        }
    }

    /// Takes the first of the wanted slots that is free, else any.
    fn take(&mut self, wanted: impl IntoIterator<Item = u32>) -> Option<u32> {
        let is_free = |slot: &u32| {
            let (word, bit) = bit_of(*slot);
            self.taken.get(word).is_some_and(|taken| taken & bit == 0)
        };
        let slot = wanted.into_iter().find(is_free).or_else(|| self.any())?;
        let (word, bit) = bit_of(slot);
        self.taken[word] |= bit;
        self.used += 1;
        Some(slot)
    }

    fn any(&mut self) -> Option<u32> {
        while self.full < self.taken.len() {
            let word = (self.start + self.full) % self.taken.len();
            let taken = self.taken[word];
            if taken != u64::MAX {
                return Some(word as u32 * u64::BITS + taken.trailing_ones());
            }
            self.full += 1;
        }
        None
    }

    fn give_back(&mut self, slot: u32) {
        let (word, bit) = bit_of(slot);
        debug_assert!(self.taken[word] & bit != 0, "slot {slot} is given back twice");
        self.taken[word] &= !bit;
        self.used -= 1;
        let from_start = (word + self.taken.len() - self.start) % self.taken.len();
        self.full = self.full.min(from_start);
    }
}

/// The word of a slot's bit, and the bit.
fn bit_of(slot: u32) -> (usize, u64) {
    ((slot / u64::BITS) as usize, 1 << (slot % u64::BITS))
}

/// Which slots are free, which are waiting.
pub(super) struct Slots {
    free: [FreeSlots; SLOT_CLASSES],
    waiting: Vec<(u8, u32)>,
}

impl Slots {
    /// All free.
    pub(super) fn new(sizes: &Sizes) -> Self {
        let ahead = |class| {
            if class == sizes.ahead.class {
                sizes.ahead.slots
            } else {
                0
            }
        };
        Self {
            free: std::array::from_fn(|class| FreeSlots::new(sizes.slots[class], ahead(class))),
            waiting: Vec::new(),
        }
    }

    /// Slots that wait for [`Slots::release_waiting`].
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Slots in use or waiting, by class.
    pub(super) fn used(&self) -> [u32; SLOT_CLASSES] {
        std::array::from_fn(|class| self.free[class].used)
    }

    /// Writes a body into a slot to which nothing refers yet. `None` where the class is full.
    pub(super) fn put(&mut self, memory: &Memory, body: &Body, rtype: u16, tag: u64, spot: Spot) -> Option<Reference> {
        let class = body.class()?;
        let ahead = memory.sizes.ahead;
        let is_ahead = spot == Spot::Ahead && (class, rtype) == (ahead.class, ahead.rtype) && ahead.slots > 0;
        let wanted = is_ahead.then(|| slots_ahead(class, tag, ahead.slots));
        let slot = self.free[class].take(wanted.into_iter().flatten())?;
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
        self.put(memory, &body, MORE, tag, Spot::Any)
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
            self.free[usize::from(class)].give_back(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Ahead;
    use super::*;

    #[test]
    fn every_slot_of_a_class_is_taken_once() {
        for (slots, ahead) in [(0, 0), (1, 0), (1, 1), (63, 40), (64, 64), (65, 0), (65, 65), (200, 70)] {
            let mut free = FreeSlots::new(slots, ahead);
            let mut rest: BTreeSet<u32> = (0..slots).collect();
            for wanted in [150, 63, 63, 200, u32::MAX] {
                let is_free = rest.contains(&wanted);
                if let Some(slot) = free.take([wanted, wanted]) {
                    assert!(rest.remove(&slot), "{slot} of {slots} was taken before");
                    assert!(slot == wanted || !is_free, "{slot} for {wanted}");
                }
            }
            while let Some(slot) = free.take([]) {
                assert!(rest.remove(&slot), "{slot} of {slots} was taken before");
            }
            assert!(rest.is_empty() && free.used == slots, "{rest:?} of {slots} are left");
            // Several at once, in each order.
            let last = slots.saturating_sub(1);
            for several in [[0, last / 2, last], [last, last / 2, 0], [last / 2, last, 0]] {
                let mut given_back = BTreeSet::new();
                for slot in several {
                    if slot < slots && given_back.insert(slot) {
                        free.give_back(slot);
                    }
                }
                let taken: BTreeSet<u32> = std::iter::from_fn(|| free.take([])).collect();
                assert_eq!((taken, free.used), (given_back, slots));
            }
        }
    }

    #[test]
    fn others_are_taken_behind_those_that_are_asked_for_ahead() {
        let mut free = FreeSlots::new(300, 100);
        let taken: Vec<u32> = std::iter::from_fn(|| free.take([])).collect();
        assert_eq!(taken, (128..300).chain(0..128).collect::<Vec<u32>>());
    }

    #[test]
    fn answers_of_one_type_are_put_where_they_are_asked_for_ahead() {
        let body = Body {
            octets: vec![7; 60],
            counts: [1, 0, 0],
            flags: 0,
            pointers: Vec::new(),
            serial: None,
            order: None,
            base_bytes: 9,
        };
        let memory = |ahead| {
            let sizes = Sizes {
                lines: 1,
                slots: [2000; SLOT_CLASSES],
                ahead: Ahead::NONE,
                zones: 1,
                prefixes: 0,
            };
            let mut memory = Memory::on_heap(sizes).expect("memory");
            memory.sizes.ahead = ahead;
            memory
        };
        let found = |ahead: Ahead, spot: Spot| {
            let memory = memory(ahead);
            let mut slots = Slots::new(&memory.sizes);
            let tags = (1..=800u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let found = tags.filter(|&tag| {
                slots.put(&memory, &body, 15, tag, spot).expect("room");
                let put = slots.put(&memory, &body, 16, tag, spot).expect("room");
                slots_ahead(0, tag, 1001).contains(&put.slot)
            });
            let found = found.count();
            assert_eq!(slots.used()[0], 1600);
            found
        };
        let ahead = |class| Ahead {
            class,
            slots: 1001,
            rtype: 16,
        };
        // Eight of ten by chance; nearly none where nobody looks.
        assert!(found(ahead(0), Spot::Ahead) > 600);
        assert!(found(ahead(0), Spot::Any) < 40);
        assert!(found(ahead(1), Spot::Ahead) < 40);
        assert!(found(Ahead::NONE, Spot::Ahead) < 40);
    }
}
