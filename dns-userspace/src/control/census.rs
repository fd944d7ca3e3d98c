//! Counts the RRs that are served, by source, at the cost of what changed.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::name::NameKey;
use crate::record::Source;
use crate::snapshot::{Node, Snapshot};

/// RRs by source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) config: i64,
    pub(crate) zone_file: i64,
    pub(crate) api: i64,
}

impl Census {
    /// Goes from what `old` serves to what `new` does.
    pub(super) fn follow(&mut self, old: &Snapshot, new: &Snapshot) {
        let nothing = OrdMap::new();
        let mut count = |_: &NameKey, old: Option<&Node>, new: Option<&Node>| {
            self.add(old, -1);
            self.add(new, 1);
        };
        node_changes(&old.overlays, &new.overlays, &mut count);
        for (apex, zone) in &new.zones {
            match old.zones.get(apex) {
                Some(before) if Arc::ptr_eq(before, zone) => {}
                before => node_changes(before.map_or(&nothing, |zone| &zone.nodes), &zone.nodes, &mut count),
            }
        }
        for (apex, zone) in &old.zones {
            if !new.zones.contains_key(apex) {
                node_changes(&zone.nodes, &nothing, &mut count);
            }
        }
    }

    fn add(&mut self, node: Option<&Node>, sign: i64) {
        for rrset in node.into_iter().flat_map(|node| &node.rrsets) {
            let rrs = sign * rrset.rdatas.len() as i64;
            match rrset.source {
                Source::Config => self.config += rrs,
                Source::ZoneFile(_) => self.zone_file += rrs,
                Source::Api => self.api += rrs,
            }
        }
    }
}

/// Calls `each` with every node that differs, before and after. What the maps share is skipped.
pub(super) fn node_changes(
    old: &OrdMap<NameKey, Arc<Node>>,
    new: &OrdMap<NameKey, Arc<Node>>,
    mut each: impl FnMut(&NameKey, Option<&Node>, Option<&Node>),
) {
    for item in old.diff(new) {
        match item {
            DiffItem::Add(key, node) => each(key, None, Some(node)),
            DiffItem::Remove(key, node) => each(key, Some(node), None),
            DiffItem::Update { old, new } => each(old.0, Some(old.1), Some(new.1)),
        }
    }
}
