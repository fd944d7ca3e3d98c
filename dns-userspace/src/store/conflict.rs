//! RRsets that are left out because of another source's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

use super::Place;
use crate::model::name::Name;
use crate::model::record::{RecordType, RrSet};
use crate::model::source::Origin;
use crate::model::views::ViewName;
use crate::model::work;

/// An RRset that is left out because of another source's (contract, "Sources").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner of both.
    pub owner: Name,
    /// The type that is left out.
    pub rtype: RecordType,
    /// Whose RRset is left out.
    pub left_out: Origin,
    /// Whose RRset is served.
    pub served: Origin,
    /// The type of the RRset that is served: the same, or one that cannot stand beside it.
    pub served_type: RecordType,
    /// The view that both are in; `None` is the default.
    pub view: Option<ViewName>,
}

impl Conflict {
    pub(super) fn new(owner: &Name, left_out: &RrSet, served: &RrSet, view: Option<&ViewName>) -> Self {
        Self {
            owner: owner.clone(),
            rtype: left_out.rtype,
            left_out: left_out.origin.clone(),
            served: served.origin.clone(),
            served_type: served.rtype,
            view: view.cloned(),
        }
    }
}

#[cfg(test)]
impl FromIterator<Conflict> for Conflicts {
    fn from_iter<I: IntoIterator<Item = Conflict>>(conflicts: I) -> Self {
        let mut all = Self::default();
        for conflict in conflicts {
            all.set(Place::new(&conflict.owner.key(), None), vec![conflict]);
        }
        all
    }
}

/// What is left out, in the order of names. A clone costs nothing, and a change as much as it changes.
#[derive(Clone, Default)]
pub struct Conflicts {
    places: OrdMap<Place, Arc<[Conflict]>>,
    count: usize,
    /// What was at the places that have been set since the changes were taken.
    before: BTreeMap<Place, Arc<[Conflict]>>,
}

/// What is left out at one place, before a plan and after it.
#[derive(Debug, Clone)]
pub struct ConflictChange {
    /// Before.
    pub before: Arc<[Conflict]>,
    /// After.
    pub after: Arc<[Conflict]>,
}

impl ConflictChange {
    /// What is left out now and was not before.
    pub fn came(&self) -> impl Iterator<Item = &Conflict> {
        let known: BTreeSet<RecordType> = self.before.iter().map(|conflict| conflict.rtype).collect();
        self.after
            .iter()
            .filter(move |conflict| !known.contains(&conflict.rtype))
    }
}

impl Conflicts {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.places.values().flat_map(|conflicts| conflicts.iter())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes these the conflicts at a place.
    pub(super) fn set(&mut self, place: Place, conflicts: Vec<Conflict>) {
        let known = self.places.get(&place).cloned().unwrap_or_default();
        if *known == conflicts {
            return;
        }
        work::step();
        self.count = self.count + conflicts.len() - known.len();
        if conflicts.is_empty() {
            self.places.remove(&place);
        } else {
            self.places.insert(place.clone(), conflicts.into());
        }
        self.before.entry(place).or_insert(known);
    }

    /// Removes the conflicts in all views.
    pub(super) fn forget_views(&mut self) {
        let of_views = self.places.keys().filter(|place| place.view.is_some());
        let of_views: Vec<Place> = of_views.cloned().collect();
        for place in of_views {
            self.set(place, Vec::new());
        }
    }

    /// How it differs from what it was when this was asked last.
    pub(super) fn take_changes(&mut self) -> Vec<ConflictChange> {
        let before = std::mem::take(&mut self.before);
        let changes = before.into_iter().map(|(place, before)| ConflictChange {
            before,
            after: self.places.get(&place).cloned().unwrap_or_default(),
        });
        changes.filter(|change| change.before != change.after).collect()
    }
}

impl fmt::Debug for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
