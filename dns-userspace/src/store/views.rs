//! Views on top of the default: from each view's layers to its own records, and to the tree that its clients are
//! answered from.
//!
//! ```text
//!  layers of the view ─ API before configuration ─► own ─┐
//!  default snapshot ─────────────────────────────────────┴─ per name: own alone, else the default's ─► tree
//! ```
//!
//! - Zones are the default's. A view has no SOA records, and no CNAME at an apex.
//! - A name with own records is served from those alone. At an apex each type that the view does not have, and that can
//!   stand beside those it has, is the default's; so are addresses that the default's ALIAS stands for.
//!
//! A tree shares with the default all that is no different. A change costs in proportion to what it touches, in each
//! view.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::layers::{Layers, Nodes, is_same, keys_below};
use super::merge::{Merged, Standing, enabled, home};
use super::{Conflict, Delta, Place, State, ZoneChange, ZoneDelta};
use crate::model::name::NameKey;
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot, View, Views, Zone};
use crate::model::views::{Clients, ViewClients, ViewName};
use crate::model::work;

/// Brings `new`, a snapshot that still has the views of `old`, and its delta in step with the layers.
pub(super) fn update(
    state: &mut State,
    old: &Snapshot,
    new: &mut Snapshot,
    delta: &mut Delta,
    dirty: BTreeMap<ViewName, Vec<NameKey>>,
    redefined: bool,
) {
    let views = Arc::clone(&state.views);
    if views.is_empty() && old.views.list.is_empty() {
        return;
    }
    let before = Arc::clone(&old.views);
    let known_by_name: HashMap<&ViewName, &View> = before.list.iter().map(|view| (&view.name, view)).collect();
    let mut zones: BTreeMap<NameKey, ZoneDelta> = std::mem::take(&mut delta.zones)
        .into_iter()
        .map(|zone| (zone.apex.clone(), zone))
        .collect();
    let moved: Vec<NameKey> = zones
        .values()
        .filter(|zone| zone.change != ZoneChange::Changed)
        .map(|zone| zone.apex.clone())
        .collect();
    if redefined {
        state.conflicts.forget_views();
    }
    let mut list = Vec::with_capacity(views.len());
    delta.views = Vec::with_capacity(views.len());
    for ViewClients { name, .. } in views.iter() {
        let known = known_by_name.get(name).copied();
        let mut names = dirty.get(name).cloned().unwrap_or_default();
        let layers = &state.layers;
        if known.is_none() || redefined {
            layers.record_keys_below(Some(name), &NameKey::ROOT, &mut names);
        }
        let own = known.map(|view| view.own.clone()).unwrap_or_default();
        for apex in &moved {
            // Here an RRset may come to be of another zone, or to be at an apex.
            layers.record_keys_below(Some(name), apex, &mut names);
        }
        // Whether a CNAME can be at an apex depends on what else is there.
        let apexes = zones
            .keys()
            .filter(|apex| layers.records_at(Some(name), apex).next().is_some());
        names.extend(apexes.cloned());
        names.sort_unstable();
        names.dedup();
        let mut update = Update {
            new,
            delta,
            zones: &zones,
            own,
            before: known.map(|view| &*view.tree),
            changed: BTreeSet::new(),
            touched: BTreeSet::new(),
        };
        for key in &names {
            let conflicts = update.own(layers, name, key);
            state.conflicts.set(Place::in_view(key, name), conflicts);
        }
        let tree = update.tree(&names);
        let Update {
            own, changed, touched, ..
        } = update;
        for apex in touched {
            note_changed(&mut zones, new, &apex);
        }
        list.push(View {
            name: name.clone(),
            own,
            tree: Arc::new(tree),
        });
        delta.views.push(changed.into_iter().collect());
    }
    let now: HashSet<&ViewName> = views.iter().map(|view| &view.name).collect();
    for gone in before.list.iter().filter(|view| !now.contains(&view.name)) {
        for key in gone.own.keys() {
            if let Some(apex) = new.zone_of(key).map(|zone| zone.apex.key()) {
                note_changed(&mut zones, new, &apex);
            }
        }
    }
    delta.zones = zones.into_values().collect();
    let clients = match redefined {
        true => Arc::new(Clients::new(&views)),
        false => Arc::clone(&before.clients),
    };
    delta.views_redefined = redefined;
    new.views = Arc::new(Views { list, clients });
}

fn note_changed(zones: &mut BTreeMap<NameKey, ZoneDelta>, new: &Snapshot, apex: &NameKey) {
    if let Some(zone) = new.zones.get(apex) {
        zones.entry(apex.clone()).or_insert(ZoneDelta {
            apex: apex.clone(),
            index: zone.index,
            change: ZoneChange::Changed,
        });
    }
}

struct Update<'a> {
    new: &'a Snapshot,
    /// Of the default.
    delta: &'a Delta,
    zones: &'a BTreeMap<NameKey, ZoneDelta>,
    own: Nodes,
    /// The tree before, if there was one.
    before: Option<&'a Snapshot>,
    /// Names at which the view's own records, or with them its tree, differ.
    changed: BTreeSet<NameKey>,
    /// Apexes of the zones that differ with them.
    touched: BTreeSet<NameKey>,
}

impl Update<'_> {
    /// Merges the view's layers at a name.
    fn own(&mut self, layers: &Layers, view: &ViewName, key: &NameKey) -> Vec<Conflict> {
        let soa = self
            .new
            .zones
            .get(key)
            .and_then(|zone| zone.rrset(key, RecordType::SOA));
        let Merged { node, conflicts } = merge(layers, view, key, soa);
        if !is_same_option(self.own.get(key), node.as_ref()) {
            self.changed.insert(key.clone());
            set(&mut self.own, key, node);
        }
        conflicts
    }

    /// The view's tree; `names` are those at which more than the default may differ.
    fn tree(&mut self, names: &[NameKey]) -> Snapshot {
        let mut tree = Snapshot {
            views: Arc::default(),
            versions: OrdMap::new(),
            ..self.new.clone()
        };
        if let Some(before) = self.before {
            tree.zones = self.new.zones.in_view(&before.zones);
            tree.overlays = before.overlays.clone();
            self.follow_zones(&mut tree);
        }
        for key in names {
            if self.update_name(&mut tree, key) {
                self.changed.insert(key.clone());
                let apexes = key.lineage().filter_map(|at| self.new.zones.get_key_value(at));
                self.touched.extend(apexes.map(|(apex, _)| apex.clone()));
            }
        }
        if self.before.is_some() {
            for key in &self.delta.names {
                self.update_name(&mut tree, key);
            }
        }
        tree
    }

    /// Puts into the tree what the view has at a name; whether that is something else than before.
    fn update_name(&self, tree: &mut Snapshot, key: &NameKey) -> bool {
        let own = self.own.get(key);
        let mut differs = false;
        for (apex, default) in key.lineage().filter_map(|at| self.new.zones.get_key_value(at)) {
            let wanted = node_in_zone(self.new, default.nodes.get(key), own, key, apex);
            if is_same_option(tree.zones[apex].nodes.get(key), wanted.as_ref()) {
                continue;
            }
            differs = true;
            let zone = keys_below(&self.own, apex).next().map(|_| {
                let mut zone = Zone::clone(&tree.zones[apex]);
                set(&mut zone.nodes, key, wanted);
                Arc::new(zone)
            });
            // What is no different is the default's very own.
            tree.zones.set_own(apex, zone);
        }
        let is_outside = |own: &&Arc<Node>| {
            own.rrsets
                .iter()
                .all(|rrset| home(&self.new.zones, key, rrset.rtype).is_none())
        };
        let wanted = own.filter(is_outside).or_else(|| self.new.overlays.get(key)).cloned();
        if !is_same_option(tree.overlays.get(key), wanted.as_ref()) {
            differs = true;
            set(&mut tree.overlays, key, wanted);
        }
        differs
    }

    /// Takes over how those of the default's zones have changed that are others here.
    fn follow_zones(&self, tree: &mut Snapshot) {
        for ZoneDelta { apex, .. } in self.zones.values() {
            let Some(before) = tree.zones.get_own(apex) else {
                continue;
            };
            let default = self.new.zones.get(apex);
            let same = default.filter(|default| default.index == before.index);
            let zone = same.map(|default| {
                Arc::new(Zone {
                    nodes: before.nodes.clone(),
                    ..Zone::clone(default)
                })
            });
            tree.zones.set_own(apex, zone);
        }
    }
}

/// What a view has at a name, and what of it is left out: the source with the highest precedence comes first, and no
/// CNAME is at an apex. `soa` is the SOA of the zone of that name, if there is one.
pub(super) fn merge(layers: &Layers, view: &ViewName, key: &NameKey, soa: Option<&Arc<RrSet>>) -> Merged {
    let Some(owner) = layers
        .records_at(Some(view), key)
        .next_back()
        .map(|node| node.owner(key))
    else {
        return Merged::default();
    };
    let mut served = Standing::default();
    let mut conflicts = Vec::new();
    let rrsets = layers.records_at(Some(view), key).flat_map(|node| enabled(node));
    // A zone has one SOA, with one serial, for all: nothing puts another one into a view.
    for rrset in rrsets.filter(|rrset| rrset.rtype != RecordType::SOA) {
        let at_apex = soa.filter(|soa| rrset.rtype.clash(soa.rtype).is_some());
        match at_apex.or_else(|| served.excluding(rrset.rtype)) {
            Some(before) => conflicts.push(Conflict::new(&owner, rrset, before, Some(view))),
            None => served.add(rrset),
        }
    }
    let served = served.into_rrsets();
    let node = (!served.is_empty()).then(|| Arc::new(Node::new(&owner, served)));
    Merged { node, conflicts }
}

/// What a zone has at a name in a view.
fn node_in_zone(
    new: &Snapshot,
    default: Option<&Arc<Node>>,
    own: Option<&Arc<Node>>,
    key: &NameKey,
    apex: &NameKey,
) -> Option<Arc<Node>> {
    let is_here = |rrset: &&Arc<RrSet>| home(&new.zones, key, rrset.rtype).as_ref() == Some(apex);
    let mut rrsets: Vec<Arc<RrSet>> = own
        .into_iter()
        .flat_map(|own| own.rrsets.iter().filter(is_here).cloned())
        .collect();
    let Some(own) = own.filter(|_| !rrsets.is_empty()) else {
        return default.cloned();
    };
    if new.zones.contains_key(key) {
        let others = default.into_iter().flat_map(|node| &node.rrsets);
        let others = others.filter(|other| {
            work::step();
            // An ALIAS of the default stands for the addresses that the view does not have.
            match other.rtype {
                RecordType::ALIAS => [RecordType::ALIAS, RecordType::CNAME]
                    .into_iter()
                    .all(|rtype| own.rrset(rtype).is_none()),
                rtype => own.excluding(rtype).is_none(),
            }
        });
        rrsets.extend(others.cloned());
        rrsets.sort_by_key(|rrset| rrset.rtype);
    }
    let owner = match default {
        // A zone's name is the same in every view, to the letter.
        Some(default) if key == apex => default.owner(key),
        _ => own.owner(key),
    };
    Some(Arc::new(Node::new(&owner, rrsets)))
}

fn is_same_option(one: Option<&Arc<Node>>, other: Option<&Arc<Node>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || is_same(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

fn set(nodes: &mut OrdMap<NameKey, Arc<Node>>, key: &NameKey, node: Option<Arc<Node>>) {
    match node {
        Some(node) => drop(nodes.insert(key.clone(), node)),
        None => drop(nodes.remove(key)),
    }
}
