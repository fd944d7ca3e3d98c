//! Names that external-dns has written, taken over: what it keeps in TXT records, and what a source can have of it.
//!
//! ```text
//! www.example.org.    A    192.0.2.1         written by external-dns, through the API
//! a-www.example.org.  TXT  "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/web/www"
//!   ─► a source asks for www.example.org. A ─► both records of the API go, and the source's is served
//! ```
//!
//! How the TXT records are named is in `source/external_dns`. Pure: no IO.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::name::{Name, NameKey};
use crate::model::rdata::joined_text;
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::source::external_dns::{Affixes, Text, places};
use crate::store::Conflict;

/// A record of external-dns that a source asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its owner.
    pub owner: Name,
    /// Its type.
    pub rtype: RecordType,
    /// The object that asks for it.
    pub object: String,
    /// What external-dns has made it for, such as `ingress/web/www`.
    pub resource: String,
    /// The `--txt-owner-id`.
    pub owner_id: String,
}

/// What a source can take over, and what stays.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Records that the source serves from then on.
    pub taken: Vec<Taken>,
    /// TXT records that are needed no more.
    pub texts: Vec<Name>,
    /// Records that stay the API's, and why.
    pub left: Vec<(Name, RecordType, String)>,
}

/// What `source` can take over from external-dns, whose records are the API's. `conflicts` are what of the source is
/// not served; with `owner_id` only what that external-dns has written.
pub fn adoption<'c>(
    snapshot: &Snapshot,
    source: &SourceId,
    conflicts: impl Iterator<Item = &'c Conflict>,
    affixes: &Affixes,
    owner_id: Option<&str>,
) -> Adoption {
    let wanted: HashMap<(NameKey, RecordType), String> = conflicts
        .filter(|conflict| conflict.left_out.source() == source && conflict.view.is_none())
        .map(|conflict| {
            let object = conflict.left_out.object().unwrap_or_default().to_owned();
            ((conflict.owner.key(), conflict.rtype), object)
        })
        .collect();
    let (records, texts) = of_api(snapshot);
    let mut adoption = Adoption::default();
    let mut used: BTreeMap<NameKey, bool> = BTreeMap::new();
    let mut known: BTreeSet<&NameKey> = BTreeSet::new();
    for (owner, rtype) in &records {
        let places = places(owner, *rtype, affixes);
        let found: Vec<(&NameKey, &(Name, Text))> = places.iter().filter_map(|key| texts.get_key_value(key)).collect();
        let Some((_, (_, text))) = found.first() else {
            continue;
        };
        known.extend(found.iter().map(|(key, _)| *key));
        let reason = match (text, wanted.get(&(owner.key(), *rtype))) {
            (Text::Encrypted, _) => Err(
                "its TXT record is encrypted: have external-dns write it anew without --txt-encrypt-enabled".to_owned(),
            ),
            (Text::Heritage(heritage), _) if owner_id.is_some_and(|id| id != heritage.owner_id) => {
                Err(format!("it is of the owner `{}`", heritage.owner_id))
            }
            (Text::Heritage(heritage), None) => Err(format!(
                "no object of {source} asks for it; it was made for {}",
                heritage.resource
            )),
            (Text::Heritage(heritage), Some(object)) => Ok(Taken {
                owner: owner.clone(),
                rtype: *rtype,
                object: object.clone(),
                resource: heritage.resource.clone(),
                owner_id: heritage.owner_id.clone(),
            }),
        };
        for (key, _) in found {
            *used.entry(key.clone()).or_insert(true) &= reason.is_ok();
        }
        match reason {
            Ok(taken) => adoption.taken.push(taken),
            Err(reason) => adoption.left.push((owner.clone(), *rtype, reason)),
        }
    }
    for (key, (name, text)) in &texts {
        match (used.get(key), text) {
            (Some(true), _) => adoption.texts.push(name.clone()),
            (None, Text::Heritage(heritage)) if !known.contains(key) => {
                let reason = format!(
                    "no record has this TXT record (of {}): give external-dns's --txt-prefix, --txt-suffix and \
                     --txt-wildcard-replacement",
                    heritage.resource
                );
                adoption.left.push((name.clone(), RecordType::TXT, reason));
            }
            _ => {}
        }
    }
    adoption
}

type Texts = BTreeMap<NameKey, (Name, Text)>;

/// The API's records but for external-dns's texts, and these.
fn of_api(snapshot: &Snapshot) -> (Vec<(Name, RecordType)>, Texts) {
    let (mut records, mut texts) = (Vec::new(), Texts::new());
    for (key, node) in snapshot.all_nodes() {
        for rrset in &node.rrsets {
            if *rrset.origin.source() != SourceId::api() {
                continue;
            }
            match text_of(rrset) {
                Some(text) => {
                    texts.insert(key.clone(), (node.owner(key), text));
                }
                None => records.push((node.owner(key), rrset.rtype)),
            }
        }
    }
    (records, texts)
}

fn text_of(rrset: &RrSet) -> Option<Text> {
    if rrset.rtype != RecordType::TXT {
        return None;
    }
    rrset.rdatas.iter().find_map(|rdata| Text::read(&joined_text(rdata)?))
}

#[cfg(test)]
mod tests;
