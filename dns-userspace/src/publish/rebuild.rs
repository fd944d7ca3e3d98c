//! A new table from a whole snapshot.
//!
//! Each name is compiled twice: to find out how much room all need, and to be written. So no more than one name's
//! answers are in memory beside the table.

use std::collections::HashMap;

use anyhow::Context;
use dns_common::hash::Keys;
use dns_common::slot::SLOT_CLASSES;

use super::dependents::Dependents;
use super::names::all_names;
use super::{Loader, serial_of};
use crate::compile::named::all_named;
use crate::compile::{CompileOptions, compile, negatives};
use crate::dataplane::xdp::Program;
use crate::name::NameKey;
use crate::snapshot::Snapshot;
use crate::table::{Entry, Sizes, TableWriter};

/// The smallest table.
const LEAST_LINES: usize = 1024;
/// Names in a hundred lines of a new table.
const FILL_PERCENT: usize = 70;
/// Slots beyond need, so that changes seldom wait for those that were given up: of the two smallest classes.
const SPARE_SMALL_SLOTS: usize = 1024;
/// Of each other class.
const SPARE_SLOTS: usize = 64;
/// And of every class one in so many that are needed.
const SPARE_SHARE: usize = 16;

/// A table that nobody reads yet.
pub(super) struct Built {
    pub(super) writer: TableWriter,
    pub(super) program: Option<Program>,
    pub(super) dependents: Dependents,
}

/// How much a table must hold.
#[derive(Clone, Copy, Default)]
pub(super) struct Need {
    names: usize,
    slots: [usize; SLOT_CLASSES],
    /// One more than the greatest zone number.
    pub(super) zones: u32,
}

impl Need {
    fn add(&mut self, entry: &Entry) {
        self.names += 1;
        for class in entry.bodies.iter().filter_map(|(_, body)| body.class()) {
            self.slots[class] += 1;
        }
    }

    /// The sizes of a table with room to grow.
    fn sizes(mut self) -> anyhow::Result<Sizes> {
        // Two negatives for each zone, and their successors.
        self.slots[0] += 4 * self.zones as usize;
        self.slots[1] += 4 * self.zones as usize;
        let lines = (self.names * 100 / FILL_PERCENT).max(LEAST_LINES);
        Ok(Sizes {
            lines: u32::try_from(lines).context("too many names for one table")?,
            slots: std::array::from_fn(|class| {
                let spare = if class < 2 { SPARE_SMALL_SLOTS } else { SPARE_SLOTS };
                u32::try_from(self.slots[class] + self.slots[class] / SPARE_SHARE + spare).unwrap_or(u32::MAX)
            }),
            zones: self.zones + self.zones / 2 + 16,
        })
    }
}

/// Builds the table of a snapshot. `serials` are those that are served, by zone number.
pub(super) fn build(
    snapshot: &Snapshot,
    options: &CompileOptions,
    serials: &HashMap<u32, u32>,
    loader: &Loader,
) -> anyhow::Result<Built> {
    let named = all_named(snapshot);
    let mut dependents = Dependents::default();
    let mut need = Need {
        zones: snapshot.zones.values().map(|zone| zone.index + 1).max().unwrap_or(0),
        ..Need::default()
    };
    for key in all_names(snapshot, &named) {
        let compiled = compile(snapshot, &key, options);
        if let Some(entry) = compiled.entry {
            need.add(&entry);
        }
        dependents.set(key, compiled.consulted);
    }
    let (mut writer, program) = empty_table(loader, need)?;
    let write = |writer: &mut TableWriter, key: &NameKey, wire: &[u8]| {
        compile(snapshot, key, options)
            .entry
            .map_or(Ok(()), |entry| writer.put(wire, &entry))
    };
    // Names that find their home free first: fewer of the others then need a second line.
    let mut later = Vec::new();
    for key in all_names(snapshot, &named) {
        let name = key.to_name();
        if writer.is_home_free(name.as_wire()) {
            write(&mut writer, &key, name.as_wire())?;
        } else {
            later.push(key);
        }
    }
    for key in later {
        write(&mut writer, &key, key.to_name().as_wire())?;
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

/// An empty table with room for this and some more.
pub(super) fn empty_table(loader: &Loader, need: Need) -> anyhow::Result<(TableWriter, Option<Program>)> {
    let mut random = [0; size_of::<Keys>()];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness for the table's secrets: {error}"))?;
    let keys = Keys::from_random(&random);
    let (program, memory) = loader(&keys, need.sizes()?)?;
    Ok((TableWriter::new(memory, keys), program))
}
