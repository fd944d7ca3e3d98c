//! A draft: change sets applied one on top of the other, before any of them is durable or served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::edit::{ChangeSet, Edit, EditRules};
use super::follow::next_shared;
use super::layers::{Dirty, Layers};
use super::merge::{home_given, is_zone, merge_given};
use super::plan::next_state;
use super::{Change, EditedRrset, Expected, Guard, Place, Plan, Refusal, Refused, State, Subject, Terms, views};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::source::SourceId;
use crate::model::views::{ViewClients, ViewName};

/// The next state while it is being made. Dropping it changes nothing.
pub struct Draft<'s> {
    pub(super) base: &'s State,
    revision: u64,
    pub(super) layers: Layers,
    views: Arc<[ViewClients]>,
    dirty: Dirty,
    edited: BTreeMap<(SourceId, At, RecordType), Name>,
    /// Names of `edited`.
    names: BTreeSet<At>,
    pub(super) applied: Vec<Applied>,
    /// The version of the set that was applied last.
    version: u64,
    /// Zones that the set which is being applied deletes.
    pub(super) deleted: BTreeSet<NameKey>,
    /// Whether that set hides RRsets of other sources.
    pub(super) takes_over: bool,
    /// Whether its version is one that several nodes share.
    is_shared: bool,
}

/// What one change set has changed.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The version that it made.
    pub version: u64,
    /// RRsets that were edited one by one and differ in their layer, each once.
    pub edited: Vec<EditedRrset>,
}

/// A name in a view, or in the default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    pub(super) view: Option<ViewName>,
    pub(super) key: NameKey,
}

/// An RRset that an edit has put, as its layer has it after the edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The owner, in the case in which it was given first.
    pub owner: Name,
    /// The whole RRset; `None` where the edit deleted.
    pub rrset: Option<Arc<RrSet>>,
    /// Whether there was no such RRset before.
    pub created: bool,
    /// Whether the edit made a difference.
    pub changed: bool,
}

impl<'s> Draft<'s> {
    pub(super) fn new(base: &'s State, revision: u64) -> Self {
        Self {
            base,
            revision,
            layers: base.layers.clone(),
            views: base.views.clone(),
            dirty: Dirty::default(),
            edited: BTreeMap::new(),
            names: BTreeSet::new(),
            applied: Vec::new(),
            version: base.version,
            deleted: BTreeSet::new(),
            takes_over: false,
            is_shared: false,
        }
    }

    /// Applies a change set on top of those before it: whole, or not at all. One outcome for each edit.
    pub fn apply(&mut self, set: ChangeSet, rules: &EditRules) -> Result<Vec<Written>, Refused> {
        self.apply_on(set, &Terms::default(), rules, &Guard::default())
    }

    /// The same, if all is as the set expects it, and the guard lets it.
    pub fn apply_on(
        &mut self,
        set: ChangeSet,
        terms: &Terms,
        rules: &EditRules,
        guard: &Guard,
    ) -> Result<Vec<Written>, Refused> {
        let (layers, views) = (self.layers.clone(), self.views.clone());
        self.deleted.clear();
        self.takes_over = terms.takeover;
        let ChangeSet { source, edits, .. } = set;
        self.is_shared = self.base.is_shared && source == SourceId::api();
        let is_of_rrsets = !edits.iter().any(|edit| matches!(edit, Edit::Apply(_)));
        let mut written = Vec::with_capacity(edits.len());
        let mut edited: super::edit::Edited = Vec::new();
        for (number, edit) in edits.into_iter().enumerate() {
            let expected = terms.expects.iter().filter(|expected| expected.edit == number);
            let met = self.meets(expected);
            let edit = met.and_then(|()| {
                let holder = self.holder(&source, &edit)?;
                self.edit(&holder, edit, rules, &mut edited)
            });
            match edit {
                Ok(outcome) => written.push(outcome),
                Err(refusal) => {
                    // The dirty names stay: a name that does not differ costs one merge.
                    self.layers = layers;
                    self.views = views;
                    return Err(Refused { edit: number, refusal });
                }
            }
        }
        if let Err(refusal) = self.finish_files(&edited) {
            self.layers = layers;
            self.views = views;
            return Err(Refused {
                edit: Refused::ALL,
                refusal,
            });
        }
        let mut seen = BTreeSet::new();
        let first = edited
            .iter()
            .filter(|(source, at, rtype, _)| seen.insert((source, at, *rtype)));
        let (restored, changed): (Vec<EditedRrset>, Vec<EditedRrset>) = first
            .filter_map(|(source, at, rtype, owner)| {
                edited_between(&layers, &self.layers, source.clone(), at.clone(), *rtype, owner.clone())
            })
            .partition(|edited| edited.before == edited.after);
        // What a set takes away and puts back as it was has the version that it had.
        for EditedRrset {
            before,
            source,
            view,
            owner,
            ..
        } in restored
        {
            if let Some(rrset) = before {
                self.change(Change::Put {
                    source,
                    view,
                    owner,
                    rrset,
                });
            }
        }
        if terms.is_guarded
            && !terms.force
            && let Err(removed) = self.check_removals(guard, &source, &changed, &self.deleted)
        {
            self.layers = layers;
            self.views = views;
            return Err(Refused {
                edit: Refused::ALL,
                refusal: Refusal::TooManyRemoved(removed),
            });
        }
        // Edits of RRsets may come to nothing together. A zone file has another serial all the same.
        let is_nothing = is_of_rrsets
            && changed.is_empty()
            && !edited.is_empty()
            && edited.iter().all(|(source, ..)| *source != SourceId::zone_files());
        if !is_nothing && written.iter().any(|outcome| outcome.changed) {
            self.count();
        }
        for (source, at, rtype, owner) in edited {
            self.note_edited(&source, at, rtype, owner);
        }
        if !changed.is_empty() {
            self.applied.push(Applied {
                version: self.version,
                edited: changed,
            });
        }
        Ok(written)
    }

    /// An error where something is not as it is expected to be.
    fn meets<'t>(&self, expected: impl Iterator<Item = &'t Expected>) -> Result<(), Refusal> {
        for Expected { subject, condition, .. } in expected {
            let held = match subject {
                Subject::Rrset { view, owner, rtype } => {
                    let at = At {
                        view: view.clone(),
                        key: owner.key(),
                    };
                    let (_, served) = self.served(&at);
                    let served = served.iter().find(|rrset| rrset.rtype == *rtype);
                    // What is disabled is there, and not served.
                    let kept = || self.own(&SourceId::api(), &at, *rtype);
                    served.or_else(kept).map(|rrset| self.version_of(&at.key, rrset))
                }
                Subject::Zone(apex) => self.version_of_zone(&apex.key()),
            };
            if !condition.is_met(held) {
                return Err(Refusal::VersionConflict {
                    subject: subject.clone(),
                    wanted: condition.clone(),
                    held,
                });
            }
        }
        Ok(())
    }

    /// The version of an RRset, as it is shown to those who ask.
    fn version_of(&self, key: &NameKey, rrset: &RrSet) -> u64 {
        match rrset.origin.version() {
            of_this_draft if of_this_draft > self.base.version => of_this_draft,
            _ => self.base.snapshot.version_of(key, rrset),
        }
    }

    /// The version of a zone: that of the latest set which changed something at or below its apex.
    fn version_of_zone(&self, apex: &NameKey) -> Option<u64> {
        if !is_zone(&self.layers, apex.as_bytes()) {
            return None;
        }
        let touched = |applied: &&Applied| {
            applied
                .edited
                .iter()
                .any(|edited| edited.owner.key().is_at_or_below(apex))
        };
        let here = self.applied.iter().rev().find(touched).map(|applied| applied.version);
        let known = self.base.snapshot.version_of_zone(apex);
        here.or(known).or(Some(self.base.version))
    }

    /// The version that an edit makes.
    pub(super) fn next_version(&self) -> u64 {
        match self.is_shared {
            true => next_shared(self.version),
            false => self.version + 1,
        }
    }

    /// What follows has this version, or the next one that is free here.
    pub(super) fn advance_to(&mut self, version: u64) {
        self.version = version.max(self.version + 1);
    }

    /// An RRset of a source was edited.
    pub(super) fn note_edited(&mut self, source: &SourceId, at: At, rtype: RecordType, owner: Name) {
        self.names.insert(at.clone());
        self.edited.entry((source.clone(), at, rtype)).or_insert(owner);
    }

    /// What was applied since the last version is one more.
    pub fn count(&mut self) {
        self.version = self.next_version();
    }

    /// The version of the set that was applied last.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the sets after this version have changed.
    pub fn changed_since(&self, version: u64) -> impl Iterator<Item = &EditedRrset> {
        let later = self.applied.iter().filter(move |applied| applied.version > version);
        later.flat_map(|applied| &applied.edited)
    }

    /// Applies one change to a layer.
    pub fn change(&mut self, change: Change) {
        if let Change::Views(views) = &change {
            self.views = views.iter().map(|view| view.view.clone()).collect();
        }
        let version = self.next_version();
        self.layers.apply(change, version, &mut self.dirty);
    }

    /// Whether an applied set has edited something at a name that this set edits too, or may have.
    pub fn touches(&self, set: &ChangeSet) -> bool {
        let mut edits = set.edits.iter();
        edits.any(|edit| match edit.at() {
            Some(at) => self.names.contains(&at),
            None => !self.names.is_empty(),
        })
    }

    /// Whether nothing was applied.
    pub fn is_empty(&self) -> bool {
        let Dirty {
            default,
            of_views,
            access,
        } = &self.dirty;
        default.is_empty() && of_views.is_empty() && !access && self.views == self.base.views
    }

    /// The plan of all that was applied.
    pub fn finish(self) -> Plan {
        let edited: Vec<EditedRrset> = self
            .edited
            .into_iter()
            .filter_map(|((source, at, rtype), owner)| {
                edited_between(&self.base.layers, &self.layers, source, at, rtype, owner)
            })
            .collect();
        let (mut next, delta) = next_state(self.base, self.layers, self.views, self.dirty, self.version);
        if delta.is_empty() && edited.is_empty() && self.applied.is_empty() {
            next.version = self.base.version;
        }
        let conflict_changes = next.conflicts.take_changes();
        Plan {
            snapshot: next.snapshot.clone(),
            delta,
            conflicts: next.conflicts.clone(),
            conflict_changes,
            edited,
            applied: self.applied,
            next,
            revision: self.revision,
        }
    }

    /// Whether the view is configured.
    pub(super) fn has_view(&self, name: &ViewName) -> bool {
        self.views.iter().any(|view| view.name == *name)
    }

    /// What a source has at a name and type.
    pub(super) fn own(&self, source: &SourceId, at: &At, rtype: RecordType) -> Option<&Arc<RrSet>> {
        let nodes = self.layers.own_nodes(source, at.view.as_ref(), &at.key, rtype)?;
        nodes.get(&at.key)?.rrset(rtype)
    }

    /// All that a source has at a name.
    pub(super) fn all_own(&self, source: &SourceId, at: &At) -> Vec<Arc<RrSet>> {
        let nodes = self.layers.own_nodes(source, at.view.as_ref(), &at.key, RecordType::A);
        let node = nodes.and_then(|nodes| nodes.get(&at.key));
        node.map_or_else(Vec::new, |node| node.rrsets.to_vec())
    }

    /// Every RRset that a source has, in the default and in views, without its zones.
    pub(super) fn everything_of(&self, source: &SourceId) -> Vec<(At, Name, RecordType)> {
        let Some(layer) = self.layers.by_source.get(source) else {
            return Vec::new();
        };
        let of_default = layer.records.iter().map(|(key, node)| (None, key, node));
        let of_views = layer.of_views.iter();
        let of_views =
            of_views.flat_map(|(view, nodes)| nodes.iter().map(move |(key, node)| (Some(view.clone()), key, node)));
        let nodes = of_default.chain(of_views);
        nodes
            .flat_map(|(view, key, node)| {
                node.rrsets.iter().map(move |rrset| {
                    let at = At {
                        view: view.clone(),
                        key: key.clone(),
                    };
                    (at, node.owner(key), rrset.rtype)
                })
            })
            .collect()
    }

    /// What is served at a name, with what was applied, and the owner in the case in which it was given first; of a
    /// view what it has there itself.
    pub(super) fn served(&self, at: &At) -> (Option<Name>, Vec<Arc<RrSet>>) {
        let node = match &at.view {
            None => {
                let is_zone = |apex: &[u8]| is_zone(&self.layers, apex);
                // Each layer has to be asked for each name above: once, for the deepest zone.
                let deepest = at.key.lineage().find(|apex| is_zone(apex)).map(<[u8]>::len);
                let is_zone = |apex: &[u8]| {
                    deepest.is_some_and(|deepest| apex.len() == deepest || (apex.len() < deepest && is_zone(apex)))
                };
                let node_for = |rtype| {
                    let apex = home_given(&is_zone, &at.key, rtype);
                    let apex = apex.map(|apex| at.key.ancestor(apex.len()));
                    merge_given(&self.layers, &Place::new(&at.key, apex.as_ref()), is_zone).node
                };
                let node = node_for(RecordType::A);
                let mut rrsets = node.as_ref().map_or_else(Vec::new, |node| node.rrsets.to_vec());
                // DS at an apex is in the zone above.
                if is_zone(at.key.as_bytes())
                    && let Some(above) = node_for(RecordType::DS)
                {
                    let is_known = |rtype| rrsets.iter().any(|rrset: &Arc<RrSet>| rrset.rtype == rtype);
                    let ds = above.rrset(RecordType::DS).filter(|ds| !is_known(ds.rtype));
                    rrsets.extend(ds.cloned());
                }
                return (node.map(|node| node.owner(&at.key)), rrsets);
            }
            Some(view) => views::merge(&self.layers, view, &at.key, self.soa_at(&at.key).as_ref()).node,
        };
        match node {
            Some(node) => (Some(node.owner(&at.key)), node.rrsets.to_vec()),
            None => (None, Vec::new()),
        }
    }

    /// The SOA serial that is served for a zone.
    pub(super) fn served_serial(&self, apex: &NameKey) -> Option<u32> {
        self.base.snapshot.serial(apex)
    }

    /// The SOA of the zone of that name, if there is one.
    pub(super) fn soa_at(&self, key: &NameKey) -> Option<Arc<RrSet>> {
        let is_zone = |apex: &[u8]| is_zone(&self.layers, apex);
        if !is_zone(key.as_bytes()) {
            return None;
        }
        let node = merge_given(&self.layers, &Place::new(key, Some(key)), is_zone).node?;
        node.rrset(RecordType::SOA).cloned()
    }
}

/// How an RRset of a source differs between two states of the layers; `None` where it does not.
pub(super) fn edited_between(
    before: &Layers,
    after: &Layers,
    source: SourceId,
    at: At,
    rtype: RecordType,
    owner: Name,
) -> Option<EditedRrset> {
    let in_layer = |layers: &Layers| {
        let nodes = layers.own_nodes(&source, at.view.as_ref(), &at.key, rtype)?;
        nodes.get(&at.key)?.rrset(rtype).cloned()
    };
    let (before, after) = (in_layer(before), in_layer(after));
    let version = |rrset: &Option<Arc<RrSet>>| rrset.as_ref().map(|rrset| rrset.origin.version());
    let differs = before != after || version(&before) != version(&after);
    differs.then_some(EditedRrset {
        before,
        after,
        source,
        view: at.view,
        owner,
        rtype,
    })
}
