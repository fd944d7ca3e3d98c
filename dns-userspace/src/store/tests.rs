//! Tests of the store: the contract's clauses one by one, then a model check against recomputing all from scratch.

mod model;
mod sources;
mod views;

use std::sync::Arc;

use super::*;
use crate::record::Handling;

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn key(text: &str) -> NameKey {
    name(text).key()
}

/// One RRset with one RR, whose RDATA is `content` (a name's wire form for types that hold a name is not needed here).
fn rrset(owner: &str, rtype: RecordType, content: u8, source: Source) -> (Name, RrSet) {
    (
        name(owner),
        RrSet {
            rtype,
            ttl: 300,
            rdatas: [[content]].into(),
            source,
            handling: Handling::default(),
        },
    )
}

fn in_file(owner: &str, rtype: RecordType, content: u8) -> (Name, RrSet) {
    rrset(owner, rtype, content, Source::ZoneFile("z".into()))
}

fn in_config(owner: &str, rtype: RecordType, content: u8) -> (Name, RrSet) {
    rrset(owner, rtype, content, Source::Config)
}

fn put(owner: &str, rtype: RecordType, content: u8) -> Change {
    let (owner, rrset) = rrset(owner, rtype, content, Source::Api);
    Change::PutApi {
        view: None,
        owner,
        rrset,
    }
}

fn delete(owner: &str, rtype: RecordType) -> Change {
    Change::DeleteApi {
        view: None,
        owner: name(owner),
        rtype,
    }
}

fn zone(apex: &str, records: Vec<(Name, RrSet)>) -> Change {
    Change::Zone {
        apex: name(apex),
        file: "z".into(),
        content: Ok(records),
    }
}

fn apply(store: &mut Store, changes: Vec<Change>) -> Plan {
    let plan = store.plan(changes);
    store.commit(&plan);
    plan
}

/// The sources of what is served at a name of a zone, by type.
fn served(snapshot: &Snapshot, apex: &str, owner: &str) -> Vec<(RecordType, &'static str)> {
    let zone = snapshot.zones.get(&key(apex)).expect("the zone is served");
    zone.nodes.get(&key(owner)).map_or_else(Vec::new, sources)
}

fn sources(node: &Arc<Node>) -> Vec<(RecordType, &'static str)> {
    node.rrsets
        .iter()
        .map(|rrset| (rrset.rtype, rrset.source.label()))
        .collect()
}
