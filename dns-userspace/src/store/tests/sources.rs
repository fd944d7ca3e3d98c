//! The contract's "Sources" and "Overlays".

use super::*;

const A: RecordType = RecordType::A;
const CNAME: RecordType = RecordType::CNAME;
const SOA: RecordType = RecordType::SOA;
const DS: RecordType = RecordType::DS;
const TXT: RecordType = RecordType::TXT;

#[test]
fn the_apis_rrset_is_served_and_the_files_comes_back_once_it_is_deleted() {
    let mut store = store_with(vec![put("www.e.", A, 1)]);
    let plan = apply(
        &mut store,
        vec![zone("e.", vec![in_file("e.", SOA, 0), in_file("www.e.", A, 2)])],
    );
    assert_eq!(served(&plan.snapshot, "e.", "www.e."), [(A, "api")]);
    assert_eq!(
        plan.conflicts.iter().cloned().collect::<Vec<_>>(),
        [Conflict {
            owner: name("www.e."),
            rtype: A,
            left_out: Origin::zone_file("z"),
            served: Origin::api(),
            served_type: A,
            view: None,
        }]
    );
    let plan = apply(&mut store, vec![delete("www.e.", A)]);
    assert_eq!(served(&plan.snapshot, "e.", "www.e."), [(A, "zone_file")]);
    assert!(plan.conflicts.is_empty());
    assert_eq!(plan.delta.names, [key("www.e.")]);
}

#[test]
fn what_cannot_stand_beside_the_apis_is_left_out_and_the_rest_loads() {
    let mut store = store_with(vec![put("a.e.", CNAME, 1), put("b.e.", A, 1)]);
    let records = vec![
        in_file("e.", SOA, 0),
        in_file("a.e.", A, 2),
        in_file("a.e.", RecordType::RRSIG, 2),
        in_file("b.e.", CNAME, 2),
        in_file("b.e.", TXT, 2),
    ];
    let plan = apply(&mut store, vec![zone("e.", records)]);
    assert_eq!(
        served(&plan.snapshot, "e.", "a.e."),
        [(CNAME, "api"), (RecordType::RRSIG, "zone_file")]
    );
    assert_eq!(served(&plan.snapshot, "e.", "b.e."), [(A, "api"), (TXT, "zone_file")]);
    let left_out: Vec<_> = plan
        .conflicts
        .iter()
        .map(|conflict| (conflict.rtype, conflict.served_type))
        .collect();
    assert_eq!(left_out, [(A, CNAME), (CNAME, A)]);
}

#[test]
fn the_zone_files_rrset_is_served_before_the_configurations() {
    let file = zone(
        "e.",
        vec![in_file("e.", SOA, 0), in_file("a.e.", A, 1), in_file("b.e.", CNAME, 1)],
    );
    let config = vec![
        in_config("a.e.", A, 2),
        in_config("a.e.", TXT, 2),
        in_config("b.e.", A, 2),
    ];
    let store = store_with(vec![Change::config_records(config), file]);
    let snapshot = store.snapshot();
    assert_eq!(served(&snapshot, "e.", "a.e."), [(A, "zone_file"), (TXT, "config")]);
    assert_eq!(served(&snapshot, "e.", "b.e."), [(CNAME, "zone_file")]);
    assert_eq!(store.conflicts().len(), 2);
}

#[test]
fn an_soa_makes_a_zone_of_the_overlays_below_it_and_its_end_frees_them() {
    let mut store = store_with(vec![put("www.o.", A, 1), put("o.", TXT, 1), put("other.", A, 1)]);
    assert_eq!(store.snapshot().overlays.len(), 3);
    let plan = apply(&mut store, vec![put("o.", SOA, 1)]);
    assert_eq!(plan.snapshot.overlays.keys().collect::<Vec<_>>(), [&key("other.")]);
    assert_eq!(served(&plan.snapshot, "o.", "www.o."), [(A, "api")]);
    assert_eq!(plan.delta.names, [key("o."), key("www.o.")]);
    assert_eq!(
        plan.delta.zones,
        [ZoneDelta {
            apex: key("o."),
            index: 0,
            change: ZoneChange::Added
        }]
    );
    let plan = apply(&mut store, vec![delete("o.", SOA)]);
    assert_eq!(plan.snapshot.overlays.len(), 3);
    assert!(plan.snapshot.zones.is_empty());
    assert_eq!(plan.delta.names, [key("o."), key("www.o.")]);
}

#[test]
fn the_deepest_soa_wins_and_what_it_hides_is_in_the_delta() {
    let mut store = store_with(vec![zone("e.", vec![in_file("e.", SOA, 0), in_file("x.sub.e.", A, 1)])]);
    apply(&mut store, vec![put("y.sub.e.", A, 1)]);
    let plan = apply(&mut store, vec![put("sub.e.", SOA, 1)]);
    assert_eq!(served(&plan.snapshot, "sub.e.", "y.sub.e."), [(A, "api")]);
    assert_eq!(served(&plan.snapshot, "e.", "y.sub.e."), []);
    assert_eq!(
        served(&plan.snapshot, "e.", "x.sub.e."),
        [(A, "zone_file")],
        "kept, occluded"
    );
    assert_eq!(plan.delta.names, [key("sub.e."), key("x.sub.e."), key("y.sub.e.")]);
}

#[test]
fn rfc4035_3_1_4_1_ds_at_an_apex_is_in_the_zone_above() {
    let mut store = store_with(vec![put("sub.e.", SOA, 1), put("sub.e.", DS, 1)]);
    assert_eq!(
        served(&store.snapshot(), "sub.e.", "sub.e."),
        [(SOA, "api"), (DS, "api")],
        "the parent is not ours"
    );
    let plan = apply(&mut store, vec![zone("e.", vec![in_file("e.", SOA, 0)])]);
    assert_eq!(served(&plan.snapshot, "sub.e.", "sub.e."), [(SOA, "api")]);
    assert_eq!(served(&plan.snapshot, "e.", "sub.e."), [(DS, "api")]);
}

#[test]
fn a_configurations_soa_beside_the_apis_cname_makes_no_zone() {
    let mut store = store_with(vec![
        put("o.", CNAME, 1),
        Change::config_records(vec![in_config("o.", SOA, 1)]),
    ]);
    let snapshot = store.snapshot();
    assert!(snapshot.zones.is_empty());
    assert_eq!(sources(&snapshot.overlays[&key("o.")]), [(CNAME, "api")]);
    assert_eq!(store.conflicts().len(), 1);
    let plan = apply(&mut store, vec![delete("o.", CNAME)]);
    assert_eq!(served(&plan.snapshot, "o.", "o."), [(SOA, "config")]);
}

#[test]
fn equal_content_gives_an_empty_delta_and_the_same_snapshot() {
    let content = || vec![in_file("e.", SOA, 0), in_file("www.e.", A, 1)];
    let mut store = store_with(vec![zone("e.", content()), put("a.", A, 1)]);
    let before = store.snapshot();
    let plan = apply(
        &mut store,
        vec![zone("e.", content()), put("a.", A, 1), delete("nothing.", A)],
    );
    assert_eq!(plan.delta, Delta::default());
    assert!(Arc::ptr_eq(&before, &plan.snapshot));
}

#[test]
fn a_zone_with_nearly_equal_content_differs_only_where_it_does() {
    let content = |last| (0..2000).map(move |at| in_file(&format!("h{at}.e."), A, if at == 77 { last } else { 1 }));
    let mut store = store_with(vec![zone("e.", content(1).chain([in_file("e.", SOA, 0)]).collect())]);
    let before = store.snapshot();
    let plan = apply(
        &mut store,
        vec![zone("e.", content(2).chain([in_file("e.", SOA, 0)]).collect())],
    );
    assert_eq!(plan.delta.names, [key("h77.e.")]);
    assert_eq!(
        plan.delta.zones,
        [ZoneDelta {
            apex: key("e."),
            index: 0,
            change: ZoneChange::Changed
        }]
    );
    let node = |snapshot: &Snapshot, owner: &str| snapshot.zones[&key("e.")].nodes[&key(owner)].clone();
    assert!(Arc::ptr_eq(&node(&before, "h78.e."), &node(&plan.snapshot, "h78.e.")));
}

#[test]
fn a_zone_that_fails_and_recovers_is_told_and_keeps_its_index() {
    let mut store = store_with(vec![zone("a.", vec![in_file("a.", SOA, 0)]), put("www.e.", A, 1)]);
    let failing = Change::PutZone {
        source: SourceId::zone_files(),
        apex: name("e."),
        content: Err("no such file".into()),
    };
    let plan = apply(&mut store, vec![failing]);
    let failed = &plan.snapshot.zones[&key("e.")];
    assert_eq!((failed.failed.as_deref(), failed.index), (Some("no such file"), 1));
    assert_eq!(plan.delta.names, [key("e."), key("www.e.")]);
    let plan = apply(&mut store, vec![zone("e.", vec![in_file("e.", SOA, 0)])]);
    assert_eq!(plan.snapshot.zones[&key("e.")].failed, None);
    assert_eq!(
        plan.delta.zones,
        [ZoneDelta {
            apex: key("e."),
            index: 1,
            change: ZoneChange::Changed
        }]
    );
    let plan = apply(
        &mut store,
        vec![
            Change::DropZone {
                source: SourceId::zone_files(),
                apex: name("a."),
            },
            zone("b.", vec![]),
        ],
    );
    assert_eq!(
        plan.snapshot.zones[&key("b.")].index,
        2,
        "not the one of a zone that goes in the same change"
    );
    let plan = apply(&mut store, vec![zone("c.", vec![])]);
    assert_eq!(plan.snapshot.zones[&key("c.")].index, 0, "the smallest free one");
}

#[test]
fn a_plan_that_is_not_committed_leaves_no_trace() {
    let mut store = store_with(vec![put("a.", A, 1)]);
    let _ = store.plan(vec![put("b.", A, 1), zone("e.", vec![in_file("e.", SOA, 0)])]);
    assert_eq!(store.snapshot().overlays.len(), 1);
    assert_eq!(
        apply(&mut store, vec![put("c.", SOA, 1)]).snapshot.zones[&key("c.")].index,
        0
    );
    assert_eq!(store.records_of(&SourceId::api()).count(), 2);
    assert!(
        store.rrset_of(&SourceId::api(), None, &key("a."), A).is_some()
            && store.rrset_of(&SourceId::api(), None, &key("b."), A).is_none()
    );
}

#[test]
#[should_panic(expected = "committed before the next")]
fn a_plan_of_an_older_state_is_not_committed() {
    let mut store = Store::new();
    let plan = store.plan(vec![put("a.", A, 1)]);
    store.commit(&plan);
    store.commit(&plan);
}
