//! Sparse areas: where a few names stand far below an empty non-terminal, as the hosts of an `ip6.arpa` zone do.
//!
//! ```text
//!              8.b.d.0.1.0.0.2.ip6.arpa   apex
//!          5.a.8.b.d.0.1.0.0.2.ip6.arpa   many names below: a line
//!      1.7.5.a.8.b.d.0.1.0.0.2.ip6.arpa   at most four, all of them far below: a line, which passes what is below
//!                  ⋮                      no lines
//!  4.….1.7.5.a.8.b.d.0.1.0.0.2.ip6.arpa   a host: a line, which its hash leads to
//! ```
//!
//! Else each host would bring a line for every label of its own. A search for what is not there, in such an area, ends
//! at its top, and the query passes; or at one of its names, which is the closest encloser then.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use dns_common::line::flag;

use super::touched::Between;
use crate::model::name::NameKey;
use crate::model::snapshot::{Snapshot, Zone};

/// Names in a sparse area at most.
const MOST_NAMES: usize = 4;
/// Labels that each of its names has more than its top, at least.
const LEAST_LABELS: usize = 5;

/// The flags of the line of `key`, an empty non-terminal: at the top of an area, what is below passes.
pub(super) fn flags(snapshot: &Snapshot, key: &NameKey) -> u32 {
    match is_top(snapshot, key.as_bytes()) {
        Some(true) => flag::PASS_BELOW | flag::SPARSE,
        _ => 0,
    }
}

/// All that is in a sparse area which comes or goes with `key`. Of an area that was seen before, what is above `key`.
pub(super) fn touches(between: Between<'_>, key: &NameKey, names: &mut BTreeSet<NameKey>, seen: &mut HashSet<NameKey>) {
    for at in key.lineage() {
        let Between { old, new } = between;
        let (before, after) = (is_top(old, at), is_top(new, at));
        if before.is_none() && after.is_none() {
            return;
        }
        let is_sparse_in = match (before.unwrap_or(false), after.unwrap_or(false)) {
            (true, false) => old,
            (false, true) => new,
            _ => continue,
        };
        let mut add = |owner: &NameKey| {
            let above = owner.lineage().take_while(|above| above.len() >= at.len());
            names.extend(above.map(NameKey::from_key_bytes));
        };
        add(key);
        let top = NameKey::from_key_bytes(at);
        if let Some(zone) = is_sparse_in.zone_of(&top)
            && seen.insert(top.clone())
        {
            // Where it is not sparse, all others are new or gone, and come here themselves.
            zone.nodes
                .range::<_, NameKey>(&top..)
                .map(|(owner, _)| owner)
                .take_while(|owner| owner.is_at_or_below(&top))
                .for_each(&mut add);
        }
    }
}

/// Whether `key` has no data, and is below the top of a sparse area.
pub fn is_in_sparse_area(snapshot: &Snapshot, key: &NameKey) -> bool {
    let is_inside = |zone: &Arc<Zone>| !zone.nodes.contains_key(key) && is_inside(snapshot, zone, key);
    snapshot.zone_of(key).is_some_and(is_inside)
}

/// Whether a sparse area begins above `key`: if that is an empty non-terminal, it has no line.
fn is_inside(snapshot: &Snapshot, zone: &Zone, key: &NameKey) -> bool {
    // What has many names below it is in no area, and neither is anything above.
    key.lineage()
        .skip(1)
        .map_while(|above| is_top_in(snapshot, zone, above))
        .any(|is_top| is_top)
}

/// Whether at `key` a sparse area begins, or goes on. `None` where many names are below, at an apex and outside of
/// zones: then that is so for all names above it, in the same zone.
pub(super) fn is_top(snapshot: &Snapshot, key: &[u8]) -> Option<bool> {
    let zone = NameKey::lineage_of(key).find_map(|apex| snapshot.zones.get(apex))?;
    is_top_in(snapshot, zone, key)
}

fn is_top_in(snapshot: &Snapshot, zone: &Zone, key: &[u8]) -> Option<bool> {
    let top_labels = NameKey::labels_of(key);
    if top_labels <= zone.apex.label_count() || zone.failed.is_some() {
        return None;
    }
    let from = (Bound::Included(key), Bound::Unbounded);
    let owners = zone.nodes.range::<_, [u8]>(from).map(|(owner, _)| owner);
    let mut before: Option<&NameKey> = None;
    let mut is_sparse = true;
    for (at, owner) in owners.take_while(|owner| owner.as_bytes().starts_with(key)).enumerate() {
        if at == MOST_NAMES {
            return None;
        }
        let is_far = owner.label_count() >= top_labels + LEAST_LABELS;
        is_sparse &= is_far && !owner.is_wildcard() && before.is_none_or(|before| !owner.is_at_or_below(before));
        before = Some(owner);
    }
    let has_zone_below = || {
        let next = snapshot.zones.get_next(key);
        next.is_some_and(|(apex, _)| apex.as_bytes().starts_with(key))
    };
    Some(is_sparse && before.is_some() && !has_zone_below())
}
