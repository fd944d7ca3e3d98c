//! Counts the RRs that are served, by source, at the cost of what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::publication::Publication;
use crate::model::name::NameKey;
use crate::model::snapshot::{Node, Snapshot, Zone};
use crate::model::source::SourceId;
use crate::model::views::ViewName;
use crate::store::Delta;

/// RRs by source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecordCounts(BTreeMap<SourceId, i64>);

impl RecordCounts {
    /// Goes from what was served before a publication to what it serves.
    pub(super) fn follow(&mut self, publication: &Publication) {
        let Publication { old, new, delta, .. } = publication;
        let nothing = OrdMap::new();
        let nodes = |zone: Option<&Arc<Zone>>| zone.map_or_else(|| nothing.clone(), |zone| zone.nodes.clone());
        let mut count = |_: &NameKey, old: Option<&Node>, new: Option<&Node>| {
            self.add(old, -1);
            self.add(new, 1);
        };
        node_changes(&old.overlays, &new.overlays, &mut count);
        for name in differing_views(old, new, delta) {
            node_changes(&own(old, name), &own(new, name), &mut count);
        }
        for delta in &delta.zones {
            let (old, new) = (old.zones.get(&delta.apex), new.zones.get(&delta.apex));
            node_changes(&nodes(old), &nodes(new), &mut count);
        }
    }

    /// The RRs of each kind of source; the kinds that are built in are always there.
    pub(super) fn by_kind(&self) -> BTreeMap<&str, i64> {
        let mut kinds = BTreeMap::from([("api", 0), ("config", 0), ("zone_file", 0)]);
        for (source, rrs) in &self.0 {
            *kinds.entry(source.kind()).or_default() += rrs;
        }
        kinds
    }

    fn add(&mut self, node: Option<&Node>, sign: i64) {
        for rrset in node.into_iter().flat_map(|node| &node.rrsets) {
            let rrs = sign * rrset.rdatas.len() as i64;
            match self.0.get_mut(rrset.origin.source()) {
                Some(count) => *count += rrs,
                None => drop(self.0.insert(rrset.origin.source().clone(), rrs)),
            }
        }
    }
}

/// The names of the views that have other records of their own.
pub(super) fn differing_views<'a>(old: &'a Snapshot, new: &'a Snapshot, delta: &Delta) -> Vec<&'a ViewName> {
    let list = new.views.list.iter();
    if !delta.views_redefined {
        let differing = list.zip(&delta.views).filter(|(_, names)| !names.is_empty());
        return differing.map(|(view, _)| &view.name).collect();
    }
    let gone = old.views.list.iter().filter(|view| new.view(&view.name).is_none());
    list.chain(gone).map(|view| &view.name).collect()
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
