//! What takes the place of all that is below it: a cut, a DNAME, an apex, an overlay.
//!
//! ```text
//! sub.example.      NS ns.other.          comes: www.sub.example. is below a cut now, and passes
//! www.sub.example.  A 192.0.2.1
//! ```
//!
//! Where one of these comes or goes, all lines below it differ. What each means is in `cut.rs`, `dname.rs`, `zone.rs`
//! and `overlay.rs`.

use std::collections::BTreeSet;

use super::touched::Between;
use super::{cut, dname, named, overlay};
use crate::model::name::NameKey;
use crate::model::snapshot::Snapshot;

/// All that is below `key`, where what it means for names below it differs.
pub(super) fn touches(between: Between<'_>, key: &NameKey, names: &mut BTreeSet<NameKey>) {
    if between.differs(|snapshot| covers(snapshot, key)) {
        add_all(between.old, key, names);
        add_all(between.new, key, names);
    }
}

/// What at `key` decides about the names below it.
pub(super) fn covers(snapshot: &Snapshot, key: &NameKey) -> impl PartialEq + use<> {
    let is_apex = snapshot.zones.contains_key(key);
    let node = snapshot.zone_of(key).and_then(|zone| zone.nodes.get(key));
    (
        node.is_some_and(|node| cut::is_cut(node, is_apex)),
        node.is_some_and(|node| dname::is_dname(node)),
        is_apex,
        overlay::is_overlay(snapshot, key),
    )
}

/// Every owner name below `key`, in whatever zone, and the names between.
pub(super) fn add_all(snapshot: &Snapshot, key: &NameKey, names: &mut BTreeSet<NameKey>) {
    let below = |found: &NameKey| found.is_at_or_below(key);
    let mut add = |found: &NameKey| {
        let mut at = Some(found.clone());
        while let Some(found) = at {
            if !found.is_at_or_below(key) || !names.insert(found.clone()) {
                break;
            }
            at = found.parent();
        }
    };
    if let Some(zone) = snapshot.zone_of(key) {
        zone.nodes
            .range::<_, NameKey>(key..)
            .map(|(found, _)| found)
            .take_while(|found| below(found))
            .for_each(&mut add);
    }
    for (apex, zone) in snapshot.zones.range_from(key).take_while(|(apex, _)| below(apex)) {
        add(apex);
        zone.nodes.keys().for_each(&mut add);
    }
    snapshot
        .overlays
        .range::<_, NameKey>(key..)
        .map(|(found, _)| found)
        .take_while(|found| below(found))
        .for_each(add);
    names.extend(named::named_below(snapshot, key));
}
