//! What is stored in etcd, and how: keys below `PREFIX/v1/`, each with a JSON object as its value.
//!
//! ```text
//! head                       the latest transaction: its version, who made which change sets of it, and when
//! rrsets/VIEW/OWNER/TYPE     an RRset of the API; VIEW is empty for the default, OWNER in lower case, TYPE a number
//! zones/APEX                 the SOA serial that the zone is served with, and the version at which it changed last
//! nodes/ID                   a node that lives, on a lease: its name, and the version that it serves
//! filling                    a node that writes everything anew, on a lease
//! tokens/ID                  a token of the HTTP API that all nodes have: its name, scope and hash; or that it is
//!                            deleted
//! ```
//!
//! Members that a node does not know are passed over. `head` says by `needs` which format a node has to know.

use serde::{Deserialize, Serialize};

use super::client::KeyValue;
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Handling, Keeping, Order, Rdatas, RecordType, RrSet, Wildcard};
use crate::model::source::Origin;
use crate::model::views::ViewName;

/// The format that this program writes, and the latest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Where keys are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: String,
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Head,
    Rrset(Option<ViewName>, Name, RecordType),
    Zone(Name),
    Node(String),
    Filling,
    Token(String),
}

/// The value of `head`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The format in which it was written.
    pub(super) format: u32,
    /// The format that a node has to know to read what is stored.
    pub(super) needs: u32,
    /// The version of the last change set.
    pub(super) version: u64,
    /// No other transaction has the same.
    pub(super) id: String,
    /// The node that made it.
    pub(super) node: String,
    /// When, in milliseconds of Unix time.
    pub(super) time: u64,
    /// Whether everything was written anew: what was there before is no longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) whole: bool,
    /// Whether a node has begun to write everything anew, and has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) incomplete: bool,
    /// The change sets, in their order.
    #[serde(default)]
    pub(super) sets: Vec<HeadSet>,
}

/// A change set of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadSet {
    pub(super) version: u64,
    pub(super) actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    /// The RRsets that it deletes, as their keys end; those that no set names are the last one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) deleted: Vec<String>,
}

/// The value of an RRset.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRrset {
    /// In the case in which it was given; without it, as in the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    ttl: u32,
    /// RDATA in wire form, in Base64.
    rdatas: Vec<String>,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weights: Vec<u16>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    one_label: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// The value of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredZone {
    pub(super) serial: u32,
    pub(super) version: u64,
}

/// The value of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredNode {
    pub(super) name: String,
    /// The version that it serves.
    pub(super) version: u64,
    /// The version of the program.
    #[serde(default)]
    pub(super) program: String,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{}/v1/", prefix.trim_end_matches('/')),
        }
    }

    /// The first key, and the first one behind all.
    pub(super) fn all(&self) -> (Vec<u8>, Vec<u8>) {
        range_of(&self.prefix)
    }

    /// The same for a part, such as `nodes/`.
    pub(super) fn part(&self, part: &str) -> (Vec<u8>, Vec<u8>) {
        range_of(&format!("{}{part}", self.prefix))
    }

    pub(super) fn head(&self) -> String {
        format!("{}head", self.prefix)
    }

    pub(super) fn filling(&self) -> String {
        format!("{}filling", self.prefix)
    }

    pub(super) fn node(&self, id: &str) -> String {
        format!("{}nodes/{id}", self.prefix)
    }

    pub(super) fn token(&self, id: &str) -> String {
        format!("{}tokens/{id}", self.prefix)
    }

    pub(super) fn zone(&self, apex: &Name) -> String {
        format!("{}zones/{}", self.prefix, apex.to_string().to_ascii_lowercase())
    }

    pub(super) fn rrset(&self, end: &str) -> String {
        format!("{}rrsets/{end}", self.prefix)
    }

    /// What a key is for; `None` where it is not known.
    pub(super) fn place(&self, key: &[u8]) -> Option<Place> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        match rest.split_once('/') {
            None if rest == "head" => Some(Place::Head),
            None if rest == "filling" => Some(Place::Filling),
            Some(("rrsets", end)) => place_of_rrset(end),
            Some(("zones", apex)) => Some(Place::Zone(apex.parse().ok()?)),
            Some(("nodes", id)) => Some(Place::Node(id.to_owned())),
            Some(("tokens", id)) => Some(Place::Token(id.to_owned())),
            _ => None,
        }
    }
}

fn range_of(prefix: &str) -> (Vec<u8>, Vec<u8>) {
    let start = prefix.as_bytes().to_vec();
    let mut end = start.clone();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (start, end)
}

/// How the key of an RRset ends.
pub(super) fn end_of_rrset(view: Option<&ViewName>, owner: &Name, rtype: RecordType) -> String {
    let view = view.map_or_else(String::new, |view| view.replace('%', "%25").replace('/', "%2F"));
    format!("{view}/{}/{}", owner.to_string().to_ascii_lowercase(), rtype.0)
}

fn place_of_rrset(end: &str) -> Option<Place> {
    let (view, rest) = end.split_once('/')?;
    let (owner, rtype) = rest.rsplit_once('/')?;
    let view = (!view.is_empty()).then(|| view.replace("%2F", "/").replace("%25", "%").into());
    Some(Place::Rrset(view, owner.parse().ok()?, RecordType(rtype.parse().ok()?)))
}

/// An RRset as it is stored.
pub(super) fn write_rrset(owner: &Name, rrset: &RrSet) -> String {
    let shown = owner.to_string();
    let keeping = rrset.handling.keeping();
    let order = rrset.handling.order();
    let stored = StoredRrset {
        owner: shown.bytes().any(|octet| octet.is_ascii_uppercase()).then_some(shown),
        ttl: rrset.ttl,
        rdatas: rrset.rdatas.iter().map(super::client::base64).collect(),
        version: rrset.origin.version(),
        order: (*order != Order::Fixed).then(|| Order::WORDS[usize::from(order.kind())].to_owned()),
        weights: order.weights().to_vec(),
        one_label: rrset.handling.wildcard() == Wildcard::OneLabel,
        locked: keeping.locked,
        disabled: keeping.disabled,
        note: keeping.note.as_deref().map(str::to_owned),
    };
    serde_json::to_string(&stored).unwrap_or_default()
}

/// An RRset of the API that is stored so; what is wrong, where it cannot be one.
pub(super) fn read_rrset(owner: Name, rtype: RecordType, kv: &KeyValue) -> Result<(Name, RrSet), String> {
    let stored: StoredRrset = serde_json::from_slice(&kv.value).map_err(|error| error.to_string())?;
    let owner = match stored.owner {
        Some(text) => {
            let given: Name = text.parse().map_err(|_| format!("`{text}` is no name"))?;
            if given.key() != owner.key() {
                return Err(format!("the owner is {given}"));
            }
            given
        }
        None => owner,
    };
    let mut octets = Vec::with_capacity(stored.rdatas.len());
    for text in &stored.rdatas {
        let rdata = data_encoding::BASE64.decode(text.as_bytes());
        let rdata = rdata.map_err(|error| error.to_string())?;
        if !rdata::is_well_formed(rtype, &rdata) {
            return Err(format!("`{text}` is no {rtype}"));
        }
        octets.push(rdata);
    }
    let (count, is_data) = (octets.len(), rtype.is_data());
    if !is_data || stored.ttl > 0x7FFF_FFFF || count == 0 || (rtype.is_singleton() && count > 1) {
        return Err("it has a type, TTL or count that cannot be".to_owned());
    }
    let word = stored.order.as_deref().unwrap_or(Order::WORDS[0]);
    let weights = stored.weights.len();
    let order = Order::from_word(word, stored.weights.into()).ok_or_else(|| format!("`{word}` is no order"))?;
    if matches!(order, Order::Weighted(_)) != (weights != 0) || (weights != 0 && weights != count) {
        return Err("it has other weights than values".to_owned());
    }
    let wildcard = match stored.one_label {
        true => Wildcard::OneLabel,
        false => Wildcard::Rfc4592,
    };
    let keeping = Keeping {
        locked: stored.locked,
        disabled: stored.disabled,
        note: stored.note.map(Into::into),
    };
    let rrset = RrSet {
        rtype,
        ttl: stored.ttl,
        rdatas: octets.into_iter().collect::<Rdatas>(),
        origin: Origin::api().at_version(stored.version),
        handling: Handling::new(order, wildcard).kept(keeping),
    };
    Ok((owner, rrset))
}
