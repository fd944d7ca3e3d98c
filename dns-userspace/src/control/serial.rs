//! The SOA serials that are served: they never go back (RFC 1982), over reloads and restarts.
//!
//! For each zone the book knows the serial served last and a fingerprint of the content it was served with. New content
//! whose own serial is greater is served with its own; other content that differs, with the last one plus one; content
//! that is the same, with the last one. The fingerprint is a sum over RRsets, those of views included, so that a change
//! costs what it changes; it leaves out the SOA's serial.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::census::{node_changes, own, view_names};
use crate::name::{NameKey, wire_name_length};
use crate::record::{RecordType, RrSet};
use crate::snapshot::{Node, Snapshot, Zone};
use crate::storage::ServedSerial;
use crate::store::{Plan, ZoneChange};

/// Whether `a` comes after `b` (RFC 1982 §3.2).
pub fn is_greater(a: u32, b: u32) -> bool {
    (1..1 << 31).contains(&a.wrapping_sub(b))
}

/// Writes `serial` into an SOA's RDATA.
pub(crate) fn set(soa: &mut [u8], serial: u32) {
    if let Some(at) = position(soa) {
        soa[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    }
}

/// Where the serial is in an SOA's RDATA: behind MNAME and RNAME (RFC 1035 §3.3.13).
fn position(soa: &[u8]) -> Option<usize> {
    let mname = wire_name_length(soa)?;
    let at = mname + wire_name_length(&soa[mname..])?;
    (soa.len() >= at + 4).then_some(at)
}

/// The serials served last, by zone.
#[derive(Default)]
pub(super) struct Book {
    zones: BTreeMap<NameKey, ServedSerial>,
    /// What is not on disk.
    unsaved: BTreeMap<NameKey, ServedSerial>,
}

/// What a plan does to the book.
pub(super) struct Turn {
    /// To put on disk before it is served.
    pub(super) save: Vec<ServedSerial>,
    /// For the planes: zone index and serial.
    pub(super) publish: Vec<(u32, u32)>,
    next: Vec<ServedSerial>,
}

impl Book {
    pub(super) fn new(stored: Vec<ServedSerial>) -> Self {
        Self {
            zones: stored.into_iter().map(|served| (served.apex.key(), served)).collect(),
            unsaved: BTreeMap::new(),
        }
    }

    /// The serial that is served for a zone.
    pub(super) fn served(&self, apex: &NameKey) -> Option<u32> {
        Some(self.zones.get(apex)?.serial)
    }

    /// Which serials a plan is to be served with.
    pub(super) fn turn(&self, old: &Snapshot, plan: &Plan) -> Turn {
        let mut turn = Turn {
            save: Vec::new(),
            publish: Vec::new(),
            next: Vec::new(),
        };
        for delta in plan
            .delta
            .zones
            .iter()
            .filter(|delta| delta.change != ZoneChange::Removed)
        {
            let Some(zone) = plan.snapshot.zones.get(&delta.apex) else {
                continue;
            };
            let Some(own) = own_serial(zone, &delta.apex) else {
                continue;
            };
            let known = self.zones.get(&delta.apex);
            let before = old
                .zones
                .get(&delta.apex)
                .filter(|zone| own_serial(zone, &delta.apex).is_some());
            let fingerprint = match (known, before) {
                (Some(known), Some(before)) => {
                    let of_views = of_views_changed(old, &plan.snapshot, &delta.apex);
                    changed(known.fingerprint, before, zone).wrapping_add(of_views)
                }
                _ => whole(zone).wrapping_add(of_views_changed(&Snapshot::default(), &plan.snapshot, &delta.apex)),
            };
            let serial = match known {
                Some(known) if is_greater(own, known.serial) => own,
                Some(known) if known.fingerprint == fingerprint => known.serial,
                Some(known) => known.serial.wrapping_add(1),
                None => own,
            };
            turn.publish.push((zone.index, serial));
            let served = ServedSerial {
                apex: zone.apex.clone(),
                serial,
                fingerprint,
            };
            if known != Some(&served) {
                turn.next.push(served);
            }
        }
        let mut save = self.unsaved.clone();
        save.extend(turn.next.iter().map(|served| (served.apex.key(), served.clone())));
        turn.save = save.into_values().collect();
        turn
    }

    /// The turn is served; `saved` where it is on disk, too.
    pub(super) fn commit(&mut self, turn: Turn, saved: bool) {
        if saved {
            self.unsaved.clear();
        }
        for served in turn.next {
            if !saved {
                self.unsaved.insert(served.apex.key(), served.clone());
            }
            self.zones.insert(served.apex.key(), served);
        }
    }

    /// Takes in what a database says that could not be read before. A zone whose serial there is the greater one goes
    /// on from it: the result is what is to be published.
    pub(super) fn merge(&mut self, stored: Vec<ServedSerial>, snapshot: &Snapshot) -> Vec<(u32, u32)> {
        let mut publish = Vec::new();
        for mut served in stored {
            let key = served.apex.key();
            match self.zones.get_mut(&key) {
                None => {
                    self.zones.insert(key, served);
                }
                Some(live) if is_greater(served.serial, live.serial) => {
                    if served.fingerprint != live.fingerprint {
                        served.serial = served.serial.wrapping_add(1);
                        served.fingerprint = live.fingerprint;
                    }
                    *live = served.clone();
                    if let Some(zone) = snapshot.zones.get(&key) {
                        publish.push((zone.index, served.serial));
                    }
                    self.unsaved.insert(key, served);
                }
                Some(_) => {}
            }
        }
        publish
    }
}

fn own_serial(zone: &Zone, apex: &NameKey) -> Option<u32> {
    let soa = zone.rrset(apex, RecordType::SOA)?.rdatas.first()?;
    let at = position(soa)?;
    Some(u32::from_be_bytes(soa[at..at + 4].try_into().ok()?))
}

fn whole(zone: &Zone) -> u64 {
    let nodes = zone.nodes.iter();
    nodes.fold(0, |sum, (key, node)| sum.wrapping_add(node_fingerprint(key, node)))
}

fn changed(fingerprint: u64, before: &Zone, after: &Zone) -> u64 {
    let mut sum = fingerprint;
    node_changes(&before.nodes, &after.nodes, |key, old, new| {
        sum = sum
            .wrapping_sub(old.map_or(0, |node| node_fingerprint(key, node)))
            .wrapping_add(new.map_or(0, |node| node_fingerprint(key, node)));
    });
    sum
}

/// How much the records of views in a zone add to its fingerprint, beyond what they added before.
fn of_views_changed(old: &Snapshot, new: &Snapshot, apex: &NameKey) -> u64 {
    let mut sum = 0u64;
    for view in view_names(old, new) {
        let mut seed = DefaultHasher::new();
        view.hash(&mut seed);
        let seed = seed.finish() | 1;
        let of = |snapshot: &Snapshot, key: &NameKey, node: Option<&Node>| {
            let is_here = || snapshot.zone_of(key).is_some_and(|zone| zone.apex.key() == *apex);
            node.filter(|_| is_here())
                .map_or(0, |node| node_fingerprint(key, node).wrapping_mul(seed))
        };
        node_changes(&own(old, view), &own(new, view), |key, before, after| {
            sum = sum.wrapping_sub(of(old, key, before)).wrapping_add(of(new, key, after));
        });
    }
    sum
}

fn node_fingerprint(key: &NameKey, node: &Node) -> u64 {
    node.rrsets
        .iter()
        .fold(0, |sum, rrset| sum.wrapping_add(rrset_fingerprint(key, rrset)))
}

fn rrset_fingerprint(key: &NameKey, rrset: &RrSet) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.as_bytes().hash(&mut hasher);
    (rrset.rtype, rrset.ttl).hash(&mut hasher);
    for rdata in &rrset.rdatas {
        if rrset.rtype == RecordType::SOA {
            let mut soa = rdata.to_vec();
            set(&mut soa, 0);
            soa.hash(&mut hasher);
        } else {
            rdata.hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1982_3_2_comparison() {
        assert!(is_greater(1, 0) && is_greater(0, u32::MAX) && is_greater(0x8000_0000, 1));
        assert!(!is_greater(0, 1) && !is_greater(5, 5) && !is_greater(0x8000_0000, 0));
    }

    #[test]
    fn the_serial_of_an_soa_is_found_behind_its_names() {
        let mut soa = [
            0, 1, b'a', 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
        ];
        set(&mut soa, 0x0102_0304);
        assert_eq!(soa[4..8], [1, 2, 3, 4]);
    }
}
