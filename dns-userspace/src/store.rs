//! The store: sources in, snapshots and deltas out.
//!
//! ```text
//!   layers                       effective                     published
//!   zone files by apex ─┐
//!   configuration       ├─ plan(changes): merge per name ─► Snapshot + Delta + conflicts
//!   API                 ┘      commit(plan): becomes the state
//! ```
//!
//! Each view has layers of its own, of the configuration and the API, and a tree of its own in the snapshot.
//!
//! A pure index: no IO, no clock, no await. Layers and snapshots are persistent maps, so a plan costs in proportion to
//! what it changes, and an abandoned one costs nothing. The merge follows the contract's "Sources" and "Overlays":
//! the API's RRset before the zone file's before the configuration's; what is left out is a [`Conflict`].

mod layers;
mod merge;
mod plan;
#[cfg(test)]
mod tests;
mod views;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use self::layers::Layers;
use crate::access::AccessList;
use crate::name::{Name, NameKey};
use crate::record::{RecordType, RrSet, Source};
use crate::snapshot::{Node, Snapshot};
use crate::views::{ViewClients, ViewName};
use crate::work;

/// One change to a layer.
#[derive(Debug, Clone)]
pub enum Change {
    /// A configured zone appears or gets new content.
    Zone {
        /// Its name.
        apex: Name,
        /// Its file, as the configuration gives it.
        file: Arc<str>,
        /// Its RRsets, or why there are none and never were.
        content: Result<Vec<(Name, RrSet)>, Arc<str>>,
    },
    /// A zone is configured no more.
    RemoveZone {
        /// Its name.
        apex: Name,
    },
    /// Replaces all access lists of zones.
    Access(Vec<(Name, Arc<AccessList>)>),
    /// Replaces all of `records:` of the configuration file.
    ConfigRecords(Vec<(Name, RrSet)>),
    /// Replaces `views`, and all of `records:` that are in one of them.
    Views(Vec<ConfiguredView>),
    /// The API holds this RRset from now on.
    PutApi {
        /// The view it is in; `None` is the default.
        view: Option<ViewName>,
        /// The RRset's owner.
        owner: Name,
        /// The whole RRset.
        rrset: RrSet,
    },
    /// The API no longer holds this RRset.
    DeleteApi {
        /// The view it is in; `None` is the default.
        view: Option<ViewName>,
        /// The RRset's owner.
        owner: Name,
        /// The RRset's type.
        rtype: RecordType,
    },
}

/// A view of the configuration.
#[derive(Debug, Clone)]
pub struct ConfiguredView {
    /// Its name and clients.
    pub view: ViewClients,
    /// Its records of the configuration.
    pub records: Vec<(Name, RrSet)>,
}

/// The state of all sources, and what is served from it.
#[derive(Default)]
pub struct Store {
    state: State,
    /// Raised by each commit.
    revision: u64,
}

/// A computed next state: see [`Store::plan`].
pub struct Plan {
    /// What will be served. The very snapshot that is served now, if nothing differs.
    pub snapshot: Arc<Snapshot>,
    /// How that differs from what is served.
    pub delta: Delta,
    /// All conflicts in force then.
    pub conflicts: Conflicts,
    /// Where these differ from those that are in force.
    pub conflict_changes: Vec<ConflictChange>,
    next: State,
    revision: u64,
}

/// All that a store knows; a clone costs nothing.
#[derive(Clone, Default)]
struct State {
    layers: Layers,
    conflicts: Conflicts,
    indexes: Indexes,
    /// As they are configured.
    views: Arc<[ViewClients]>,
    snapshot: Arc<Snapshot>,
}

/// One owner name in one zone, or among the overlays (`None`); or in one view, whatever zone that is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: NameKey,
    apex: Option<NameKey>,
    view: Option<ViewName>,
}

impl Place {
    fn new(key: &NameKey, apex: Option<&NameKey>) -> Self {
        Self {
            key: key.clone(),
            apex: apex.cloned(),
            view: None,
        }
    }

    fn in_view(key: &NameKey, view: &ViewName) -> Self {
        Self {
            key: key.clone(),
            apex: None,
            view: Some(view.clone()),
        }
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

    fn set(&mut self, place: Place, conflicts: Vec<Conflict>) {
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

    fn forget_views(&mut self) {
        let of_views: Vec<Place> = self
            .places
            .keys()
            .filter(|place| place.view.is_some())
            .cloned()
            .collect();
        for place in of_views {
            self.set(place, Vec::new());
        }
    }

    /// How it differs from what it was when this was asked last.
    fn take_changes(&mut self) -> Vec<ConflictChange> {
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

/// The numbers of zones: the smallest free one is given next.
#[derive(Clone, Default)]
struct Indexes {
    /// Returned ones, all below `next`.
    free: OrdSet<u32>,
    next: u32,
}

impl Indexes {
    fn take(&mut self) -> u32 {
        self.free.remove_min().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn give_back(&mut self, index: u32) {
        self.free.insert(index);
    }
}

/// What differs between two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Owner names, of zone nodes and overlays, whose data differ: created, changed, deleted, or now of another zone.
    /// Ascending; the apex of every zone in `zones` that was added, removed or failed is one of them.
    pub names: Vec<NameKey>,
    /// Zones that differ, by apex; in a view at least.
    pub zones: Vec<ZoneDelta>,
    /// Apexes whose access list differs.
    pub access: Vec<NameKey>,
    /// For each view, owner names that differ in it besides `names`: ascending.
    pub views: Vec<Vec<NameKey>>,
    /// Whether there are other views now, or with other clients.
    pub views_redefined: bool,
}

/// How one zone differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDelta {
    /// The zone's name.
    pub apex: NameKey,
    /// The zone's index.
    pub index: u32,
    /// What became of it.
    pub change: ZoneChange,
}

/// What became of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneChange {
    /// It is served now and was not.
    Added,
    /// It was served and is not.
    Removed,
    /// Its content or its failed state differs.
    Changed,
}

/// An RRset that is left out because of another source's (contract, "Sources").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner of both.
    pub owner: Name,
    /// The type that is left out.
    pub rtype: RecordType,
    /// Whose RRset is left out.
    pub left_out: Source,
    /// Whose RRset is served.
    pub served: Source,
    /// The type of the RRset that is served: the same, or one that cannot stand beside it.
    pub served_type: RecordType,
    /// The view that both are in; `None` is the default.
    pub view: Option<ViewName>,
}

impl Store {
    /// A store with no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is served.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.state.snapshot.clone()
    }

    /// The state after `changes`, in their order, all or nothing. The store itself stays as it is.
    pub fn plan(&self, changes: Vec<Change>) -> Plan {
        let (mut next, delta) = plan::next_state(&self.state, changes);
        let conflict_changes = next.conflicts.take_changes();
        Plan {
            snapshot: next.snapshot.clone(),
            delta,
            conflicts: next.conflicts.clone(),
            conflict_changes,
            next,
            revision: self.revision,
        }
    }

    /// Makes a plan the state.
    ///
    /// # Panics
    /// If the plan is not of the present state: another one was committed since it was made.
    pub fn commit(&mut self, plan: &Plan) {
        assert_eq!(
            self.revision, plan.revision,
            "a plan is committed before the next one is made"
        );
        self.state = plan.next.clone();
        self.revision += 1;
    }

    /// All conflicts in force.
    pub fn conflicts(&self) -> &Conflicts {
        &self.state.conflicts
    }

    /// The RRset that the API holds, in a view or the default.
    pub fn api_rrset(&self, view: Option<&ViewName>, key: &NameKey, rtype: RecordType) -> Option<&Arc<RrSet>> {
        let layers = &self.state.layers;
        let api = match view {
            None => &layers.api,
            Some(view) => &layers.views.get(view)?.api,
        };
        api.get(key)?.rrset(rtype)
    }

    /// All that the API holds in the default, in canonical order.
    pub fn api_records(&self) -> impl Iterator<Item = (&NameKey, &Arc<Node>)> {
        self.state.layers.api.iter()
    }

    /// All that the API holds in views, configured or not.
    pub fn api_records_in_views(&self) -> impl Iterator<Item = (&ViewName, &NameKey, &Arc<Node>)> {
        let views = self.state.layers.views.iter();
        views.flat_map(|(view, layer)| layer.api.iter().map(move |(key, node)| (view, key, node)))
    }
}
