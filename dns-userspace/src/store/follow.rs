//! Changes that another node has made and that are made here in the same way, with the versions that they have there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::{Applied, At, Draft, edited_between};
use super::{Change, EditedRrset, Guard, TooManyRemoved};
use crate::model::name::Name;
use crate::model::record::{RecordType, RrSet};
use crate::model::source::SourceId;
use crate::model::views::ViewName;

/// Versions of changes that several nodes share are multiples of this. Those in between are a node's own, for what only
/// it has: a file that was read again, a world that it watches.
pub const SHARED_STEP: u64 = 1_000_000;

/// The next version that is shared, above this one.
pub fn next_shared(version: u64) -> u64 {
    (version / SHARED_STEP + 1) * SHARED_STEP
}

/// An RRset that is now this one, or none.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The view; `None` is the default.
    pub view: Option<ViewName>,
    /// Its owner.
    pub owner: Name,
    /// Its type.
    pub rtype: RecordType,
    /// The RRset with its version; `None`: it is gone.
    pub rrset: Option<Arc<RrSet>>,
}

impl Draft<'_> {
    /// A set of another node, which made this version there.
    pub fn follow(&mut self, source: &SourceId, version: u64, changes: Vec<Followed>) {
        let layers = self.layers.clone();
        self.advance_to(version);
        let mut edited: Vec<EditedRrset> = Vec::new();
        for Followed {
            view,
            owner,
            rtype,
            rrset,
        } in changes
        {
            let at = At { view, key: owner.key() };
            let held = self.own(source, &at, rtype);
            let version_of = |rrset: Option<&Arc<RrSet>>| rrset.map(|rrset| rrset.origin.version());
            if held == rrset.as_ref() && version_of(held) == version_of(rrset.as_ref()) {
                continue;
            }
            let view = at.view.clone();
            self.change(match rrset {
                Some(rrset) => Change::Put {
                    source: source.clone(),
                    view,
                    owner: owner.clone(),
                    rrset,
                },
                None => Change::Delete {
                    source: source.clone(),
                    view,
                    owner: owner.clone(),
                    rtype,
                },
            });
            edited.extend(edited_between(
                &layers,
                &self.layers,
                source.clone(),
                at.clone(),
                rtype,
                owner.clone(),
            ));
            self.note_edited(source, at, rtype, owner);
        }
        self.note_applied(edited);
    }

    /// All that the source has is now this; an error where the guard does not let so much go.
    pub fn follow_whole(
        &mut self,
        source: &SourceId,
        version: u64,
        mut changes: Vec<Followed>,
        guard: Option<&Guard>,
    ) -> Result<(), TooManyRemoved> {
        let place = |change: &Followed| (change.view.clone(), change.owner.key(), change.rtype);
        let wanted: BTreeSet<_> = changes.iter().map(place).collect();
        let all = self.everything_of(source);
        let count = all.len();
        let gone = all
            .into_iter()
            .filter(|(at, _, rtype)| !wanted.contains(&(at.view.clone(), at.key.clone(), *rtype)));
        let gone: Vec<Followed> = gone
            .map(|(at, owner, rtype)| Followed {
                view: at.view,
                owner,
                rtype,
                rrset: None,
            })
            .collect();
        if let Some(guard) = guard
            && guard.refuses(gone.len(), count)
        {
            return Err(TooManyRemoved {
                what: format!("the source {source}"),
                removed: gone.len(),
                records: count,
                max_delete_ratio: guard.max_delete_ratio,
            });
        }
        changes.extend(gone);
        self.follow(source, version, changes);
        Ok(())
    }

    fn note_applied(&mut self, edited: Vec<EditedRrset>) {
        if !edited.is_empty() {
            let version = self.version();
            self.applied.push(Applied { version, edited });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_versions_leave_room_for_a_nodes_own() {
        assert_eq!(next_shared(0), SHARED_STEP);
        assert_eq!(next_shared(SHARED_STEP), 2 * SHARED_STEP);
        assert_eq!(next_shared(2 * SHARED_STEP + 17), 3 * SHARED_STEP);
    }
}
