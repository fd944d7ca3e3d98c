//! Counts the RRs that are served, by source, at the cost of what changed.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::name::NameKey;
use crate::record::Source;
use crate::snapshot::{Node, Snapshot, Zone};
use crate::store::Plan;
use crate::views::ViewName;

/// RRs by source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) config: i64,
    pub(crate) zone_file: i64,
    pub(crate) api: i64,
}

impl Census {
    /// Goes from what is served, `old`, to what a plan serves. `everywhere` also looks for zones that the delta does
    /// not name: where only the source of an RRset has changed, no answer differs.
    pub(super) fn follow(&mut self, old: &Snapshot, plan: &Plan, everywhere: bool) {
        let new = &plan.snapshot;
        let nothing = OrdMap::new();
        let nodes = |zone: Option<&Arc<Zone>>| zone.map_or_else(|| nothing.clone(), |zone| zone.nodes.clone());
        let mut count = |_: &NameKey, old: Option<&Node>, new: Option<&Node>| {
            self.add(old, -1);
            self.add(new, 1);
        };
        node_changes(&old.overlays, &new.overlays, &mut count);
        for name in view_names(old, new) {
            node_changes(&own(old, name), &own(new, name), &mut count);
        }
        let mut compare = |apex: &NameKey| match (old.zones.get(apex), new.zones.get(apex)) {
            (Some(old), Some(new)) if Arc::ptr_eq(old, new) => {}
            (old, new) => node_changes(&nodes(old), &nodes(new), &mut count),
        };
        if everywhere {
            new.zones.keys().for_each(&mut compare);
            old.zones
                .keys()
                .filter(|apex| !new.zones.contains_key(*apex))
                .for_each(compare);
        } else {
            plan.delta.zones.iter().map(|delta| &delta.apex).for_each(compare);
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

/// The names of all views of both.
pub(super) fn view_names<'a>(old: &'a Snapshot, new: &'a Snapshot) -> impl Iterator<Item = &'a ViewName> {
    let gone = old.views.list.iter().filter(|view| new.view(&view.name).is_none());
    new.views.list.iter().chain(gone).map(|view| &view.name)
}

/// What a view has itself; nothing where it is not configured.
pub(super) fn own(snapshot: &Snapshot, view: &str) -> OrdMap<NameKey, Arc<Node>> {
    snapshot.view(view).map(|view| view.own.clone()).unwrap_or_default()
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
