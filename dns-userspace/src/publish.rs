//! The life of a change: fence, publish, install.
//!
//! ```text
//!  1  fence     every line that will differ is made to pass; then the epoch is raised
//!  2  publish   userspace answers from the new snapshot
//!  3  install   each of those lines is written anew, no longer passing; then the zones' serials
//! ```
//!
//! So no client sees half a change, or the old answer once [`Publisher::publish`] has returned: before step 2 a query
//! finds the old answer or falls through to the old snapshot; after it, the new answer or the new snapshot. Where very
//! much differs, or the table is full, a new table is built beside the old one and swapped in.

mod affected;
mod dependents;
mod views;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use arc_swap::ArcSwap;
use dns_common::hash::Keys;
use dns_common::slot::SLOT_CLASSES;
use dns_common::table::Table;

use crate::answer::Serials;
use crate::compile::{CompileOptions, Compiled, compile, negatives};
use crate::dataplane::xdp::Program;
use crate::name::{Name, NameKey};
use crate::record::RecordType;
use crate::snapshot::{Snapshot, Zone};
use crate::store::{Delta, Plan, ZoneChange, ZoneDelta};
use crate::table::{Entry, Memory, Sizes, TableFull, TableReader, TableWriter};
use crate::views::Clients;

use self::affected::{affected, all_names};
use self::views::{AllDependents, Lines, compile_everywhere, differing, is_in_use_anywhere};

/// Changes of more names than this, and of more than half of the table, are made in a new table.
const REBUILD_FROM: usize = 4096;
/// A table is at most this full, in percent.
const FULL_PERCENT: usize = 80;
/// Slots beyond need, so that changes seldom wait for those that were given up: of the two smallest classes.
const SPARE_SMALL_SLOTS: usize = 1024;
/// Of each other class.
const SPARE_SLOTS: usize = 64;
/// The smallest table.
const LEAST_LINES: usize = 1024;

/// What is served now, as every reader sees it.
pub struct Served {
    snapshot: ArcSwap<Snapshot>,
    table: ArcSwap<TableReader>,
}

impl Served {
    /// The snapshot that userspace answers from.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The snapshot, for as long as one answer takes.
    pub fn snapshot_guard(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The table of ready answers.
    pub fn table(&self) -> arc_swap::Guard<Arc<TableReader>> {
        self.table.load()
    }
}

impl Serials for Served {
    fn serial(&self, zone_index: u32) -> Option<u32> {
        self.table.load().zone(zone_index).map(|zone| zone.serial)
    }
}

/// Where tables live: in the XDP program's maps, or on the heap.
pub type Loader = Box<dyn Fn(&Keys, Sizes) -> anyhow::Result<(Option<Program>, Memory)> + Send>;

/// The XDP program, shared with those who attach it and read its counters. `None` without XDP.
#[derive(Clone, Default)]
pub struct SharedProgram(Arc<Mutex<Option<Program>>>);

impl SharedProgram {
    /// The program, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Option<Program>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How full the table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableFigures {
    /// Names with a line.
    pub names: usize,
    /// Lines.
    pub lines: usize,
    /// Names that found no line: only userspace answers them.
    pub unplaced: usize,
    /// Octets of memory.
    pub bytes: usize,
}

/// How far a publication has come; what tests step through.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// One more line passes.
    Fencing,
    /// All lines that will differ pass.
    Fenced,
    /// Userspace answers from the new snapshot.
    Published,
    /// One more line says what is new.
    Installing,
    /// A new table is being built: nothing has changed yet.
    Rebuilding,
    /// The old table passes all.
    Closed,
}

/// The one that writes tables.
pub struct Publisher {
    served: Arc<Served>,
    program: SharedProgram,
    loader: Loader,
    options: CompileOptions,
    writer: TableWriter,
    dependents: AllDependents,
    serials: HashMap<u32, u32>,
}

impl Publisher {
    /// An empty table, served at once: every query passes to userspace, which knows no name yet.
    pub fn new(loader: Loader, options: CompileOptions) -> anyhow::Result<Self> {
        let snapshot = Arc::new(Snapshot::default());
        let (writer, program) = new_table(&loader, &[], 1, Arc::default())?;
        let served = Served {
            snapshot: ArcSwap::new(snapshot),
            table: ArcSwap::from_pointee(writer.reader().clone()),
        };
        let shared = SharedProgram::default();
        *shared.lock() = program;
        let mut publisher = Self {
            served: Arc::new(served),
            program: shared,
            loader,
            options,
            writer,
            dependents: AllDependents::default(),
            serials: HashMap::new(),
        };
        publisher.install(&Snapshot::default(), [NameKey::from_wire(&[0])], &mut |_| {})?;
        Ok(publisher)
    }

    /// What readers share.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// The XDP program, to be attached, and asked for its counters.
    pub fn program(&self) -> SharedProgram {
        self.program.clone()
    }

    /// How full the table is.
    pub fn figures(&self) -> TableFigures {
        TableFigures {
            names: self.writer.names(),
            lines: self.writer.reader().memory.sizes.lines as usize,
            unplaced: self.writer.unplaced(),
            bytes: self.writer.reader().memory.sizes.bytes(),
        }
    }

    /// Makes a plan what is served, by every plane. `serials` are the serials to serve from now on, by zone index, of
    /// the zones whose serial moves.
    pub fn publish(&mut self, plan: &Plan, serials: &[(u32, u32)]) -> anyhow::Result<()> {
        self.publish_observed(plan, serials, &mut |_| {})
    }

    /// [`Publisher::publish`] with a look between the steps.
    #[doc(hidden)]
    pub fn publish_observed(
        &mut self,
        plan: &Plan,
        serials: &[(u32, u32)],
        observe: &mut dyn FnMut(Stage),
    ) -> anyhow::Result<()> {
        let old = self.served.snapshot();
        let new = &plan.snapshot;
        for delta in &plan.delta.zones {
            if delta.change == ZoneChange::Removed {
                self.serials.remove(&delta.index);
            }
        }
        self.serials.extend(serials.iter().copied());
        let names = self.affected(&old, plan);
        let is_bulk = names.len() > REBUILD_FROM && names.len() > self.writer.names() / 2;
        let lines = names.len() * (1 + new.views.list.len());
        let has_room =
            (self.writer.names() + lines) * 100 <= self.writer.reader().memory.sizes.lines as usize * FULL_PERCENT;
        let zones_fit = new
            .zones
            .iter()
            .all(|(_, zone)| zone.index < self.writer.reader().memory.sizes.zones);
        if plan.delta.views_redefined || is_bulk || !has_room || !zones_fit {
            return self.rebuild(new, observe);
        }

        // Fence.
        for key in &names {
            let insert = is_in_use_anywhere(new, key);
            self.writer.fence(key.to_name().as_wire(), insert);
            observe(Stage::Fencing);
        }
        let zones = with_other_negatives(&old, plan);
        for delta in &zones {
            self.set_negatives(None, delta.index)?;
        }
        self.writer.raise_epoch();
        observe(Stage::Fenced);
        // Publish.
        self.set_serials_of_new_zones(new);
        self.served.snapshot.store(Arc::clone(new));
        observe(Stage::Published);
        // Install.
        let result = self
            .install(new, names, observe)
            .and_then(|()| self.install_zones(new, &zones));
        match result {
            Ok(()) => {
                for &(zone, serial) in serials {
                    self.writer.set_serial(zone, serial);
                }
                self.writer.reclaim(false);
                Ok(())
            }
            // Whatever was not written passes, so nothing wrong is answered meanwhile.
            Err(TableFull) => self.rebuild(new, observe),
        }
    }

    /// Every name whose lines may differ, in the default or a view.
    fn affected(&self, old: &Snapshot, plan: &Plan) -> BTreeSet<NameKey> {
        let (new, delta) = (&plan.snapshot, &plan.delta);
        let of_default = &self.dependents.default;
        let mut names = affected(old, new, delta, &[of_default]);
        if delta.views_redefined {
            return names;
        }
        for (at, (before, after)) in old.views.list.iter().zip(&new.views.list).enumerate() {
            let more = delta.views.get(at).into_iter().flatten();
            let delta = Delta {
                names: delta.names.iter().chain(more).cloned().collect(),
                zones: delta.zones.clone(),
                ..Delta::default()
            };
            // What the view has no line for was made as the default's was.
            let of_view = self.dependents.views.get(at);
            let dependents: Vec<_> = std::iter::once(of_default).chain(of_view).collect();
            names.extend(affected(&before.tree, &after.tree, &delta, &dependents));
        }
        names
    }

    /// Frees what earlier changes left behind; for moments when nothing else is to be done.
    pub fn reclaim(&mut self) {
        self.writer.reclaim(true);
    }

    fn install(
        &mut self,
        snapshot: &Snapshot,
        names: impl IntoIterator<Item = NameKey>,
        observe: &mut dyn FnMut(Stage),
    ) -> Result<(), TableFull> {
        for key in names {
            let Lines { default, views } = compile_everywhere(snapshot, &key, &self.options, &mut self.dependents);
            let name = key.to_name();
            // The default's line last: it is the way to those of views.
            for (view, entry) in (1..).zip(views) {
                match entry {
                    Some(entry) => self.writer.put(name.as_wire(), view, &entry)?,
                    None => self.writer.remove(name.as_wire(), view),
                }
            }
            match default {
                Some(entry) => self.writer.put(name.as_wire(), 0, &entry)?,
                None => self.writer.remove(name.as_wire(), 0),
            }
            observe(Stage::Installing);
        }
        Ok(())
    }

    /// A zone that was not served has its serial before its content: there is none in its place yet, or that of a zone
    /// that is gone. The serials of all others move last.
    fn set_serials_of_new_zones(&self, new: &Snapshot) {
        let old = self.served.snapshot();
        for (apex, zone) in &new.zones {
            if old.zones.get(apex).is_none_or(|old| old.index != zone.index) {
                let serial = self.serials.get(&zone.index).copied().or_else(|| zone.soa_serial());
                self.writer.set_serial(zone.index, serial.unwrap_or(0));
            }
        }
    }

    fn install_zones(&mut self, snapshot: &Snapshot, zones: &[&ZoneDelta]) -> Result<(), TableFull> {
        for delta in zones.iter().filter(|delta| delta.change != ZoneChange::Removed) {
            let zone = snapshot.zones.get(&delta.apex).map(|zone| (snapshot, &**zone));
            self.set_negatives(zone, delta.index)?;
        }
        Ok(())
    }

    fn set_negatives(&mut self, zone: Option<(&Snapshot, &Zone)>, index: u32) -> Result<(), TableFull> {
        let compiled = zone.and_then(|(snapshot, zone)| negatives(snapshot, zone, &self.options));
        if index >= self.writer.reader().memory.sizes.zones {
            return Ok(());
        }
        self.writer.set_negatives(index, compiled.as_ref())
    }

    /// Every line of a snapshot, by name and view.
    fn compile_all(&self, snapshot: &Snapshot, dependents: &mut AllDependents) -> Vec<(Name, u16, Entry)> {
        let names = all_names(snapshot);
        let mut entries = Vec::with_capacity(names.len());
        for key in names {
            let Compiled { entry, consulted } = compile(snapshot, &key, &self.options);
            if let Some(entry) = entry {
                entries.push((key.to_name(), 0, entry));
            }
            dependents.default.set(key, consulted);
        }
        // Then what differs in a view: what would, if the default became it.
        let mut viewed = BTreeSet::new();
        for view in &snapshot.views.list {
            let delta = Delta {
                names: differing(snapshot, &view.tree),
                ..Delta::default()
            };
            viewed.extend(affected(snapshot, &view.tree, &delta, &[&dependents.default]));
        }
        if viewed.is_empty() {
            return entries;
        }
        entries.retain(|(name, ..)| !viewed.contains(&name.key()));
        for key in viewed {
            let Lines { default, views } = compile_everywhere(snapshot, &key, &self.options, dependents);
            let all = std::iter::once(default).chain(views);
            let all = (0..).zip(all).filter_map(|(view, entry)| Some((view, entry?)));
            entries.extend(all.map(|(view, entry)| (key.to_name(), view, entry)));
        }
        entries
    }

    /// Builds a new table from a snapshot and swaps it in.
    fn rebuild(&mut self, snapshot: &Arc<Snapshot>, observe: &mut dyn FnMut(Stage)) -> anyhow::Result<()> {
        let mut dependents = AllDependents::default();
        let entries = self.compile_all(snapshot, &mut dependents);
        let zones = snapshot.zones.values().map(|zone| zone.index + 1).max().unwrap_or(0);
        let sizes: Vec<&Entry> = entries.iter().map(|(.., entry)| entry).collect();
        let clients = Arc::clone(&snapshot.views.clients);
        let (mut writer, program) = new_table(&self.loader, &sizes, zones, clients)?;
        // Names that find their home free first: fewer of the others then need a second line.
        let mut later = Vec::new();
        for (name, view, entry) in &entries {
            if writer.is_home_free(name.as_wire(), *view) {
                writer.put(name.as_wire(), *view, entry)?;
            } else {
                later.push((name, *view, entry));
            }
        }
        for (name, view, entry) in later {
            writer.put(name.as_wire(), view, entry)?;
        }
        for zone in snapshot.zones.values() {
            let compiled = negatives(snapshot, zone, &self.options);
            writer.set_negatives(zone.index, compiled.as_ref())?;
            let serial = self.serials.get(&zone.index).copied().or_else(|| zone.soa_serial());
            writer.set_serial(zone.index, serial.unwrap_or(0));
        }

        observe(Stage::Rebuilding);
        // The program first, which passes everything until the new table is open: what fails up to here changes
        // nothing that is served.
        writer.close();
        let mut shared = self.program.lock();
        if let Some(mut program) = program {
            if let Some(old) = &mut *shared {
                program
                    .take_over(old)
                    .context("the new table cannot take over from the old one")?;
            }
            *shared = Some(program);
        }
        drop(shared);
        // Then the old table passes everything too, and nothing reads it any more.
        self.writer.close();
        observe(Stage::Closed);
        self.set_serials_of_new_zones(snapshot);
        self.served.snapshot.store(Arc::clone(snapshot));
        observe(Stage::Published);
        self.served.table.store(Arc::new(writer.reader().clone()));
        writer.open();
        self.writer = writer;
        self.dependents = dependents;
        if self.writer.unplaced() > 0 {
            tracing::info!(
                names = self.writer.unplaced(),
                "names found no line in the table: userspace answers them"
            );
        }
        Ok(())
    }
}

/// The zones whose NODATA and NXDOMAIN differ: another SOA record, or another state.
fn with_other_negatives<'a>(old: &Snapshot, plan: &'a Plan) -> Vec<&'a ZoneDelta> {
    let negative_of = |snapshot: &Snapshot, delta: &ZoneDelta| {
        let zone = snapshot.zones.get(&delta.apex)?;
        Some((
            zone.index,
            zone.failed.is_some(),
            zone.rrset(&delta.apex, RecordType::SOA).cloned(),
        ))
    };
    let differs = |delta: &&ZoneDelta| negative_of(old, delta) != negative_of(&plan.snapshot, delta);
    plan.delta.zones.iter().filter(differs).collect()
}

/// An empty table with room for these entries and as many again as a quarter.
fn new_table(
    loader: &Loader,
    entries: &[&Entry],
    zones: u32,
    clients: Arc<Clients>,
) -> anyhow::Result<(TableWriter, Option<Program>)> {
    let mut slots = [0usize; SLOT_CLASSES];
    for class in entries
        .iter()
        .flat_map(|entry| entry.bodies.iter().filter_map(|(_, body)| body.class()))
    {
        slots[class] += 1;
    }
    // Two negatives for each zone, and their successors.
    slots[0] += 4 * zones as usize;
    slots[1] += 4 * zones as usize;
    let lines = (entries.len() * 100 / 60).max(LEAST_LINES);
    let sizes = Sizes {
        lines: u32::try_from(lines).context("too many names for one table")?,
        slots: std::array::from_fn(|class| {
            let spare = if class < 2 { SPARE_SMALL_SLOTS } else { SPARE_SLOTS };
            u32::try_from(slots[class] + slots[class] / 4 + spare).unwrap_or(u32::MAX)
        }),
        zones: zones + zones / 2 + 16,
        prefixes: u32::try_from(clients.prefixes().count()).context("too many prefixes of views")?,
    };
    let mut random = [0; size_of::<Keys>()];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness for the table's secrets: {error}"))?;
    let keys = Keys::from_random(&random);
    let (mut program, memory) = loader(&keys, sizes)?;
    if let Some(program) = &mut program {
        program.set_clients(&clients)?;
    }
    let mut writer = TableWriter::new(memory, keys);
    writer.set_clients(clients);
    Ok((writer, program))
}
