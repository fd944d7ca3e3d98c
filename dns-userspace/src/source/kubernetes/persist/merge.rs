//! Records of the API and of a ConfigMap, each changed since both said the same, made one. Pure: no IO, no clock.
//!
//! | since both said the same | comes out |
//! |---|---|
//! | one of them changed, or removed it | what that one says |
//! | both changed the values | all values but those that either removed; TTL and order of the API, if it changed them |
//! | one changed it, the other one removed it | it stays, changed |
//! | both changed the value of a type with one | the API's |

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{RecordSets, is_same};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Handling, Order, Rdata, RdataList, RecordType, RrSet};

/// What both come to.
#[derive(Debug, Default)]
pub struct Merged {
    /// The RRsets that both are to have.
    pub records: RecordSets,
    /// What both had changed, each as a sentence.
    pub both: Vec<String>,
}

/// Makes one of both; `base` is what they said when they last said the same.
pub fn merge(base: &RecordSets, api: &RecordSets, map: &RecordSets) -> Merged {
    let mut merged = Merged::default();
    let keys: BTreeSet<_> = base.keys().chain(api.keys()).chain(map.keys()).collect();
    for key in keys {
        let (base, api, map) = (base.get(key), api.get(key), map.get(key));
        let outcome = match () {
            () if are_same(api, map) || are_same(map, base) => api.cloned(),
            () if are_same(api, base) => map.cloned(),
            () => {
                let (owner, _) = api.or(map).or(base).expect("one of them has it");
                merged.both.push(format!("{owner} {}", key.1));
                both_changed(base, api, map)
            }
        };
        if let Some(outcome) = outcome {
            merged.records.insert(key.clone(), outcome);
        }
    }
    merged
}

/// RRsets that cannot be at one owner; `None` where there are none.
pub fn clash(records: &RecordSets) -> Option<(&Name, RecordType, RecordType)> {
    let mut at: BTreeMap<&NameKey, BTreeSet<RecordType>> = BTreeMap::new();
    for ((owner, rtype), (name, _)) in records {
        let beside = at.entry(owner).or_default();
        if let Some((other, _)) = rtype.first_clash(|other| beside.contains(&other), beside.iter().copied()) {
            return Some((name, *rtype, other));
        }
        beside.insert(*rtype);
    }
    None
}

type Given<'a> = Option<&'a (Name, RrSet)>;

fn are_same(one: Given<'_>, other: Given<'_>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some((_, one)), Some((_, other))) => is_same(one, other),
        _ => false,
    }
}

fn both_changed(base: Given<'_>, api: Given<'_>, map: Given<'_>) -> Option<(Name, RrSet)> {
    let (Some((owner, of_api)), Some((_, of_map))) = (api, map) else {
        return api.or(map).cloned();
    };
    if of_api.rtype.is_singleton() {
        return api.cloned();
    }
    let rtype = of_api.rtype;
    let set = |rrset: &RrSet| -> BTreeSet<Rdata> {
        let values = rrset.rdatas.iter().map(|value| rdata::canonical(rtype, value));
        values.collect()
    };
    let was = base.map(|(_, rrset)| set(rrset)).unwrap_or_default();
    let (in_api, in_map) = (set(of_api), set(of_map));
    let mut rdatas = RdataList::default();
    let mut weights = Vec::new();
    let mut seen = BTreeSet::new();
    for rrset in [of_api, of_map] {
        let mut of_values = rrset.handling.order().weights().iter();
        for value in &rrset.rdatas {
            let weight = of_values.next().copied().unwrap_or(1);
            let canonical = rdata::canonical(rtype, value);
            let stays = !was.contains(&canonical) || (in_api.contains(&canonical) && in_map.contains(&canonical));
            if stays && seen.insert(canonical) {
                rdatas.push(value);
                weights.push(weight);
            }
        }
    }
    // Each has removed what the other one kept.
    if rdatas.is_empty() {
        return api.cloned();
    }
    let of_base = base.map(|(_, rrset)| rrset);
    let chosen = |differs: &dyn Fn(&RrSet) -> bool| match of_base.is_none_or(differs) {
        true => of_api,
        false => of_map,
    };
    let ttl = chosen(&|base| base.ttl != of_api.ttl).ttl;
    let handling = &chosen(&|base| {
        base.handling.order().word() != of_api.handling.order().word()
            || base.handling.wildcard() != of_api.handling.wildcard()
    })
    .handling;
    let order = match handling.order() {
        Order::Weighted(_) => Order::Weighted(weights.into()),
        order => order.clone(),
    };
    let rrset = RrSet {
        rtype,
        ttl,
        rdatas: rdatas.into(),
        origin: of_api.origin.clone(),
        handling: Handling::new(order, handling.wildcard()),
    };
    Some((owner.clone(), rrset))
}
