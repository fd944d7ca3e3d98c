//! What differs between a zone of a target and what is wanted there. Pure.

use std::collections::BTreeMap;

use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::RecordType;

/// One record: owner, type and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordId {
    /// The owner.
    pub(super) owner: Name,
    /// The type.
    pub(super) rtype: RecordType,
    /// The value in presentation format.
    pub(super) value: String,
}

/// A record that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// The zone that it is in.
    pub(super) zone: Name,
    /// Its TTL.
    pub(super) ttl: u32,
    /// Whose it is, in words.
    pub(super) comment: String,
    /// The source that asks for it.
    pub(super) source: String,
    /// Its object.
    pub(super) object: String,
}

/// A record that the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The zone that it is in.
    pub(super) zone: Name,
    /// Its TTL.
    pub(super) ttl: u32,
    /// Its comment; empty where it has none.
    pub(super) comment: String,
    /// Whether it is external-dns's, and ours to take over.
    pub(super) is_adopted: bool,
}

/// What to do about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is missing.
    Add(Wish),
    /// It is ours, and its TTL or its object is another one.
    Update(Wish),
    /// It is ours, and not wanted.
    Delete(Held),
}

impl Change {
    /// What it does, in a word.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Update(_) => "update",
            Self::Delete(_) => "delete",
        }
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.hostname(), self.rtype, self.value)
    }
}

impl RecordId {
    /// Of a record; `None` for types that these services take otherwise than by one value.
    pub(super) fn new(owner: &Name, rtype: RecordType, rdata: &[u8]) -> Option<Self> {
        use RecordType as T;
        let value = match rtype {
            T::A | T::AAAA => rdata::format_value(rtype, rdata),
            T::CNAME | T::PTR | T::NS => rdata::format_value(rtype, rdata).trim_end_matches('.').to_lowercase(),
            T::TXT => rdata::joined_text(rdata)?,
            _ => return None,
        };
        Some(Self {
            owner: owner.to_lowercase(),
            rtype,
            value,
        })
    }

    /// The owner without its final dot.
    pub(super) fn hostname(&self) -> String {
        self.owner.to_string().trim_end_matches('.').to_owned()
    }

    /// Whether the other is of the same owner and type.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.owner == other.owner && self.rtype == other.rtype
    }
}

impl Held {
    /// A record that we wrote.
    pub(super) fn of(wish: &Wish) -> Self {
        Self {
            zone: wish.zone.clone(),
            ttl: wish.ttl,
            comment: wish.comment.clone(),
            is_adopted: false,
        }
    }

    /// Whether it is ours to change. `mark` is how comments of our records begin.
    pub(super) fn is_ours(&self, mark: &str) -> bool {
        self.is_adopted || self.comment.starts_with(mark)
    }

    /// The same record, which somebody else made.
    pub(super) fn foreign(wish: &Wish) -> Self {
        Self {
            comment: String::new(),
            ..Self::of(wish)
        }
    }
}

/// What to do, deletions of a name before its additions: a CNAME that becomes an address has to go first. `mark` is how
/// comments of our records begin.
pub(super) fn plan(
    wishes: &BTreeMap<RecordId, Wish>,
    held: &BTreeMap<RecordId, Held>,
    mark: &str,
) -> Vec<(RecordId, Change)> {
    let mut changes = Vec::new();
    for (id, record) in held {
        if record.is_ours(mark) && !wishes.contains_key(id) {
            changes.push((id.clone(), Change::Delete(record.clone())));
        }
    }
    for (id, wish) in wishes {
        let change = match held.get(id) {
            None => Change::Add(wish.clone()),
            Some(record) if !record.is_ours(mark) => continue,
            Some(record) if !record.is_adopted && record.ttl == wish.ttl && record.comment == wish.comment => continue,
            Some(_) => Change::Update(wish.clone()),
        };
        changes.push((id.clone(), change));
    }
    // Within a name a new address comes before the old one goes, unless one of both is an alias.
    changes.sort_by_key(|(id, change)| {
        let is_alias = id.rtype == RecordType::CNAME;
        let order = match change {
            Change::Delete(_) if is_alias => 0,
            Change::Add(_) | Change::Update(_) if !is_alias => 1,
            Change::Delete(_) => 2,
            Change::Add(_) | Change::Update(_) => 3,
        };
        (id.owner.key(), order)
    });
    changes
}
