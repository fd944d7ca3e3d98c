//! The one writer of a table.
//!
//! A name lives in its home line, or at most 127 steps behind it where an entry of the home's directory says; where
//! the directory is full, or no line has room, the home overflows, and the name's second home stands for the
//! first. Where that cannot take it either, one that the first home lists moves to its own second home; at last, misses
//! pass. Lines are written in place under their version; the caller fences names that change together (see `publish`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use dns_common::hash::{Keys, NameHash, of_name_in_view};
use dns_common::line::{
    CELLS, DIRECTORY_ENTRIES, Half, LACKING, LINE_WORDS, Line, MAX_STEP, MORE, MOST_LISTED, NO_ZONE, OVERFLOW,
    Occupant, Reference, distance, flag,
};
use dns_common::slot::{SLOT_CLASSES, class_for};
use dns_common::table::{Table, ZONE_WORDS, word};
use serde::{Deserialize, Serialize};

use super::grace;
use super::slots::{Body, Slots, Spot};
use super::{Memory, TableReader};
use crate::model::name::label_count;
use crate::model::views::Clients;

/// Retired slots that are worth a grace period at once.
const RECLAIM_AT: usize = 4096;

/// What a line is to say of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`flag`]s of the name; inline and reference counts are the writer's.
    pub flags: u32,
    /// The zone's index, or [`NO_ZONE`].
    pub zone: u32,
    /// TTL of the inline answers.
    pub ttl: u32,
    /// A addresses to be answered inline; at most four.
    pub inline_a: Vec<[u8; 4]>,
    /// An AAAA address to be answered inline.
    pub inline_aaaa: Option<[u8; 16]>,
    /// Bodies by type, the most asked first. Those that no slot can hold make the name incomplete.
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

    /// How many cells it could use. There are four, or one where two names are to share a line.
    fn cells(&self) -> usize {
        let references = self.bodies.iter().filter(|(_, body)| body.class().is_some()).count();
        self.inline_cells() + references
    }

    fn inline_cells(&self) -> usize {
        2 * usize::from(self.inline_aaaa.is_some()) + self.inline_a.len().div_ceil(2)
    }

    /// The class of the slot that lists the bodies for which it has no cells, if there are any.
    pub fn list_class(&self) -> Option<usize> {
        let listed = (self.cells() + 1).saturating_sub(CELLS);
        (listed > 1).then(|| class_for(8 * listed.min(MOST_LISTED), 0))?
    }

    /// How many of a line's halves it needs.
    pub fn halves(&self) -> usize {
        1 + usize::from(self.cells() > 1)
    }
}

/// Where a name lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LinePlace {
    line: u32,
    half: Half,
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
    halves: usize,
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
        let slots = Slots::new(&reader.memory.sizes);
        Self {
            reader,
            slots,
            names: 0,
            halves: 0,
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

    /// Halves of lines that names live in: two for a wide name.
    pub fn halves(&self) -> usize {
        self.halves
    }

    /// Slots in use, or waiting to be free, by class.
    pub fn used_slots(&self) -> [u32; SLOT_CLASSES] {
        self.slots.used()
    }

    /// Names that found no line, or no slot for an answer; they pass.
    pub fn unplaced(&self) -> usize {
        self.left_out.len()
    }

    /// Sparse areas, whose names alone have lines.
    pub fn sparse_areas(&self) -> usize {
        self.sparse_areas
    }

    /// Makes the name pass, in every view; inserts a passing line where it has none and `insert` says so.
    pub fn fence(&mut self, name: &[u8], insert: impl FnOnce() -> bool) {
        let hash = self.hash(name, 0);
        if let Some(place) = self.find(hash) {
            let mut occupant = self.occupant(place);
            occupant.flags |= flag::PASS_SELF | flag::PASS_BELOW;
            // Lines of views are found by way of this one.
            occupant.flags &= !(flag::VIEWED | flag::GHOST);
            self.write(place, occupant);
        } else if insert() {
            self.deepen(name);
            self.place(hash, false);
        }
    }

    /// Writes what the line of a name says in a view; 0 is the default. A name that finds no line passes. So does one
    /// for whose answers slots run out, which is an error, since a larger table has them.
    pub fn put(&mut self, name: &[u8], view: u16, entry: &Entry) -> Result<(), TableFull> {
        self.deepen(name);
        let hash = self.hash(name, view);
        let Some((place, old)) = self.place_for(hash, entry.halves() > 1) else {
            return Ok(());
        };
        self.left_out.remove(&hash.tag);
        let is_wide = self.has_line(place);
        let mut flags = entry.flags | (entry.inline_a.len() as u32) << flag::INLINE_A_SHIFT;
        let mut cells = [0u64; CELLS];
        let mut room = if is_wide { CELLS } else { 1 };
        let (mut inline_a, mut inline_aaaa) = (&entry.inline_a[..], entry.inline_aaaa);
        if entry.inline_cells() > room {
            // No line was free: what does not fit is answered by userspace.
            (inline_a, inline_aaaa) = (&[], None);
            flags = entry.flags | flag::INCOMPLETE;
        }
        if let Some(address) = inline_aaaa {
            flags |= flag::INLINE_AAAA;
            let (high, low) = address.split_at(8);
            cells[2] = u64::from_le_bytes(high.try_into().expect("half of sixteen octets"));
            cells[3] = u64::from_le_bytes(low.try_into().expect("half of sixteen octets"));
            room -= 2;
        }
        let first_inline = CELLS - 2 * usize::from(inline_aaaa.is_some());
        for (pair, addresses) in inline_a.chunks(2).enumerate() {
            room -= 1;
            for (at, address) in addresses.iter().enumerate() {
                cells[first_inline - 1 - pair] |= u64::from(u32::from_le_bytes(*address)) << (32 * at);
            }
        }
        if entry.bodies.iter().any(|(_, body)| body.class().is_none()) {
            flags |= flag::INCOMPLETE;
        }
        // The program looks for lines of views only when it has read the default's.
        let spot = if view == 0 { Spot::Ahead } else { Spot::Any };
        let Some(references) = self.put_bodies(entry, room, hash.tag, spot, &mut flags) else {
            self.write(place, passing(hash));
            self.retire(old);
            self.left_out.insert(hash.tag);
            return Err(TableFull);
        };
        let used = references.len();
        for (cell, reference) in cells.iter_mut().zip(references) {
            *cell = reference.to_word();
        }
        flags |= (used as u32) << flag::REFERENCES_SHIFT;
        if is_wide && entry.cells() > 1 {
            flags |= flag::WIDE;
        }
        let occupant = Occupant {
            flags: flags | flag::OCCUPIED,
            zone: entry.zone,
            ttl: entry.ttl,
            cells,
            ..passing(hash)
        };
        self.write(place, occupant);
        self.retire(old);
        Ok(())
    }

    /// Puts the bodies of an entry into slots, and gives the references for its cells: where there are more bodies than
    /// cells, the first one is to a slot with the rest of them. `None` where slots run out; then nothing was put.
    fn put_bodies(
        &mut self,
        entry: &Entry,
        room: usize,
        tag: u64,
        spot: Spot,
        flags: &mut u32,
    ) -> Option<Vec<Reference>> {
        let bodies: Vec<_> = entry.bodies.iter().filter(|(_, body)| body.class().is_some()).collect();
        let direct = if bodies.len() > room {
            room.saturating_sub(1)
        } else {
            room
        };
        let most = if room == 0 { 0 } else { direct + MOST_LISTED };
        if bodies.len() > most {
            *flags |= flag::INCOMPLETE;
        }
        let mut references = Vec::new();
        for (rtype, body) in bodies.into_iter().take(most) {
            match self.put_slot(|slots, memory| slots.put(memory, body, *rtype, tag, spot)) {
                Some(reference) => references.push(reference),
                None => {
                    self.retire(references);
                    return None;
                }
            }
        }
        if references.len() > direct {
            let Some(list) = self.put_slot(|slots, memory| slots.put_list(memory, &references[direct..], tag)) else {
                self.retire(references);
                return None;
            };
            references.truncate(direct);
            references.insert(0, list);
            *flags |= flag::LISTS;
        }
        Some(references)
    }

    /// Fills a slot; where there is none, those that wait are made free.
    fn put_slot(&mut self, put: impl Fn(&mut Slots, &Memory) -> Option<Reference>) -> Option<Reference> {
        let reference = put(&mut self.slots, &self.reader.memory);
        if reference.is_some() || self.slots.waiting() == 0 {
            return reference;
        }
        self.reclaim(true);
        put(&mut self.slots, &self.reader.memory)
    }

    /// Takes a name out of the table; of a view: then it is what it is in the default.
    pub fn remove(&mut self, name: &[u8], view: u16) {
        let hash = self.hash(name, view);
        self.left_out.remove(&hash.tag);
        let Some(place) = self.find(hash) else { return };
        let references = self.references(place);
        self.clear(place, hash);
        self.retire(references);
    }

    /// Empties a place, and takes the way to it out of the directories.
    fn clear(&mut self, place: LinePlace, hash: NameHash) {
        let mut line = self.copy(place.line);
        self.uncount(&line, place.half);
        line.clear(place.half);
        self.store_line(place.line, line);
        for home in self.homes(hash) {
            if place.line == home || self.leave_directory(home, hash, place.line) {
                break;
            }
        }
    }

    /// Takes the way to a line out of a home's directory, if it is there for a name with this hash.
    fn leave_directory(&mut self, home: u32, hash: NameHash, index: u32) -> bool {
        let mut line = self.copy(home);
        let way = (0..DIRECTORY_ENTRIES).find(|&entry| {
            let (fingerprint, step) = line.directory(entry);
            fingerprint == hash.fingerprint() && step != 0 && self.behind(home, step) == index
        });
        if let Some(entry) = way {
            line.set_directory(entry, 0, 0);
            self.store_line(home, line);
        }
        way.is_some()
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
                match self.slots.put(&memory, body, 1, u64::from(zone) << 32, Spot::Any) {
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

    /// Whether the line where the name would be found first has room.
    pub fn is_home_free(&self, name: &[u8]) -> bool {
        let hash = self.hash(name, 0);
        self.room(hash.home(self.reader.lines()), hash, false).is_some()
    }

    /// Makes every query pass from now on: an odd epoch says that the table is not to be used.
    pub fn close(&self) {
        self.epoch().fetch_or(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Lets a closed table be used (again).
    pub fn open(&self) {
        if self.epoch().load(Ordering::Relaxed) & 1 != 0 {
            self.epoch().fetch_add(1, Ordering::AcqRel);
        }
        fence(Ordering::SeqCst);
    }

    /// Raises the epoch: searches over several lines that began before now pass.
    pub fn raise_epoch(&self) {
        self.epoch().fetch_add(2, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Says that other names become ours, or that they now are ([`word::GENERATION`]).
    pub fn raise_generation(&self) {
        let generation = self.reader.memory.epoch_word(word::GENERATION);
        generation.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    fn epoch(&self) -> &AtomicU64 {
        self.reader.memory.epoch_word(word::EPOCH)
    }

    /// Says that there are names as deep as this one, before it comes. Which went, nobody keeps: only a new table is
    /// less deep.
    fn deepen(&self, name: &[u8]) {
        let depth = self.reader.memory.epoch_word(word::DEPTH);
        let labels = label_count(name) as u64;
        if labels > depth.load(Ordering::Relaxed) {
            depth.store(labels, Ordering::Release);
            // A search that does not look so deep began before now, and will see that.
            self.raise_epoch();
        }
    }

    /// Waits until no reader can still look at retired slots, and makes them free, if there are enough of them to be
    /// worth it (or `now`). The kernel's programs are waited for; readers on sockets check the epoch after they have
    /// copied.
    pub fn reclaim(&mut self, now: bool) {
        let waiting = self.slots.waiting();
        if waiting == 0 || (!now && waiting < RECLAIM_AT) {
            return;
        }
        self.raise_epoch();
        if grace::wait(self.reader.memory.is_of_maps()) {
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
    fn copy(&self, index: u32) -> Line {
        let words = self.line_words(index);
        Line(std::array::from_fn(|at| words[at].load(Ordering::Relaxed)))
    }

    fn occupant(&self, place: LinePlace) -> Occupant {
        self.copy(place.line).occupant(place.half).unwrap_or(Occupant::NONE)
    }

    /// All slots that the name at this place refers to, those of a list included.
    fn references(&self, place: LinePlace) -> Vec<Reference> {
        let occupant = self.occupant(place);
        let cells = &occupant.cells[..occupant.references() as usize];
        let direct: Vec<Reference> = cells.iter().map(|&cell| Reference::from_word(cell)).collect();
        let lists = direct.iter().filter(|reference| reference.rtype == MORE);
        let listed: Vec<Reference> = lists.flat_map(|&list| Slots::list(&self.reader.memory, list)).collect();
        direct.into_iter().chain(listed).collect()
    }

    /// Whether the name at this place has the line for itself.
    fn has_line(&self, place: LinePlace) -> bool {
        let mut line = self.copy(place.line);
        line.clear(place.half);
        line.room(true).is_some()
    }

    fn find(&self, hash: NameHash) -> Option<LinePlace> {
        let [first, second] = self.homes(hash);
        let overflows = || self.copy(first).is_unsure(OVERFLOW);
        self.find_from(first, hash)
            .or_else(|| overflows().then(|| self.find_from(second, hash))?)
    }

    fn find_from(&self, home: u32, hash: NameHash) -> Option<LinePlace> {
        let at = |index: u32| {
            let half = self.copy(index).half_of(hash.tag)?;
            Some(LinePlace { line: index, half })
        };
        let line = self.copy(home);
        at(home).or_else(|| {
            (0..DIRECTORY_ENTRIES).find_map(|entry| {
                let (fingerprint, step) = line.directory(entry);
                (step != 0 && fingerprint == hash.fingerprint()).then(|| at(self.behind(home, step)))?
            })
        })
    }

    fn homes(&self, hash: NameHash) -> [u32; 2] {
        let lines = self.reader.lines();
        [hash.home(lines), hash.second_home(lines)]
    }

    /// A place for what is to be said of a name, and to what its old content refers. A name that has a place, but not
    /// the room that it needs now, moves; where it cannot, it stays.
    fn place_for(&mut self, hash: NameHash, is_wide: bool) -> Option<(LinePlace, Vec<Reference>)> {
        let Some(mut place) = self.find(hash) else {
            return self.place(hash, is_wide).map(|place| (place, Vec::new()));
        };
        let old = self.references(place);
        if !is_wide || self.has_line(place) {
            return Some((place, old));
        }
        let mut wider = self.seat(hash, true);
        if wider.is_none() && self.make_room(hash) {
            // It may be this name that has moved.
            place = self.find(hash)?;
            wider = self.seat(hash, true);
        }
        let Some(wider) = wider else {
            return Some((place, old));
        };
        // A reader that has yet to look at the old place began before now, and will see that.
        self.raise_epoch();
        self.clear(place, hash);
        Some((wider, old))
    }

    /// A place with a passing line for a new name.
    fn place(&mut self, hash: NameHash, is_wide: bool) -> Option<LinePlace> {
        let mut place = self.seat(hash, is_wide);
        if place.is_none() && self.make_room(hash) {
            place = self.seat(hash, is_wide);
        }
        if place.is_none() {
            self.left_out.insert(hash.tag);
            let [_, second] = self.homes(hash);
            self.mark(second, LACKING);
        }
        place
    }

    /// Says something of a home for good.
    fn mark(&self, home: u32, what: u64) {
        let mut line = self.copy(home);
        if !line.is_unsure(what) {
            line.0[0] |= what;
            self.store_line(home, line);
        }
    }

    /// Writes a passing line for a name, where its first home or else its second has room or can list it.
    fn seat(&mut self, hash: NameHash, is_wide: bool) -> Option<LinePlace> {
        let [first, second] = self.homes(hash);
        let place = self.seat_from(first, hash, is_wide);
        if place.is_some() {
            return place;
        }
        self.mark(first, OVERFLOW);
        self.seat_from(second, hash, is_wide)
    }

    fn seat_from(&mut self, home: u32, hash: NameHash, is_wide: bool) -> Option<LinePlace> {
        let mut line = self.copy(home);
        if let Some(place) = self.room(home, hash, is_wide) {
            self.write(place, passing(hash));
            return Some(place);
        }
        let entry = (0..DIRECTORY_ENTRIES).find(|&entry| line.directory(entry).1 == 0);
        let found = (1..=MAX_STEP)
            .take_while(|&step| distance(step) < self.reader.lines())
            .find_map(|step| Some((step, self.room(self.behind(home, step), hash, is_wide)?)));
        let (entry, (step, place)) = (entry?, found?);
        // The name first, then the way to it: until then it is simply not there.
        self.write(place, passing(hash));
        line.set_directory(entry, hash.fingerprint(), step);
        self.store_line(home, line);
        Some(place)
    }

    /// Moves one of the names that the first home of a name lists to that one's second home. The first home overflows,
    /// so that it is looked for there.
    fn make_room(&mut self, hash: NameHash) -> bool {
        let [home, _] = self.homes(hash);
        let line = self.copy(home);
        (0..DIRECTORY_ENTRIES).any(|entry| {
            let (fingerprint, step) = line.directory(entry);
            let index = self.behind(home, step);
            let there = self.copy(index);
            let listed = occupants(&there).find(|(_, other)| fingerprint_of(other.tag) == fingerprint);
            let Some((half, occupant)) = listed.filter(|_| step != 0) else {
                return false;
            };
            // Its first home is this one, or its second home is, and then there is no other for it.
            let known = NameHash {
                tag: occupant.tag,
                spread: hash.spread,
            };
            let second = known.second_home(self.reader.lines());
            if second == home {
                return false;
            }
            let Some(new) = self.seat_from(second, known, occupant.is_wide()) else {
                return false;
            };
            self.write(new, occupant);
            // A reader that has yet to look at the old place began before now, and will see that.
            self.raise_epoch();
            self.clear(LinePlace { line: index, half }, known);
            true
        })
    }

    /// Room in a line for one more name: not beside one with its fingerprint, so that a directory's entry says which of
    /// the two it means.
    fn room(&self, index: u32, hash: NameHash, is_wide: bool) -> Option<LinePlace> {
        let line = self.copy(index);
        let half = line.room(is_wide)?;
        let is_alone = occupants(&line).all(|(_, other)| fingerprint_of(other.tag) != hash.fingerprint());
        is_alone.then_some(LinePlace { line: index, half })
    }

    /// The line that is so many steps behind a home.
    fn behind(&self, home: u32, step: u8) -> u32 {
        (home + distance(step)) % self.reader.lines()
    }

    /// Writes who lives at a place, instead of who lived there.
    fn write(&mut self, place: LinePlace, occupant: Occupant) {
        let mut line = self.copy(place.line);
        self.uncount(&line, place.half);
        line.clear(place.half);
        let half = if occupant.is_wide() { Half::First } else { place.half };
        line.set(half, &occupant);
        self.names += 1;
        self.halves += 1 + usize::from(occupant.is_wide());
        self.sparse_areas += usize::from(occupant.flags & flag::SPARSE != 0);
        self.store_line(place.line, line);
    }

    /// Counts who lives there no more.
    fn uncount(&mut self, line: &Line, half: Half) {
        if let Some(old) = line.occupant(half) {
            self.names -= 1;
            self.halves -= 1 + usize::from(old.is_wide());
            self.sparse_areas -= usize::from(old.flags & flag::SPARSE != 0);
        }
    }

    fn retire(&mut self, references: Vec<Reference>) {
        for reference in references {
            self.slots.retire(reference);
        }
    }

    /// Writes a line under its version: odd, then the words, then even. The version in `line` is ignored.
    fn store_line(&self, index: u32, line: Line) {
        let words = self.line_words(index);
        let old = words[0].load(Ordering::Relaxed);
        let odd = Line::next_version(old, old);
        words[0].store(odd, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, new) in words.iter().zip(line.0).skip(1) {
            word.store(new, Ordering::Relaxed);
        }
        words[0].store(Line::next_version(line.0[0], odd), Ordering::Release);
    }
}

/// A name that passes, with all below it, and has no room yet for more.
fn passing(hash: NameHash) -> Occupant {
    Occupant {
        tag: hash.tag,
        flags: flag::OCCUPIED | flag::PASS_SELF | flag::PASS_BELOW,
        zone: NO_ZONE,
        ..Occupant::NONE
    }
}

fn occupants(line: &Line) -> impl Iterator<Item = (Half, Occupant)> {
    let halves = [Half::First, Half::Second].into_iter();
    halves.filter_map(|half| Some((half, line.occupant(half)?)))
}

fn fingerprint_of(tag: u64) -> u8 {
    NameHash { tag, spread: 0 }.fingerprint()
}
