//! A new table from a whole snapshot.
//!
//! Each name is compiled to find out how much room all need, and then written. In between it is kept in a few octets;
//! names with large answers are compiled again, so that no more than some thousand of those are in memory beside the
//! table. Compiling takes most of the time, and several threads share it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use dns_common::hash::Keys;
use dns_common::slot::{AHEAD_CLASSES, SLOT_CLASSES};

use super::{FULL_PERCENT, Home, Loader, TableError, serial_of};
use crate::answer::Consulted;
use crate::lines::{
    AllDependents, CompileOptions, Compiled, Compiling, NameLines, all_named, all_names, compile, compile_everywhere,
    negatives, viewed,
};
use crate::model::name::NameKey;
use crate::model::snapshot::{Snapshot, Zone};
use crate::model::views::Clients;
use crate::table::{Ahead, Entry, Memory, Sizes, TableFull, TableReader, TableWriter};

/// The smallest table.
const LEAST_LINES: usize = 1024;
/// How full a new table is, in percent, where all of its names came at once.
const FILL_PERCENT: usize = 70;
/// How full it is where names came to an older table until that was full: more will come, and each new table takes the
/// time that the kernel's verifier needs for the program, a tenth of a second and more.
const FILL_PERCENT_GROWING: usize = 40;
/// While it is small: of no more than a MiB.
const FILL_PERCENT_GROWING_SMALL: usize = 18;
/// Up to so many halves of lines it is small.
const SMALL_UP_TO: usize = 1 << 15;
/// And where it is large: memory counts then.
const FILL_PERCENT_GROWING_LARGE: usize = 60;
/// From so many halves of lines on it is large.
const LARGE_FROM: usize = 1 << 18;
/// How many of the classes are small: of one of these are the negatives of nearly every zone.
const SMALL_CLASSES: usize = 3;
/// Slots beyond need, so that changes seldom wait for those that were given up: of each small class.
const SPARE_SMALL_SLOTS: usize = 1024;
/// Of each other class.
const SPARE_SLOTS: usize = 64;
/// And of every class one in so many that are needed.
const SPARE_SHARE: usize = 16;
/// In a table that replaces one that was full.
const SPARE_SHARE_GROWING: usize = 2;

/// Slots to be asked for ahead beyond one for each such name: one for so many of them.
const AHEAD_SHARE: usize = 4;

/// How many names are compiled at a time.
const CHUNK: usize = 1 << 13;
/// Names that take more octets than this are not kept.
const MOST_KEPT: usize = 256;

/// How much more than there is a new table has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spare {
    /// A little: all came at once.
    Little,
    /// So many lines at least, and about as much as there is: the table before became full.
    Growing(usize),
}

/// A table that nobody reads yet.
pub(super) struct Built<H> {
    pub(super) writer: TableWriter,
    pub(super) program: Option<H>,
    pub(super) dependents: AllDependents,
}

/// How much a table must hold.
#[derive(Clone, Default)]
pub(super) struct Need {
    /// Halves of lines.
    halves: usize,
    /// Names with addresses in their lines.
    inline: usize,
    /// Names without, by the type of their first answer and the class of its slot.
    slotted: BTreeMap<(u16, usize), usize>,
    slots: [usize; SLOT_CLASSES],
    /// One more than the greatest zone number.
    pub(super) zones: u32,
    /// Who is in which view.
    clients: Arc<Clients>,
}

impl Need {
    /// Adds a name.
    fn add(&mut self, entry: &Entry) {
        self.add_line(entry);
        let mut answers = entry
            .bodies
            .iter()
            .filter_map(|(rtype, body)| Some((*rtype, body.class()?)));
        if !entry.inline_a.is_empty() || entry.inline_aaaa.is_some() {
            self.inline += 1;
        } else if let Some(first) = answers.next() {
            *self.slotted.entry(first).or_default() += 1;
        }
    }

    /// Adds room for one more line of a name.
    fn add_line(&mut self, entry: &Entry) {
        self.halves += entry.halves();
        for class in entry.bodies.iter().filter_map(|(_, body)| body.class()) {
            self.slots[class] += 1;
        }
        if let Some(class) = entry.list_class() {
            self.slots[class] += 1;
        }
    }

    /// Adds what other names need.
    fn join(&mut self, other: &Self) {
        self.halves += other.halves;
        self.inline += other.inline;
        for (slots, more) in self.slots.iter_mut().zip(other.slots) {
            *slots += more;
        }
        for (&first, more) in &other.slotted {
            *self.slotted.entry(first).or_default() += more;
        }
    }

    /// The slots to be asked for ahead. Where more names are answered from their lines than for one type from slots of
    /// one class, such a slot would mostly take room in the caches for nothing.
    fn ahead(&self, slots: &[u32; SLOT_CLASSES]) -> Ahead {
        let small = self.slotted.iter().filter(|((_, class), _)| *class < AHEAD_CLASSES);
        let most = small.max_by_key(|&(_, &names)| names);
        match most.filter(|&(_, &names)| names > self.inline) {
            Some((&(rtype, class), names)) => {
                let wanted = u32::try_from(names + names / AHEAD_SHARE + 1).unwrap_or(u32::MAX);
                Ahead {
                    class,
                    slots: wanted.min(slots[class]),
                    rtype,
                }
            }
            None => Ahead::NONE,
        }
    }

    /// The sizes of a table with room to grow.
    fn sizes(&mut self, spare: Spare) -> Result<Sizes, TableError> {
        // Two negatives for each zone, and their successors.
        for small in &mut self.slots[..SMALL_CLASSES] {
            *small += 4 * self.zones as usize;
        }
        let (fill_percent, share, coming) = match spare {
            Spare::Little => (FILL_PERCENT, SPARE_SHARE, 0),
            Spare::Growing(lines) => {
                let fill_percent = match self.halves {
                    ..=SMALL_UP_TO => FILL_PERCENT_GROWING_SMALL,
                    LARGE_FROM.. => FILL_PERCENT_GROWING_LARGE,
                    _ => FILL_PERCENT_GROWING,
                };
                (fill_percent, SPARE_SHARE_GROWING, lines)
            }
        };
        let lines = self.halves * 100 / fill_percent / 2;
        let lines = lines.max(lines_for(self.halves + 2 * coming)).max(LEAST_LINES);
        let prefixes = self.clients.prefixes().count();
        let slots = std::array::from_fn(|class| {
            let least = if class < SMALL_CLASSES {
                SPARE_SMALL_SLOTS
            } else {
                SPARE_SLOTS
            };
            u32::try_from(self.slots[class] + self.slots[class] / share + least).unwrap_or(u32::MAX)
        });
        Ok(Sizes {
            lines: u32::try_from(lines).map_err(|_| TableError::TooManyLines(lines))?,
            slots,
            ahead: self.ahead(&slots),
            zones: self.zones + self.zones / 2 + 16,
            prefixes: u32::try_from(prefixes).map_err(|_| TableError::TooManyPrefixes(prefixes))?,
        })
    }
}

/// The lines of the smallest table that has room for so many halves.
fn lines_for(halves: usize) -> usize {
    (halves * 100).div_ceil(2 * FULL_PERCENT)
}

/// Builds the table of a snapshot, with so many threads. `serials` are those that are served, by zone number.
pub(super) fn build<H: Home>(
    snapshot: &Snapshot,
    options: &CompileOptions,
    serials: &HashMap<u32, u32>,
    loader: &Loader<H>,
    threads: usize,
    spare: Spare,
) -> Result<Built<H>, TableError> {
    let named = all_named(snapshot);
    let mut dependents = AllDependents::default();
    let mut need = Need {
        zones: snapshot.zones.values().map(|zone| zone.index + 1).max().unwrap_or(0),
        clients: Arc::clone(&snapshot.views.clients),
        ..Need::default()
    };
    let mut kept = Vec::new();
    for keys in chunks(all_names(snapshot, &named)) {
        for part in in_parts(&keys, threads, |part| need_of(snapshot, part, options)) {
            let part = part?;
            need.join(&part.need);
            kept.push(part.kept);
            for (key, consulted) in part.consulted {
                dependents.default.set(key, consulted);
            }
        }
    }
    let viewed = viewed(snapshot, &dependents);
    for key in &viewed {
        // Those of the default are counted twice: room to grow.
        let NameLines { default, views } = compile_everywhere(snapshot, key, options, &mut dependents);
        default
            .iter()
            .chain(views.iter().flatten())
            .for_each(|entry| need.add_line(entry));
    }
    let (mut writer, program) = empty_table(loader, need, spare)?;
    // Names that find their home free first: fewer of the others then need a second line.
    let mut later = Vec::new();
    let names = all_names(snapshot, &named).zip(kept.iter().flat_map(Kept::iter));
    let names = names.filter_map(|(key, first)| Some((key, first?)));
    let names = names.filter(|(key, _)| !viewed.contains(key));
    let entry_of = |(key, first): &(NameKey, First<'_>)| match first {
        First::Kept(octets) => Kept::entry(octets).map(Some),
        First::Again => Ok(compile(snapshot, key, options).entry),
    };
    for names in chunks(names) {
        let compile_at_home = |found: &(NameKey, First<'_>)| {
            let name = found.0.to_name();
            let is_home_free = writer.is_home_free(name.as_wire());
            is_home_free.then(|| (name, entry_of(found)))
        };
        let compiled = map_names(&names, threads, compile_at_home);
        for (found, compiled) in names.into_iter().zip(compiled) {
            match compiled {
                // One of this chunk may have taken the home.
                Some((name, entry)) if writer.is_home_free(name.as_wire()) => {
                    if let Some(entry) = entry? {
                        writer.put(name.as_wire(), 0, &entry)?;
                    }
                }
                _ => later.push(found),
            }
        }
    }
    for names in chunks(later.into_iter()) {
        for (name, entry) in map_names(&names, threads, |found| (found.0.to_name(), entry_of(found))) {
            if let Some(entry) = entry? {
                writer.put(name.as_wire(), 0, &entry)?;
            }
        }
    }
    for key in &viewed {
        put_lines(
            &mut writer,
            key,
            compile_everywhere(snapshot, key, options, &mut dependents),
        )?;
    }
    for zone in snapshot.zones.values() {
        writer.set_negatives(zone.index, negatives(snapshot, zone, options).as_ref())?;
        writer.set_serial(zone.index, serial_of(zone, serials));
    }
    Ok(Built {
        writer,
        program,
        dependents,
    })
}

/// Writes all lines of a name.
fn put_lines(writer: &mut TableWriter, key: &NameKey, lines: NameLines) -> Result<(), TableFull> {
    let name = key.to_name();
    let lines = std::iter::once(lines.default).chain(lines.views);
    for (view, entry) in (0..).zip(lines) {
        if let Some(entry) = entry {
            writer.put(name.as_wire(), view, &entry)?;
        }
    }
    Ok(())
}

/// A table of a few names of a snapshot, in the process's own memory: what it has of these names, and of all that a
/// search for one of them may look at, is what a whole table has.
pub(super) fn of_names(
    snapshot: &Snapshot,
    names: impl IntoIterator<Item = NameKey>,
    options: &CompileOptions,
) -> Result<TableReader, TableError> {
    let mut keys = BTreeSet::new();
    for key in names {
        let mut above = key.parent();
        keys.insert(key);
        while let Some(encloser) = above {
            above = encloser.parent();
            keys.insert(encloser.wildcard_child());
            keys.insert(encloser);
        }
    }
    let mut dependents = AllDependents::default();
    let mut need = Need {
        clients: Arc::clone(&snapshot.views.clients),
        ..Need::default()
    };
    let mut lines = Vec::with_capacity(keys.len());
    for key in keys {
        let found = compile_everywhere(snapshot, &key, options, &mut dependents);
        let entries = found.default.iter().chain(found.views.iter().flatten());
        entries.for_each(|entry| need.add(entry));
        lines.push((key, found));
    }
    let zones: Vec<&Arc<Zone>> = lines.iter().filter_map(|(key, _)| snapshot.zones.get(key)).collect();
    need.zones = u32::try_from(zones.len()).unwrap_or(u32::MAX);
    let mut sizes = need.sizes(Spare::Little)?;
    // Zones keep their numbers. There may be none at all, and memory for none cannot be had.
    let numbers = snapshot.zones.values().map(|zone| zone.index + 1).max();
    sizes.zones = sizes.zones.max(numbers.unwrap_or(0));
    let mut writer = TableWriter::new(
        Memory::on_heap(sizes).map_err(|error| TableError::NotMade(error.into()))?,
        random_keys()?,
    );
    writer.set_clients(need.clients);
    for (key, found) in lines {
        put_lines(&mut writer, &key, found)?;
    }
    for zone in zones {
        writer.set_negatives(zone.index, negatives(snapshot, zone, options).as_ref())?;
        let serial = snapshot.serial(&zone.apex.key()).or_else(|| zone.soa_serial());
        writer.set_serial(zone.index, serial.unwrap_or(0));
    }
    Ok(writer.reader().clone())
}

/// The same in the same order, some at a time.
fn chunks<T>(mut all: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let chunk: Vec<T> = all.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// What came of some names when they were compiled first, in their order.
#[derive(Default)]
struct Kept {
    places: Vec<KeptPlace>,
    octets: Vec<u8>,
}

/// Where a name is kept.
enum KeptPlace {
    /// It has no line.
    NoLine,
    /// Its entry begins there in the octets.
    At(u32),
    /// It is too large.
    Nowhere,
}

/// What came of a name with a line.
enum First<'a> {
    /// The octets of its entry, and of those behind it.
    Kept(&'a [u8]),
    /// More than is kept.
    Again,
}

impl Kept {
    fn push(&mut self, entry: Option<&Entry>) -> Result<(), postcard::Error> {
        let from = self.octets.len();
        if let Some(entry) = entry {
            self.octets = postcard::to_extend(entry, std::mem::take(&mut self.octets))?;
        }
        self.places.push(match (entry, u32::try_from(from)) {
            (None, _) => KeptPlace::NoLine,
            (_, Ok(at)) if self.octets.len() - from <= MOST_KEPT => KeptPlace::At(at),
            _ => {
                self.octets.truncate(from);
                KeptPlace::Nowhere
            }
        });
        Ok(())
    }

    /// What came of each, `None` where it has no line.
    fn iter(&self) -> impl Iterator<Item = Option<First<'_>>> {
        self.places.iter().map(|place| match *place {
            KeptPlace::NoLine => None,
            KeptPlace::At(at) => Some(First::Kept(&self.octets[at as usize..])),
            KeptPlace::Nowhere => Some(First::Again),
        })
    }

    fn entry(octets: &[u8]) -> Result<Entry, postcard::Error> {
        let (entry, _) = postcard::take_from_bytes(octets)?;
        Ok(entry)
    }
}

/// How much some names need, what came of each, and from what their answers were made, where that is anything but their
/// own data.
struct CompiledPart {
    need: Need,
    kept: Kept,
    consulted: Vec<(NameKey, Vec<Consulted>)>,
}

fn need_of(snapshot: &Snapshot, keys: &[NameKey], options: &CompileOptions) -> Result<CompiledPart, postcard::Error> {
    let mut part = CompiledPart {
        need: Need::default(),
        kept: Kept {
            places: Vec::with_capacity(keys.len()),
            octets: Vec::new(),
        },
        consulted: Vec::new(),
    };
    let mut compiling = Compiling::new(snapshot, options);
    for key in keys {
        let Compiled { entry, consulted } = compiling.next(key);
        part.kept.push(entry.as_ref())?;
        if let Some(entry) = entry {
            part.need.add(&entry);
        }
        if !consulted.is_empty() {
            part.consulted.push((key.clone(), consulted));
        }
    }
    part.kept.octets.shrink_to_fit();
    Ok(part)
}

/// What comes of each, in the order of all.
fn map_names<N: Sync, T: Send>(names: &[N], threads: usize, work: impl Fn(&N) -> T + Sync) -> Vec<T> {
    let parts = in_parts(names, threads, |part| part.iter().map(&work).collect::<Vec<T>>());
    parts.into_iter().flatten().collect()
}

/// What comes of each part, in the order of all: as many parts as threads, this one among them.
fn in_parts<N: Sync, T: Send>(names: &[N], threads: usize, work: impl Fn(&[N]) -> T + Sync) -> Vec<T> {
    let work = &work;
    let mut parts = names.chunks(names.len().div_ceil(threads.max(1)).max(1));
    let own = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut done = vec![work(own)];
        done.extend(
            others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))),
        );
        done
    })
}

/// An empty table with room for this and some more.
pub(super) fn empty_table<H: Home>(
    loader: &Loader<H>,
    mut need: Need,
    spare: Spare,
) -> Result<(TableWriter, Option<H>), TableError> {
    let keys = random_keys()?;
    let (mut program, memory) = loader(&keys, need.sizes(spare)?).map_err(TableError::NotMade)?;
    if let Some(program) = &mut program {
        let set = program.set_clients(&need.clients);
        set.map_err(|error| TableError::Clients(error.into()))?;
    }
    let mut writer = TableWriter::new(memory, keys);
    writer.set_clients(need.clients);
    Ok((writer, program))
}

/// New secrets of a table.
fn random_keys() -> Result<Keys, TableError> {
    let mut random = [0; size_of::<Keys>()];
    getrandom::fill(&mut random).map_err(TableError::NoRandomness)?;
    Ok(Keys::from_random(&random))
}

#[cfg(test)]
mod tests {
    use dns_common::line::REFERRAL;

    use super::*;
    use crate::model::name::Name;
    use crate::table::{Body, BodyOrder};

    fn body(bytes: usize) -> Body {
        Body {
            octets: (0..bytes).map(|at| at as u8).collect(),
            counts: [1, 2, 3],
            flags: 0x0400,
            pointers: vec![2, 300],
            serial: Some((20, 70_000)),
            order: Some(BodyOrder {
                kind: 3,
                count: 2,
                at: 12,
                step: 16,
                weights: vec![1, 65_535],
            }),
            base_bytes: 255,
        }
    }

    #[test]
    fn names_of_a_server_without_zones_have_a_table() {
        let name: Name = "www.example.".parse().expect("a name");
        let options = CompileOptions {
            has_upstream: false,
            max_cname_depth: 10,
            resolve_cname_chain: true,
            return_soa_on_nxdomain: true,
        };
        of_names(&Snapshot::default(), [name.key()], &options).expect("a table");
    }

    #[test]
    fn slots_are_asked_for_ahead_where_more_names_need_them_than_have_addresses() {
        let address = Entry {
            inline_a: vec![[192, 0, 2, 1]],
            // Beside an address it counts for nothing.
            bodies: vec![(16, text(10)), (15, text(10))],
            ..Entry::bare(0)
        };
        let texts = |bytes| Entry {
            bodies: vec![(16, text(bytes)), (15, text(10))],
            ..Entry::bare(0)
        };
        let ahead = |addresses: usize, small: usize, large: usize| {
            let mut needs = [Need::default(), Need::default()];
            for (entry, count) in [(&address, addresses), (&texts(10), small), (&texts(100), large)] {
                // Half of them counted elsewhere.
                (0..count).for_each(|number| needs[number % 2].add(entry));
            }
            let [mut need, other] = needs;
            need.join(&other);
            need.sizes(Spare::Little).expect("sizes").ahead
        };
        assert_eq!(ahead(0, 0, 0), Ahead::NONE);
        assert_eq!(ahead(4, 4, 0), Ahead::NONE);
        assert_eq!(ahead(4, 4, 3), Ahead::NONE);
        let of = |class, slots, rtype| Ahead { class, slots, rtype };
        assert_eq!(ahead(3, 4, 0), of(0, 6, 16));
        assert_eq!(ahead(3, 4, 8), of(1, 11, 16));
        let mut cuts = Need::default();
        let cut = Entry {
            bodies: vec![(REFERRAL, text(10))],
            ..Entry::bare(0)
        };
        cuts.add(&cut);
        assert_eq!(cuts.sizes(Spare::Little).expect("sizes").ahead, of(0, 2, REFERRAL));
        // No more than there are.
        let Ahead { class, slots, .. } = ahead(0, 0, 100_000);
        assert_eq!(
            (class, slots),
            (1, 100_000 + 100_000 / SPARE_SHARE as u32 + SPARE_SMALL_SLOTS as u32)
        );
    }

    fn text(bytes: usize) -> Body {
        Body {
            order: None,
            serial: None,
            pointers: Vec::new(),
            ..body(bytes)
        }
    }

    #[test]
    fn what_is_kept_of_names_is_all_that_is_written() {
        let entries: Vec<Entry> = (0..4u8)
            .map(|count| Entry {
                flags: 0x1234,
                zone: u32::MAX,
                ttl: 300,
                inline_a: (0..count).map(|last| [192, 0, 2, last]).collect(),
                inline_aaaa: (count % 2 == 0).then_some([count; 16]),
                bodies: (0..count).map(|number| (u16::from(number), body(40))).collect(),
            })
            .collect();
        let mut kept = Kept::default();
        for entry in &entries {
            kept.push(None).expect("room");
            kept.push(Some(entry)).expect("room");
        }
        let found: Vec<Option<Entry>> = kept
            .iter()
            .map(|first| {
                first.map(|first| match first {
                    First::Kept(octets) => Kept::entry(octets).expect("what was kept"),
                    First::Again => panic!("not kept"),
                })
            })
            .collect();
        let expected: Vec<Option<Entry>> = entries.into_iter().flat_map(|entry| [None, Some(entry)]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let mut kept = Kept::default();
        for bytes in [100, MOST_KEPT, 100] {
            let entry = Entry {
                bodies: vec![(16, body(bytes))],
                ..Entry::bare(0)
            };
            kept.push(Some(&entry)).expect("room");
        }
        let is_kept: Vec<bool> = kept.iter().map(|first| matches!(first, Some(First::Kept(_)))).collect();
        assert_eq!(is_kept, [true, false, true]);
        assert!(kept.octets.len() < 2 * MOST_KEPT);
    }
}
