//! One name in one cache line: all its types together.
//!
//! ```text
//! word 0   version (32, odd while it is written) │ flags (32)
//! word 1   tag (64): which name
//! word 2   directory (4 × 16): where names live whose home this is
//! word 3   zone (32) │ TTL of the inline answers (32)
//! word 4   a reference, or A2 A3          without an inline AAAA:  a reference
//! word 5   a reference, or A0 A1                                   a reference
//! word 6   the first half of an AAAA                               a reference, or A2 A3
//! word 7   the second half                                         a reference, or A0 A1
//! ```
//!
//! References fill words from 4 upwards, inline addresses from 7 downwards; what does not fit makes the line
//! *incomplete*. Directory and the overflow flag belong to the position and survive its occupant.

use crate::hash::NameHash;

/// Words of a line.
pub const LINE_WORDS: usize = 8;
/// Octets of a line.
pub const LINE_BYTES: usize = 64;
/// Entries of a line's directory.
pub const DIRECTORY_ENTRIES: usize = 4;
/// Words of a line that hold inline answers and references.
pub const CELLS: usize = 4;
/// The zone of a line that belongs to none.
pub const NO_ZONE: u32 = u32::MAX;

/// Flags of a line, in the high half of word 0.
pub mod flag {
    /// A name lives here.
    pub const OCCUPIED: u32 = 1;
    /// The name is the apex of a zone.
    pub const APEX: u32 = 1 << 1;
    /// A zone cut: this name and all below get a referral.
    pub const CUT: u32 = 1 << 2;
    /// The name owns a DNAME: what is below passes.
    pub const DNAME: u32 = 1 << 3;
    /// Types not listed get the answer listed under type 0: that of a CNAME, or a NODATA of the name's own.
    pub const CNAME: u32 = 1 << 4;
    /// `*.` of this name has a line.
    pub const WILDCARD_CHILD: u32 = 1 << 5;
    /// Above or beside our zones: only an ancestor of something of ours.
    pub const NOT_OURS: u32 = 1 << 6;
    /// The name passes.
    pub const PASS_SELF: u32 = 1 << 7;
    /// What is below the name, and has no line, passes.
    pub const PASS_BELOW: u32 = 1 << 8;
    /// Types that are not listed pass.
    pub const INCOMPLETE: u32 = 1 << 9;
    /// Belongs to the position: more names have their home here than the directory can list.
    pub const OVERFLOW: u32 = 1 << 10;
    /// One AAAA is inline, in words 6 and 7.
    pub const INLINE_AAAA: u32 = 1 << 11;
    /// Shift of the number of inline A (0 to 4).
    pub const INLINE_A_SHIFT: u32 = 12;
    /// Shift of the number of references (0 to 4).
    pub const REFERENCES_SHIFT: u32 = 16;
    /// A sparse area begins here: below it only names with data have lines. For counting; such a name has PASS_BELOW.
    pub const SPARSE: u32 = 1 << 20;
    /// In some view another line, under the name's hash in that view, says what this name has.
    pub const VIEWED: u32 = 1 << 25;
    /// The name is only in views: whoever is in none that has a line for it does not see it.
    pub const GHOST: u32 = 1 << 26;
    /// Who may ask is for the zone's access list to say.
    pub const GUARDED: u32 = 1 << 24;
    /// Shift of the order of the inline A ([`crate::order::kind`], never weighted).
    pub const ORDER_SHIFT: u32 = 28;
    /// The inline A are not answered as given.
    pub const ORDERED: u32 = 3 << ORDER_SHIFT;
    /// The wildcard below this name stands for names of one label more alone.
    pub const ONE_LABEL_WILDCARD: u32 = 1 << 30;
    /// What belongs to the position.
    pub const OF_POSITION: u32 = OVERFLOW;
}

/// A stable copy of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Line(pub [u64; LINE_WORDS]);

/// Where a ready answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The type it answers; 0 for "every type not listed", [`REFERRAL`] for the referral of a cut.
    pub rtype: u16,
    /// Which size class.
    pub class: u8,
    /// Which slot of the class.
    pub slot: u32,
}

/// The type under which a cut lists its referral.
pub const REFERRAL: u16 = 0xFFFF;

impl Reference {
    /// As a word of a line.
    pub const fn to_word(self) -> u64 {
        self.rtype as u64 | (self.class as u64) << 16 | (self.slot as u64) << 32
    }

    /// From a word of a line.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            rtype: word as u16,
            class: (word >> 16) as u8,
            slot: (word >> 32) as u32,
        }
    }
}

impl Line {
    /// A position where nothing lives.
    pub const EMPTY: Line = Line([0; LINE_WORDS]);

    /// The flags.
    #[inline(always)]
    pub const fn flags(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// Which name.
    #[inline(always)]
    pub const fn tag(&self) -> u64 {
        self.0[1]
    }

    /// The zone's index, or [`NO_ZONE`].
    #[inline(always)]
    pub const fn zone(&self) -> u32 {
        self.0[3] as u32
    }

    /// The TTL of the inline answers, in seconds.
    #[inline(always)]
    pub const fn ttl(&self) -> u32 {
        (self.0[3] >> 32) as u32
    }

    /// Whether the name with this hash lives here.
    #[inline(always)]
    pub const fn holds(&self, hash: NameHash) -> bool {
        self.flags() & flag::OCCUPIED != 0 && self.tag() == hash.tag
    }

    /// Number of A addresses inline.
    #[inline(always)]
    pub const fn inline_a(&self) -> u32 {
        (self.flags() >> flag::INLINE_A_SHIFT) & 0x7
    }

    /// How the inline A are ordered.
    #[inline(always)]
    pub const fn order(&self) -> u8 {
        ((self.flags() & flag::ORDERED) >> flag::ORDER_SHIFT) as u8
    }

    /// The inline A addresses, each as it lies in memory: A0 A1 in the low and high half of the first word, A2 A3 in
    /// the second.
    #[inline(always)]
    pub const fn inline_a_words(&self) -> (u64, u64) {
        if self.flags() & flag::INLINE_AAAA != 0 {
            (self.0[5], self.0[4])
        } else {
            (self.0[7], self.0[6])
        }
    }

    /// Number of references.
    #[inline(always)]
    pub const fn references(&self) -> u32 {
        (self.flags() >> flag::REFERENCES_SHIFT) & 0x7
    }

    /// The directory entry at `entry`: fingerprint, and offset from the home (0: no entry).
    #[inline(always)]
    pub const fn directory(&self, entry: usize) -> (u8, u8) {
        let bits = (self.0[2] >> (16 * entry)) as u16;
        ((bits >> 8) as u8, bits as u8)
    }

    /// The reference for `rtype`, among those that are listed.
    #[inline(always)]
    pub fn reference(&self, rtype: u16) -> Option<Reference> {
        let count = self.references();
        // Constant indexes: a loop would cost the verifier states.
        if count > 0 && self.0[4] as u16 == rtype {
            return Some(Reference::from_word(self.0[4]));
        }
        if count > 1 && self.0[5] as u16 == rtype {
            return Some(Reference::from_word(self.0[5]));
        }
        if count > 2 && self.0[6] as u16 == rtype {
            return Some(Reference::from_word(self.0[6]));
        }
        if count > 3 && self.0[7] as u16 == rtype {
            return Some(Reference::from_word(self.0[7]));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip() {
        let reference = Reference {
            rtype: 65,
            class: 5,
            slot: 0x1234_5678,
        };
        assert_eq!(Reference::from_word(reference.to_word()), reference);
    }

    #[test]
    fn a_line_finds_what_it_lists() {
        let mut line = Line::EMPTY;
        let mx = Reference {
            rtype: 15,
            class: 1,
            slot: 9,
        };
        line.0[0] = (u64::from(flag::OCCUPIED | 1 << flag::REFERENCES_SHIFT | 2 << flag::INLINE_A_SHIFT)) << 32;
        line.0[4] = mx.to_word();
        assert_eq!((line.inline_a(), line.references()), (2, 1));
        assert_eq!(line.reference(15), Some(mx));
        assert_eq!(line.reference(0), None);
    }

    #[test]
    fn directory_entries_are_fingerprint_and_offset() {
        let mut line = Line::EMPTY;
        line.0[2] = 0xAB05_0000;
        assert_eq!(line.directory(1), (0xAB, 5));
        assert_eq!(line.directory(0), (0, 0));
    }
}
