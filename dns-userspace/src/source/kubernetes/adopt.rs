//! Names that external-dns has written, taken over: what it keeps in TXT records, and what a source can have of it.
//!
//! ```text
//! www.example.org.    A    192.0.2.1         written by external-dns, through the API
//! a-www.example.org.  TXT  "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/web/www"
//!   ─► a source asks for www.example.org. A ─► both records of the API go, and the source's is served
//! ```
//!
//! The name of a TXT record is that of the record with external-dns's `--txt-prefix` before it or its `--txt-suffix`
//! behind the first label, with the type as `a-` before the first label; old versions leave the type out. Both may
//! have `%{record_type}` in them: the type is there then, and not before the label. Pure: no IO.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::store::Conflict;

const HERITAGE: &str = "heritage=external-dns";
const TYPE_PLACE: &str = "%{record_type}";
/// Octets of an encrypted text at least: a nonce of 12, a tag of 16, and some text, in base64.
const LEAST_ENCRYPTED: usize = 44;

/// How external-dns names its TXT records: its options of these names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affixes {
    /// `--txt-prefix`.
    pub prefix: String,
    /// `--txt-suffix`.
    pub suffix: String,
    /// `--txt-wildcard-replacement`.
    pub wildcard: String,
}

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

/// What a TXT record of external-dns says.
struct Heritage {
    owner_id: String,
    resource: String,
}

/// What a TXT record is to external-dns.
enum Text {
    Ours(Heritage),
    Encrypted,
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
            (Text::Ours(heritage), _) if owner_id.is_some_and(|id| id != heritage.owner_id) => {
                Err(format!("it is of the owner `{}`", heritage.owner_id))
            }
            (Text::Ours(heritage), None) => Err(format!(
                "no object of {source} asks for it; it was made for {}",
                heritage.resource
            )),
            (Text::Ours(heritage), Some(object)) => Ok(Taken {
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
            (None, Text::Ours(heritage)) if !known.contains(key) => {
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
    rrset.rdatas.iter().find_map(|rdata| {
        let text = joined(rdata)?;
        let text = text.trim_matches('"');
        if !text.starts_with(HERITAGE) {
            let is_base64 = |one: char| one.is_ascii_alphanumeric() || "+/=".contains(one);
            let is_encrypted = text.len() >= LEAST_ENCRYPTED && text.len() % 4 == 0 && text.chars().all(is_base64);
            return is_encrypted.then_some(Text::Encrypted);
        }
        let label = |key: &str| {
            let labels = text.split(',').filter_map(|label| label.split_once('='));
            let found = labels.into_iter().find(|(of, _)| of.trim() == key);
            found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        Some(Text::Ours(Heritage {
            owner_id: label("external-dns/owner"),
            resource: label("external-dns/resource"),
        }))
    })
}

/// The strings of a TXT record as one.
fn joined(mut rdata: &[u8]) -> Option<String> {
    let mut octets = Vec::new();
    while let Some((length, rest)) = rdata.split_first() {
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        octets.extend_from_slice(text);
        rdata = rest;
    }
    String::from_utf8(octets).ok()
}

/// Where external-dns has the TXT records of a record: with the type, and as old versions do, without it.
fn places(owner: &Name, rtype: RecordType, affixes: &Affixes) -> Vec<NameKey> {
    let text = owner.to_string();
    let text = text.trim_end_matches('.');
    let (first, rest) = text.split_once('.').unwrap_or((text, ""));
    let first = match first {
        "*" if !affixes.wildcard.is_empty() => &affixes.wildcard,
        first => first,
    };
    let word = rtype.to_string().to_ascii_lowercase();
    let is_in_affix = affixes.prefix.contains(TYPE_PLACE) || affixes.suffix.contains(TYPE_PLACE);
    let with = |in_affix: &str, before: &str| {
        let (prefix, suffix) = (
            affixes.prefix.replace(TYPE_PLACE, in_affix),
            affixes.suffix.replace(TYPE_PLACE, in_affix),
        );
        let dot = if rest.is_empty() { "" } else { "." };
        let name = format!("{prefix}{before}{first}{suffix}{dot}{rest}.");
        name.parse::<Name>().ok().map(|name| name.key())
    };
    let before = if is_in_affix { String::new() } else { format!("{word}-") };
    let places = [with(&word, &before), with("", "")];
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
