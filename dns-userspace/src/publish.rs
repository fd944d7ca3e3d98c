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
//! much differs, or the table is full, a new table is built beside the old one and swapped in. Where that cannot be
//! had, for want of memory, the change is made in the table that there is: what finds no room passes.

mod counts;
mod error;
mod figures;
mod home;
mod rebuild;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dns_common::table::Table;

use crate::answer::Serials;
use crate::lines::{
    AllDependents, CompileOptions, Everywhere, NameLines, needs_line_anywhere, negatives, touched_anywhere,
};
use crate::model::name::NameKey;
use crate::model::record::RecordType;
use crate::model::shown::with_causes;
use crate::model::snapshot::{Snapshot, Zone};
use crate::store::{Delta, ZoneChange, ZoneDelta};
use crate::table::{TableFull, TableReader, TableWriter, return_freed_memory};

pub use self::counts::{ZoneAnswers, ZoneCounter, ZoneCounts};
pub use self::error::{Cause, TableError};
pub use self::figures::TableFigures;
pub use self::home::{Home, Loader, SharedHome, ZoneAccess};
use self::rebuild::{Built, Need, Spare};

/// Changes of more names than this, and of more than half of the table, are made in a new table.
const REBUILD_FROM: usize = 4096;
/// After this long a larger table that could not be had is tried for again; then after twice as long, and so on.
const RETRY_GROWTH: Duration = Duration::from_secs(10);
/// But after this at the latest.
const LONGEST_RETRY: Duration = Duration::from_secs(600);
/// A table is at most this full, in percent.
const FULL_PERCENT: usize = 85;

/// What is served now, as every reader sees it.
pub struct Served {
    snapshot: ArcSwap<Snapshot>,
    table: ArcSwap<TableReader>,
}

impl Served {
    /// What would be served of these names if this snapshot were: its table has no others, and nobody else reads it.
    pub fn tentative(
        snapshot: Arc<Snapshot>,
        names: impl IntoIterator<Item = NameKey>,
        options: &CompileOptions,
    ) -> Result<Self, TableError> {
        let table = rebuild::of_names(&snapshot, names, options)?;
        Ok(Self {
            snapshot: ArcSwap::new(snapshot),
            table: ArcSwap::from_pointee(table),
        })
    }

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

/// How far a publication has come; what tests step through.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
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
pub struct Publisher<H> {
    served: Arc<Served>,
    program: SharedHome<H>,
    loader: Loader<H>,
    options: CompileOptions,
    writer: TableWriter,
    dependents: AllDependents,
    serials: HashMap<u32, u32>,
    figures: Arc<TableFigures>,
    /// What is counted for each zone, where that is asked for.
    counts: Option<Arc<ZoneCounts>>,
    /// When a larger table could not be had, the last time; `None`: the table is as large as wanted.
    refused_at: Option<Instant>,
    retry_every: Duration,
    /// Since the last rest.
    was_rebuilt: bool,
    /// Whether the table is by other options than those in force, and passes all until there is a new one.
    is_outdated: bool,
}

impl<H: Home> Publisher<H> {
    /// An empty table, served at once: every query passes to userspace, which knows no name yet.
    pub fn new(loader: Loader<H>, options: CompileOptions) -> Result<Self, TableError> {
        let snapshot = Arc::new(Snapshot::default());
        let (writer, program) = rebuild::empty_table(&loader, Need::default(), Spare::Little)?;
        let served = Served {
            snapshot: ArcSwap::new(snapshot),
            table: ArcSwap::from_pointee(writer.reader().clone()),
        };
        let mut publisher = Self {
            served: Arc::new(served),
            program: SharedHome::new(program),
            loader,
            options,
            writer,
            dependents: AllDependents::default(),
            serials: HashMap::new(),
            figures: Arc::default(),
            counts: None,
            refused_at: None,
            retry_every: RETRY_GROWTH,
            was_rebuilt: false,
            is_outdated: false,
        };
        publisher.install(&Snapshot::default(), [NameKey::ROOT], &mut |_| {})?;
        publisher.show();
        Ok(publisher)
    }

    /// What readers share.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// The XDP program, to be attached, and asked for its counters.
    pub fn program(&self) -> SharedHome<H> {
        self.program.clone()
    }

    /// How full the table is.
    pub fn figures(&self) -> Arc<TableFigures> {
        Arc::clone(&self.figures)
    }

    /// Counts answers for each zone from now on; before the first plan.
    pub fn count_zones(&mut self) -> Arc<ZoneCounts> {
        let counts = Arc::new(ZoneCounts::new(self.served(), Arc::new(self.program())));
        self.counts = Some(Arc::clone(&counts));
        counts
    }

    /// Answers every question SERVFAIL, "not ready", from now until the next publication: what there is is not known
    /// yet.
    pub fn withhold(&mut self) {
        // A closed table passes all to userspace.
        self.writer.close();
        self.served.snapshot.store(Arc::new(Snapshot::withheld()));
    }

    /// Serves what is served by other options, from a new table that the loader makes. `swap` puts what userspace
    /// answers by into force; it is called while no table answers, so that no client sees half of the change. On an
    /// error nothing has changed, and `swap` was not called.
    pub fn reconfigure(&mut self, options: CompileOptions, swap: &mut dyn FnMut()) -> Result<(), TableError> {
        let before = std::mem::replace(&mut self.options, options);
        let snapshot = self.served.snapshot();
        if snapshot.is_withheld {
            // The table is closed until there is something to be published.
            self.is_outdated = true;
            swap();
            return Ok(());
        }
        let rebuilt = self.rebuild(&snapshot, Spare::Little, &mut |moment| {
            if moment == Moment::Published {
                swap();
            }
        });
        match rebuilt {
            Ok(()) => {
                self.was_rebuilt = true;
                self.show();
                Ok(())
            }
            Err(error) => {
                self.options = before;
                Err(error)
            }
        }
    }

    /// Serves `new` from every plane; `delta` is how it differs from what is served. `serials` are the serials to serve
    /// from now on, by zone index, of the zones whose serial moves. What finds no room in the table passes, and
    /// userspace answers it.
    pub fn publish(&mut self, new: &Arc<Snapshot>, delta: &Delta, serials: &[(u32, u32)]) {
        self.publish_observed(new, delta, serials, &mut |_| {});
    }

    /// [`Publisher::publish`] with a look between the steps.
    #[doc(hidden)]
    pub fn publish_observed(
        &mut self,
        new: &Arc<Snapshot>,
        delta: &Delta,
        serials: &[(u32, u32)],
        observe: &mut dyn FnMut(Moment),
    ) {
        let old = self.served.snapshot();
        for zone in &delta.zones {
            if zone.change == ZoneChange::Removed {
                self.serials.remove(&zone.index);
            }
        }
        self.serials.extend(serials.iter().copied());
        if delta.views_redefined || self.is_outdated {
            if self.grow(new, Spare::Little, observe) {
                return;
            }
            // Nothing but a new table knows who is in which view, or has other options. Until there is one, this one
            // passes all.
            self.writer.close();
            observe(Moment::Closed);
        } else if self.is_bulk(delta.names.len()) && self.grow(new, Spare::Little, observe) {
            return;
        }
        let names = touched_anywhere(&old, new, delta, &self.dependents);
        let lines = names.len() * (1 + new.views.list.len());
        let spare = if self.is_bulk(names.len()) {
            Some(Spare::Little)
        } else {
            (!self.has_room(lines, delta)).then_some(Spare::Growing(lines))
        };
        if spare.is_some_and(|spare| self.grow(new, spare, observe)) {
            return;
        }

        // Fence.
        for key in &names {
            let insert = || needs_line_anywhere(new, key);
            self.writer.fence(key.to_name().as_wire(), insert);
            observe(Moment::Fencing);
        }
        let zones = with_other_negatives(&old, new, delta);
        for zone in &zones {
            // Nothing is written here, so nothing is short of room.
            let _ = self.set_negatives(None, zone.index);
        }
        self.writer.raise_epoch();
        let access = other_access(&old, new, delta);
        if !access.is_empty()
            && let Some(program) = &mut *self.program.lock()
        {
            program.set_zone_access(access);
        }
        // Kept answers of upstream servers lead on to names that may be ours from now on.
        let changes_owners = owners_differ(&old, new, delta);
        if changes_owners {
            self.writer.raise_generation();
        }
        observe(Moment::Fenced);
        // Publish.
        let came = delta.zones.iter().filter(|zone| zone.change == ZoneChange::Added);
        self.set_serials_of_new_zones(came.filter_map(|zone| new.zones.get(&zone.apex)));
        self.start_counts(new, delta);
        self.served.snapshot.store(Arc::clone(new));
        if changes_owners {
            self.writer.raise_generation();
        }
        observe(Moment::Published);
        // Install.
        let installed = self.install(new, names, observe);
        let result = installed.and(self.install_zones(new, &zones));
        for &(zone, serial) in serials {
            self.writer.set_serial(zone, serial);
        }
        if old.is_withheld && !delta.views_redefined && !self.is_outdated {
            self.writer.open();
        }
        // Whatever was not written passes, so nothing wrong is answered meanwhile.
        if result.is_ok() || !self.grow(new, Spare::Growing(lines), observe) {
            self.writer.reclaim(false);
            self.show();
        }
    }

    /// Frees what earlier changes left behind, and tries to get a new table where the XDP program lacks room for own
    /// addresses, or a larger one was wanted and could not be had; for moments when nothing else is to be done. Says
    /// when to come again, if that is of use.
    pub fn rest(&mut self) -> Option<Duration> {
        self.writer.reclaim(true);
        let snapshot = self.served.snapshot();
        if (self.refused_at.is_some() || self.program.lacks_room()) && !snapshot.is_withheld {
            // Even if what had no room is gone by now: homes that overflowed pass what is not there.
            self.grow(&snapshot, Spare::Little, &mut |_| {});
        }
        if std::mem::take(&mut self.was_rebuilt) {
            return_freed_memory();
        }
        self.refused_at.map(|_| self.retry_every)
    }

    /// Tries for a larger table at every change and rest; for tests.
    #[doc(hidden)]
    pub fn retry_growth_at_once(&mut self) {
        self.retry_every = Duration::ZERO;
    }

    /// Writes what can be written; an error where something was left out for want of room.
    fn install(
        &mut self,
        snapshot: &Snapshot,
        names: impl IntoIterator<Item = NameKey>,
        observe: &mut dyn FnMut(Moment),
    ) -> Result<(), TableFull> {
        let mut result = Ok(());
        let mut compiling = Everywhere::new(snapshot, &self.options);
        for key in names {
            let NameLines { default, views } = compiling.next(&key, &mut self.dependents);
            let name = key.to_name();
            // The default's line last: it is the way to those of views.
            for (view, entry) in (1..).zip(views) {
                match entry {
                    Some(entry) => result = result.and(self.writer.put(name.as_wire(), view, &entry)),
                    None => self.writer.remove(name.as_wire(), view),
                }
            }
            match default {
                Some(entry) => result = result.and(self.writer.put(name.as_wire(), 0, &entry)),
                None => self.writer.remove(name.as_wire(), 0),
            }
            observe(Moment::Installing);
        }
        result
    }

    /// Whether a change of so many names is better made in a new table.
    fn is_bulk(&self, names: usize) -> bool {
        names > REBUILD_FROM && names > self.writer.names() / 2
    }

    /// Whether the table has room for so many names more, and for every zone that comes.
    fn has_room(&self, names: usize, delta: &Delta) -> bool {
        let sizes = self.writer.reader().memory.sizes;
        // Each may need a whole line.
        (self.writer.halves() + 2 * names) * 100 <= 2 * sizes.lines as usize * FULL_PERCENT
            && delta.zones.iter().all(|zone| zone.index < sizes.zones)
    }

    /// Serves a snapshot from a new table. False where that cannot be had: then nothing has changed, and the table as
    /// it is must do. It is not tried at every change.
    fn grow(&mut self, snapshot: &Arc<Snapshot>, spare: Spare, observe: &mut dyn FnMut(Moment)) -> bool {
        if self.refused_at.is_some_and(|at| at.elapsed() < self.retry_every) {
            return false;
        }
        let rebuilt = self.rebuild(snapshot, spare, observe).or_else(|error| match spare {
            // Less may be had.
            Spare::Growing(_) => self.rebuild(snapshot, Spare::Little, observe),
            Spare::Little => Err(error),
        });
        match rebuilt {
            Ok(()) => {
                if self.refused_at.take().is_some() {
                    tracing::info!("a larger table of answers could be had");
                }
                self.retry_every = RETRY_GROWTH;
                self.was_rebuilt = true;
                self.show();
                true
            }
            Err(error) => {
                let is_first = self.refused_at.replace(Instant::now()).is_none();
                if is_first {
                    tracing::warn!(
                        "a larger table of answers cannot be had, names without room in it are answered by userspace: \
                         {}",
                        with_causes(&error)
                    );
                } else {
                    self.retry_every = LONGEST_RETRY.min(self.retry_every * 2);
                }
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn show(&self) {
        self.figures.show(&self.writer);
    }

    /// A zone that was not served has its serial before its content: there is none in its place yet, or that of a zone
    /// that is gone. The serials of all others move last.
    fn set_serials_of_new_zones<'z>(&self, zones: impl IntoIterator<Item = &'z Arc<Zone>>) {
        for zone in zones {
            self.writer.set_serial(zone.index, serial_of(zone, &self.serials));
        }
    }

    /// Zones that come count from zero, whatever had their index before.
    fn start_counts(&self, new: &Snapshot, delta: &Delta) {
        let moves = |zone: &ZoneDelta| zone.change != ZoneChange::Changed;
        if let Some(counts) = &self.counts
            && delta.zones.iter().any(moves)
        {
            counts.follow(&self.served.snapshot(), new);
        }
    }

    fn install_zones(&mut self, snapshot: &Snapshot, zones: &[&ZoneDelta]) -> Result<(), TableFull> {
        let mut result = Ok(());
        for delta in zones.iter().filter(|delta| delta.change != ZoneChange::Removed) {
            let zone = snapshot.zones.get(&delta.apex).map(|zone| (snapshot, &**zone));
            result = result.and(self.set_negatives(zone, delta.index));
        }
        result
    }

    fn set_negatives(&mut self, zone: Option<(&Snapshot, &Zone)>, index: u32) -> Result<(), TableFull> {
        let compiled = zone.and_then(|(snapshot, zone)| negatives(snapshot, zone, &self.options));
        if index >= self.writer.reader().memory.sizes.zones {
            // All that has this number passes.
            return Ok(());
        }
        self.writer.set_negatives(index, compiled.as_ref())
    }

    /// Builds a new table from a snapshot and swaps it in.
    fn rebuild(
        &mut self,
        snapshot: &Arc<Snapshot>,
        spare: Spare,
        observe: &mut dyn FnMut(Moment),
    ) -> Result<(), TableError> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let serves = {
            let served = self.served.snapshot.load();
            !served.zones.is_empty() || !served.overlays.is_empty()
        };
        // Half of the processors are left to the queries.
        let threads = if serves { (processors / 2).max(1) } else { processors };
        let Built {
            writer,
            program,
            dependents,
        } = rebuild::build(snapshot, &self.options, &self.serials, &self.loader, threads, spare)?;
        writer
            .reader()
            .memory
            .buckets
            .copy_from(&self.writer.reader().memory.buckets);
        observe(Moment::Rebuilding);
        // The program first, which passes everything until the new table is open: what fails up to here changes
        // nothing that is served.
        writer.close();
        let mut shared = self.program.lock();
        if let Some(mut program) = program {
            program.set_zone_access(zone_access(snapshot));
            if let Some(old) = &mut *shared {
                let taken = program.take_over(old);
                taken.map_err(|error| TableError::NotTakenOver(error.into()))?;
            }
            *shared = Some(program);
        }
        drop(shared);
        // Then the old table passes everything too, and nothing reads it any more.
        self.writer.close();
        observe(Moment::Closed);
        let old = self.served.snapshot();
        let is_new = |apex: &NameKey, zone: &Zone| old.zones.get(apex).is_none_or(|old| old.index != zone.index);
        let came = snapshot.zones.iter().filter(|(apex, zone)| is_new(apex, zone));
        self.set_serials_of_new_zones(came.map(|(_, zone)| zone));
        if let Some(counts) = &self.counts {
            counts.follow(&old, snapshot);
        }
        self.served.snapshot.store(Arc::clone(snapshot));
        observe(Moment::Published);
        self.served.table.store(Arc::new(writer.reader().clone()));
        writer.open();
        self.writer = writer;
        self.dependents = dependents;
        self.is_outdated = false;
        Ok(())
    }
}

/// The access lists of all zones that are served.
fn zone_access(snapshot: &Snapshot) -> ZoneAccess {
    let lists = snapshot.access.iter();
    lists
        .filter_map(|(apex, list)| Some((snapshot.zones.get(apex)?.index, Some(Arc::clone(list)))))
        .collect()
}

/// Whether other names than before are ours: not where all that differs is what they say.
fn owners_differ(old: &Snapshot, new: &Snapshot, delta: &Delta) -> bool {
    let state = |snapshot: &Snapshot, zone: &ZoneDelta| {
        let zone = snapshot.zones.get(&zone.apex)?;
        Some((zone.failed.is_some(), zone.falls_through))
    };
    let types = |snapshot: &Snapshot, key: &NameKey| -> Vec<RecordType> {
        let of_views = snapshot.views.list.iter().flat_map(|view| view.own.get(key));
        let nodes = snapshot.node(key).into_iter().chain(of_views);
        nodes
            .flat_map(|node| node.rrsets.iter().map(|rrset| rrset.rtype))
            .collect()
    };
    let moves = |zone: &ZoneDelta| zone.change != ZoneChange::Changed || state(old, zone) != state(new, zone);
    delta.views_redefined
        || old.is_withheld
        || delta.zones.iter().any(moves)
        || (delta.names.iter().chain(delta.views.iter().flatten())).any(|key| types(old, key) != types(new, key))
}

/// The access lists that the program is to be told: those that differ, and those of zones that come and go, which are
/// under other numbers.
fn other_access(old: &Snapshot, new: &Snapshot, delta: &Delta) -> ZoneAccess {
    let moved = delta.zones.iter().filter(|zone| zone.change != ZoneChange::Changed);
    let mut lists = ZoneAccess::new();
    for apex in delta.access.iter().chain(moved.map(|zone| &zone.apex)) {
        let (before, after) = (old.access.get(apex), new.access.get(apex));
        if before.is_none() && after.is_none() {
            continue;
        }
        if let Some(gone) = old.zones.get(apex) {
            lists.entry(gone.index).or_default();
        }
        if let Some(zone) = new.zones.get(apex) {
            lists.insert(zone.index, after.cloned());
        }
    }
    lists
}

/// The serial to serve for a zone: what was published for it, or that of its own SOA record.
fn serial_of(zone: &Zone, serials: &HashMap<u32, u32>) -> u32 {
    let serial = serials.get(&zone.index).copied().or_else(|| zone.soa_serial());
    serial.unwrap_or(0)
}

/// The zones whose NODATA and NXDOMAIN differ: another SOA record, or another state.
fn with_other_negatives<'a>(old: &Snapshot, new: &Snapshot, delta: &'a Delta) -> Vec<&'a ZoneDelta> {
    let negative_of = |snapshot: &Snapshot, delta: &ZoneDelta| {
        let zone = snapshot.zones.get(&delta.apex)?;
        Some((
            zone.index,
            zone.failed.is_some(),
            zone.falls_through,
            zone.rrset(&delta.apex, RecordType::SOA).cloned(),
        ))
    };
    let differs = |delta: &&ZoneDelta| negative_of(old, delta) != negative_of(new, delta);
    delta.zones.iter().filter(differs).collect()
}
