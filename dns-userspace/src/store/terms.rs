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
}

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
