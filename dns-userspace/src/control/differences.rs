//! Which RRsets are served differently by two snapshots.

use std::sync::Arc;

use super::past::Difference;
use super::record_counts::{differing_views, node_changes, own};
use crate::model::name::NameKey;
use crate::model::record::RrSet;
use crate::model::snapshot::{Node, Snapshot};
use crate::model::views::ViewName;
use crate::store::Delta;

/// An RRset that may be served differently: one that came, went, or is another object now.
pub(super) struct Changed<'a> {
    /// The view it is in; `None` is the default.
    pub(super) view: Option<&'a ViewName>,
    /// The owner.
    pub(super) key: &'a NameKey,
    /// The owner's node.
    pub(super) nodes: Pair<'a, Node>,
    /// The RRset itself.
    pub(super) rrsets: Pair<'a, Arc<RrSet>>,
}

/// Something before and after; one of the two at least.
pub(super) struct Pair<'a, T> {
    /// In the old snapshot.
    pub(super) old: Option<&'a T>,
    /// In the new one.
    pub(super) new: Option<&'a T>,
}

/// Tells of each RRset at the names that differ, in canonical order, those of the default first.
pub(super) fn each(old: &Snapshot, new: &Snapshot, delta: &Delta, mut tell: impl FnMut(&Changed<'_>)) {
    let mut names: Vec<&NameKey> = delta.names.iter().collect();
    names.sort_unstable();
    names.dedup();
    for key in names {
        let nodes = Pair {
            old: old.node(key).map(|node| &**node),
            new: new.node(key).map(|node| &**node),
        };
        each_of_node(None, key, nodes, &mut tell);
    }
    for view in differing_views(old, new, delta) {
        node_changes(&own(old, view), &own(new, view), |key, old, new| {
            each_of_node(Some(view), key, Pair { old, new }, &mut tell);
        });
    }
}

/// The RRsets that are served differently. RRsets that say the same as before are not among them, whatever their
/// version.
pub fn between(old: &Snapshot, new: &Snapshot, delta: &Delta) -> Vec<Difference> {
    let mut found = Vec::new();
    each(old, new, delta, |changed| {
        let Changed {
            view,
            key,
            nodes,
            rrsets,
        } = changed;
        let (Some(node), Some(rrset)) = (nodes.new.or(nodes.old), rrsets.new.or(rrsets.old)) else {
            return;
        };
        if rrsets.old != rrsets.new {
            found.push(Difference {
                view: view.cloned(),
                owner: node.owner(key),
                rtype: rrset.rtype,
                old: rrsets.old.cloned(),
                new: rrsets.new.cloned(),
                is_seen: true,
            });
        }
    });
    found
}

fn each_of_node(view: Option<&ViewName>, key: &NameKey, nodes: Pair<'_, Node>, tell: &mut impl FnMut(&Changed<'_>)) {
    let Pair {
        old: before,
        new: after,
    } = nodes;
    let mut tell = |old, new| {
        tell(&Changed {
            view,
            key,
            nodes: Pair {
                old: before,
                new: after,
            },
            rrsets: Pair { old, new },
        });
    };
    for rrset in after.into_iter().flat_map(|node| &node.rrsets) {
        tell(before.and_then(|node| node.rrset(rrset.rtype)), Some(rrset));
    }
    for rrset in before.into_iter().flat_map(|node| &node.rrsets) {
        if after.and_then(|node| node.rrset(rrset.rtype)).is_none() {
            tell(Some(rrset), None);
        }
    }
}
