//! How the database is, in a word and in a sentence.

use std::fmt;
use std::sync::Arc;

/// How the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageStatus {
    /// In one word.
    pub state: StorageState,
    /// In a sentence, unless it is open.
    pub reason: Option<Arc<str>>,
    /// Whether its records are waited for, and nothing is served until they are read.
    pub is_awaited: bool,
}

/// How the database is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageState {
    /// It was not opened yet.
    Starting,
    /// It is read and written.
    Open,
    /// It was read, and cannot be written.
    ReadOnly,
    /// Another process holds it.
    Held,
    /// It cannot be opened, or there is none and none can be made.
    Unavailable,
    /// The last write failed.
    Failing,
    /// Its file was deleted or replaced while it was open.
    Replaced,
    /// etcd, which many nodes share, is not reached.
    Away,
    /// etcd holds something else than this node, and that is not taken.
    Doubted,
}

impl StorageState {
    /// All, in the order of the metric.
    pub const ALL: [Self; 9] = [
        Self::Starting,
        Self::Open,
        Self::ReadOnly,
        Self::Held,
        Self::Unavailable,
        Self::Failing,
        Self::Replaced,
        Self::Away,
        Self::Doubted,
    ];

    /// As the metric and `/ready` say it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Open => "open",
            Self::ReadOnly => "read_only",
            Self::Held => "held",
            Self::Unavailable => "unavailable",
            Self::Failing => "failing",
            Self::Replaced => "replaced",
            Self::Away => "away",
            Self::Doubted => "doubted",
        }
    }
}

impl fmt::Display for StorageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What clients are told while the records are waited for.
pub fn awaited(reason: Option<&str>) -> String {
    let reason = reason.unwrap_or("it was not opened yet");
    format!("the records in the database are not read yet, so nothing is served: {reason}")
}
