//! Names in cache lines: one name with all its types, or two that need little room.
//!
//! ```text
//!          two names                                    one wide name
//! word 0   version (23, odd while it is written) │ lacking (1) │ overflow (1) │ directory (3 × 13: fingerprint, step)
//! word 1   tag of the first: which name                 tag
//! word 2   tag of the second                            cell 1
//! word 3   flags (32) │ zone (32) of the first          flags │ zone
//! word 4   flags (32) │ zone (32) of the second         cell 2
//! word 5   TTL of the first │ of the second             TTL
//! word 6   the cell of the first                        cell 0
//! word 7   the cell of the second                       cell 3
//! ```
//!
//! A cell is a reference, or two A addresses, or half of an AAAA address. References fill a name's cells from 0
//! upwards; inline addresses from 3 downwards, an AAAA before the A. What does not fit makes the name *incomplete*.
//! Most names of large zones need one cell: with two of them in a line, half as much memory is walked over, and half as
//! much of it missed by the caches.
//!
//! Word 0 belongs to the position and survives its occupants: the directory says where names live whose home this is.

use bytemuck::{Pod, Zeroable};

use crate::hash::NameHash;
use crate::opaque::opaque;

/// Words of a line.
pub const LINE_WORDS: usize = 8;
/// Octets of a line.
pub const LINE_BYTES: usize = 64;
/// Entries of a line's directory.
pub const DIRECTORY_ENTRIES: usize = 3;
/// The most steps from its home that a name may live.
pub const MAX_STEP: u8 = 127;
/// Words that hold a wide name's inline answers and references.
pub const CELLS: usize = 4;
/// The zone of a name that belongs to none.
pub const NO_ZONE: u32 = u32::MAX;

/// The bits of word 0 that are the version.
const VERSION: u64 = 0x7F_FFFF;
/// The bit of word 0 that says that a name whose second home this is has no place.
pub const LACKING: u64 = 1 << 23;
/// The bit of word 0 that says that more names have their home here than the directory can list.
pub const OVERFLOW: u64 = 1 << 24;
const DIRECTORY_SHIFT: usize = 25;
const ENTRY_BITS: usize = 13;
const ENTRY: u64 = (1 << ENTRY_BITS) - 1;
const STEP_BITS: usize = 7;

/// Flags of a name.
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
    /// The name has the whole line, and so four cells.
    pub const WIDE: u32 = 1 << 10;
    /// One AAAA is inline, in cells 2 and 3.
    pub const INLINE_AAAA: u32 = 1 << 11;
    /// Shift of the number of inline A (0 to 4).
    pub const INLINE_A_SHIFT: u32 = 12;
    /// Shift of the number of references (0 to 4).
    pub const REFERENCES_SHIFT: u32 = 16;
    /// A sparse area begins here: below it only names with data have lines. For counting; such a name has PASS_BELOW.
    pub const SPARSE: u32 = 1 << 20;
    /// Cell 0 refers to a slot with more references.
    pub const LISTS: u32 = 1 << 21;
    /// In some view another line, under the name's hash in that view, says what this name has.
    pub const VIEWED: u32 = 1 << 25;
    /// The name is only in views: whoever is in none that has a line for it does not see it.
    pub const GHOST: u32 = 1 << 26;
    /// Who may ask is for the zone's access list to say.
    pub const GUARDED: u32 = 1 << 24;
    /// Shift of the order of the inline A ([`crate::order::kind`], never weighted nor by hash).
    pub const ORDER_SHIFT: u32 = 28;
    /// The inline A are not answered as given.
    pub const ORDERED: u32 = 3 << ORDER_SHIFT;
    /// The wildcard below this name stands for names of one label more alone.
    pub const ONE_LABEL_WILDCARD: u32 = 1 << 30;
}

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
/// The type of the reference to a slot with the references for which a name has no cells: ANY, which is never looked
/// up. It is in cell 0 ([`flag::LISTS`]).
pub const MORE: u16 = 255;
/// The word of no reference. Words, not options: of these the compiler leaves a part unset that verifiers want to see
/// set.
pub const NO_REFERENCE: u64 = u64::MAX;
/// The most references in such a slot.
pub const MOST_LISTED: usize = 64;

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

/// What a line has of one name, wherever in it that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Occupant {
    /// Which name.
    pub tag: u64,
    /// [`flag`]s.
    pub flags: u32,
    /// The zone's index, or [`NO_ZONE`].
    pub zone: u32,
    /// The TTL of the inline answers, in seconds.
    pub ttl: u32,
    /// Zero.
    pub unused: u32,
    /// References from the front, inline addresses from the back. A name that is not wide has one cell, which stands
    /// both first and last; what is between is any value.
    pub cells: [u64; CELLS],
}

impl Occupant {
    /// Nobody.
    pub const NONE: Self = Self {
        tag: 0,
        flags: 0,
        zone: 0,
        ttl: 0,
        unused: 0,
        cells: [0; CELLS],
    };

    /// Whether it has the whole line.
    #[inline(always)]
    pub const fn is_wide(&self) -> bool {
        self.flags & flag::WIDE != 0
    }

    /// Number of A addresses inline.
    #[inline(always)]
    pub const fn inline_a(&self) -> u32 {
        (self.flags >> flag::INLINE_A_SHIFT) & 0x7
    }

    /// How the inline A are ordered.
    #[inline(always)]
    pub const fn order(&self) -> u8 {
        ((self.flags & flag::ORDERED) >> flag::ORDER_SHIFT) as u8
    }

    /// The inline A addresses, each as it lies in memory: A0 A1 in the low and high half of the first word, A2 A3 in
    /// the second.
    #[inline(always)]
    pub const fn inline_a_words(&self) -> (u64, u64) {
        if self.flags & flag::INLINE_AAAA != 0 {
            (self.cells[1], self.cells[0])
        } else {
            (self.cells[3], self.cells[2])
        }
    }

    /// Number of references.
    #[inline(always)]
    pub const fn references(&self) -> u32 {
        (self.flags >> flag::REFERENCES_SHIFT) & 0x7
    }

    /// The reference for `rtype` in the name's cells, as a word; [`NO_REFERENCE`] where there is none.
    #[inline(always)]
    pub fn reference(&self, rtype: u16) -> u64 {
        let count = self.references();
        // Constant indexes: a loop would cost the verifier states.
        if count > 0 && self.cells[0] as u16 == rtype {
            return self.cells[0];
        }
        if count > 1 && self.cells[1] as u16 == rtype {
            return self.cells[1];
        }
        if count > 2 && self.cells[2] as u16 == rtype {
            return self.cells[2];
        }
        if count > 3 && self.cells[3] as u16 == rtype {
            return self.cells[3];
        }
        NO_REFERENCE
    }

    #[inline(always)]
    const fn flags_and_zone(&self) -> u64 {
        self.flags as u64 | (self.zone as u64) << 32
    }
}

/// Which of a line's two names; a wide one is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The first.
    First,
    /// The second.
    Second,
}

/// A stable copy of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Line(pub [u64; LINE_WORDS]);

impl Line {
    /// A position where nothing lives.
    pub const EMPTY: Line = Line([0; LINE_WORDS]);

    /// Copies what the line has of the name with this hash; nothing where it has nothing of it, or where that has one
    /// of the flags `but`.
    ///
    /// Which half it is makes no branch: the processor cannot foresee it, and would undo all that it has done ahead
    /// while the line came from memory.
    #[inline(always)]
    pub fn take(&self, hash: NameHash, but: u32, to: &mut Occupant) -> Held {
        let words = &self.0;
        // Where a wide name lives, the second tag is a cell.
        let is_wide = all_ones_if(words[3] >> WIDE_BIT & 1);
        let first = differs(words[1], hash.tag);
        let second = differs(words[2], hash.tag) | is_wide & 1;
        if first & second != 0 {
            return Held::Not;
        }
        let second = all_ones_if(first);
        let flags_and_zone = select(second, words[3], words[4]);
        let flags = flags_and_zone as u32;
        if flags & flag::OCCUPIED == 0 {
            return Held::Not;
        }
        if flags & but != 0 {
            return Held::But;
        }
        let cell = select(second, words[6], words[7]);
        to.tag = hash.tag;
        to.flags = flags;
        to.zone = (flags_and_zone >> 32) as u32;
        to.ttl = (words[5] >> (second & 32)) as u32;
        to.cells[0] = cell;
        to.cells[1] = words[2];
        to.cells[2] = words[4];
        to.cells[3] = select(is_wide, cell, words[7]);
        Held::Taken
    }

    /// The directory entry at `entry`: fingerprint, and step from the home (0: no entry).
    #[inline(always)]
    pub const fn directory(&self, entry: usize) -> (u8, u8) {
        let bits = self.0[0] >> (DIRECTORY_SHIFT + ENTRY_BITS * entry) & ENTRY;
        ((bits >> STEP_BITS) as u8, (bits & MAX_STEP as u64) as u8)
    }

    /// Writes a directory entry; a step of 0 takes it away.
    pub const fn set_directory(&mut self, entry: usize, fingerprint: u8, step: u8) {
        let shift = DIRECTORY_SHIFT + ENTRY_BITS * entry;
        let bits = match step {
            0 => 0,
            _ => (fingerprint as u64) << STEP_BITS | step as u64,
        };
        self.0[0] = self.0[0] & !(ENTRY << shift) | (bits & ENTRY) << shift;
    }

    /// Whether a name that is not there may have no place: `of` is [`OVERFLOW`] for one whose home this is, [`LACKING`]
    /// for one whose second home.
    #[inline(always)]
    pub const fn is_unsure(&self, of: u64) -> bool {
        self.0[0] & of != 0
    }

    /// Word 0 of the line with a version one on from that of `old`: odd before the line is written, even afterwards.
    pub const fn next_version(word: u64, old: u64) -> u64 {
        word & !VERSION | (old + 1) & VERSION
    }

    /// Who lives in this half.
    pub const fn occupant(&self, half: Half) -> Option<Occupant> {
        let words = &self.0;
        let is_wide = words[3] as u32 & flag::WIDE != 0;
        let (tag, flags_and_zone, ttl, cell) = match half {
            Half::First => (words[1], words[3], words[5] as u32, words[6]),
            Half::Second if is_wide => return None,
            Half::Second => (words[2], words[4], (words[5] >> 32) as u32, words[7]),
        };
        let flags = flags_and_zone as u32;
        if flags & flag::OCCUPIED == 0 {
            return None;
        }
        Some(Occupant {
            tag,
            flags,
            zone: (flags_and_zone >> 32) as u32,
            ttl,
            unused: 0,
            cells: if is_wide {
                [cell, words[2], words[4], words[7]]
            } else {
                [cell, 0, 0, cell]
            },
        })
    }

    /// The half in which the name with this tag lives.
    pub fn half_of(&self, tag: u64) -> Option<Half> {
        let is_there = |half: &Half| self.occupant(*half).is_some_and(|occupant| occupant.tag == tag);
        [Half::First, Half::Second].into_iter().find(is_there)
    }

    /// A half with room for one more, which is wide or not.
    pub const fn room(&self, is_wide: bool) -> Option<Half> {
        let first = self.occupant(Half::First);
        let second = self.occupant(Half::Second);
        match (first, second) {
            (None, None) => Some(Half::First),
            (Some(first), None) if !is_wide && !first.is_wide() => Some(Half::Second),
            (None, Some(_)) if !is_wide => Some(Half::First),
            _ => None,
        }
    }

    /// Takes out who lives in this half.
    pub const fn clear(&mut self, half: Half) {
        let words = &mut self.0;
        match half {
            Half::First => {
                if words[3] as u32 & flag::WIDE != 0 {
                    (words[2], words[4], words[5], words[7]) = (0, 0, 0, 0);
                }
                (words[1], words[3], words[6]) = (0, 0, 0);
                words[5] &= !0xFFFF_FFFF;
            }
            Half::Second => {
                (words[2], words[4], words[7]) = (0, 0, 0);
                words[5] &= 0xFFFF_FFFF;
            }
        }
    }

    /// Puts a name into an empty half; a wide one, into an empty line. A name that is not wide has its one cell first
    /// or last, and zero in the others.
    pub const fn set(&mut self, half: Half, occupant: &Occupant) {
        let words = &mut self.0;
        let [c0, c1, c2, c3] = occupant.cells;
        if occupant.is_wide() {
            (words[1], words[3], words[5]) = (occupant.tag, occupant.flags_and_zone(), occupant.ttl as u64);
            (words[6], words[2], words[4], words[7]) = (c0, c1, c2, c3);
            return;
        }
        match half {
            Half::First => {
                (words[1], words[3], words[6]) = (occupant.tag, occupant.flags_and_zone(), c0 | c3);
                words[5] = words[5] & !0xFFFF_FFFF | occupant.ttl as u64;
            }
            Half::Second => {
                (words[2], words[4], words[7]) = (occupant.tag, occupant.flags_and_zone(), c0 | c3);
                words[5] = words[5] & 0xFFFF_FFFF | (occupant.ttl as u64) << 32;
            }
        }
    }
}

/// How many lines a step is from the home: 1, 3, 6, 10 and so on. With equal steps full lines would lie in long runs.
#[inline(always)]
pub const fn distance(step: u8) -> u32 {
    let step = step as u32;
    step * (step + 1) / 2
}

/// What [`Line::take`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The name, which was copied.
    Taken,
    /// The name, with one of the flags that are not wanted.
    But,
    /// Not the name.
    Not,
}

const WIDE_BIT: u32 = flag::WIDE.trailing_zeros();

/// 0 where the words are equal, else 1. Opaque, as the masks below: the compiler for the kernel has no conditional
/// moves, and would make branches of what is computed from it.
#[inline(always)]
fn differs(one: u64, other: u64) -> u64 {
    let bits = one ^ other;
    opaque(bits | bits.wrapping_neg()) >> 63
}

/// All ones for 1, 0 for 0.
#[inline(always)]
fn all_ones_if(bit: u64) -> u64 {
    opaque(bit).wrapping_neg()
}

/// The first where `mask` is 0, the second where it is all ones.
#[inline(always)]
const fn select(mask: u64, first: u64, second: u64) -> u64 {
    first ^ (first ^ second) & mask
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

    fn hash(tag: u64) -> NameHash {
        NameHash { tag, spread: 0 }
    }

    /// An occupant of which every part says whose it is.
    fn occupant(tag: u64, is_wide: bool) -> Occupant {
        let cells = |wide| if is_wide { wide } else { 0 };
        Occupant {
            tag,
            flags: flag::OCCUPIED | if is_wide { flag::WIDE } else { 0 },
            zone: tag as u32 + 1,
            ttl: tag as u32 + 2,
            unused: 0,
            cells: [tag + 3, cells(tag + 4), cells(tag + 5), cells(tag + 6)],
        }
    }

    fn taken(line: &Line, tag: u64) -> Option<Occupant> {
        let mut to = Occupant::NONE;
        let held = line.take(hash(tag), 0, &mut to);
        if held == Held::Taken { Some(to) } else { None }
    }

    #[test]
    fn a_name_is_found_in_either_half() {
        let mut line = Line::EMPTY;
        assert_eq!(
            (line.room(true), line.room(false)),
            (Some(Half::First), Some(Half::First))
        );
        line.set(Half::First, &occupant(100, false));
        assert_eq!((line.room(true), line.room(false)), (None, Some(Half::Second)));
        line.set(Half::Second, &occupant(200, false));
        assert_eq!((line.room(true), line.room(false)), (None, None));
        for (tag, half) in [(100, Half::First), (200, Half::Second)] {
            let found = taken(&line, tag).expect("it is there");
            let expected = line.occupant(half).expect("it is there");
            assert_eq!(
                (found.tag, found.flags, found.zone, found.ttl),
                (tag, expected.flags, tag as u32 + 1, tag as u32 + 2)
            );
            assert_eq!((found.cells[0], found.cells[3]), (tag + 3, tag + 3));
            assert_eq!(line.half_of(tag), Some(half));
            assert_eq!(
                line.take(hash(tag), flag::OCCUPIED, &mut Occupant::NONE.clone()),
                Held::But
            );
        }
        assert_eq!((taken(&line, 300), taken(&line, 0)), (None, None));
        line.clear(Half::First);
        assert_eq!((taken(&line, 100), line.room(false)), (None, Some(Half::First)));
        assert_eq!(line.occupant(Half::Second).map(|found| found.ttl), Some(202));
        line.clear(Half::Second);
        assert_eq!(line, Line::EMPTY);
    }

    #[test]
    fn a_wide_name_has_the_line() {
        let mut line = Line::EMPTY;
        let wide = occupant(100, true);
        line.set(Half::First, &wide);
        assert_eq!(taken(&line, 100), Some(wide));
        assert_eq!(line.occupant(Half::First), Some(wide));
        // Its second cell lies where another name's tag would.
        assert_eq!((taken(&line, 104), line.half_of(104)), (None, None));
        assert_eq!((line.room(true), line.room(false)), (None, None));
        line.clear(Half::First);
        assert_eq!(line, Line::EMPTY);
    }

    #[test]
    fn an_occupant_has_what_it_lists() {
        let mx = Reference {
            rtype: 15,
            class: 1,
            slot: 9,
        };
        let occupant = Occupant {
            flags: flag::OCCUPIED | 1 << flag::REFERENCES_SHIFT | 2 << flag::INLINE_A_SHIFT,
            cells: [mx.to_word(), 0, 0, 0],
            ..Occupant::NONE
        };
        assert_eq!((occupant.inline_a(), occupant.references()), (2, 1));
        assert_eq!(occupant.reference(15), mx.to_word());
        assert_eq!(occupant.reference(0), NO_REFERENCE);
    }

    #[test]
    fn directory_and_version_share_a_word() {
        let mut line = Line::EMPTY;
        line.0[0] = 0x7F_FFFF;
        line.set_directory(1, 0x3F, 127);
        line.set_directory(2, 0x15, 5);
        assert_eq!(
            (line.directory(0), line.directory(1), line.directory(2)),
            ((0, 0), (0x3F, 127), (0x15, 5))
        );
        assert!(!line.is_unsure(OVERFLOW));
        line.0[0] = Line::next_version(line.0[0] | OVERFLOW, line.0[0]);
        assert_eq!(
            (line.0[0] & VERSION, line.is_unsure(OVERFLOW), line.directory(1)),
            (0, true, (0x3F, 127))
        );
        line.set_directory(1, 0x3F, 0);
        assert_eq!((line.directory(1), line.directory(2)), ((0, 0), (0x15, 5)));
    }
}
