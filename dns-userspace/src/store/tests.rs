//! Tests of the store: the contract's clauses one by one, then a model check against recomputing all from scratch.

mod model;
mod orders;
mod sources;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::model::record::Handling;
use crate::model::source::{Origin, SourceId};
use crate::model::work;

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

fn store_with(changes: Vec<Change>) -> Store {
    let mut store = Store::new();
    apply(&mut store, changes);
    store
}

fn apply(store: &mut Store, changes: Vec<Change>) -> Plan {
    let plan = store.plan(changes);
    store.commit(&plan);
    plan
}

/// As many types at one name as there are, and each source has all of them.
#[test]
fn many_types_at_one_name_are_merged_in_one_walk_of_each_source() {
    let types = || (1000..61_000).map(RecordType);
    let put_all = |view: Option<&'static str>| {
        types().map(move |rtype| {
            let (owner, rrset) = rrset("a.e.", rtype, 1, Origin::api());
            Change::Put {
                source: SourceId::api(),
                view: view.map(ViewName::from),
                owner,
                rrset: rrset.into(),
            }
        })
    };
    let in_files: Vec<_> = types().map(|rtype| in_file("a.e.", rtype, 2)).collect();
    let soa = in_file("e.", RecordType::SOA, 0);
    let from_config: Vec<_> = types().map(|rtype| in_config("a.e.", rtype, 3)).collect();
    let view = ConfiguredView {
        view: ViewClients {
            name: "v".into(),
            clients: Vec::new(),
        },
        records: from_config.clone(),
    };
    // The API's come in one by one in the product; here all at once, so that their layer is no part of the count.
    let mut store = Store::new();
    apply(
        &mut store,
        put_all(None).chain(put_all(Some("v"))).step_by(300).collect(),
    );
    let changes = vec![
        zone("e.", [vec![soa], in_files].concat()),
        Change::config_records(from_config),
        Change::Views(vec![view]),
    ];
    let (plan, steps) = work::steps(|| apply(&mut store, changes));
    assert!(steps < 1_000_000, "{steps}");
    assert!(plan.conflicts.len() >= 60_000, "{}", plan.conflicts.len());
    let node = plan.snapshot.zones[&key("e.")].nodes[&key("a.e.")].clone();
    assert_eq!(node.rrsets.len(), 60_000);
}

#[test]
fn a_change_costs_what_it_changes_however_many_conflicts_there_are() {
    let names: Vec<String> = (0..20_000).map(|host| format!("h{host}.e.")).collect();
    let mut store = store_with(names.iter().map(|name| put(name, RecordType::A, 1)).collect());
    let file = names.iter().map(|name| in_file(name, RecordType::A, 2));
    let plan = apply(
        &mut store,
        vec![zone(
            "e.",
            [in_file("e.", RecordType::SOA, 0)].into_iter().chain(file).collect(),
        )],
    );
    assert_eq!((plan.conflicts.len(), plan.conflict_changes.len()), (20_000, 20_000));
    let (plan, steps) = work::steps(|| apply(&mut store, vec![delete("h7.e.", RecordType::A)]));
    assert!(steps < 10, "{steps}");
    assert_eq!((plan.conflicts.len(), plan.conflict_changes.len()), (19_999, 1));
    let ConflictChange { before, after } = &plan.conflict_changes[0];
    assert_eq!((before.len(), after.len(), &before[0].owner), (1, 0, &name("h7.e.")));
    let plan = apply(&mut store, vec![delete("h7.e.", RecordType::A)]);
    assert!(plan.conflict_changes.is_empty());
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
