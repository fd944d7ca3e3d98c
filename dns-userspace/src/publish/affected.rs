//! Which lines of the table differ between two snapshots.
//!
//! Besides the names with other data: ancestors that come or go with them (empty non-terminals, wildcards' enclosers),
//! everything below a cut or DNAME that comes or goes, the names in answers that many share (`compile/named.rs`), and
//! every name whose answer was made from one of these.

use std::collections::{BTreeSet, HashSet};

use super::dependents::Dependents;
use crate::answer::Consulted;
use crate::lines::{is_in_use, named, sparse};
use crate::model::name::NameKey;
use crate::model::record::RecordType;
use crate::model::snapshot::{RrSets, Snapshot};
use crate::store::Delta;

/// Every name whose line may differ; always all that do. `dependents` are those of the old lines.
pub(super) fn affected(old: &Snapshot, new: &Snapshot, delta: &Delta, dependents: &[&Dependents]) -> BTreeSet<NameKey> {
    let mut names: BTreeSet<NameKey> = BTreeSet::new();
    for key in &delta.names {
        if names.insert(key.clone()) && covers_below(old, key) != covers_below(new, key) {
            add_below(old, key, &mut names);
            add_below(new, key, &mut names);
        }
    }
    for zone in &delta.zones {
        if zone_state(old, &zone.apex) != zone_state(new, &zone.apex) {
            names.insert(zone.apex.clone());
            add_below(old, &zone.apex, &mut names);
            add_below(new, &zone.apex, &mut names);
        }
    }
    for apex in &delta.access {
        // Each line says whether its zone has a list; and none is asked while the lists change.
        names.insert(apex.clone());
        add_below(old, apex, &mut names);
        add_below(new, apex, &mut names);
    }
    let decides = |snapshot: &Snapshot, key: &NameKey| {
        let node = snapshot.zone_of(key).and_then(|zone| zone.nodes.get(key));
        node.is_some_and(|node| {
            [RecordType::NS, RecordType::SOA]
                .iter()
                .any(|rtype| node.rrset(*rtype).is_some())
        })
    };
    let apexes = delta.zones.iter().map(|zone| &zone.apex);
    let apexes = apexes.filter(|apex| zone_state(old, apex) != zone_state(new, apex));
    let deciding = delta.names.iter().filter(|key| decides(old, key) || decides(new, key));
    for key in apexes.chain(deciding) {
        names.extend(named::named_near(old, key));
        names.extend(named::named_near(new, key));
    }
    let mut sparse_areas = HashSet::new();
    for key in names.clone() {
        add_sparse_areas(old, new, &key, &mut names, &mut sparse_areas);
        add_ancestors(old, new, key, &mut names);
    }
    let mut more = Vec::new();
    for key in &names {
        let differs = standing(old, key) != standing(new, key);
        for dependents in dependents {
            more.extend(dependents.of(&Consulted::Data(key.clone())).cloned());
            if differs {
                more.extend(dependents.of(&Consulted::Existence(key.clone())).cloned());
            }
        }
    }
    names.extend(more);
    names
}

/// Whether there is a zone, and what all of its names depend on.
fn zone_state(snapshot: &Snapshot, apex: &NameKey) -> Option<(bool, u32)> {
    let zone = snapshot.zones.get(apex)?;
    Some((zone.failed.is_some(), zone.index))
}

/// What at `key` decides about the names below it: cut, DNAME, apex, overlay.
fn covers_below(snapshot: &Snapshot, key: &NameKey) -> (bool, bool, bool, bool) {
    let is_apex = snapshot.zones.contains_key(key);
    let is_overlay = snapshot.overlays.contains_key(key);
    let node = snapshot.zone_of(key).and_then(|zone| zone.nodes.get(key));
    let has = |rtype| node.is_some_and(|node| node.rrset(rtype).is_some());
    (
        !is_apex && has(RecordType::NS),
        has(RecordType::DNAME),
        is_apex,
        is_overlay,
    )
}

/// Whether `key` exists, and as what; its data apart. For an apex, what the zones above hold there is part of it: DS,
/// a wildcard's data, what is above glue.
fn standing(snapshot: &Snapshot, key: &NameKey) -> impl PartialEq + use<> {
    let exists = snapshot.zone_of(key).is_some_and(|zone| zone.name_exists(key));
    let zone = snapshot.zones.get(key);
    let above = key.lineage().skip(1).filter(|_| zone.is_some());
    let hidden: Vec<RrSets> = above
        .filter_map(|apex| Some(snapshot.zones.get(apex)?.nodes.get(key)?.rrsets.clone()))
        .collect();
    (
        is_in_use(snapshot, key),
        exists,
        covers_below(snapshot, key),
        zone.map(|zone| (zone.failed.is_some(), zone.index)),
        hidden,
    )
}

/// Every owner name below `key`, in whatever zone, and the names between.
fn add_below(snapshot: &Snapshot, key: &NameKey, names: &mut BTreeSet<NameKey>) {
    let below = |found: &NameKey| found.is_at_or_below(key);
    let mut add = |found: &NameKey| {
        let mut at = Some(found.clone());
        while let Some(found) = at {
            if !found.is_at_or_below(key) || !names.insert(found.clone()) {
                break;
            }
            at = found.parent();
        }
    };
    if let Some(zone) = snapshot.zone_of(key) {
        zone.nodes
            .range::<_, NameKey>(key..)
            .map(|(found, _)| found)
            .take_while(|found| below(found))
            .for_each(&mut add);
    }
    for (apex, zone) in snapshot
        .zones
        .range::<_, NameKey>(key..)
        .take_while(|(apex, _)| below(apex))
    {
        add(apex);
        zone.nodes.keys().for_each(&mut add);
    }
    snapshot
        .overlays
        .range::<_, NameKey>(key..)
        .map(|(found, _)| found)
        .take_while(|found| below(found))
        .for_each(add);
    names.extend(named::named_below(snapshot, key));
}

/// All that is in a sparse area which comes or goes with `key`. Of an area that was seen before, what is above `key`.
fn add_sparse_areas(
    old: &Snapshot,
    new: &Snapshot,
    key: &NameKey,
    names: &mut BTreeSet<NameKey>,
    seen: &mut HashSet<NameKey>,
) {
    for at in key.lineage() {
        let (before, after) = (sparse::is_top(old, at), sparse::is_top(new, at));
        if before.is_none() && after.is_none() {
            return;
        }
        let is_sparse_in = match (before.unwrap_or(false), after.unwrap_or(false)) {
            (true, false) => old,
            (false, true) => new,
            _ => continue,
        };
        let mut add = |owner: &NameKey| {
            let above = owner.lineage().take_while(|above| above.len() >= at.len());
            names.extend(above.map(NameKey::from_key_bytes));
        };
        add(key);
        let top = NameKey::from_key_bytes(at);
        if let Some(zone) = is_sparse_in.zone_of(&top)
            && seen.insert(top.clone())
        {
            // Where it is not sparse, all others are new or gone, and come here themselves.
            zone.nodes
                .range::<_, NameKey>(&top..)
                .map(|(owner, _)| owner)
                .take_while(|owner| owner.is_at_or_below(&top))
                .for_each(&mut add);
        }
    }
}

/// Ancestors that come or go with `key`, or begin to exist in their own right, and the enclosers of wildcards among
/// the names on the way.
fn add_ancestors(old: &Snapshot, new: &Snapshot, key: NameKey, names: &mut BTreeSet<NameKey>) {
    let state = |snapshot: &Snapshot, key: &NameKey| {
        let exists = snapshot.zone_of(key).is_some_and(|zone| zone.name_exists(key));
        (is_in_use(snapshot, key), exists)
    };
    let mut child = key;
    // Existence is monotone: above a name that stays as it is, nothing comes or goes.
    let mut may_differ = true;
    while let Some(parent) = child.parent() {
        may_differ = may_differ && state(old, &parent) != state(new, &parent);
        if may_differ || child.is_wildcard() {
            names.insert(parent.clone());
        }
        child = parent;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lines::needs_line;
    use crate::model::name::Name;
    use crate::model::record::{Handling, RrSet};
    use crate::model::source::Origin;
    use crate::store::{Change, Store};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    /// The zone `x.` with addresses of its serial at these names.
    fn zone(serial: u8, owners: &[&str]) -> Vec<Change> {
        let rrset = |rtype| RrSet {
            rtype,
            ttl: 1,
            rdatas: [[serial; 4]].into(),
            origin: Origin::config(),
            handling: Handling::default(),
        };
        let mut records = vec![(name("x."), rrset(RecordType::SOA))];
        records.extend(owners.iter().map(|owner| (name(owner), rrset(RecordType::A))));
        vec![Change::config_records(records)]
    }

    #[test]
    fn all_that_is_in_a_sparse_area_differs_when_it_comes_or_goes() {
        const HOST: &str = "1.2.3.4.5.6.7.8.x.";
        let mut store = Store::new();
        for (serial, owners) in [
            // Not prefix-free: no sparse area. Then one, since the name below the host goes while that changes too.
            &[HOST, "ns.1.2.3.4.5.6.7.8.x."][..],
            &[HOST],
            // Five names are too many, and four are not.
            &[
                HOST,
                "a.2.3.4.5.6.7.8.x.",
                "b.2.3.4.5.6.7.8.x.",
                "c.2.3.4.5.6.7.8.x.",
                "d.2.3.4.5.6.7.8.x.",
            ],
            &[
                "a.2.3.4.5.6.7.8.x.",
                "b.2.3.4.5.6.7.8.x.",
                "c.2.3.4.5.6.7.8.x.",
                "d.2.3.4.5.6.7.8.x.",
            ],
            &[HOST, "5.6.7.8.x."],
            &[],
            &[HOST],
        ]
        .iter()
        .enumerate()
        {
            let old = store.snapshot();
            let plan = store.plan(zone(serial as u8, owners));
            let new = Arc::clone(&plan.snapshot);
            let found = affected(&old, &new, &plan.delta, &[&Dependents::default()]);
            for at in name(HOST).key().lineage() {
                let key = NameKey::from_key_bytes(at);
                let line = |snapshot| {
                    let is_top = sparse::is_top(snapshot, at) == Some(true);
                    (needs_line(snapshot, &key), is_top)
                };
                assert!(
                    line(&old) == line(&new) || found.contains(&key),
                    "{key:?} at step {serial}"
                );
            }
            store.commit(&plan);
        }
    }
}
