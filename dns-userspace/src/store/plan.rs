//! The next state from the present one and a list of changes, in proportion to what they touch.
//!
//! 1. Apply the changes to the layers; the names at which these differ are *dirty*.
//! 2. A zone can only come or go at a dirty name. Where one does, all records of the configuration and the API below
//!    it are dirty too: they move in or out.
//! 3. Merge each dirty name anew in each zone at or above it and among the overlays, and keep what differs.
//! 4. Bring each view in step with that and with its own layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layers::{Dirty, Layers, Nodes, is_same, keys_below};
use super::merge::{is_zone, merge};
use super::views;
use super::{Delta, Place, State, ZoneChange, ZoneDelta};
use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;
use crate::model::snapshot::{Snapshot, Zone};
use crate::model::views::ViewClients;

/// The state whose layers are `layers` and whose views are `views`, at this version, and how it differs from `old`; at
/// most the names in `dirty` differ in the layers.
pub(super) fn next_state(
    old: &State,
    layers: Layers,
    views: Arc<[ViewClients]>,
    dirty: Dirty,
    version: u64,
) -> (State, Delta) {
    let Dirty {
        default: mut names,
        of_views,
        access,
    } = dirty;
    let redefined = views != old.views;
    let mut state = State {
        layers,
        views,
        version,
        ..old.clone()
    };
    sort(&mut names);

    let mut next = Next::new(&mut state, &old.snapshot);
    next.move_zones(&mut names);
    for key in &names {
        next.update_name(key);
    }
    let (mut snapshot, mut delta) = next.finish(access);
    views::update(
        &mut state,
        &old.snapshot,
        &mut snapshot,
        &mut delta,
        of_views,
        redefined,
    );
    if delta.is_empty() {
        return (state, Delta::default());
    }
    snapshot.version = version;
    state.snapshot = Arc::new(snapshot);
    (state, delta)
}

struct Next<'s> {
    state: &'s mut State,
    old: &'s Snapshot,
    new: Snapshot,
    /// Zones that are touched, taken out of the snapshot while they change.
    open: BTreeMap<NameKey, Zone>,
    zones: BTreeMap<NameKey, (u32, ZoneChange)>,
    names: Vec<NameKey>,
}

impl<'s> Next<'s> {
    fn new(state: &'s mut State, old: &'s Snapshot) -> Self {
        Self {
            state,
            old,
            new: old.clone(),
            open: BTreeMap::new(),
            zones: BTreeMap::new(),
            names: Vec::new(),
        }
    }

    /// Adds, removes and renames zones, and extends `dirty` by the records that move.
    fn move_zones(&mut self, dirty: &mut Vec<NameKey>) {
        let mut moved = Vec::new();
        let mut removed = Vec::new();
        for key in dirty.iter() {
            let zone = self.old.zones.get(key);
            match (zone, is_zone(&self.state.layers, key.as_bytes())) {
                (None, true) => {
                    self.add_zone(key);
                    moved.push(key.clone());
                }
                (Some(zone), false) => {
                    self.new.zones.remove(key);
                    self.note_zone(key, zone.index, ZoneChange::Removed);
                    removed.push(zone.index);
                    moved.push(key.clone());
                }
                (Some(zone), true) => self.rename_zone(key, zone),
                (None, false) => {}
            }
        }
        // Only now: the number of a zone that goes is not given to one that comes with the same change.
        for index in removed {
            self.state.indexes.give_back(index);
        }
        for apex in &moved {
            self.names.push(apex.clone());
            self.state.layers.record_keys_below(None, apex, dirty);
            // A zone that several sources declare is merged name by name.
            for zone in self.state.layers.declared(apex.as_bytes()).skip(1) {
                dirty.extend(zone.content.iter().flat_map(Nodes::keys).cloned());
            }
            // What zones above hold here is hidden, or seen again.
            for above in apex.lineage().skip(1) {
                for snapshot in [self.old, &self.new] {
                    if let Some(zone) = snapshot.zones.get(above) {
                        self.names.extend(keys_below(&zone.nodes, apex).cloned());
                    }
                }
            }
        }
        if !moved.is_empty() {
            sort(dirty);
        }
    }

    fn add_zone(&mut self, key: &NameKey) {
        let index = self.state.indexes.take();
        let declared = self.state.layers.declared(key.as_bytes()).next();
        let zone = Zone {
            apex: apex_name(&self.state.layers, key),
            index,
            failed: failure(&self.state.layers, key),
            falls_through: self.state.layers.fallthrough.contains(key),
            // Shared with the layer; what other sources change is copied on the way.
            nodes: declared
                .and_then(|zone| zone.content.as_ref().ok())
                .cloned()
                .unwrap_or_default(),
        };
        self.new.zones.insert(key.clone(), Arc::new(zone));
        self.note_zone(key, index, ZoneChange::Added);
    }

    fn rename_zone(&mut self, key: &NameKey, zone: &Zone) {
        let apex = apex_name(&self.state.layers, key);
        let failed = failure(&self.state.layers, key);
        let falls_through = self.state.layers.fallthrough.contains(key);
        if zone.apex.as_wire() != apex.as_wire() || zone.failed != failed || zone.falls_through != falls_through {
            let open = self.open_zone(key);
            open.apex = apex;
            open.falls_through = falls_through;
            open.failed = failed;
            self.note_zone(key, zone.index, ZoneChange::Changed);
            self.names.push(key.clone());
        }
    }

    fn update_name(&mut self, key: &NameKey) {
        let layers = &self.state.layers;
        let has_records = layers.records_at(None, key).next().is_some();
        for at in key.lineage() {
            let old = self.old.zones.get_key_value(at);
            if let Some((apex, new)) = self.new.zones.get_key_value(at) {
                let is_declared_once = self.state.layers.declared(at).take(2).count() < 2;
                if old.is_none() && !has_records && is_declared_once {
                    // The node that the zone was declared with, if any, is there already.
                    if new.nodes.contains_key(key) {
                        self.names.push(key.clone());
                    }
                } else {
                    let apex = apex.clone();
                    self.update_in_zone(&Place::new(key, Some(&apex)), &apex);
                }
            } else if let Some((apex, zone)) = old {
                if zone.nodes.contains_key(key) {
                    self.names.push(key.clone());
                }
                self.state.conflicts.set(Place::new(key, Some(apex)), Vec::new());
            }
        }
        if has_records || self.old.overlays.contains_key(key) {
            self.update_overlay(Place::new(key, None));
        }
    }

    fn update_in_zone(&mut self, place: &Place, apex: &NameKey) {
        let merged = merge(&self.state.layers, &self.new.zones, place);
        // Conflicts first: they may differ where the node does not.
        self.state.conflicts.set(place.clone(), merged.conflicts);
        let is_as_before = match (self.zone(apex).nodes.get(&place.key), &merged.node) {
            (Some(before), Some(node)) => is_same(before, node),
            (None, None) => true,
            _ => false,
        };
        let index = self.zone(apex).index;
        if !is_as_before {
            let nodes = &mut self.open_zone(apex).nodes;
            match merged.node {
                Some(node) => drop(nodes.insert(place.key.clone(), node)),
                None => drop(nodes.remove(&place.key)),
            }
            self.note_zone(apex, index, ZoneChange::Changed);
        }
        let is_new = !self.old.zones.contains_key(apex);
        if !is_as_before || (is_new && self.zone(apex).nodes.contains_key(&place.key)) {
            self.names.push(place.key.clone());
        }
    }

    fn update_overlay(&mut self, place: Place) {
        let merged = merge(&self.state.layers, &self.new.zones, &place);
        let key = &place.key;
        let is_as_before = match (self.old.overlays.get(key), &merged.node) {
            (Some(before), Some(node)) => is_same(before, node),
            (None, None) => true,
            _ => false,
        };
        if !is_as_before {
            self.names.push(key.clone());
            match merged.node {
                Some(node) => drop(self.new.overlays.insert(key.clone(), node)),
                None => drop(self.new.overlays.remove(key)),
            }
        }
        self.state.conflicts.set(place, merged.conflicts);
    }

    fn zone(&self, apex: &NameKey) -> &Zone {
        self.open.get(apex).unwrap_or_else(|| &self.new.zones[apex])
    }

    fn open_zone(&mut self, apex: &NameKey) -> &mut Zone {
        let zones = &self.new.zones;
        self.open
            .entry(apex.clone())
            .or_insert_with(|| Zone::clone(&zones[apex]))
    }

    /// Added and Removed stay what they are, whatever else happens to the zone.
    fn note_zone(&mut self, apex: &NameKey, index: u32, change: ZoneChange) {
        self.zones.entry(apex.clone()).or_insert((index, change));
    }

    /// `access` is whether access lists may differ.
    fn finish(mut self, access: bool) -> (Snapshot, Delta) {
        sort(&mut self.names);
        let (old, new) = (&self.old.access, &self.state.layers.access);
        let mut differing = Vec::new();
        if access {
            differing.extend(old.keys().chain(new.keys()).cloned());
            differing.retain(|apex| old.get(apex) != new.get(apex));
            sort(&mut differing);
            self.new.access = new.clone();
        }
        for (apex, zone) in self.open {
            self.new.zones.insert(apex, Arc::new(zone));
        }
        let zones = self.zones.into_iter();
        let zones = zones
            .map(|(apex, (index, change))| ZoneDelta { apex, index, change })
            .collect();
        let delta = Delta {
            names: self.names,
            zones,
            access: differing,
            ..Delta::default()
        };
        (self.new, delta)
    }
}

/// Why the zone cannot answer: every source that declares it has no content.
fn failure(layers: &Layers, key: &NameKey) -> Option<Arc<str>> {
    let mut reason = None;
    for zone in layers.declared(key.as_bytes()) {
        let error = zone.content.as_ref().err()?;
        reason.get_or_insert_with(|| error.clone());
    }
    reason
}

/// The zone's name in the case of the source that makes it one.
fn apex_name(layers: &Layers, key: &NameKey) -> Name {
    if let Some(zone) = layers.declared(key.as_bytes()).next() {
        return zone.apex.clone();
    }
    let mut nodes = layers.records_at(None, key);
    let node = nodes.find(|node| node.rrset(RecordType::SOA).is_some());
    node.map_or_else(|| key.to_name(), |node| node.owner(key))
}

fn sort(keys: &mut Vec<NameKey>) {
    keys.sort_unstable();
    keys.dedup();
}
