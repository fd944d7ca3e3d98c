//! What is served at one name: the contract's "Sources" and "Overlays".
//!
//! - A zone file's RRsets are in the zone of that file, whatever zones there are below it: what they hide is occluded.
//! - Records of the configuration and the API are in the deepest zone at or above their owner, or are overlays. DS at
//!   the apex of a zone is in the zone above, where that is ours: it is asked there (RFC 4035 §3.1.4.1).
//! - At one name the RRset of the source with the highest precedence is served. One that has the type of another before
//!   it, or cannot stand beside it (CNAME, ALIAS), is left out: an A record of the configuration beside a CNAME of the
//!   API, say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layers::Layers;
use super::{Conflict, Place};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Node, Zones};
use crate::model::source::SourceId;
use crate::model::work;

/// One name in one zone, or among the overlays.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) node: Option<Arc<Node>>,
    pub(super) conflicts: Vec<Conflict>,
}

/// What the layers make of `place`, given the zones that there are.
pub(super) fn merge(layers: &Layers, zones: &Zones, place: &Place) -> Merged {
    merge_given(layers, place, |apex| zones.contains_key(apex))
}

/// The same, where `is_zone` says which names are zones.
pub(super) fn merge_given(layers: &Layers, place: &Place, is_zone: impl Fn(&[u8]) -> bool) -> Merged {
    let Place { key, apex, view } = place;
    debug_assert!(view.is_none(), "views are merged in store/views");
    let mut merging = Merging::default();
    let mut owner = None;
    let mut owner_in_zone = None;
    let mut only: Option<&Arc<Node>> = None;
    let mut nodes = 0;
    // Most names have one node, of one source: that node is the one that is served.
    for (_, layer) in layers.in_order() {
        let in_zone = apex
            .as_ref()
            .and_then(|apex| layer.zones.get(apex)?.node(key.as_bytes()));
        let records = layer.records.get(key);
        nodes += usize::from(in_zone.is_some()) + usize::from(records.is_some());
        only = in_zone.filter(|_| records.is_none()).or(only);
        owner_in_zone = owner_in_zone.or(in_zone);
        owner = records.or(owner);
    }
    let Some(owner) = owner_in_zone.or(owner).map(|node| node.owner(key)) else {
        return Merged::default();
    };
    if nodes == 1
        && let Some(node) = only
    {
        return Merged {
            node: Some(node.clone()),
            conflicts: Vec::new(),
        };
    }
    for (source, layer) in layers.in_order() {
        let zone = apex.as_ref().and_then(|apex| layer.zones.get(apex));
        for rrset in zone
            .and_then(|zone| zone.node(key.as_bytes()))
            .into_iter()
            .flat_map(|node| &node.rrsets)
        {
            merging.add(&owner, rrset, true, None);
        }
        for rrset in layer.records.get(key).into_iter().flat_map(|node| enabled(node)) {
            let is_here = home_given(&is_zone, key, rrset.rtype) == apex.as_ref().map(NameKey::as_bytes);
            let makes_no_zone = is_here && rrset.rtype == RecordType::SOA && !is_zone(key.as_bytes());
            let blocker = makes_no_zone
                .then(|| soa_blocker(layers, key.as_bytes(), source, rrset))
                .flatten();
            merging.add(&owner, rrset, is_here, blocker);
        }
    }
    let Merging {
        mut served, conflicts, ..
    } = merging;
    served.sort_by_key(|rrset| rrset.rtype);
    let node = (!served.is_empty()).then(|| Arc::new(Node::new(&owner, served)));
    Merged { node, conflicts }
}

/// The RRsets at a node that are served: not those that are kept alone.
pub(super) fn enabled(node: &Node) -> impl Iterator<Item = &Arc<RrSet>> {
    node.rrsets.iter().filter(|rrset| is_enabled(rrset))
}

fn is_enabled(rrset: &Arc<RrSet>) -> bool {
    !rrset.handling.keeping().disabled
}

#[derive(Default)]
struct Merging {
    standing: Standing,
    served: Vec<Arc<RrSet>>,
    conflicts: Vec<Conflict>,
}

impl Merging {
    fn add(&mut self, owner: &Name, rrset: &Arc<RrSet>, is_here: bool, blocker: Option<Arc<RrSet>>) {
        let before = self.standing.excluding(rrset.rtype).or(blocker.as_ref());
        match before {
            Some(before) if is_here => self.conflicts.push(Conflict::new(owner, rrset, before, None)),
            Some(_) => {}
            None => {
                self.standing.add(rrset);
                if is_here {
                    self.served.push(rrset.clone());
                }
            }
        }
    }
}

/// RRsets at one name that can stand beside each other, by type: here or in a zone above.
#[derive(Default)]
pub(super) struct Standing(BTreeMap<RecordType, Arc<RrSet>>);

impl Standing {
    /// The RRset that one of `rtype` cannot be beside, or that has its type.
    pub(super) fn excluding(&self, rtype: RecordType) -> Option<&Arc<RrSet>> {
        work::step();
        let clashing = || {
            let types = self.0.keys().copied();
            let (other, _) = rtype.first_clash(|other| self.0.contains_key(&other), types)?;
            self.0.get(&other)
        };
        self.0.get(&rtype).or_else(clashing)
    }

    /// Adds one that nothing excludes.
    pub(super) fn add(&mut self, rrset: &Arc<RrSet>) {
        self.0.insert(rrset.rtype, rrset.clone());
    }

    /// In the order of their types.
    pub(super) fn into_rrsets(self) -> Vec<Arc<RrSet>> {
        self.0.into_values().collect()
    }
}

/// Whether a zone begins at `key`: one that a source declares, or one that an SOA record makes.
pub(super) fn is_zone(layers: &Layers, key: &[u8]) -> bool {
    layers.in_order().any(|(source, layer)| {
        let soa = || {
            layer
                .records
                .get(key)?
                .rrset(RecordType::SOA)
                .filter(|soa| is_enabled(soa))
        };
        layer.zones.contains_key(key) || soa().is_some_and(|soa| soa_blocker(layers, key, source, soa).is_none())
    })
}

/// The zone, by its apex, that a record outside of a declared zone is in; `None`: it is an overlay.
pub(super) fn home(zones: &Zones, key: &NameKey, rtype: RecordType) -> Option<NameKey> {
    let apex = home_given(&|apex: &[u8]| zones.contains_key(apex), key, rtype)?;
    zones.get_key_value(apex).map(|(apex, _)| apex.clone())
}

/// The same, where `is_zone` says which names are zones.
pub(super) fn home_given<'k>(
    is_zone: &impl Fn(&[u8]) -> bool,
    key: &'k NameKey,
    rtype: RecordType,
) -> Option<&'k [u8]> {
    let mut apexes = key.lineage().filter(|at| is_zone(at));
    let deepest = apexes.next()?;
    if rtype == RecordType::DS && deepest == key.as_bytes() {
        return Some(apexes.next().unwrap_or(deepest));
    }
    Some(deepest)
}

/// Why an SOA record of `source` makes no zone: an RRset at its name that a source of higher precedence has, among its
/// records or in a zone above, and that the SOA cannot stand beside.
fn soa_blocker(layers: &Layers, key: &[u8], source: &SourceId, soa: &RrSet) -> Option<Arc<RrSet>> {
    let mut standing = Standing::default();
    for (_, layer) in layers.in_order().take_while(|(other, _)| *other < source) {
        let records = layer.records.get(key).into_iter().flat_map(|node| enabled(node));
        let zones_above = NameKey::lineage_of(key)
            .skip(1)
            .filter_map(|apex| layer.zones.get(apex));
        let cnames = zones_above.filter_map(|zone| zone.node(key)?.rrset(RecordType::CNAME));
        for rrset in records.chain(cnames) {
            if standing.excluding(rrset.rtype).is_none() {
                standing.add(rrset);
            }
        }
    }
    let blocker = standing.excluding(soa.rtype)?;
    (blocker.rtype != RecordType::SOA).then(|| blocker.clone())
}
