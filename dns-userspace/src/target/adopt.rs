//! Records in a zone of a service that external-dns has written, and that are ours to take over where the configuration
//! says so. Pure.
//!
//! ```text
//! a TXT record says that an RRset is external-dns's ─┐
//! something is wanted at its name ───────────────────┴─► its values are ours: kept, changed or deleted as wanted
//!                              all RRsets of the TXT record are ours ─► it goes
//! ```
//!
//! What has no such TXT record was made by hand, or by somebody else, and stays what it is.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Held, RecordId, Wish};
use crate::config::AdoptConfig;
use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;
use crate::source::external_dns::{Affixes, Text, places};

/// How the comments of every hotdns begin.
const ANY_MARK: &str = "hotdns/";

/// Says of each record whether it is ours to take over; the owners and types of those that are. `mark` is how comments
/// of our records begin.
pub(super) fn adopt(
    held: &mut BTreeMap<RecordId, Held>,
    wishes: &BTreeMap<RecordId, Wish>,
    config: &AdoptConfig,
    mark: &str,
) -> Vec<(Name, RecordType)> {
    let affixes = Affixes {
        prefix: config.prefix.to_string(),
        suffix: config.suffix.to_string(),
        wildcard: config.wildcard.to_string(),
    };
    let mut texts: BTreeMap<NameKey, Vec<RecordId>> = BTreeMap::new();
    let mut sets: BTreeMap<(Name, RecordType), Vec<RecordId>> = BTreeMap::new();
    for (id, record) in held.iter_mut() {
        record.is_adopted = false;
        match owner_id_of(id) {
            Some(owner_id) if *owner_id == *config.owner_id => {
                texts.entry(id.owner.key()).or_default().push(id.clone());
            }
            Some(_) => {}
            None => sets.entry((id.owner.clone(), id.rtype)).or_default().push(id.clone()),
        }
    }
    let mut asked: BTreeMap<&Name, BTreeSet<RecordType>> = BTreeMap::new();
    for id in wishes.keys() {
        asked.entry(&id.owner).or_default().insert(id.rtype);
    }
    // An alias has to go before an address comes, and the other way around.
    let is_asked = |owner: &Name, rtype: RecordType| {
        asked.get(owner).is_some_and(|types| {
            types.contains(&rtype) || rtype == RecordType::CNAME || types.contains(&RecordType::CNAME)
        })
    };
    let mut is_spent: BTreeMap<NameKey, bool> = BTreeMap::new();
    let mut taken = Vec::new();
    for ((owner, rtype), ids) in &sets {
        let mut found = places(owner, *rtype, &affixes);
        found.retain(|key| texts.contains_key(key));
        if found.is_empty() {
            continue;
        }
        let mut is_ours = true;
        for id in ids {
            let Some(record) = held.get_mut(id).filter(|record| !record.comment.starts_with(mark)) else {
                continue;
            };
            is_ours = false;
            record.is_adopted = is_asked(owner, *rtype) && !record.comment.starts_with(ANY_MARK);
        }
        for key in found {
            *is_spent.entry(key).or_insert(true) &= is_ours;
        }
        if !is_ours && is_asked(owner, *rtype) {
            taken.push((owner.clone(), *rtype));
        }
    }
    // What was taken over as another type: an alias that is an address now, or the other way around.
    let ours = held.iter().filter(|(_, record)| record.comment.starts_with(mark));
    let ours: BTreeSet<Name> = ours.map(|(id, _)| id.owner.clone()).collect();
    for owner in asked.keys().filter(|owner| ours.contains(**owner)) {
        for rtype in [RecordType::A, RecordType::AAAA, RecordType::CNAME] {
            if sets.contains_key(&((*owner).clone(), rtype)) {
                continue;
            }
            // The name without the type is that of all types.
            if let Some(key) = places(owner, rtype, &affixes).into_iter().next()
                && texts.contains_key(&key)
            {
                is_spent.entry(key).or_insert(true);
            }
        }
    }
    let spent = is_spent.into_iter().filter(|(_, is_spent)| *is_spent);
    for id in spent.filter_map(|(key, _)| texts.get(&key)).flatten() {
        if let Some(record) = held.get_mut(id) {
            record.is_adopted = true;
        }
    }
    taken
}

/// Of a TXT record in which external-dns says whose another record is: the `--txt-owner-id`.
fn owner_id_of(id: &RecordId) -> Option<String> {
    if id.rtype != RecordType::TXT {
        return None;
    }
    match Text::read(&id.value)? {
        Text::Heritage(heritage) => Some(heritage.owner_id),
        Text::Encrypted => None,
    }
}
