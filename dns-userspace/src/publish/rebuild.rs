//! A new table from a whole snapshot.
//!
//! Each name is compiled to find out how much room all need, and then written. What has no more than addresses is kept in
//! between; names with answers of their own are compiled again, so that no more than some thousand of those are in memory
//! beside the table. Compiling takes most of the time, and several threads share it.

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use dns_common::hash::Keys;
use dns_common::slot::SLOT_CLASSES;

use super::affected::affected;
use super::names::all_names;
use super::views::{AllDependents, Lines, compile_everywhere, differing};
use super::{Loader, serial_of};
use crate::answer::Consulted;
use crate::compile::named::all_named;
use crate::compile::{CompileOptions, Compiled, compile, negatives};
use crate::dataplane::xdp::Program;
use crate::name::NameKey;
use crate::snapshot::Snapshot;
use crate::store::Delta;
use crate::table::{Entry, Sizes, TableWriter};
use crate::views::Clients;

/// The smallest table.
const LEAST_LINES: usize = 1024;
/// How full a new table is, in percent.
const FILL_PERCENT: usize = 70;
/// How many of the classes are small: of one of these are the negatives of nearly every zone.
const SMALL_CLASSES: usize = 3;
/// Slots beyond need, so that changes seldom wait for those that were given up: of each small class.
const SPARE_SMALL_SLOTS: usize = 1024;
/// Of each other class.
const SPARE_SLOTS: usize = 64;
/// And of every class one in so many that are needed.
const SPARE_SHARE: usize = 16;

/// How many names are compiled at a time.
const CHUNK: usize = 1 << 13;
/// The most A addresses in a line.
const MOST_A: usize = 4;

/// A table that nobody reads yet.
pub(super) struct Built {
    pub(super) writer: TableWriter,
    pub(super) program: Option<Program>,
    pub(super) dependents: AllDependents,
}

/// How much a table must hold.
#[derive(Clone, Default)]
pub(super) struct Need {
    /// Halves of lines.
    halves: usize,
    slots: [usize; SLOT_CLASSES],
    /// One more than the greatest zone number.
    pub(super) zones: u32,
    /// Who is in which view.
    clients: Arc<Clients>,
}

impl Need {
    fn add(&mut self, entry: &Entry) {
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
        for (slots, more) in self.slots.iter_mut().zip(other.slots) {
            *slots += more;
        }
    }

    /// The sizes of a table with room to grow.
    fn sizes(&mut self) -> anyhow::Result<Sizes> {
        // Two negatives for each zone, and their successors.
        for small in &mut self.slots[..SMALL_CLASSES] {
            *small += 4 * self.zones as usize;
        }
        let lines = (self.halves * 100 / FILL_PERCENT / 2).max(LEAST_LINES);
        Ok(Sizes {
            lines: u32::try_from(lines).context("too many names for one table")?,
            slots: std::array::from_fn(|class| {
                let spare = if class < SMALL_CLASSES {
                    SPARE_SMALL_SLOTS
                } else {
                    SPARE_SLOTS
                };
                u32::try_from(self.slots[class] + self.slots[class] / SPARE_SHARE + spare).unwrap_or(u32::MAX)
            }),
            zones: self.zones + self.zones / 2 + 16,
            prefixes: u32::try_from(self.clients.prefixes().count()).context("too many prefixes of views")?,
        })
    }
}

/// Builds the table of a snapshot, with so many threads. `serials` are those that are served, by zone number.
pub(super) fn build(
    snapshot: &Snapshot,
    options: &CompileOptions,
    serials: &HashMap<u32, u32>,
    loader: &Loader,
    threads: usize,
) -> anyhow::Result<Built> {
    let named = all_named(snapshot);
    let mut dependents = AllDependents::default();
    let mut need = Need {
        zones: snapshot.zones.values().map(|zone| zone.index + 1).max().unwrap_or(0),
        clients: Arc::clone(&snapshot.views.clients),
        ..Need::default()
    };
    let mut firsts = Vec::new();
    for keys in chunks(all_names(snapshot, &named)) {
        for part in in_parts(&keys, threads, |part| need_of(snapshot, part, options)) {
            need.join(&part.need);
            firsts.extend(part.firsts);
            for (key, consulted) in part.consulted {
                dependents.default.set(key, consulted);
            }
        }
    }
    let viewed = viewed(snapshot, &dependents);
    for key in &viewed {
        // Those of the default are counted twice: room to grow.
        let Lines { default, views } = compile_everywhere(snapshot, key, options, &mut dependents);
        default
            .iter()
            .chain(views.iter().flatten())
            .for_each(|entry| need.add(entry));
    }
    let (mut writer, program) = empty_table(loader, need)?;
    // Names that find their home free first: fewer of the others then need a second line.
    let mut later = Vec::new();
    let names = all_names(snapshot, &named).zip(firsts);
    let names = names.filter(|(key, first)| !matches!(first, First::NoLine) && !viewed.contains(key));
    let entry_of = |(key, first): &(NameKey, First)| match first {
        First::NoLine => None,
        First::Addresses(addresses) => Some(addresses.entry()),
        First::Again => compile(snapshot, key, options).entry,
    };
    for names in chunks(names) {
        let compile_at_home = |found: &(NameKey, First)| {
            let name = found.0.to_name();
            let is_home_free = writer.is_home_free(name.as_wire());
            is_home_free.then(|| (name, entry_of(found)))
        };
        let compiled = map_names(&names, threads, compile_at_home);
        for (found, compiled) in names.into_iter().zip(compiled) {
            match compiled {
                // One of this chunk may have taken the home.
                Some((name, entry)) if writer.is_home_free(name.as_wire()) => {
                    if let Some(entry) = entry {
                        writer.put(name.as_wire(), 0, &entry)?;
                    }
                }
                _ => later.push(found),
            }
        }
    }
    for names in chunks(later.into_iter()) {
        for (name, entry) in map_names(&names, threads, |found| (found.0.to_name(), entry_of(found))) {
            if let Some(entry) = entry {
                writer.put(name.as_wire(), 0, &entry)?;
            }
        }
    }
    for key in &viewed {
        let Lines { default, views } = compile_everywhere(snapshot, key, options, &mut dependents);
        let name = key.to_name();
        for (view, entry) in (0..).zip(std::iter::once(default).chain(views)) {
            if let Some(entry) = entry {
                writer.put(name.as_wire(), view, &entry)?;
            }
        }
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

/// The same in the same order, some at a time.
fn chunks<T>(mut all: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let chunk: Vec<T> = all.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// What came of a name when it was compiled first.
enum First {
    /// It has no line.
    NoLine,
    /// All that its line says.
    Addresses(Addresses),
    /// More than is kept.
    Again,
}

/// An entry that refers to nothing outside of its line, without the room that an [`Entry`] takes on the heap.
struct Addresses {
    flags: u32,
    zone: u32,
    ttl: u32,
    a: [[u8; 4]; MOST_A],
    count_a: u8,
    aaaa: Option<[u8; 16]>,
}

impl First {
    fn new(entry: Option<&Entry>) -> Self {
        let Some(entry) = entry else { return Self::NoLine };
        let mut a = [[0; 4]; MOST_A];
        let Some(room) = a.get_mut(..entry.inline_a.len()) else {
            return Self::Again;
        };
        room.copy_from_slice(&entry.inline_a);
        if !entry.bodies.is_empty() {
            return Self::Again;
        }
        Self::Addresses(Addresses {
            flags: entry.flags,
            zone: entry.zone,
            ttl: entry.ttl,
            a,
            count_a: entry.inline_a.len() as u8,
            aaaa: entry.inline_aaaa,
        })
    }
}

impl Addresses {
    fn entry(&self) -> Entry {
        Entry {
            flags: self.flags,
            zone: self.zone,
            ttl: self.ttl,
            inline_a: self.a[..usize::from(self.count_a)].to_vec(),
            inline_aaaa: self.aaaa,
            bodies: Vec::new(),
        }
    }
}

/// How much some names need, what came of each, and from what their answers were made, where that is anything but their own
/// data.
struct Part {
    need: Need,
    firsts: Vec<First>,
    consulted: Vec<(NameKey, Vec<Consulted>)>,
}

fn need_of(snapshot: &Snapshot, keys: &[NameKey], options: &CompileOptions) -> Part {
    let mut part = Part {
        need: Need::default(),
        firsts: Vec::with_capacity(keys.len()),
        consulted: Vec::new(),
    };
    for key in keys {
        let Compiled { entry, consulted } = compile(snapshot, key, options);
        part.firsts.push(First::new(entry.as_ref()));
        if let Some(entry) = entry {
            part.need.add(&entry);
        }
        if !consulted.is_empty() {
            part.consulted.push((key.clone(), consulted));
        }
    }
    part
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

/// The names whose lines differ in some view: those that would, if the default became the view's tree.
fn viewed(snapshot: &Snapshot, dependents: &AllDependents) -> BTreeSet<NameKey> {
    let mut names = BTreeSet::new();
    for view in &snapshot.views.list {
        let delta = Delta {
            names: differing(snapshot, &view.tree),
            ..Delta::default()
        };
        names.extend(affected(snapshot, &view.tree, &delta, &[&dependents.default]));
    }
    names
}

/// An empty table with room for this and some more.
pub(super) fn empty_table(loader: &Loader, mut need: Need) -> anyhow::Result<(TableWriter, Option<Program>)> {
    let mut random = [0; size_of::<Keys>()];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness for the table's secrets: {error}"))?;
    let keys = Keys::from_random(&random);
    let (mut program, memory) = loader(&keys, need.sizes()?)?;
    if let Some(program) = &mut program {
        program.set_clients(&need.clients)?;
    }
    let mut writer = TableWriter::new(memory, keys);
    writer.set_clients(need.clients);
    Ok((writer, program))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Body;

    #[test]
    fn what_is_kept_of_a_name_is_all_that_its_line_says() {
        for count in 0..=MOST_A as u8 {
            let entry = Entry {
                flags: 0x1234,
                zone: 7,
                ttl: 300,
                inline_a: (0..count).map(|last| [192, 0, 2, last]).collect(),
                inline_aaaa: (count % 2 == 0).then_some([count; 16]),
                bodies: Vec::new(),
            };
            let First::Addresses(addresses) = First::new(Some(&entry)) else {
                panic!("{count} addresses are not kept");
            };
            assert_eq!(addresses.entry(), entry);
        }
    }

    #[test]
    fn what_takes_more_than_a_line_is_not_kept() {
        let with_addresses = |count| Entry {
            inline_a: vec![[192, 0, 2, 1]; count],
            ..Entry::bare(0)
        };
        assert!(matches!(First::new(Some(&with_addresses(MOST_A + 1))), First::Again));
        let mut with_body = with_addresses(1);
        with_body.bodies.push((
            16,
            Body {
                octets: vec![0; 16],
                counts: [1, 0, 0],
                flags: 0,
                pointers: Vec::new(),
                serial: None,
                order: None,
                base_bytes: 1,
            },
        ));
        assert!(matches!(First::new(Some(&with_body)), First::Again));
        assert!(matches!(First::new(None), First::NoLine));
    }
}
