//! Answers counted for each zone (`metrics.per_zone`).
//!
//! ```text
//! socket workers ─ ZoneCounter ─► Cells of the zone, by its index ─┐
//! XDP program    ─ ZONE_COUNTERS, by its index ────────────────────┴─► read, for the zones that are served
//! ```
//!
//! Indexes are used again: a zone that comes gets cells of its own, and what the program has counted under its index is
//! taken off. An answer that is under way at that moment may be counted for the wrong one of the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dns_common::counters::RCODE_CLASSES;

use super::Served;
use super::home::CountsByZone;
use crate::message::Protocol;
use crate::model::name::NameKey;
use crate::model::shown::with_causes;
use crate::model::snapshot::{Snapshot, Zone};

/// RCODEs that are told apart. The others are "other", and for the program so is SERVFAIL, which it does not send.
const LABELS: [&str; CLASSES] = ["NOERROR", "NXDOMAIN", "REFUSED", "other", "SERVFAIL"];
const CLASSES: usize = RCODE_CLASSES + 1;
/// Copies of a zone's counters at most, so that workers seldom share a cache line.
const MOST_SHARDS: usize = 8;

/// One worker's counters of one zone: by protocol, then by class.
#[derive(Default)]
#[repr(align(128))]
struct Cells([[AtomicU64; CLASSES]; Protocol::ALL.len()]);

type OfZone = Arc<[Cells]>;

/// The counters of all zones.
pub struct ZoneCounts {
    /// By the zone's index.
    zones: ArcSwap<Vec<Option<OfZone>>>,
    shards: usize,
    next: AtomicUsize,
    served: Arc<Served>,
    home: Arc<dyn CountsByZone>,
}

/// Where one worker counts.
pub struct ZoneCounter {
    counts: Arc<ZoneCounts>,
    shard: usize,
}

/// How many answers of one kind a zone gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneAnswers {
    /// Its apex.
    pub zone: String,
    /// `xdp`, or [`Protocol::label`].
    pub transport: &'static str,
    /// The RCODE, or `other`.
    pub rcode: &'static str,
    /// More than none.
    pub answers: u64,
}

impl ZoneCounts {
    pub(super) fn new(served: Arc<Served>, home: Arc<dyn CountsByZone>) -> Self {
        Self {
            zones: ArcSwap::default(),
            shards: std::thread::available_parallelism().map_or(1, |processors| processors.get().min(MOST_SHARDS)),
            next: AtomicUsize::new(0),
            served,
            home,
        }
    }

    /// A counter for a worker of its own.
    pub fn counter(self: &Arc<Self>) -> ZoneCounter {
        ZoneCounter {
            counts: Arc::clone(self),
            shard: self.next.fetch_add(1, Ordering::Relaxed) % self.shards,
        }
    }

    /// Makes room for the zones of `new` that `old` does not have, or has under another index.
    pub(super) fn follow(&self, old: &Snapshot, new: &Snapshot) {
        let (came, went) = (indexes_of(new, old), indexes_of(old, new));
        if came.is_empty() && went.is_empty() {
            return;
        }
        let mut zones = Vec::clone(&self.zones.load());
        for index in went {
            if let Some(zone) = zones.get_mut(index as usize) {
                *zone = None;
            }
        }
        for index in came {
            let at = index as usize;
            if zones.len() <= at {
                zones.resize(at + 1, None);
            }
            zones[at] = Some((0..self.shards).map(|_| Cells::default()).collect());
            if let Err(error) = self.home.forget_zone(index) {
                let reason = with_causes(&*error);
                tracing::warn!("a zone's counts begin with those of one that is gone: {reason}");
            }
        }
        self.zones.store(Arc::new(zones));
    }

    /// What was counted for the zones that are served; nothing of what was not.
    pub fn read(&self) -> Vec<ZoneAnswers> {
        let (snapshot, zones) = (self.served.snapshot(), self.zones.load());
        let mut all = Vec::new();
        for zone in snapshot.zones.values() {
            let mut show = |transport, counts: &[u64]| {
                let counts = counts.iter().zip(LABELS).filter(|&(&answers, _)| answers != 0);
                all.extend(counts.map(|(&answers, rcode)| ZoneAnswers {
                    zone: zone.apex.to_string(),
                    transport,
                    rcode,
                    answers,
                }));
            };
            match self.home.zone_counters(zone.index) {
                Some(Ok(counts)) => show("xdp", &counts),
                Some(Err(error)) => tracing::warn!("the counters of XDP cannot be read: {}", with_causes(&*error)),
                None => {}
            }
            if let Some(Some(cells)) = zones.get(zone.index as usize) {
                for protocol in Protocol::ALL {
                    let sum = |class| {
                        let cells = cells.iter().map(|Cells(cells)| &cells[protocol.number()][class]);
                        cells.map(|cell: &AtomicU64| cell.load(Ordering::Relaxed)).sum()
                    };
                    show(protocol.label(), &std::array::from_fn::<u64, CLASSES, _>(sum));
                }
            }
        }
        all
    }
}

/// The indexes of zones that `one` has and `other` has not, or not under that index.
fn indexes_of(one: &Snapshot, other: &Snapshot) -> Vec<u32> {
    let differs = |(apex, zone): (&NameKey, &Arc<Zone>)| {
        let same = other.zones.get(apex).is_some_and(|found| found.index == zone.index);
        (!same).then_some(zone.index)
    };
    one.zones.iter().filter_map(differs).collect()
}

impl ZoneCounter {
    /// Counts a reply of the zone with this index; of none where there is no such zone.
    pub fn count(&self, protocol: Protocol, zone: u32, reply: &[u8]) {
        let zones = self.counts.zones.load();
        let (Some(Some(cells)), Some(flags)) = (zones.get(zone as usize), reply.get(3)) else {
            return;
        };
        let class = match flags & 0x0F {
            0 => 0,
            3 => 1,
            5 => 2,
            2 => 4,
            _ => 3,
        };
        cells[self.shard].0[protocol.number()][class].fetch_add(1, Ordering::Relaxed);
    }
}
