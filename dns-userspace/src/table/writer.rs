//! The one writer of a table.
//!
//! A name lives in its home line, or within 255 lines behind it where an entry of the home's directory says; where
//! the directory is full, or no line is free, the home's overflow flag says so, and the name's second home stands for the
//! first; where that cannot take it either, misses pass. Lines are written in place under their version
//! word; the caller fences names that change together (see `publish`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use dns_common::hash::{Keys, NameHash, of_name_in_view};
use dns_common::line::{CELLS, DIRECTORY_ENTRIES, LINE_WORDS, Line, NO_ZONE, Reference, flag};
use dns_common::table::{Table, ZONE_WORDS};

use super::memory::grace_period;
use super::slots::{Body, Slots};
use super::{Memory, TableReader};
use crate::views::Clients;

/// Retired slots that are worth a grace period at once.
const RECLAIM_AT: usize = 4096;

/// What a line is to say of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// [`flag`]s of the name; inline and reference counts are the writer's.
    pub flags: u32,
    /// The zone's index, or [`NO_ZONE`].
    pub zone: u32,
    /// TTL of the inline answers.
    pub ttl: u32,
    /// A addresses to be answered inline; at most four. With an AAAA they must leave room in four cells.
    pub inline_a: Vec<[u8; 4]>,
    /// An AAAA address to be answered inline.
    pub inline_aaaa: Option<[u8; 16]>,
    /// Bodies by type, the most asked first; those that find no room make the line incomplete.
    pub bodies: Vec<(u16, Body)>,
}

impl Entry {
    /// A name with these flags and nothing else.
    pub fn bare(flags: u32) -> Self {
        Self {
            flags,
            zone: NO_ZONE,
            ttl: 0,
            inline_a: Vec::new(),
            inline_aaaa: None,
            bodies: Vec::new(),
        }
    }
}

/// The table has no room: a larger one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer table is full")]
pub struct TableFull;

/// NODATA and NXDOMAIN of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneNegatives {
    /// For a name without the asked type.
    pub nodata: Body,
    /// For a name that does not exist.
    pub nxdomain: Body,
}

/// The writer's side of a table.
pub struct TableWriter {
    reader: TableReader,
    slots: Slots,
    names: usize,
    sparse_areas: usize,
    /// Tags of the names whose answers found no room.
    left_out: HashSet<u64>,
}

impl TableWriter {
    /// A writer of empty memory. The memory must be this writer's alone to write.
    pub fn new(memory: Memory, keys: Keys) -> Self {
        let reader = TableReader {
            memory: Arc::new(memory),
            keys: Arc::new(keys),
            clients: Arc::default(),
        };
        Self {
            reader,
            slots: Slots::default(),
            names: 0,
            sparse_areas: 0,
            left_out: HashSet::new(),
        }
    }

    /// Says who is in which view, before anything is read.
    pub fn set_clients(&mut self, clients: Arc<Clients>) {
        self.reader.clients = clients;
    }

    /// The readers' side.
    pub fn reader(&self) -> &TableReader {
        &self.reader
    }

    /// Names in the table.
    pub fn names(&self) -> usize {
        self.names
    }

    /// Names that found no line, or no slot for an answer; they pass.
    pub fn unplaced(&self) -> usize {
        self.left_out.len()
    }

    /// Sparse areas, whose names alone have lines.
    pub fn sparse_areas(&self) -> usize {
        self.sparse_areas
    }

    /// Slots in use, by class.
    pub fn slots_used(&self) -> [u32; dns_common::slot::SLOT_CLASSES] {
        self.slots.used()
    }

    /// Whether the name has a line.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.find(self.hash(name, 0)).is_some()
    }

    /// Makes the name pass, in every view; inserts a passing line where it has none and `insert` says so.
    pub fn fence(&mut self, name: &[u8], insert: bool) {
        let hash = self.hash(name, 0);
        if let Some(index) = self.find(hash) {
            let mut words = self.copy(index);
            words[0] |= u64::from(flag::PASS_SELF | flag::PASS_BELOW) << 32;
            // Lines of views are found by way of this one.
            words[0] &= !(u64::from(flag::VIEWED | flag::GHOST) << 32);
            self.store_line(index, words);
        } else if insert && let Some(index) = self.place(hash) {
            self.write_entry(index, hash, flag::PASS_SELF | flag::PASS_BELOW, NO_ZONE, 0, [0; CELLS]);
        }
    }

    /// Writes what the line of a name says in a view; 0 is the default. A name that finds no line passes. So does one for whose answers slots run
    /// out, which is an error, since a larger table has them.
    pub fn put(&mut self, name: &[u8], view: u16, entry: &Entry) -> Result<(), TableFull> {
        let hash = self.hash(name, view);
        let Some(index) = self.find(hash).or_else(|| self.place(hash)) else {
            return Ok(());
        };
        self.left_out.remove(&hash.tag);
        let old = self.references(index);
        let mut flags = entry.flags & !flag::OF_POSITION | (entry.inline_a.len() as u32) << flag::INLINE_A_SHIFT;
        let mut cells = [0u64; CELLS];
        let mut room = CELLS;
        if let Some(address) = entry.inline_aaaa {
            flags |= flag::INLINE_AAAA;
            let (high, low) = address.split_at(8);
            cells[2] = u64::from_le_bytes(high.try_into().expect("half of sixteen octets"));
            cells[3] = u64::from_le_bytes(low.try_into().expect("half of sixteen octets"));
            room -= 2;
        }
        for pair in entry.inline_a.chunks(2) {
            room -= 1;
            for (at, address) in pair.iter().enumerate() {
                cells[room] |= u64::from(u32::from_le_bytes(*address)) << (32 * at);
            }
        }
        let mut used = 0;
        for (rtype, body) in &entry.bodies {
            if used == room || body.class().is_none() {
                flags |= flag::INCOMPLETE;
                continue;
            }
            let memory = &self.reader.memory;
            let mut reference = self.slots.put(memory, body, *rtype, hash.tag);
            if reference.is_none() && self.slots.waiting() > 0 {
                self.reclaim(true);
                reference = self.slots.put(&self.reader.memory, body, *rtype, hash.tag);
            }
            match reference {
                Some(reference) => {
                    cells[used] = reference.to_word();
                    used += 1;
                }
                None => {
                    let unused = cells[..used].iter().map(|&cell| Reference::from_word(cell));
                    for reference in unused.chain(old) {
                        self.slots.retire(reference);
                    }
                    self.write_entry(index, hash, flag::PASS_SELF | flag::PASS_BELOW, NO_ZONE, 0, [0; CELLS]);
                    self.left_out.insert(hash.tag);
                    return Err(TableFull);
                }
            }
        }
        flags |= (used as u32) << flag::REFERENCES_SHIFT;
        self.write_entry(index, hash, flags, entry.zone, entry.ttl, cells);
        for reference in old {
            self.slots.retire(reference);
        }
        Ok(())
    }

    /// Takes a name out of the table; of a view: then it is what it is in the default.
    pub fn remove(&mut self, name: &[u8], view: u16) {
        let hash = self.hash(name, view);
        self.left_out.remove(&hash.tag);
        let Some(index) = self.find(hash) else { return };
        for reference in self.references(index) {
            self.slots.retire(reference);
        }
        let mut words = self.copy(index);
        self.names -= 1;
        self.sparse_areas -= usize::from(Line(words).flags() & flag::SPARSE != 0);
        let of_position = u64::from((words[0] >> 32) as u32 & flag::OF_POSITION) << 32;
        words = [of_position, 0, words[2], 0, 0, 0, 0, 0];
        self.store_line(index, words);
        for home in self.homes(hash) {
            if index == home || self.leave_directory(home, hash, index) {
                break;
            }
        }
    }

    /// Takes a name that was at `index` out of a home's directory, if it is there.
    fn leave_directory(&mut self, home: u32, hash: NameHash, index: u32) -> bool {
        let mut words = self.copy(home);
        let entry = (0..DIRECTORY_ENTRIES).find(|&entry| {
            let (fingerprint, distance) = Line(words).directory(entry);
            fingerprint == hash.fingerprint() && u32::from(distance) == self.distance(home, index)
        });
        if let Some(entry) = entry {
            words[2] &= !(0xFFFF << (16 * entry));
            self.store_line(home, words);
        }
        entry.is_some()
    }

    /// Writes a zone's negatives, or takes them away. Where slots run out they are taken away, which is an error.
    pub fn set_negatives(&mut self, zone: u32, negatives: Option<&ZoneNegatives>) -> Result<(), TableFull> {
        let base = zone as usize * ZONE_WORDS;
        let memory = Arc::clone(&self.reader.memory);
        let words = memory.zones.words(base, 3).ok_or(TableFull)?;
        let mut new = [0u64; 2];
        let mut result = Ok(());
        if let Some(negatives) = negatives {
            for (word, body) in new.iter_mut().zip([&negatives.nodata, &negatives.nxdomain]) {
                // The type is any number but 0: a word of 0 says that there is none.
                match self.slots.put(&memory, body, 1, u64::from(zone)) {
                    Some(reference) => *word = reference.to_word(),
                    None if body.class().is_some() => result = Err(TableFull),
                    None => {}
                }
            }
        }
        for (word, new) in words[1..].iter().zip(new) {
            let old = word.swap(new, Ordering::AcqRel);
            if old != 0 {
                self.slots.retire(Reference::from_word(old));
            }
        }
        result
    }

    /// Says which serial a zone has now.
    pub fn set_serial(&self, zone: u32, serial: u32) {
        if let Some(words) = self.reader.memory.zones.words(zone as usize * ZONE_WORDS, 1) {
            words[0].store(u64::from(serial), Ordering::Release);
        }
    }

    /// Whether the line where the name would be found first is empty.
    pub fn is_home_free(&self, name: &[u8]) -> bool {
        let home = self.hash(name, 0).home(self.reader.lines());
        Line(self.copy(home)).flags() & flag::OCCUPIED == 0
    }

    /// Makes every query pass from now on: an odd epoch says that the table is not to be used.
    pub fn close(&self) {
        if let Some(words) = self.reader.memory.epoch.words(0, 1) {
            words[0].fetch_or(1, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
    }

    /// Lets a closed table be used (again).
    pub fn open(&self) {
        if let Some(words) = self.reader.memory.epoch.words(0, 1)
            && words[0].load(Ordering::Relaxed) & 1 != 0
        {
            words[0].fetch_add(1, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
    }

    /// Raises the epoch: searches over several lines that began before now pass.
    pub fn raise_epoch(&self) {
        if let Some(words) = self.reader.memory.epoch.words(0, 1) {
            words[0].fetch_add(2, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
    }

    /// Waits until no reader can still look at retired slots, and makes them free, if there are enough of them to be
    /// worth it (or `now`). The kernel's programs are waited for by `membarrier`, which is an RCU grace period;
    /// readers on sockets check the epoch after they have copied.
    pub fn reclaim(&mut self, now: bool) {
        let waiting = self.slots.waiting();
        if waiting == 0 || (!now && waiting < RECLAIM_AT) {
            return;
        }
        self.raise_epoch();
        if grace_period() {
            self.slots.release_waiting();
        }
    }

    fn hash(&self, name: &[u8], view: u16) -> NameHash {
        of_name_in_view(name, u32::from(view), &self.reader.keys)
    }

    fn line_words(&self, index: u32) -> &[AtomicU64] {
        let start = index as usize * LINE_WORDS;
        self.reader
            .memory
            .lines
            .words(start, LINE_WORDS)
            .expect("the index of a line of this table")
    }

    /// The line as it is; there is no other writer.
    fn copy(&self, index: u32) -> [u64; LINE_WORDS] {
        let words = self.line_words(index);
        std::array::from_fn(|at| words[at].load(Ordering::Relaxed))
    }

    fn references(&self, index: u32) -> Vec<Reference> {
        let words = self.copy(index);
        let count = Line(words).references() as usize;
        words[4..4 + count]
            .iter()
            .map(|&word| Reference::from_word(word))
            .collect()
    }

    fn find(&self, hash: NameHash) -> Option<u32> {
        let [first, second] = self.homes(hash);
        let overflows = || Line(self.copy(first)).flags() & flag::OVERFLOW != 0;
        self.find_from(first, hash)
            .or_else(|| overflows().then(|| self.find_from(second, hash))?)
    }

    fn find_from(&self, home: u32, hash: NameHash) -> Option<u32> {
        let lines = self.reader.lines();
        let line = Line(self.copy(home));
        if line.holds(hash) {
            return Some(home);
        }
        (0..DIRECTORY_ENTRIES).find_map(|entry| {
            let (fingerprint, distance) = line.directory(entry);
            let index = (home + u32::from(distance)) % lines;
            (distance != 0 && fingerprint == hash.fingerprint() && Line(self.copy(index)).holds(hash)).then_some(index)
        })
    }

    fn homes(&self, hash: NameHash) -> [u32; 2] {
        let lines = self.reader.lines();
        [hash.home(lines), hash.second_home(lines)]
    }

    /// Finds an empty line for a new name, from its first home or else from its second.
    fn place(&mut self, hash: NameHash) -> Option<u32> {
        let [first, second] = self.homes(hash);
        let index = self.place_from(first, hash).or_else(|| self.place_from(second, hash));
        if index.is_none() {
            self.left_out.insert(hash.tag);
        }
        index
    }

    /// Finds an empty line and enters it in the home's directory; where it cannot, the home overflows.
    fn place_from(&mut self, home: u32, hash: NameHash) -> Option<u32> {
        let lines = self.reader.lines();
        let mut words = self.copy(home);
        if Line(words).flags() & flag::OCCUPIED == 0 {
            return Some(home);
        }
        let entry = (0..DIRECTORY_ENTRIES).find(|&entry| Line(words).directory(entry).1 == 0);
        let index = (1..=255u32.min(lines - 1))
            .map(|distance| (home + distance) % lines)
            .find(|&index| Line(self.copy(index)).flags() & flag::OCCUPIED == 0);
        let (Some(entry), Some(index)) = (entry, index) else {
            words[0] |= u64::from(flag::OVERFLOW) << 32;
            self.store_line(home, words);
            return None;
        };
        let bits = u64::from(hash.fingerprint()) << 8 | u64::from(self.distance(home, index) as u8);
        words[2] |= bits << (16 * entry);
        // The name first, then the way to it: until then it is simply not there.
        self.write_entry(index, hash, flag::PASS_SELF | flag::PASS_BELOW, NO_ZONE, 0, [0; CELLS]);
        self.store_line(home, words);
        Some(index)
    }

    fn distance(&self, home: u32, index: u32) -> u32 {
        let lines = self.reader.lines();
        (index + lines - home) % lines
    }

    fn write_entry(&mut self, index: u32, hash: NameHash, flags: u32, zone: u32, ttl: u32, cells: [u64; CELLS]) {
        let old = self.copy(index);
        let kept = Line(old).flags() & flag::OF_POSITION;
        if Line(old).flags() & flag::OCCUPIED == 0 {
            self.names += 1;
        }
        self.sparse_areas -= usize::from(Line(old).flags() & flag::SPARSE != 0);
        self.sparse_areas += usize::from(flags & flag::SPARSE != 0);
        let flags = flags | kept | flag::OCCUPIED;
        let [c0, c1, c2, c3] = cells;
        let shared = u64::from(zone) | u64::from(ttl) << 32;
        self.store_line(
            index,
            [u64::from(flags) << 32, hash.tag, old[2], shared, c0, c1, c2, c3],
        );
    }

    /// Writes a line under its version: odd, then the words, then even. The version in `words` is ignored.
    fn store_line(&self, index: u32, words: [u64; LINE_WORDS]) {
        let line = self.line_words(index);
        let old = line[0].load(Ordering::Relaxed);
        let version = (old as u32).wrapping_add(1) | 1;
        line[0].store(old & !0xFFFF_FFFF | u64::from(version), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, new) in line.iter().zip(words).skip(1) {
            word.store(new, Ordering::Relaxed);
        }
        let even = u64::from(version.wrapping_add(1));
        line[0].store(words[0] & !0xFFFF_FFFF | even, Ordering::Release);
    }
}
