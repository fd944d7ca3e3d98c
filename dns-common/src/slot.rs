//! Ready answers that do not fit a line: written once while nothing refers to them, in a few size classes.
//!
//! ```text
//! word 0   tag (32): whose answer │ octets of the body (16) │ one's-complement sum of the body (16)
//! word 1   ANCOUNT │ NSCOUNT │ ARCOUNT without OPT │ marks │ pointers │ order │ RRs that are ordered │
//!          octets of the base name (8 each)
//! word 2   eight places (8 each)
//! octets   the body: everything after the question; behind it the pointers' offsets where they are not in word 2,
//!          2 octets each, host order; then what a weighted order has ([`crate::order::WEIGHT_NUMBERS`])
//! ```
//!
//! The places are offsets of pointers. Where a serial is patched, the last two are its offset (16). Where the order is
//! drawn, the first two are the offset of the first RDATA that changes its place (16), and the next two the octets from
//! one to the next (16).
//!
//! A body is compiled for a question whose name is the *base*: the owner itself (exact answers), the closest
//! encloser (wildcards), the zone's apex (negatives) or the cut (referrals). For a longer question the listed
//! compression pointers are raised by the difference.
//!
//! Headers and classes are small so that common answers are: of 100,000 names, each octet is 100 KB more to be missed
//! by the caches.

use bytemuck::{Pod, Zeroable};

use crate::wire::flags;

/// Octets before the body.
pub const SLOT_HEADER_BYTES: usize = 24;
/// Octets of a slot, by class.
pub const CLASS_BYTES: [usize; SLOT_CLASSES] = [96, 160, 256, 512, 1024, 2048, 4096];
/// Number of size classes.
pub const SLOT_CLASSES: usize = 7;
/// Octets of an RR before its RDATA, where its owner is a pointer.
pub const RR_HEAD_BYTES: usize = 12;
/// The most pointers that are raised; answers with more are left to userspace.
pub const MAX_POINTERS: usize = 32;
/// Places in a header.
pub const PLACES: usize = 8;

/// The mark that a serial is patched, beside the flags of the reply.
const SERIAL: u8 = 0x40;
/// The mark that the offsets of all pointers are in the header.
const POINTERS: u8 = 0x80;
/// From which bit of the places the serial's offset is.
const SERIAL_SHIFT: u32 = 48;

/// The first three words of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct SlotHeader {
    /// Whose answer this is: [`name_tag`]; where a serial is patched, the zone whose serial it is.
    pub tag: u32,
    /// Octets of the body.
    pub body_bytes: u16,
    /// One's-complement sum of the body as big-endian words, as if it began at an even offset.
    pub sum: u16,
    /// ANCOUNT.
    pub answers: u8,
    /// NSCOUNT.
    pub authorities: u8,
    /// ARCOUNT without OPT.
    pub additionals: u8,
    /// AA, TC and rcode of the reply ([`marks_of`]), whether a serial is patched, and whether all pointers have places.
    pub marks: u8,
    /// How many pointers move.
    pub pointers: u8,
    /// How the RRs of the answer's last RRset are ordered ([`crate::order::kind`]).
    pub order: u8,
    /// How many RRs are ordered, where they are not as given.
    pub order_count: u8,
    /// Octets of the name that the body was compiled for, root label included.
    pub base_bytes: u8,
    /// See above.
    pub places: u64,
}

/// AA, TC and rcode of a reply as a header has them.
#[inline(always)]
pub const fn marks_of(flags: u16) -> u8 {
    (flags >> 5) as u8 & 0x30 | flags as u8 & 0x0F
}

const _: () = assert!(marks_of(flags::AA) == 0x20 && marks_of(flags::TC) == 0x10 && marks_of(flags::RCODE) == 0x0F);

/// What a slot's header keeps of a name's tag. A slot that lines still refer to is not used for another name: this only
/// has to notice what should not happen.
#[inline(always)]
pub const fn name_tag(tag: u64) -> u32 {
    (tag >> 32) as u32
}

/// The places of a header with these offsets of pointers, if there are enough of them, and beside a serial's offset.
pub fn places_of(pointers: &[u16], has_serial: bool) -> Option<u64> {
    let mut places = [0; PLACES];
    let room = if has_serial { PLACES - 2 } else { PLACES };
    for (place, &at) in places[..room].get_mut(..pointers.len())?.iter_mut().zip(pointers) {
        *place = u8::try_from(at).ok()?;
    }
    Some(u64::from_le_bytes(places))
}

impl SlotHeader {
    /// Of nothing.
    pub const NONE: Self = Self {
        tag: 0,
        body_bytes: 0,
        sum: 0,
        answers: 0,
        authorities: 0,
        additionals: 0,
        marks: 0,
        pointers: 0,
        order: 0,
        order_count: 0,
        base_bytes: 0,
        places: 0,
    };

    /// AA, TC and rcode, as in the header of the reply.
    #[inline(always)]
    pub const fn flags(&self) -> u16 {
        (self.marks as u16 & 0x30) << 5 | self.marks as u16 & 0x0F
    }

    /// Whether a serial is patched.
    #[inline(always)]
    pub const fn has_serial(&self) -> bool {
        self.marks & SERIAL != 0
    }

    /// Has a zone's serial patched in at this offset.
    pub const fn set_serial(&mut self, at: u16, zone: u32) {
        self.marks |= SERIAL;
        self.tag = zone;
        self.places |= (at as u64) << SERIAL_SHIFT;
    }

    /// Says that it is there.
    #[inline(always)]
    pub const fn clear_serial(&mut self) {
        self.marks &= !SERIAL;
    }

    /// Where in the body the serial goes.
    #[inline(always)]
    pub const fn serial_at(&self) -> u16 {
        (self.places >> SERIAL_SHIFT) as u16
    }

    /// Gives all pointers their places ([`places_of`]).
    pub const fn set_places(&mut self, places: u64) {
        self.marks |= POINTERS;
        self.places |= places;
    }

    /// Has the order of RRs drawn that begin at this offset, with so many octets from one to the next.
    pub const fn set_order(&mut self, kind: u8, count: u8, at: u16, step: u16) {
        self.order = kind;
        self.order_count = count;
        self.places |= at as u64 | (step as u64) << 16;
    }

    /// Whether the offsets of all pointers are here, and not behind the body: then the body is patched where it is
    /// sent.
    #[inline(always)]
    pub const fn has_places(&self) -> bool {
        self.marks & POINTERS != 0
    }

    /// Where in the body the RDATA of the first ordered RR is. All that is ordered has RDATA of four or of sixteen
    /// octets.
    #[inline(always)]
    pub const fn order_at(&self) -> u16 {
        self.places as u16
    }

    /// Octets from one ordered RDATA to the next.
    #[inline(always)]
    pub const fn order_step(&self) -> u16 {
        (self.places >> 16) as u16
    }
}

/// How many of the classes memory may be asked for ahead ([`crate::table::Table::ask_ahead`]): the smallest ones.
pub const AHEAD_CLASSES: usize = 3;
/// Words of the first of such slots ([`slots_ahead`]), and of the second, one in each line of the cache that they have.
pub const AHEAD_WORDS: [(&[usize], &[usize]); AHEAD_CLASSES] =
    [(&[0, 8], &[11]), (&[0, 8, 16], &[]), (&[0, 8, 16, 24], &[])];

/// One of these has the answer of the name with this tag, if it was free when that was put; among the first so many of
/// a class. They are the same one twice, but in the smallest class, where two neighbours fill three lines of the cache.
/// The second may be one beyond the last.
#[inline(always)]
pub const fn slots_ahead(class: usize, tag: u64, slots: u32) -> [u32; 2] {
    let slot = (((tag >> 16) as u32 as u64 * slots as u64) >> 32) as u32;
    if class == 0 {
        [slot & !1, slot | 1]
    } else {
        [slot, slot]
    }
}

/// A slot of `BODY` octets after its header.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Slot<const BODY: usize> {
    /// What it is.
    pub header: SlotHeader,
    /// Body and pointers.
    pub octets: [u8; BODY],
}

/// The smallest class that holds a body and `numbers` of two octets behind it: pointers and weights.
pub fn class_for(body_bytes: usize, numbers: usize) -> Option<usize> {
    let needed = SLOT_HEADER_BYTES + body_bytes.next_multiple_of(2) + 2 * numbers;
    CLASS_BYTES.iter().position(|&bytes| bytes >= needed)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;

    use super::*;
    use crate::order::kind;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<SlotHeader>(), SLOT_HEADER_BYTES);
        assert_eq!(core::mem::offset_of!(SlotHeader, answers), 8);
        assert_eq!(core::mem::offset_of!(SlotHeader, places), 16);
        assert_eq!(size_of::<Slot<72>>(), 96);
    }

    #[test]
    fn classes_hold_what_they_say() {
        assert_eq!(class_for(72, 0), Some(0));
        assert_eq!(class_for(71, 1), Some(1));
        assert_eq!(class_for(4072, 0), Some(6));
        assert_eq!(class_for(4073, 0), None);
    }

    #[test]
    fn words_ahead_are_in_all_lines_of_the_cache_once() {
        const LINE: usize = 8;
        for (class, (first_words, second_words)) in AHEAD_WORDS.into_iter().enumerate() {
            let words = CLASS_BYTES[class] / 8;
            for slots in 1..40 {
                for step in 0..=40u64 {
                    let tag = (step * u64::from(u32::MAX) / 40) << 16;
                    let [first, second] = slots_ahead(class, tag, slots);
                    assert!(first < slots && second <= slots && second - first <= 1);
                    let lines = |slot: u32| slot as usize * words / LINE..=((slot as usize + 1) * words - 1) / LINE;
                    let asked = |slot: u32, at: &'static [usize]| {
                        at.iter().map(move |at| {
                            assert!(*at < words);
                            (slot as usize * words + at) / LINE
                        })
                    };
                    let asked: BTreeSet<usize> = asked(first, first_words).chain(asked(second, second_words)).collect();
                    assert_eq!(asked, lines(first).chain(lines(second)).collect());
                    assert_eq!(asked.len(), first_words.len() + second_words.len());
                }
            }
        }
    }

    #[test]
    fn flags_go_in_and_out() {
        for flags in [0, flags::AA, flags::TC, flags::AA | 3, flags::REFUSED] {
            let header = SlotHeader {
                marks: marks_of(flags) | SERIAL,
                ..SlotHeader::NONE
            };
            assert_eq!(header.flags(), flags);
        }
    }

    #[test]
    fn a_serial_takes_the_places_of_two_pointers() {
        let mut header = SlotHeader {
            tag: 5,
            marks: marks_of(flags::AA | 3),
            pointers: 6,
            ..SlotHeader::NONE
        };
        assert!(!header.has_places());
        header.set_serial(777, 6);
        header.set_places(places_of(&[0, 255, 4, 5, 6, 7], true).expect("six places"));
        assert_eq!(
            (header.tag, header.serial_at(), header.flags()),
            (6, 777, flags::AA | 3)
        );
        assert_eq!((header.places as u8, header.places as u16 >> 8), (0, 255));
        header.clear_serial();
        assert!(!header.has_serial() && header.has_places() && header.flags() == flags::AA | 3);
        assert_eq!(places_of(&[1; 7], true), None);
        assert_eq!(places_of(&[1; 8], false), Some(0x0101_0101_0101_0101));
        assert_eq!((places_of(&[1; 9], false), places_of(&[256], false)), (None, None));
        let mut header = SlotHeader::NONE;
        header.set_order(kind::ROTATE, 3, 300, 28);
        assert_eq!(
            (header.order_at(), header.order_step(), header.has_places()),
            (300, 28, false)
        );
    }
}
