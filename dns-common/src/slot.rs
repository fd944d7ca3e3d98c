//! Ready answers that do not fit a line: written once while nothing refers to them, in a few size classes.
//!
//! ```text
//! word 0   tag: whose answer
//! word 1   octets of the body (16) │ ANCOUNT (16) │ NSCOUNT (16) │ ARCOUNT without OPT (16)
//! word 2   one's-complement sum (16) │ header flags: AA, rcode (16) │ offset of a serial (16) │ pointers (8) │ order (8)
//! word 3   zone whose serial goes there (32) │ octets of the base name (16) │ RRs that are ordered (8)
//! word 4   offsets of up to four pointers (16 each)
//!          where there are more, or an order: offset of the first RDATA (16) │ octets from one to the next (16)
//! octets   the body: everything after the question; behind it the pointers' offsets that are not in word 4, 2 octets each,
//!          host order; then what a weighted order has ([`crate::order::WEIGHT_NUMBERS`])
//! ```
//!
//! A body is compiled for a question whose name is the *base*: the owner itself (exact answers), the closest
//! encloser (wildcards), the zone's apex (negatives) or the cut (referrals). For a longer question the listed
//! compression pointers are raised by the difference.

use bytemuck::{Pod, Zeroable};

use crate::order::kind;

/// Octets before the body.
pub const SLOT_HEADER_BYTES: usize = 40;
/// Octets of a slot, by class.
pub const CLASS_BYTES: [usize; SLOT_CLASSES] = [128, 256, 512, 1024, 2048, 4096];
/// Number of size classes.
pub const SLOT_CLASSES: usize = 6;
/// No serial is patched.
pub const NO_SERIAL: u16 = u16::MAX;
/// Octets of an RR before its RDATA, where its owner is a pointer.
pub const RR_HEAD_BYTES: usize = 12;
/// The most pointers that are raised; answers with more are left to userspace.
pub const MAX_POINTERS: usize = 32;
/// The most pointers of which the header has the places: then the body is patched where it is sent.
pub const HEADER_POINTERS: usize = 4;

/// The first five words of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SlotHeader {
    /// The tag of the name whose answer this is.
    pub tag: u64,
    /// Octets of the body.
    pub body_bytes: u16,
    /// ANCOUNT.
    pub answers: u16,
    /// NSCOUNT.
    pub authorities: u16,
    /// ARCOUNT without OPT.
    pub additionals: u16,
    /// One's-complement sum of the body as big-endian words, as if it began at an even offset.
    pub sum: u16,
    /// AA and rcode, as in the header of the reply.
    pub flags: u16,
    /// Where in the body a SOA serial is patched; [`NO_SERIAL`] for nowhere.
    pub serial_at: u16,
    /// How many pointers move.
    pub pointers: u8,
    /// How the RRs of the answer's last RRset are ordered ([`crate::order::kind`]).
    pub order: u8,
    /// The zone whose serial it is.
    pub zone: u32,
    /// Octets of the name that the body was compiled for, root label included.
    pub base_bytes: u16,
    /// How many RRs are ordered, where they are not as given.
    pub order_count: u8,
    /// Zero.
    pub unused: u8,
    /// Where in the body the pointers are, if [`SlotHeader::has_places`]. Else where the RDATA of the first ordered RR is, and
    /// how many octets it is from one RDATA to the next: all that is ordered has RDATA of four or of sixteen octets.
    pub places: [u16; HEADER_POINTERS],
}

impl SlotHeader {
    /// Whether the places of the pointers are here, and not behind the body.
    #[inline(always)]
    pub const fn has_places(&self) -> bool {
        self.order == kind::FIXED && self.pointers as usize <= HEADER_POINTERS
    }

    /// Where in the body the RDATA of the first ordered RR is.
    #[inline(always)]
    pub const fn order_at(&self) -> u16 {
        self.places[0]
    }

    /// Octets from one ordered RDATA to the next.
    #[inline(always)]
    pub const fn order_step(&self) -> u16 {
        self.places[1]
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
    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<SlotHeader>(), SLOT_HEADER_BYTES);
        assert_eq!(core::mem::offset_of!(SlotHeader, sum), 16);
        assert_eq!(core::mem::offset_of!(SlotHeader, zone), 24);
        assert_eq!(size_of::<Slot<88>>(), 128);
    }

    #[test]
    fn classes_hold_what_they_say() {
        assert_eq!(class_for(88, 0), Some(0));
        assert_eq!(class_for(87, 1), Some(1));
        assert_eq!(class_for(4056, 0), Some(5));
        assert_eq!(class_for(4057, 0), None);
    }
}
