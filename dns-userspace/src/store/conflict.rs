//! RRsets that are left out because of another source's.

use std::sync::Arc;

use imbl::OrdMap;

use super::Place;
use crate::name::Name;
use crate::record::{RecordType, RrSet};
use crate::source::Origin;
use crate::views::ViewName;

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

/// All conflicts in force, by place. A clone costs nothing.
#[derive(Clone, Default)]
pub struct Conflicts {
    places: OrdMap<Place, Arc<[Conflict]>>,
    count: usize,
    /// Places that were set since [`Conflicts::take_changed`].
    changed: Vec<Place>,
}

impl Conflicts {
    /// Each one, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.places.values().flat_map(|conflicts| conflicts.iter())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes these the conflicts at a place.
    pub(super) fn set(&mut self, place: Place, conflicts: Vec<Conflict>) {
        let before = self.places.get(&place).map_or(&[][..], |known| known);
        if before == conflicts {
            return;
        }
        self.count = self.count - before.len() + conflicts.len();
        self.changed.push(place.clone());
        if conflicts.is_empty() {
            self.places.remove(&place);
        } else {
            self.places.insert(place, conflicts.into());
        }
    }

    /// Removes the conflicts in all views.
    pub(super) fn forget_views(&mut self) {
        let of_views = self.places.keys().filter(|place| place.view.is_some());
        let of_views: Vec<Place> = of_views.cloned().collect();
        for place in of_views {
            self.set(place, Vec::new());
        }
    }

    /// Conflicts that are new since `before`, and whether any differ; forgets which places were set.
    pub(super) fn take_changed(&mut self, before: &Self) -> (Vec<Conflict>, bool) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed.retain(|place| before.places.get(place) != self.places.get(place));
        let mut new = Vec::new();
        for place in &changed {
            let known = before.places.get(place).map_or(&[][..], |known| known);
            let now = self
                .places
                .get(place)
                .into_iter()
                .flat_map(|conflicts| conflicts.iter());
            new.extend(
                now.filter(|conflict| known.iter().all(|known| known.rtype != conflict.rtype))
                    .cloned(),
            );
        }
        (new, !changed.is_empty())
    }
}
