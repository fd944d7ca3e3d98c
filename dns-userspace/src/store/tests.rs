//! Tests of the store: the contract's clauses one by one, then a model check against recomputing all from scratch.

mod model;
mod sources;
mod views;

use std::sync::Arc;

use super::*;
use crate::record::Handling;
use crate::source::{Origin, SourceId};

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn key(text: &str) -> NameKey {
    name(text).key()
}

/// One RRset with one RR, whose RDATA is `content` (a name's wire form for types that hold a name is not needed here).
fn rrset(owner: &str, rtype: RecordType, content: u8, source: Origin) -> (Name, RrSet) {
    (
        name(owner),
        RrSet {
            rtype,
            ttl: 300,
            rdatas: [[content]].into(),
            origin: source,
            handling: Handling::default(),
        },
    )
}

fn in_file(owner: &str, rtype: RecordType, content: u8) -> (Name, RrSet) {
    rrset(owner, rtype, content, Origin::zone_file("z"))
}

fn in_config(owner: &str, rtype: RecordType, content: u8) -> (Name, RrSet) {
    rrset(owner, rtype, content, Origin::config())
}

fn put(owner: &str, rtype: RecordType, content: u8) -> Change {
    let (owner, rrset) = rrset(owner, rtype, content, Origin::api());
    Change::Put {
        source: SourceId::api(),
        view: None,
        owner,
        rrset: rrset.into(),
    }
}

fn delete(owner: &str, rtype: RecordType) -> Change {
    Change::Delete {
        source: SourceId::api(),
        view: None,
        owner: name(owner),
        rtype,
    }
}

fn zone(apex: &str, records: Vec<(Name, RrSet)>) -> Change {
    Change::PutZone {
        source: SourceId::zone_files(),
        apex: name(apex),
        content: Ok(records),
    }
}

fn apply(store: &mut Store, changes: Vec<Change>) -> Plan {
    let plan = store.plan(changes);
    store.commit(&plan);
    plan
}

/// The sources of what is served at a name of a zone, by type.
fn served<'s>(snapshot: &'s Snapshot, apex: &str, owner: &str) -> Vec<(RecordType, &'s str)> {
    let zone = snapshot.zones.get(&key(apex)).expect("the zone is served");
    zone.nodes.get(&key(owner)).map_or_else(Vec::new, sources)
}

fn sources(node: &Arc<Node>) -> Vec<(RecordType, &str)> {
    node.rrsets
        .iter()
        .map(|rrset| (rrset.rtype, rrset.origin.label()))
        .collect()
}
