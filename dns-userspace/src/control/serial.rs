//! The SOA serials that are served: they never go back (RFC 1982), over reloads and restarts.
//!
//! For each zone the serial served last is known, and a fingerprint of the content it was served with. New content
//! whose own serial is greater is served with its own; other content that differs, with the last one plus one; content
//! that is the same, with the last one. The fingerprint is a sum over RRsets, those of views included, so that a change
//! costs what it changes; it leaves out the SOA's serial.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::publication::{Publication, ZoneSerial};
use super::record_counts::{differing_views, node_changes, own};
use super::shared::SharedZones;
use super::stage::Stage;
use crate::journal::{ServedSerial, SharedZone};
use crate::model::name::NameKey;
use crate::model::rdata;
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot, Zone};
use crate::model::views::ViewName;
use crate::store::{Delta, ZoneChange};

/// A delta in which every view may differ.
static ALL_VIEWS: Delta = Delta {
    names: Vec::new(),
    zones: Vec::new(),
    access: Vec::new(),
    views: Vec::new(),
    views_redefined: true,
};

/// Whether `a` comes after `b` (RFC 1982 §3.2).
pub fn is_greater(a: u32, b: u32) -> bool {
    (1..1 << 31).contains(&a.wrapping_sub(b))
}

/// The serials served last, by zone: the first stage of a publication.
#[derive(Default)]
pub(super) struct ServedSerials {
    zones: BTreeMap<NameKey, ServedSerial>,
    /// What is not on disk.
    unsaved: BTreeMap<NameKey, ServedSerial>,
    /// Zones whose serial is another one since [`ServedSerials::merge`], to be published.
    raised: BTreeSet<NameKey>,
    /// Zones as other nodes serve them, while what they have changed is taken in: no serial is behind theirs.
    pub(super) shared: SharedZones,
    /// Those of the publication that was applied last, where they are others than before.
    next: Vec<ServedSerial>,
}

impl ServedSerials {
    /// What a database says that is read before anything is served.
    pub(super) fn begin(&mut self, stored: Vec<ServedSerial>) {
        self.zones = stored.into_iter().map(|served| (served.apex.key(), served)).collect();
        self.unsaved.clear();
    }

    /// Takes in what a database says that could not be read before. A zone whose serial there is the greater one goes
    /// on from it with the next publication. `version` is that of what is served.
    pub(super) fn merge(&mut self, stored: Vec<ServedSerial>, version: u64) {
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
                    served.version = version;
                    *live = served.clone();
                    self.raised.insert(key.clone());
                    self.unsaved.insert(key, served);
                }
                Some(_) => {}
            }
        }
    }

    /// Which serial a zone that differs is served with, and its version; at the start a zone that says what it said
    /// before keeps its version. `None` where it has no SOA.
    fn next_of(&self, publication: &Publication, apex: &NameKey) -> Option<ServedSerial> {
        let Publication { old, new, delta, .. } = publication;
        let zone = new.zones.get(apex)?;
        let own = own_serial(zone, apex)?;
        let known = self.zones.get(apex);
        let before = old.zones.get(apex).filter(|zone| own_serial(zone, apex).is_some());
        let fingerprint = match (known, before) {
            (Some(known), Some(before)) => {
                changed(known.fingerprint, before, zone).wrapping_add(of_views_changed(old, new, delta, apex))
            }
            _ => whole(zone).wrapping_add(of_views_changed(&Snapshot::default(), new, &ALL_VIEWS, apex)),
        };
        let serial = match known {
            Some(known) if is_greater(own, known.serial) => own,
            Some(known) if known.fingerprint == fingerprint => known.serial,
            Some(known) => known.serial.wrapping_add(1),
            None => own,
        };
        let is_as_before = |known: &&ServedSerial| known.fingerprint == fingerprint && known.version != 0;
        let version = match known.filter(is_as_before) {
            Some(known) if publication.is_start => known.version,
            _ => new.version,
        };
        let (serial, version) = match self.shared.get(apex) {
            Some(there) => there_or_here(there, known, serial, version),
            None => (serial, version),
        };
        Some(ServedSerial {
            apex: zone.apex.clone(),
            serial,
            fingerprint,
            version,
        })
    }
}

impl Stage for ServedSerials {
    fn apply(&mut self, publication: &mut Publication) {
        let differing = publication.delta.zones.iter();
        let differing = differing.filter(|delta| delta.change != ZoneChange::Removed);
        let mut serials = Vec::new();
        self.next.clear();
        let published = |served: &ServedSerial, zone: &Zone| ZoneSerial {
            apex: zone.apex.clone(),
            index: zone.index,
            serial: served.serial,
            version: served.version,
        };
        for apex in differing.map(|delta| &delta.apex) {
            let Some(served) = self.next_of(publication, apex) else {
                continue;
            };
            serials.push(published(&served, &publication.new.zones[apex]));
            if self.zones.get(apex) != Some(&served) {
                self.next.push(served);
            }
        }
        let is_there = |apex: &NameKey| publication.delta.zones.iter().any(|delta| delta.apex == *apex);
        for apex in self.raised.iter().filter(|apex| !is_there(apex)) {
            let zone = publication.new.zones.get(apex);
            let raised = zone.and_then(|zone| Some(published(self.zones.get(apex)?, zone)));
            serials.extend(raised);
        }
        let mut unsaved = self.unsaved.clone();
        unsaved.extend(self.next.iter().map(|served| (served.apex.key(), served.clone())));
        publication.unsaved = unsaved.into_values().collect();
        publication.set_serials(serials);
    }

    fn commit(&mut self, is_saved: bool) {
        self.raised.clear();
        if is_saved {
            self.unsaved.clear();
        }
        for served in self.next.drain(..) {
            if !is_saved {
                self.unsaved.insert(served.apex.key(), served.clone());
            }
            self.zones.insert(served.apex.key(), served);
        }
    }
}

/// The serial and the version of a zone that other nodes serve, too.
fn there_or_here(there: &SharedZone, known: Option<&ServedSerial>, serial: u32, version: u64) -> (u32, u64) {
    let is_newer = known.is_none_or(|known| known.version < there.version);
    (
        if is_greater(there.serial, serial) {
            there.serial
        } else {
            serial
        },
        if is_newer { there.version } else { version },
    )
}

fn own_serial(zone: &Zone, apex: &NameKey) -> Option<u32> {
    let soa = zone.rrset(apex, RecordType::SOA)?.rdatas.first()?;
    rdata::serial(soa)
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
fn of_views_changed(old: &Snapshot, new: &Snapshot, delta: &Delta, apex: &NameKey) -> u64 {
    let mut sum = 0u64;
    for view in differing_views(old, new, delta) {
        let seed = view_factor(view);
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

/// A sum of an RRset. It is on disk, so it is one that stays: SipHash-2-4 with a key of zeros over the lengths (16
/// bits, most significant octet first) and octets of the owner's key, and of each RDATA, and type and TTL between them.
fn rrset_fingerprint(key: &NameKey, rrset: &RrSet) -> u64 {
    let mut hasher = SipHasher24::new();
    let mut write = |octets: &[u8]| {
        hasher.write(&(octets.len() as u16).to_be_bytes());
        hasher.write(octets);
    };
    write(key.as_bytes());
    write(&rrset.rtype.0.to_be_bytes());
    write(&rrset.ttl.to_be_bytes());
    for rdata in &rrset.rdatas {
        if rrset.rtype == RecordType::SOA {
            let mut soa = rdata.to_vec();
            rdata::set_serial(&mut soa, 0);
            write(&soa);
        } else {
            write(rdata);
        }
    }
    hasher.finish()
}

/// A factor for the records of a view, so that they do not add up like those of another one.
fn view_factor(view: &ViewName) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(view.as_bytes());
    hasher.finish() | 1
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
    fn the_fingerprint_of_an_rrset_stays_as_it_is() {
        let key = "www.Example."
            .parse::<crate::model::name::Name>()
            .expect("a name")
            .key();
        let rrset = RrSet {
            rtype: RecordType::A,
            ttl: 300,
            rdatas: [[192, 0, 2, 1], [192, 0, 2, 2]].into(),
            origin: crate::model::source::Origin::api(),
            handling: crate::model::record::Handling::default(),
        };
        // Databases have sums of these: another number here would give every zone a new serial once.
        assert_eq!(rrset_fingerprint(&key, &rrset), 0xabae_dd5f_bdfe_882f);
    }
}
