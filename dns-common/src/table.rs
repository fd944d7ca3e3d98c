//! How the core sees a table: copies of lines, headers of slots, and one word per zone.

use crate::hash::{Keys, NameHash};
use crate::line::{LINE_WORDS, Reference};
use crate::scratch::PREPARED_WORDS;
use crate::slot::SlotHeader;

/// What a plane's memory must give.
///
/// Each method may be called at any moment while the one writer changes the table. A copy of a line is whole: of one
/// version, not being written; where there is none, `None`.
pub trait Table {
    /// The secrets under which the table's names are hashed.
    fn keys(&self) -> &Keys;
    /// Number of lines.
    fn lines(&self) -> u32;
    /// Asks memory for the slots where the answer of this type of the name with this hash may lie
    /// ([`crate::slot::slots_ahead`]), without waiting: they then come together with the line, and not after it.
    /// Nothing need be done.
    fn ask_ahead(&self, hash: NameHash, qtype: u16);
    /// A copy of the line at `index`.
    fn line(&self, index: u32) -> Option<[u64; LINE_WORDS]>;
    /// The word that is raised with every change of more than one line.
    fn epoch(&self) -> u64;
    /// No name of the table has more labels than this: what has more need not be looked for. Read after the epoch,
    /// which is raised before a deeper name comes.
    fn depth(&self) -> u32;
    /// Copies the header of a slot to where it is needed; false where there is no such slot.
    fn slot_header(&self, class: u32, slot: u32, to: &mut SlotHeader) -> bool;
    /// Copies the first `words` words behind a slot's header.
    fn copy_body(&self, class: u32, slot: u32, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool;
    /// Whether there are views.
    fn has_views(&self) -> bool;
    /// The number of the view that a client ([`crate::scratch::Scratch::client`]) is in; 0 for none.
    fn view(&self, client: &[u32; 6]) -> u32;
    /// The zone's words at `index`.
    fn zone(&self, index: u32) -> Option<ZoneEntry>;
}

/// Words of what is said of a whole table ([`word`]).
pub const EPOCH_WORDS: usize = 8;
/// Which of them is which.
pub mod word {
    /// The epoch.
    pub const EPOCH: usize = 0;
    /// The depth.
    pub const DEPTH: usize = 1;
    /// Which names are ours, by a number that is raised before that changes and after it: odd meanwhile
    /// ([`crate::hot`]).
    pub const GENERATION: usize = 2;
    /// For tests: the time by which kept answers age, in nanoseconds; 0: the machine's own.
    pub const FIXED_NOW: usize = 3;
}

/// What all names of a zone share. A reference is `None` while it is being changed, or where userspace answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneEntry {
    /// The zone's present serial.
    pub serial: u32,
    /// What a name without the asked type gets.
    pub nodata: Option<Reference>,
    /// What a name that does not exist gets.
    pub nxdomain: Option<Reference>,
}

/// Words of a zone's entry in memory: serial, NODATA and NXDOMAIN (0: none); the rest is unused.
pub const ZONE_WORDS: usize = 8;

impl ZoneEntry {
    /// From the words as they are in memory.
    #[inline(always)]
    pub const fn from_words(serial: u64, nodata: u64, nxdomain: u64) -> Self {
        Self {
            serial: serial as u32,
            nodata: reference(nodata),
            nxdomain: reference(nxdomain),
        }
    }
}

#[inline(always)]
const fn reference(word: u64) -> Option<Reference> {
    if word == 0 {
        None
    } else {
        Some(Reference::from_word(word))
    }
}
