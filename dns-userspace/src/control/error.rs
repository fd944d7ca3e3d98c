//! Why a command was refused. Nothing has changed then.

use crate::name::Name;
use crate::record::{Clash, Order, RecordType, Wildcard};
use crate::views::ViewName;

/// A command's failure, with what a person needs to know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Nothing of that name, type or value.
    #[error("{0}")]
    NotFound(String),
    /// Every value is there already.
    #[error("{owner} {rtype} has every one of these values already")]
    Exists {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
    },
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
    /// The RRset comes from a file.
    #[error("{owner} {rtype} comes from {file}; change it there and reload")]
    ManagedByFile {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
        /// The zone file or the configuration file.
        file: String,
    },
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
    /// More types at one name than the API adds to.
    #[error("{owner} has {limit} types or more, and the API adds no other: use another name, or delete some first")]
    TooManyTypes {
        /// The owner.
        owner: Name,
        /// How many the API takes.
        limit: usize,
    },
    /// The database cannot be written at present.
    #[error("{0}; nothing was changed")]
    StorageLocked(String),
    /// The records in the database are not read yet, so that nobody knows what a change would change.
    #[error("{0}")]
    NotReady(String),
    /// The configuration file has errors.
    #[error("the configuration was not reloaded, nothing was changed: {}", .0.join("; "))]
    ReloadFailed(Vec<String>),
    /// A fault of the server.
    #[error("{0}")]
    Internal(String),
    /// The server is on its way down.
    #[error("the server is stopping")]
    Stopped,
}

fn order_remedy(held: &Order) -> &'static str {
    match held {
        Order::Weighted(_) => "give each new value its weight and each old one its own, or replace the RRset with PUT",
        Order::Fixed | Order::Rotate | Order::Random => {
            "leave `order` out to add values, or replace the RRset with PUT"
        }
    }
}
