//! What is served at one name: the contract's "Sources" and "Overlays".
//!
//! - A zone file's RRsets are in the zone of that file, whatever zones there are below it: what they hide is occluded.
//! - Records of the configuration and the API are in the deepest zone at or above their owner, or are overlays. DS at
//!   the apex of a zone is in the zone above, where that is ours: it is asked there (RFC 4035 §3.1.4.1).
//! - At one name the API's RRset comes before the zone file's before the configuration's. One that has the type of
//!   another before it, or cannot stand beside it (CNAME, ALIAS), is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::layers::Layers;
use super::{Conflict, Place};
use crate::name::NameKey;
use crate::record::{RecordType, RrSet};
use crate::snapshot::Node;
use crate::work;

/// One name in one zone, or among the overlays.
pub(super) struct Merged {
    pub(super) node: Option<Arc<Node>>,
    pub(super) conflicts: Vec<Conflict>,
}

/// What the layers make of `place`, given the zones that there are.
pub(super) fn merge<Z>(layers: &Layers, zones: &OrdMap<NameKey, Z>, place: &Place) -> Merged {
    let Place { key, apex, .. } = place;
    let file = apex
        .as_ref()
        .and_then(|apex| layers.files.get(apex)?.node(key.as_bytes()));
    let api = layers.api.get(key);
    let config = layers.config.get(key);
    let Some(owner) = file.or(config).or(api).map(|node| node.owner(key)) else {
        return Merged {
            node: None,
            conflicts: Vec::new(),
        };
    };
    // Most names have one source: its node is the one that is served.
    if let (Some(file), None, None) = (file, api, config) {
        return Merged {
            node: Some(file.clone()),
            conflicts: Vec::new(),
        };
    }
    let is_here = |rrset: &RrSet| home(zones, key, rrset.rtype) == *apex;
    let mut served: Vec<Arc<RrSet>> = Vec::new();
    let mut conflicts = Vec::new();
    let mut leave_out = |rrset: &RrSet, blocker: &RrSet| {
        conflicts.push(Conflict {
            owner: owner.clone(),
            rtype: rrset.rtype,
            left_out: rrset.source.clone(),
            served: blocker.source.clone(),
            served_type: blocker.rtype,
            view: None,
        });
    };
    let by_api = |rtype| api.and_then(|node| node.excluding(rtype));
    served.extend(
        api.into_iter()
            .flat_map(|node| &node.rrsets)
            .filter(|rrset| is_here(rrset))
            .cloned(),
    );
    for rrset in file.into_iter().flat_map(|node| &node.rrsets) {
        work::step();
        match by_api(rrset.rtype) {
            Some(before) => leave_out(rrset, before),
            None => served.push(rrset.clone()),
        }
    }
    // What excludes an RRset of the file that would be in the way of the configuration's is in its way itself.
    let by_file = |rtype| {
        file.and_then(|node| node.excluding(rtype))
            .filter(|before| by_api(before.rtype).is_none())
    };
    let mut own: BTreeSet<RecordType> = BTreeSet::new();
    for rrset in config
        .into_iter()
        .flat_map(|node| &node.rrsets)
        .filter(|rrset| is_here(rrset))
    {
        work::step();
        let by_own = || {
            let (other, _) = rrset
                .rtype
                .first_clash(|other| own.contains(&other), own.iter().copied())?;
            config?.rrset(other)
        };
        let blocker = by_api(rrset.rtype)
            .or_else(|| by_file(rrset.rtype))
            .or_else(by_own)
            .cloned();
        let makes_no_zone = !zones.contains_key(key);
        match blocker.or_else(|| makes_no_zone.then(|| soa_blocker(layers, key, rrset)).flatten()) {
            Some(before) => leave_out(rrset, &before),
            None => {
                own.insert(rrset.rtype);
                served.push(rrset.clone());
            }
        }
    }
    served.sort_by_key(|rrset| rrset.rtype);
    let node = (!served.is_empty()).then(|| Arc::new(Node::new(&owner, served)));
    Merged { node, conflicts }
}

/// Whether a zone begins at `key`: a configured one, or one that an SOA record of the API or the configuration makes.
pub(super) fn is_zone(layers: &Layers, key: &NameKey) -> bool {
    let soa = |node: &Arc<Node>| node.rrset(RecordType::SOA).cloned();
    layers.files.contains_key(key)
        || layers.api.get(key).and_then(soa).is_some()
        || layers
            .config
            .get(key)
            .and_then(soa)
            .is_some_and(|rrset| soa_blocker(layers, key, &rrset).is_none())
}

/// The zone, by its apex, that a record of the configuration or the API is in; `None`: it is an overlay.
pub(super) fn home<Z>(zones: &OrdMap<NameKey, Z>, key: &NameKey, rtype: RecordType) -> Option<NameKey> {
    let mut apexes = key
        .lineage()
        .filter_map(|at| zones.get_key_value(at))
        .map(|(apex, _)| apex);
    let deepest = apexes.next()?;
    if rtype == RecordType::DS && deepest == key {
        return Some(apexes.next().unwrap_or(deepest).clone());
    }
    Some(deepest.clone())
}

/// Why an SOA record of the configuration makes no zone: an RRset at its name, of the API or of the file of a zone
/// above, that it cannot stand beside.
fn soa_blocker(layers: &Layers, key: &NameKey, soa: &RrSet) -> Option<Arc<RrSet>> {
    if soa.rtype != RecordType::SOA {
        return None;
    }
    let of_api = || layers.api.get(key).into_iter().flat_map(|node| &node.rrsets);
    if let Some(blocker) = of_api().find(|before| excludes(before, soa) && before.rtype != RecordType::SOA) {
        return Some(blocker.clone());
    }
    let zones_above = key.lineage().skip(1).filter_map(|apex| layers.files.get(apex));
    let mut cnames = zones_above.filter_map(|zone| zone.node(key.as_bytes())?.rrset(RecordType::CNAME));
    cnames
        .find(|cname| !of_api().any(|before| excludes(before, cname)))
        .cloned()
}

/// Whether `other` cannot be served at the name of `rrset`.
fn excludes(rrset: &RrSet, other: &RrSet) -> bool {
    rrset.rtype == other.rtype || rrset.rtype.clash(other.rtype).is_some()
}
