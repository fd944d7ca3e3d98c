//! Which RRsets are served differently by two snapshots.

use std::sync::Arc;

use super::census::{differing_views, node_changes, own};
use super::past::Difference;
use crate::model::name::NameKey;
use crate::model::record::RrSet;
use crate::model::snapshot::{Node, Snapshot};
use crate::model::views::ViewName;
use crate::store::Delta;

/// The RRsets that are served differently, in canonical order, those of the default first. RRsets that say the same as
/// before are not among them, whatever their version.
pub fn between(old: &Snapshot, new: &Snapshot, delta: &Delta) -> Vec<Difference> {
    let mut found = Vec::new();
    for key in &delta.names {
        note(
            &mut found,
            None,
            key,
            old.node(key).map(|node| &**node),
            new.node(key).map(|node| &**node),
        );
    }
    for view in differing_views(old, new, delta) {
        node_changes(&own(old, view), &own(new, view), |key, before, after| {
            note(&mut found, Some(view), key, before, after);
        });
    }
    found
}

fn note(
    found: &mut Vec<Difference>,
    view: Option<&ViewName>,
    key: &NameKey,
    before: Option<&Node>,
    after: Option<&Node>,
) {
    let Some(owner) = after.or(before).map(|node| node.owner(key)) else {
        return;
    };
    let mut add = |old: Option<&Arc<RrSet>>, new: Option<&Arc<RrSet>>| {
        let Some(rtype) = new.or(old).map(|rrset| rrset.rtype) else {
            return;
        };
        if old != new {
            found.push(Difference {
                view: view.cloned(),
                owner: owner.clone(),
                rtype,
                old: old.cloned(),
                new: new.cloned(),
                is_seen: true,
            });
        }
    };
    for new in after.into_iter().flat_map(|node| &node.rrsets) {
        add(before.and_then(|node| node.rrset(new.rtype)), Some(new));
    }
    for old in before.into_iter().flat_map(|node| &node.rrsets) {
        if after.and_then(|node| node.rrset(old.rtype)).is_none() {
            add(Some(old), None);
        }
    }
}
