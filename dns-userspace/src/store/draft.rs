//! A draft: change sets applied one on top of the other, before any of them is durable or served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::edit::{ChangeSet, EditRules};
use super::layers::{Dirty, Layers};
use super::merge::{home_given, is_zone, merge_given};
use super::plan::next_state;
use super::{Change, EditedRrset, Place, Plan, Refused, State, views};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::source::SourceId;
use crate::model::views::{ViewClients, ViewName};

/// The next state while it is being made. Dropping it changes nothing.
pub struct Draft<'s> {
    base: &'s State,
    revision: u64,
    layers: Layers,
    views: Arc<[ViewClients]>,
    dirty: Dirty,
    edited: BTreeMap<(SourceId, At, RecordType), Name>,
    /// Names of `edited`.
    names: BTreeSet<At>,
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
        }
    }

    /// Applies a change set on top of those before it: whole, or not at all. One outcome for each edit.
    pub fn apply(&mut self, set: ChangeSet, rules: &EditRules) -> Result<Vec<Written>, Refused> {
        let (layers, views) = (self.layers.clone(), self.views.clone());
        let ChangeSet { source, edits, .. } = set;
        let mut written = Vec::with_capacity(edits.len());
        let mut edited = Vec::new();
        for (number, edit) in edits.into_iter().enumerate() {
            match self.edit(&source, edit, rules, &mut edited) {
                Ok(outcome) => written.push(outcome),
                Err(refusal) => {
                    // The dirty names stay: a name that does not differ costs one merge.
                    self.layers = layers;
                    self.views = views;
                    return Err(Refused { edit: number, refusal });
                }
            }
        }
        for (at, rtype, owner) in edited {
            self.names.insert(at.clone());
            self.edited.entry((source.clone(), at, rtype)).or_insert(owner);
        }
        Ok(written)
    }

    /// Applies one change to a layer.
    pub fn change(&mut self, change: Change) {
        if let Change::Views(views) = &change {
            self.views = views.iter().map(|view| view.view.clone()).collect();
        }
        self.layers.apply(change, &mut self.dirty);
    }

    /// Whether an applied set has edited something at a name that this set edits too.
    pub fn touches(&self, set: &ChangeSet) -> bool {
        let mut names = set.edits.iter().filter_map(|edit| edit.at());
        names.any(|at| self.names.contains(&at))
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
        let edited = self
            .edited
            .into_iter()
            .map(|((source, at, rtype), owner)| {
                let in_layer = |layers: &Layers| {
                    let layer = layers.by_source.get(&source)?;
                    let node = layer.records_in(at.view.as_ref())?.get(&at.key)?;
                    node.rrset(rtype).cloned()
                };
                EditedRrset {
                    before: in_layer(&self.base.layers),
                    after: in_layer(&self.layers),
                    source,
                    view: at.view,
                    owner,
                    rtype,
                }
            })
            .filter(|edited| edited.before != edited.after)
            .collect();
        let (mut next, delta) = next_state(self.base, self.layers, self.views, self.dirty);
        let conflict_changes = next.conflicts.take_changes();
        Plan {
            snapshot: next.snapshot.clone(),
            delta,
            conflicts: next.conflicts.clone(),
            conflict_changes,
            edited,
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
        let layer = self.layers.by_source.get(source)?;
        layer.records_in(at.view.as_ref())?.get(&at.key)?.rrset(rtype)
    }

    /// All that a source has at a name.
    pub(super) fn all_own(&self, source: &SourceId, at: &At) -> Vec<Arc<RrSet>> {
        let layer = self.layers.by_source.get(source);
        let node = layer.and_then(|layer| layer.records_in(at.view.as_ref())?.get(&at.key));
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
