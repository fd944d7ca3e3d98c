//! Ready answers that do not fit a line: written once while nothing refers to them, in a few size classes.
//!
//! ```text
//! word 0   tag: whose answer
//! word 1   octets of the body (16) │ ANCOUNT (16) │ NSCOUNT (16) │ ARCOUNT without OPT (16)
//! word 2   one's-complement sum (16) │ header flags: AA, rcode (16) │ pointers (16) │ offset of a serial (16)
//! word 3   zone whose serial goes there (32) │ octets of the base name (32)
//! word 4   order (8) │ RRs that it is of (8) │ offset of the first one's RDATA (16) │ octets from one to the next (16)
//! octets   the body: everything after the question; then the pointers' offsets, 2 octets each, host order; then what a
//!          weighted order has ([`crate::order::WEIGHT_NUMBERS`])
//! ```
//!
//! A body is compiled for a question whose name is the *base*: the owner itself (exact answers), the closest
//! encloser (wildcards), the zone's apex (negatives) or the cut (referrals). For a longer question the listed
//! compression pointers are raised by the difference.

use bytemuck::{Pod, Zeroable};

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
    /// How many pointers follow the body.
    pub pointers: u16,
    /// Where in the body a SOA serial is patched; [`NO_SERIAL`] for nowhere.
    pub serial_at: u16,
    /// The zone whose serial it is.
    pub zone: u32,
    /// Octets of the name that the body was compiled for, root label included.
    pub base_bytes: u32,
    /// How the RRs of the answer's last RRset are ordered ([`crate::order::kind`]).
    pub order: u8,
    /// How many RRs those are, where they are not as given.
    pub order_count: u8,
    /// Where in the body the RDATA of the first of them is.
    pub order_at: u16,
    /// Octets from one RDATA to the next: all that is ordered has RDATA of four or of sixteen octets.
    pub order_step: u16,
    /// Zero.
    pub unused: u16,
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
