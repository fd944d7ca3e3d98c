//! Random changes with views: each tree equals what the contract says of the default and the view's records.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::model::{Model, OWNERS, TYPES, places, random_change, random_records};
use super::*;
use crate::model::snapshot::View;
use crate::model::source::SourceId;
use crate::store::layers::is_same;
use crate::store::merge::home;

const VIEWS: [&str; 3] = ["one", "two", "three"];

fn view(name: &str, number: u8, records: Vec<(Name, RrSet)>) -> ConfiguredView {
    ConfiguredView {
        view: ViewClients {
            name: name.into(),
            clients: vec![format!("10.{number}.0.0/16").parse().expect("a prefix")],
        },
        records,
    }
}

fn in_view(name: &str, mut change: Change) -> Change {
    if let Change::Put { view, .. } | Change::Delete { view, .. } = &mut change {
        *view = Some(name.into());
    }
    change
}

fn random_view_change(rng: &mut StdRng, model: &Model) -> Change {
    match rng.random_range(0..10) {
        0..2 => {
            let wanted = VIEWS.iter().zip(1u8..).filter(|_| rng.random_bool(0.7));
            let mut wanted: Vec<_> = wanted.collect();
            if rng.random_bool(0.3) {
                wanted.reverse();
            }
            let views = wanted.into_iter().map(|(name, number)| {
                let mut records = random_records(rng, ".", &Origin::config());
                records.retain(|(_, rrset)| rrset.rtype != RecordType::SOA);
                view(name, number, records)
            });
            Change::Views(views.collect())
        }
        2..6 => {
            let name = *VIEWS.choose(rng).expect("not empty");
            let owner = *OWNERS.choose(rng).expect("not empty");
            let rtype = *TYPES.choose(rng).expect("not empty");
            let beside = model.views.get(name).is_some_and(|(_, api)| {
                let mut held = api.keys();
                held.any(|(at, other)| *at == key(owner) && *other != rtype && other.clash(rtype).is_some())
            });
            let change = match rtype == RecordType::SOA || beside || rng.random_bool(0.4) {
                true => delete(owner, rtype),
                false => put(owner, rtype, rng.random_range(0..2)),
            };
            in_view(name, change)
        }
        _ => random_change(rng, model),
    }
}

/// What a view has at a name: the API's before the configuration's, no CNAME at an apex.
fn own(model: &Model, name: &str, snapshot: &Snapshot, key: &NameKey) -> Vec<RrSet> {
    let Some((config, api)) = model.views.get(name) else {
        return Vec::new();
    };
    let mut served: Vec<RrSet> = Vec::new();
    for ((_, rtype), (_, rrset)) in api.iter().chain(config).filter(|((at, _), _)| at == key) {
        let is_excluded = served
            .iter()
            .any(|held| held.rtype == *rtype || held.rtype.clash(*rtype).is_some());
        let has_soa = snapshot
            .zones
            .get(key)
            .is_some_and(|zone| zone.rrset(key, RecordType::SOA).is_some());
        let is_alias_at_apex = has_soa && *rtype == RecordType::CNAME;
        if !is_excluded && !is_alias_at_apex {
            served.push(rrset.clone());
        }
    }
    served.sort_by_key(|rrset| rrset.rtype);
    served
}

fn check_view(model: &Model, snapshot: &Snapshot, view: &View, context: &str) {
    let tree = &view.tree;
    let default = places(snapshot);
    let found = places(tree);
    let mut keys: std::collections::BTreeSet<_> = default.keys().chain(found.keys()).cloned().collect();
    for owner in OWNERS {
        for at in key(owner).lineage() {
            let apex = snapshot.zones.get_key_value(at).map(|(apex, _)| apex.clone());
            keys.insert((key(owner), apex));
        }
        keys.insert((key(owner), None));
    }
    for (at, apex) in keys {
        let own = own(model, &view.name, snapshot, &at);
        let held: Vec<RrSet> = view.own.get(&at).map_or_else(Vec::new, |node| {
            node.rrsets.iter().map(|rrset| (**rrset).clone()).collect()
        });
        assert_eq!(held, own, "{context}: {} {at:?}", view.name);
        let of_default = default.get(&(at.clone(), apex.clone()));
        let of_default = || of_default.into_iter().flat_map(|node| &node.rrsets);
        let mut expected: Vec<RrSet> = own
            .iter()
            .filter(|rrset| home(&snapshot.zones, &at, rrset.rtype) == apex)
            .cloned()
            .collect();
        if expected.is_empty() {
            expected = of_default().map(|rrset| (**rrset).clone()).collect();
        } else if snapshot.zones.contains_key(&at) {
            for rrset in of_default() {
                let is_alias = rrset.rtype == RecordType::ALIAS;
                if own
                    .iter()
                    .all(|own| own.rtype != rrset.rtype && (is_alias || own.rtype.clash(rrset.rtype).is_none()))
                {
                    expected.push((**rrset).clone());
                }
            }
            expected.sort_by_key(|rrset| rrset.rtype);
        }
        let served: Vec<RrSet> = found.get(&(at.clone(), apex.clone())).map_or_else(Vec::new, |node| {
            node.rrsets.iter().map(|rrset| (**rrset).clone()).collect()
        });
        assert_eq!(served, expected, "{context}: {} {at:?} in {apex:?}", view.name);
    }
    assert!(tree.zones.keys().eq(snapshot.zones.keys()), "{context}");
    for (zone, of_default) in tree.zones.values().zip(snapshot.zones.values()) {
        assert_eq!(
            (zone.index, &zone.failed, zone.apex.as_wire()),
            (of_default.index, &of_default.failed, of_default.apex.as_wire()),
            "{context}"
        );
    }
}

#[test]
fn trees_equal_a_recomputation_from_scratch() {
    let (mut conflicts, mut own_names) = (0, 0);
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut store = Store::new();
        let mut model = Model::default();
        for step in 0..40 {
            let before = store.snapshot();
            let mut changes = Vec::new();
            for _ in 0..rng.random_range(1..4) {
                let change = random_view_change(&mut rng, &model);
                model.apply(&change);
                changes.push(change);
            }
            let context = format!("seed {seed} step {step}: {changes:?}");
            let plan = apply(&mut store, changes);
            let names: Vec<&str> = plan.snapshot.views.list.iter().map(|view| &*view.name).collect();
            let configured: Vec<&str> = model.configured.iter().map(|view| &*view.name).collect();
            assert_eq!(names, configured, "{context}");
            for (at, view) in plan.snapshot.views.list.iter().enumerate() {
                check_view(&model, &plan.snapshot, view, &context);
                if !plan.delta.views_redefined {
                    check_delta(&before.views.list[at], view, &plan, at, &context);
                }
                own_names += view.own.len();
            }
            let in_views = plan.conflicts.iter().filter(|conflict| conflict.view.is_some());
            conflicts += in_views.count();
        }
    }
    assert!(conflicts > 500 && own_names > 10_000, "{conflicts} {own_names}");
}

/// Every name at which the tree differs is told.
fn check_delta(before: &View, after: &View, plan: &Plan, at: usize, context: &str) {
    let (old, new) = (places(&before.tree), places(&after.tree));
    for place @ (key, apex) in old.keys().chain(new.keys()) {
        let is_as_before = match (old.get(place), new.get(place)) {
            (Some(one), Some(other)) => is_same(one, other),
            _ => false,
        };
        // What a zone had that is gone, or has that has come, shows as the zone.
        let is_told = plan.delta.names.contains(key)
            || plan.delta.views.get(at).is_some_and(|names| names.contains(key))
            || plan
                .delta
                .zones
                .iter()
                .any(|zone| Some(&zone.apex) == apex.as_ref() && zone.change != ZoneChange::Changed);
        assert!(is_as_before || is_told, "{context}: {} {place:?}", after.name);
        if !is_as_before && let Some(apex) = apex {
            let mut zones = plan.delta.zones.iter();
            assert!(zones.any(|zone| zone.apex == *apex), "{context}: {place:?}");
        }
    }
}

#[test]
fn a_tree_shares_what_is_no_different() {
    let mut store = Store::new();
    let records = vec![in_file("e.", RecordType::SOA, 0), in_file("www.e.", RecordType::A, 2)];
    let office = view("office", 1, vec![in_config("www.f.", RecordType::A, 1)]);
    let plan = apply(
        &mut store,
        vec![
            zone("e.", records),
            zone("f.", vec![in_file("f.", RecordType::SOA, 0)]),
            Change::Views(vec![office]),
        ],
    );
    let shared = |plan: &Plan, apex: &str| {
        let tree = plan.snapshot.for_view(1);
        Arc::ptr_eq(&tree.zones[&key(apex)], &plan.snapshot.zones[&key(apex)])
    };
    assert!(shared(&plan, "e.") && !shared(&plan, "f."));
    let plan = apply(&mut store, vec![put("a.e.", RecordType::A, 1)]);
    assert!(shared(&plan, "e."));
    let plan = apply(&mut store, vec![in_view("office", put("b.e.", RecordType::A, 1))]);
    assert!(!shared(&plan, "e."));
    assert_eq!(
        (plan.delta.names.len(), &plan.delta.views[..]),
        (0, &[vec![key("b.e.")]][..])
    );
    assert_eq!(plan.delta.zones.len(), 1);
    let plan = apply(&mut store, vec![in_view("office", delete("b.e.", RecordType::A))]);
    assert!(shared(&plan, "e."));
}

#[test]
fn records_of_a_view_that_is_gone_wait_for_it() {
    let mut store = Store::new();
    let office = || Change::Views(vec![view("office", 1, Vec::new())]);
    let owns = |plan: &Plan| plan.snapshot.view("office").map(|view| view.own.len());
    apply(&mut store, vec![office()]);
    let plan = apply(&mut store, vec![in_view("office", put("a.e.", RecordType::A, 1))]);
    assert_eq!(owns(&plan), Some(1));
    let plan = apply(&mut store, vec![Change::Views(Vec::new())]);
    assert_eq!(owns(&plan), None);
    let held = store.rrset_of(&SourceId::api(), Some(&"office".into()), &key("a.e."), RecordType::A);
    assert!(held.is_some());
    let plan = apply(&mut store, vec![office()]);
    assert_eq!(owns(&plan), Some(1));
}
