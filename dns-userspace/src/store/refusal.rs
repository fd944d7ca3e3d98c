//! Why an edit was refused. Nothing of its change set is applied then.

use crate::model::name::Name;
use crate::model::record::{Clash, Order, RecordType, Wildcard};
use crate::model::source::Origin;
use crate::model::views::ViewName;
use crate::store::{Condition, Subject, TooManyRemoved};

/// A change set that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// The position of the edit that is at fault, from 0.
    pub edit: usize,
    /// What is wrong with it.
    pub refusal: Refusal,
}

impl Refused {
    /// The position of no edit: all of them together are at fault.
    pub const ALL: usize = usize::MAX;
}

/// What is wrong with an edit, with what a person needs to know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing of that name, type or value.
    #[error("{0}")]
    NotFound(String),
    /// The RRset has another TTL.
    #[error(
        "{owner} {rtype} has the TTL {held}, not {given}; leave `ttl` out to add values, or replace the RRset with PUT"
    )]
    TtlConflict {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// The RRset's.
        held: u32,
        /// The request's.
        given: u32,
    },
    /// The RRset has another order, or other weights.
    #[error(
        "{owner} {rtype} has the order `{}`: {}", .held.word(), order_remedy(.held)
    )]
    OrderConflict {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// The RRset's.
        held: Order,
    },
    /// The RRsets of one wildcard do not agree on what it stands for.
    #[error(
        "{owner} {rtype} has another `wildcard` than `{}`; all RRsets of a wildcard have the same: leave it out, or \
         replace them", .given.word()
    )]
    WildcardConflict {
        /// The wildcard.
        owner: Name,
        /// The type of the RRset that has another one.
        rtype: RecordType,
        /// The request's.
        given: Wildcard,
    },
    /// A second value of a type that has one at most.
    #[error("{owner} can have one {rtype} value only; replace it with PUT")]
    SingletonConflict {
        /// The owner.
        owner: Name,
        /// CNAME, DNAME, SOA or ALIAS.
        rtype: RecordType,
    },
    /// An RRset that cannot stand beside one that is there.
    #[error("{owner} has {held}, and {clash}: {rtype} is refused")]
    Clash {
        /// The owner.
        owner: Name,
        /// The type that is there.
        held: RecordType,
        /// The type refused.
        rtype: RecordType,
        /// Why.
        clash: Clash,
    },
    /// The RRset comes from another source.
    #[error("{owner} {rtype} comes from {origin}; {}", remedy(.origin))]
    OwnedBy {
        /// The owner name.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// Whose it is.
        origin: Origin,
    },
    /// It is not at the version that was expected.
    #[error("{subject} {}, and the change expects {wanted}: read it again, and decide anew", shown_version(.held))]
    VersionConflict {
        /// What was looked at.
        subject: Subject,
        /// What was expected.
        wanted: Condition,
        /// Its version; `None` where it is not there.
        held: Option<u64>,
    },
    /// More would go than the deletion guard lets go.
    #[error(transparent)]
    TooManyRemoved(TooManyRemoved),
    /// The RRset is locked.
    #[error("{owner} {rtype} is locked{}; put it with `locked: false` to unlock it", because(.note))]
    Locked {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// What was written about it.
        note: Option<Box<str>>,
    },
    /// There is such a zone already.
    #[error("there is a zone {0} already")]
    ZoneExists(Name),
    /// The zone is another source's.
    #[error("the zone {apex} comes from {origin}; {}", remedy(.origin))]
    ZoneOwnedBy {
        /// The zone.
        apex: Name,
        /// Whose it is.
        origin: Origin,
    },
    /// A record that is not in the zone that it is given with.
    #[error("{owner} is not in the zone {apex}")]
    OutOfZone {
        /// The record's owner.
        owner: Name,
        /// The zone.
        apex: Name,
    },
    /// A zone without an SOA record.
    #[error("the zone {0} needs an SOA record at its apex")]
    NoSoa(Name),
    /// The file of the zone has an error, and is not written before that is put right.
    #[error(
        "the file of the zone {apex} has an error: {error}. Put it right: until then what it said last is served, and \
         nothing is written into it"
    )]
    ZoneFileBroken {
        /// The zone.
        apex: Name,
        /// What is wrong with it.
        error: String,
    },
    /// The file of the zone says something else than what is served.
    #[error(
        "the file {file} of the zone {apex} has been edited and is not served yet: reload, look at what it says now, \
         and try again"
    )]
    ZoneFileChanged {
        /// The zone.
        apex: Name,
        /// Its file.
        file: String,
    },
    /// The file of the zone cannot be written so that it says what is wanted.
    #[error("the file {file} of the zone {apex} cannot take the change: {reason}")]
    ZoneFileFixed {
        /// The zone.
        apex: Name,
        /// Its file.
        file: String,
        /// Why.
        reason: String,
    },
    /// What a zone file cannot say of an RRset.
    #[error(
        "{owner} {rtype} is in a zone with `store: file`, and a zone file has no place for `order`, `weights`, \
         `wildcard`, `locked`, `disabled` and `note`: leave them out"
    )]
    NotInZoneFile {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
    },
    /// A set that changes a zone file and something else.
    #[error(
        "the file of the zone {0} is written whole or not at all, and nothing else with it: put the edits of this zone \
         into a change set of their own"
    )]
    OneZoneFile(Name),
    /// An SOA record in a view.
    #[error("a view has no SOA records: a zone has one, with one serial, for all clients; put it into the default")]
    SoaInView,
    /// A view that is not configured (any more).
    #[error("there is no view `{0}` in the configuration")]
    UnknownView(ViewName),
    /// A TTL outside of `ttl_bounds`.
    #[error("the TTL {given} is outside of `ttl_bounds`: {min} to {max} seconds")]
    InvalidTtl {
        /// The request's.
        given: u32,
        /// The smallest allowed.
        min: u32,
        /// The largest allowed.
        max: u32,
    },
    /// More data than any DNS message can carry.
    #[error("{owner} {rtype} would have {bytes} octets of answer; a DNS message carries at most {limit}")]
    TooLarge {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// What the answer would take.
        bytes: usize,
        /// What there is room for.
        limit: usize,
    },
    /// More types at one name than an edit adds to.
    #[error("{owner} has {limit} types or more, and the API adds no other: use another name, or delete some first")]
    TooManyTypes {
        /// The owner.
        owner: Name,
        /// How many there may be.
        limit: usize,
    },
}

fn because(note: &Option<Box<str>>) -> String {
    note.as_ref().map_or_else(String::new, |note| format!(" ({note})"))
}

fn shown_version(held: &Option<u64>) -> String {
    held.map_or_else(
        || "is not there".to_owned(),
        |version| format!("is at version {version}"),
    )
}

fn remedy(origin: &Origin) -> &str {
    match origin.label() {
        "zone_file" | "config" => "change it there and reload",
        _ => &origin.source().info().remedy,
    }
}

fn order_remedy(held: &Order) -> &'static str {
    match held {
        Order::Weighted(_) => "give each new value its weight and each old one its own, or replace the RRset with PUT",
        Order::Fixed | Order::Rotate | Order::Random | Order::Hash => {
            "leave `order` out to add values, or replace the RRset with PUT"
        }
    }
}
