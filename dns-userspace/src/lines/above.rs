//! What is above a name, and the same for all names with the same parent: found out once where these come together, as
//! they do in canonical order.
//!
//! ```text
//! 1.0.10.in-addr.arpa. PTR    the parent's zone, no cut and no DNAME from the parent to its apex
//! 2.0.10.in-addr.arpa. PTR    the same parent: known
//! 1.1.10.in-addr.arpa. PTR    1.10 is new, 10 and all above it are known
//! ```

use std::rc::Rc;
use std::sync::Arc;

use super::{cut, dname, named};
use crate::model::name::NameKey;
use crate::model::snapshot::{Snapshot, Zone, at_or_above};

/// What is at a parent and above it.
pub(super) struct Above<'a> {
    parent: NameKey,
    zone: Option<ZoneAbove<'a>>,
    /// Whether a cut or a DNAME, at the parent or above it within its zone, takes the place of what is below.
    is_occluded: bool,
}

/// The zone that holds a parent.
#[derive(Clone)]
struct ZoneAbove<'a> {
    zone: &'a Arc<Zone>,
    apex: NameKey,
    /// The names in its negative answers.
    named: Rc<[NameKey]>,
}

impl<'a> Above<'a> {
    /// What is above the children of `parent`. Of `before`, what is above those of another parent, all is taken that
    /// both have in common.
    pub(super) fn new(snapshot: &'a Snapshot, parent: NameKey, before: Option<&Self>) -> Self {
        let is_known = |at: &[u8]| before.is_some_and(|before| before.parent.as_bytes().starts_with(at));
        let zone_before = before.and_then(|before| before.zone.as_ref());
        let zone = parent.lineage().find_map(|at| match zone_before {
            Some(zone) if is_known(at) && at.starts_with(zone.apex.as_bytes()) => Some(zone.clone()),
            _ => snapshot.zones.get(at).map(ZoneAbove::new),
        });
        let is_occluded = zone.as_ref().is_some_and(|zone| {
            let is_clear = |before: &&Self| {
                !before.is_occluded && before.zone().is_some_and(|before| Arc::ptr_eq(before, zone.zone))
            };
            has_cut(zone, &parent, before.filter(is_clear).map(|before| &before.parent))
        });
        Self {
            parent,
            zone,
            is_occluded,
        }
    }

    /// Whether these are above `key` too, which is below the root.
    pub(super) fn is_of(&self, key: &NameKey) -> bool {
        let label = key.as_bytes().strip_prefix(self.parent.as_bytes());
        label.is_some_and(|label| NameKey::labels_of(label) == 1)
    }

    /// The zone that holds the parent, and what is below it as far as there is no zone of its own.
    pub(super) fn zone(&self) -> Option<&'a Arc<Zone>> {
        self.zone.as_ref().map(|zone| zone.zone)
    }

    /// Whether names of that zone below the parent are not served: a cut or a DNAME is above them.
    pub(super) fn is_occluded(&self) -> bool {
        self.is_occluded
    }

    /// The names in the negative answers of that zone.
    pub(super) fn named(&self) -> &[NameKey] {
        self.zone.as_ref().map_or(&[], |zone| &zone.named)
    }
}

impl<'a> ZoneAbove<'a> {
    fn new(zone: &'a Arc<Zone>) -> Self {
        let mut names = Vec::new();
        named::names_of_negatives(zone, &mut |name| names.push(name.clone()));
        Self {
            zone,
            apex: zone.apex.key(),
            named: names.into(),
        }
    }
}

/// Whether there is a cut or a DNAME at `parent` or above it, within the zone; there is none at `clear` and above it.
fn has_cut(zone: &ZoneAbove<'_>, parent: &NameKey, clear: Option<&NameKey>) -> bool {
    let ZoneAbove { zone, apex, .. } = zone;
    let mut known = clear.into_iter().flat_map(NameKey::lineage);
    let known = known.find(|at| parent.as_bytes().starts_with(at));
    let least = known.map_or(0, |known| known.len() + 1).max(apex.as_bytes().len());
    let mut owners = at_or_above(&zone.nodes, parent.as_bytes(), least);
    owners.any(|(at, node)| cut::is_cut(node, at == apex.as_bytes()) || dname::is_dname(node))
}
