//! The store: change sets in, snapshots and deltas out.
//!
//! ```text
//!   layers, by precedence                published
//!   API            ─┐
//!   zone files      ├─ Draft: change sets, each on top of those before it
//!   configuration   │     └─ finish: merge each changed name ─► Plan: Snapshot + Delta + conflicts
//!   watched sources ┘                                             └─ commit: becomes the state
//! ```
//!
//! - A *layer* is what one source says: zones that it declares, and records, in the default and in views.
//! - A [`ChangeSet`] is applied whole or not at all, on top of the sets before it in the same [`Draft`]. A set that is
//!   refused leaves no trace, so it never spoils its neighbours.
//! - A [`Plan`] is the next snapshot and how it differs from the one that is served.
//!
//! A pure index: no IO, no clock, no await. Layers and snapshots are persistent maps, so a plan costs in proportion to
//! what it changes, and an abandoned one costs nothing. The merge follows the contract's "Sources" and "Overlays": the
//! source with the highest precedence is served; what is left out is a [`Conflict`].

mod conflict;
mod draft;
mod edit;
mod follow;
mod guard;
mod layers;
mod merge;
mod plan;
mod refusal;
mod stored;
mod terms;
#[cfg(test)]
mod tests;
mod views;
mod zones;

use std::sync::Arc;

use imbl::OrdSet;

use self::layers::Layers;
use crate::model::access::AccessList;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot};
use crate::model::source::SourceId;
use crate::model::views::{ViewClients, ViewName};

pub use conflict::{Conflict, ConflictChange, Conflicts};
pub use draft::{Applied, Draft, Written};
pub use edit::{ChangeSet, Edit, EditRules, KeepingWanted, TtlRules, Wanted, ZoneRecord};
pub use follow::{Followed, SHARED_STEP, next_shared};
pub use refusal::{Refusal, Refused};
pub use terms::{Condition, Expected, Guard, Subject, Terms, TooManyRemoved};

/// One change to a layer: what a source knows whole.
#[derive(Debug, Clone)]
pub enum Change {
    /// The source declares a zone, or gives it new content.
    PutZone {
        /// Whose layer.
        source: SourceId,
        /// The zone's name.
        apex: Name,
        /// Its RRsets, or why there are none and never were.
        content: Result<Vec<(Name, RrSet)>, Arc<str>>,
    },
    /// The source declares the zone no more.
    DropZone {
        /// Whose layer.
        source: SourceId,
        /// The zone's name.
        apex: Name,
    },
    /// All records that the source has in a view, or the default, are these from now on.
    Reset {
        /// Whose layer.
        source: SourceId,
        /// The view; `None` is the default.
        view: Option<ViewName>,
        /// The records.
        records: Vec<(Name, RrSet)>,
    },
    /// The source has this RRset from now on.
    Put {
        /// Whose layer.
        source: SourceId,
        /// The view it is in; `None` is the default.
        view: Option<ViewName>,
        /// The RRset's owner.
        owner: Name,
        /// The whole RRset.
        rrset: Arc<RrSet>,
    },
    /// The source no longer has this RRset.
    Delete {
        /// Whose layer.
        source: SourceId,
        /// The view it is in; `None` is the default.
        view: Option<ViewName>,
        /// The RRset's owner.
        owner: Name,
        /// The RRset's type.
        rtype: RecordType,
    },
    /// Replaces all access lists of zones.
    Access(Vec<(Name, Arc<AccessList>)>),
    /// Replaces the list of zones whose missing names are looked up elsewhere.
    Fallthrough(Vec<Name>),
    /// Replaces the list of zones whose files edits change. A zone of the folder of zones stays in it as long as it is
    /// declared.
    Stored {
        /// The zones.
        zones: Vec<StoredZone>,
        /// Whether zones that edits make become such zones.
        makes_files: bool,
    },
    /// Replaces `views`, and all of `records` of the configuration that are in one of them.
    Views(Vec<ConfiguredView>),
}

impl Change {
    /// Replaces all of `records` of the configuration that are in no view.
    pub fn config_records(records: Vec<(Name, RrSet)>) -> Self {
        Self::Reset {
            source: SourceId::config(),
            view: None,
            records,
        }
    }
}

/// A zone whose file is written when its records are edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredZone {
    /// The zone's name.
    pub apex: Name,
    /// Whether it is one because its file is in the folder of zones: then it may be deleted.
    pub is_in_folder: bool,
}

/// A zone whose file differs after a plan.
#[derive(Debug)]
pub struct ZoneOfFile {
    /// The zone's name.
    pub apex: Name,
    /// Its RRsets before; `None` where there was no such zone.
    pub before: Option<Vec<(Name, Arc<RrSet>)>>,
    /// Its RRsets after; `None` where there is none any more.
    pub after: Option<Vec<(Name, Arc<RrSet>)>>,
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

/// A computed next state: see [`Store::plan`] and [`Draft::finish`].
pub struct Plan {
    /// What will be served. The very snapshot that is served now, if nothing differs.
    pub snapshot: Arc<Snapshot>,
    /// How that differs from what is served.
    pub delta: Delta,
    /// All conflicts in force then.
    pub conflicts: Conflicts,
    /// Where these differ from those that are in force.
    pub conflict_changes: Vec<ConflictChange>,
    /// RRsets that were edited one by one and differ in their layer: what a journal keeps.
    pub edited: Vec<EditedRrset>,
    /// What each change set that made a difference has changed, in their order.
    pub applied: Vec<Applied>,
    next: State,
    revision: u64,
}

/// An RRset that was edited, as its layer has it before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedRrset {
    /// Whose layer.
    pub source: SourceId,
    /// The view it is in; `None` is the default.
    pub view: Option<ViewName>,
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: RecordType,
    /// The RRset before, if there was one.
    pub before: Option<Arc<RrSet>>,
    /// The RRset now; `None` where it was deleted.
    pub after: Option<Arc<RrSet>>,
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
    /// The version of the latest change, whether or not it is seen in the snapshot.
    version: u64,
    /// Whether the API's changes are shared with other nodes.
    is_shared: bool,
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

impl Delta {
    /// Whether zones came or went. Where they only changed, `names` says all.
    pub fn moves_zones(&self) -> bool {
        self.zones.iter().any(|zone| zone.change != ZoneChange::Changed)
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        let is_same = self.names.is_empty() && self.zones.is_empty() && self.access.is_empty();
        is_same && self.views.iter().all(Vec::is_empty) && !self.views_redefined
    }
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

impl Plan {
    /// The version that the state has then.
    pub fn version(&self) -> u64 {
        self.next.version
    }

    /// All RRsets that a source has then, in the default and in views.
    pub fn records_of(&self, source: &SourceId) -> impl Iterator<Item = (Option<ViewName>, Name, Arc<RrSet>)> {
        let nodes = records_of(&self.next.layers, source);
        nodes.flat_map(|(view, key, node)| {
            let one = move |rrset: &Arc<RrSet>| (view.cloned(), node.owner(key), rrset.clone());
            node.rrsets.iter().map(one).collect::<Vec<_>>()
        })
    }

    /// This is served instead: the plan's snapshot, and what was made of it. The next plan is made on top of it.
    pub fn serve(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = snapshot;
        self.next.snapshot = self.snapshot.clone();
    }
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
        let mut draft = self.draft();
        for change in changes {
            draft.change(change);
        }
        draft.count();
        draft.finish()
    }

    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.state.version
    }

    /// The next change gets a version above this one: it was given before, in another life of the server.
    pub fn go_on_from(&mut self, version: u64) {
        self.state.version = self.state.version.max(version);
    }

    /// The API's changes are shared with other nodes from now on: see [`SHARED_STEP`].
    pub fn share(&mut self) {
        self.state.is_shared = true;
    }

    /// A draft of the next state, which change sets are applied to. The store itself stays as it is.
    pub fn draft(&self) -> Draft<'_> {
        Draft::new(&self.state, self.revision)
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

    /// The zones whose files differ after a plan.
    pub fn zones_of_files(&self, plan: &Plan) -> Vec<ZoneOfFile> {
        stored::zones_of_files(&self.state.layers, &plan.next.layers, &plan.edited)
    }

    /// Whether edits may change zone files.
    pub fn writes_files(&self) -> bool {
        self.state.layers.writes_files()
    }

    /// All conflicts in force.
    pub fn conflicts(&self) -> &Conflicts {
        &self.state.conflicts
    }

    /// The RRset that a source has, in a view or the default.
    pub fn rrset_of(
        &self,
        source: &SourceId,
        view: Option<&ViewName>,
        key: &NameKey,
        rtype: RecordType,
    ) -> Option<&Arc<RrSet>> {
        let layer = self.state.layers.by_source.get(source)?;
        layer.records_in(view)?.get(key)?.rrset(rtype)
    }

    /// All records of a source, in the default and in views, configured or not, each in canonical order.
    pub fn records_of<'s>(
        &'s self,
        source: &SourceId,
    ) -> impl Iterator<Item = (Option<&'s ViewName>, &'s NameKey, &'s Arc<Node>)> + use<'s> {
        records_of(&self.state.layers, source)
    }
}

fn records_of<'s>(
    layers: &'s Layers,
    source: &SourceId,
) -> impl Iterator<Item = (Option<&'s ViewName>, &'s NameKey, &'s Arc<Node>)> + use<'s> {
    let layer = layers.by_source.get(source).into_iter();
    layer.flat_map(|layer| {
        let of_default = layer.records.iter().map(|(key, node)| (None, key, node));
        let of_views = layer.of_views.iter();
        of_default
            .chain(of_views.flat_map(|(view, nodes)| nodes.iter().map(move |(key, node)| (Some(view), key, node))))
    })
}
