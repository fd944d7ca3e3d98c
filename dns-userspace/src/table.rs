//! The answer table in memory: one writer, many readers.
//!
//! ```text
//!  TableWriter ──stores──► Memory (heap, or the XDP program's maps) ──loads──► TableReader (sockets)
//!                                                                     └──────► the XDP program
//! ```
//!
//! Layouts are `dns_common`'s. A line is written under its version word (odd meanwhile), so a reader either copies one
//! version of it whole, or passes. Slots are written while nothing refers to them; a freed one waits until every
//! reader that may still look at it has gone ([`TableWriter::reclaim`]).

mod grace;
mod hot;
mod memory;
mod slots;
mod writer;

pub use grace::find_grace_period;
pub use hot::{HotAnswer, HotPlace, HotWriter};
pub use memory::{Ahead, HotMemory, Memory, Region, Sizes, return_freed_memory};
pub use slots::{Body, BodyOrder};
pub use writer::{Entry, TableFull, TableWriter, ZoneNegatives};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use dns_common::hash::{Keys, NameHash};
use dns_common::line::LINE_WORDS;
use dns_common::scratch::PREPARED_WORDS;
use dns_common::slot::{CLASS_BYTES, SLOT_HEADER_BYTES, SlotHeader};
use dns_common::table::{Table, ZONE_WORDS, ZoneEntry, word};

use crate::model::views::Clients;

/// A table as sockets read it; the same memory as the XDP program's, where there is one.
#[derive(Clone)]
pub struct TableReader {
    /// The memory that both sides share.
    pub memory: Arc<Memory>,
    /// The secrets under which its names are hashed.
    pub keys: Arc<Keys>,
    /// Which client is in which view, as its lines know the views.
    pub clients: Arc<Clients>,
}

impl TableReader {
    /// Copies `out.len()` octets of a slot from `offset` behind its header. The caller checks afterwards that the
    /// epoch is still the one of its search.
    pub fn slot_octets(&self, class: usize, slot: u32, offset: usize, out: &mut [u8]) -> bool {
        let Some(region) = self.memory.slots.get(class) else {
            return false;
        };
        let start = slot as usize * CLASS_BYTES[class] + SLOT_HEADER_BYTES + offset;
        if offset + out.len() > CLASS_BYTES[class] - SLOT_HEADER_BYTES {
            return false;
        }
        region.copy_octets(start, out)
    }
}

impl TableReader {
    /// A copy of one version of a line.
    fn whole_line(&self, lines: &Region, index: u32) -> Option<[u64; LINE_WORDS]> {
        let line = lines.words(index as usize * LINE_WORDS, LINE_WORDS)?;
        let version = line[0].load(Ordering::Acquire);
        let mut words = [version; LINE_WORDS];
        for (copy, word) in words.iter_mut().zip(line).skip(1) {
            *copy = word.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        (version & 1 == 0 && line[0].load(Ordering::Relaxed) == version).then_some(words)
    }

    fn header_words(&self, class: usize, slot: u32) -> Option<&[AtomicU64]> {
        let region = self.memory.slots.get(class)?;
        region.words(slot as usize * (CLASS_BYTES[class] / 8), SLOT_HEADER_BYTES / 8)
    }
}

impl Table for TableReader {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn lines(&self) -> u32 {
        self.memory.sizes.lines
    }

    fn ask_ahead(&self, _: NameHash, _: u16) {}

    fn line(&self, index: u32) -> Option<[u64; LINE_WORDS]> {
        self.whole_line(&self.memory.lines, index)
    }

    fn epoch(&self) -> u64 {
        fence(Ordering::Acquire);
        self.memory.epoch_word(word::EPOCH).load(Ordering::Acquire)
    }

    fn depth(&self) -> u32 {
        self.memory.epoch_word(word::DEPTH).load(Ordering::Acquire) as u32
    }

    fn slot_header(&self, class: u32, slot: u32, to: &mut SlotHeader) -> bool {
        let words = self.header_words(class as usize, slot);
        let copy: &mut [u64; SLOT_HEADER_BYTES / 8] = bytemuck::cast_mut(to);
        for (copy, word) in copy.iter_mut().zip(words.into_iter().flatten()) {
            *copy = word.load(Ordering::Relaxed);
        }
        words.is_some()
    }

    fn copy_body(&self, class: u32, slot: u32, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool {
        let Some(to) = to.get_mut(..words as usize) else {
            return false;
        };
        self.slot_octets(class as usize, slot, 0, bytemuck::cast_slice_mut(to))
    }

    fn has_views(&self) -> bool {
        !self.clients.is_empty()
    }

    fn view(&self, client: &[u32; 6]) -> u32 {
        let mut address = [0; 16];
        address.copy_from_slice(&bytemuck::bytes_of(client)[4..20]);
        u32::from(self.clients.view_of_mapped(u128::from_be_bytes(address)))
    }

    fn zone(&self, index: u32) -> Option<ZoneEntry> {
        let words = self.memory.zones.words(index as usize * ZONE_WORDS, 3)?;
        Some(ZoneEntry::from_words(
            words[0].load(Ordering::Acquire),
            words[1].load(Ordering::Acquire),
            words[2].load(Ordering::Acquire),
        ))
    }
}
