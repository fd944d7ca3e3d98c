//! Ancestors: every name above one that is ours has a line, as an empty non-terminal if it has no data.
//!
//! ```text
//! a.b.example.  A 192.0.2.1     b.example. exists by it: NODATA, no NXDOMAIN (RFC 8020 §2)
//! over.lay.net. A 192.0.2.1     an overlay: lay.net. and net. have lines that say "not ours"
//! ```
//!
//! The search of the closest encloser bisects the labels of a name, and so needs all of them. When `a.b.example.` goes,
//! the line of `b.example.` goes with it, unless something else is below it.

use std::collections::BTreeSet;

use super::touched::Between;
use super::{named, sparse, zone};
use crate::model::name::NameKey;
use crate::model::snapshot::Snapshot;

/// Whether something of ours is at `key` or below it, or an answer that its name would share has it in it: then it has
/// a line.
pub(super) fn is_in_use(snapshot: &Snapshot, key: &NameKey) -> bool {
    snapshot
        .zone_of(key)
        .is_some_and(|zone| zone.name_exists(key) || named::is_named(zone, key))
        || zone::is_at_or_below(snapshot, key)
        || snapshot
            .overlays
            .get_next(key)
            .is_some_and(|(owner, _)| owner.is_at_or_below(key))
}

/// Whether `key` has a line: all that is in use, but for what is between the top of a sparse area and its names.
pub(super) fn needs_line(snapshot: &Snapshot, key: &NameKey) -> bool {
    is_in_use(snapshot, key) && !sparse::is_in_sparse_area(snapshot, key)
}

/// The ancestors that come or go with `key`, or begin to exist in their own right.
///
/// `settled` is a name that is known to stay as it is, from one call to the next: names in order have it in common.
pub(super) fn touches(
    between: Between<'_>,
    key: &NameKey,
    names: &mut BTreeSet<NameKey>,
    settled: &mut Option<NameKey>,
) {
    let state = |snapshot: &Snapshot, key: &NameKey| {
        let exists = snapshot.zone_of(key).is_some_and(|zone| zone.name_exists(key));
        (is_in_use(snapshot, key), exists)
    };
    let mut above = key.parent();
    while let Some(ancestor) = above {
        // Existence is monotone: above a name that stays as it is, nothing comes or goes.
        if settled.as_ref() == Some(&ancestor) {
            return;
        }
        if !between.differs(|snapshot| state(snapshot, &ancestor)) {
            *settled = Some(ancestor);
            return;
        }
        above = ancestor.parent();
        names.insert(ancestor);
    }
}
