//! What goes with a change set: what it expects to find, and what is to be known of it afterwards.

use std::sync::Arc;

use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::views::ViewName;

/// What goes with a change set beside its edits.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// What has to be so for the edits to be made.
    pub expects: Vec<Expected>,
    /// Why the change is made, for the history.
    pub comment: Option<Arc<str>>,
    /// Whether an RRset of another source is hidden by the one that is put, instead of refused.
    pub takeover: bool,
    /// Whether the deletion guard looks at the set.
    pub is_guarded: bool,
    /// Whether the set is made whatever the deletion guard says.
    pub force: bool,
}

/// The deletion guard: how much of a zone or of a source one change may remove without being forced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// The part of the records that may go, from 0 to 1.
    pub max_delete_ratio: f64,
    /// The least records for which it counts.
    pub min_records: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_delete_ratio: 0.5,
            min_records: 20,
        }
    }
}

impl Guard {
    /// Whether so many of so many records may not go.
    pub fn refuses(&self, removed: usize, of: usize) -> bool {
        of >= self.min_records && removed as f64 > self.max_delete_ratio * of as f64
    }
}

/// A change that removes more than the guard lets go.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{what} would lose {removed} of its {records} records, and `changes.max_delete_ratio` lets {} go at a time: look \
     whether that is meant, and say `force` if it is", (*records as f64 * max_delete_ratio) as usize
)]
pub struct TooManyRemoved {
    /// The zone or the source.
    pub what: String,
    /// Records that would go.
    pub removed: usize,
    /// Records that there are.
    pub records: usize,
    /// `changes.max_delete_ratio`.
    pub max_delete_ratio: f64,
}

impl Eq for TooManyRemoved {}

/// What an edit expects to find, the edits before it included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The position of the edit, from 0.
    pub edit: usize,
    /// What is looked at.
    pub subject: Subject,
    /// How it has to be.
    pub condition: Condition,
}

/// What has a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An RRset.
    Rrset {
        /// The view it is in; `None` is the default.
        view: Option<ViewName>,
        /// Its owner.
        owner: Name,
        /// Its type.
        rtype: RecordType,
    },
    /// A zone, with all that is in it.
    Zone(Name),
}

/// How the subject has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There, at whatever version (`If-Match: *`).
    Exists,
    /// Not there (`If-None-Match: *`).
    Absent,
    /// There, at one of these versions (`If-Match`).
    OneOf(Vec<u64>),
    /// At none of these versions, or not there (`If-None-Match`).
    NoneOf(Vec<u64>),
}

impl Condition {
    /// Whether a subject with this version meets it; `None` where there is no subject.
    pub fn is_met(&self, version: Option<u64>) -> bool {
        match (self, version) {
            (Self::Exists, found) => found.is_some(),
            (Self::Absent, found) => found.is_none(),
            (Self::OneOf(wanted), Some(found)) => wanted.contains(&found),
            (Self::OneOf(_), None) => false,
            (Self::NoneOf(unwanted), Some(found)) => !unwanted.contains(&found),
            (Self::NoneOf(_), None) => true,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rrset {
                view: None,
                owner,
                rtype,
            } => write!(f, "{owner} {rtype}"),
            Self::Rrset {
                view: Some(view),
                owner,
                rtype,
            } => write!(f, "{owner} {rtype} in the view `{view}`"),
            Self::Zone(apex) => write!(f, "the zone {apex}"),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |versions: &[u64]| {
            let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
            versions.join(" or ")
        };
        match self {
            Self::Exists => f.write_str("any version"),
            Self::Absent => f.write_str("none at all"),
            Self::OneOf(versions) => write!(f, "version {}", list(versions)),
            Self::NoneOf(versions) => write!(f, "another version than {}", list(versions)),
        }
    }
}
