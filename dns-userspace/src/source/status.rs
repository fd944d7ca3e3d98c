//! How a watched source is: for `/api/v1/sources`, the metrics and the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use super::hold::Hold;
use crate::model::source::SourceId;

/// How a source is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceState {
    /// It has not been in step since the start. What it said before is served.
    Starting,
    /// What is served is what its world says.
    Synced,
    /// Its world is away, or says what is doubted. What it said before is served.
    Degraded,
    /// What is served is an earlier state, to which somebody has put it back, until they let it go on.
    Held,
    /// It ended.
    Stopped,
}

impl SourceState {
    /// All, in the order of the metric.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Synced, Self::Degraded, Self::Held, Self::Stopped];

    /// Whether what is served is all that is wanted: what its world says, or what somebody has put it back to.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Synced | Self::Held)
    }

    /// As the API and the metrics say it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Synced => "synced",
            Self::Degraded => "degraded",
            Self::Held => "held",
            Self::Stopped => "stopped",
        }
    }
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReport {
    /// In one word.
    pub state: SourceState,
    /// Since when it is so.
    pub since: SystemTime,
    /// The version that it is held at, where it is.
    pub held: Option<u64>,
    /// When it was in step last, in seconds of Unix time; `None`: never.
    pub last_sync: Option<u64>,
    /// Objects of its world that ask for something.
    pub objects: usize,
    /// RRsets of its layer.
    pub rrsets: usize,
    /// Whether we are registered in it as a service, or why not; `None` where that is not wanted.
    pub registration: Option<String>,
    /// What its world calls the state that is served, such as `commit 4f2a…`.
    pub revision: Option<Arc<str>>,
    /// What is wrong, in a sentence.
    pub error: Option<String>,
    /// Objects that cannot be understood, the first of them, and what is wrong with each.
    pub broken: Vec<(String, String)>,
    /// How many there are.
    pub broken_count: usize,
    /// Objects of which an RRset is not served because of an older object's, the first of them, and which it is.
    pub left_out: Vec<(String, String)>,
    /// How many such RRsets there are.
    pub left_out_count: usize,
    /// Objects that change so often that their changes are served more slowly.
    pub flapping: BTreeSet<String>,
}

impl SourceReport {
    /// Seconds since it was in step with its world: 0 while it is; `None` where it never was.
    pub fn age(&self, now: SystemTime) -> Option<u64> {
        if self.state == SourceState::Synced {
            return Some(0);
        }
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.last_sync.map(|last| now.saturating_sub(last))
    }
}

/// How a source is, shared by the source and those who show it.
#[derive(Debug)]
pub struct Status {
    source: SourceId,
    report: Mutex<SourceReport>,
    hold: Hold,
}

impl Status {
    /// A source that starts.
    pub fn new(source: SourceId) -> Self {
        Self {
            source,
            report: Mutex::new(SourceReport {
                state: SourceState::Starting,
                since: SystemTime::now(),
                held: None,
                last_sync: None,
                objects: 0,
                rrsets: 0,
                registration: None,
                revision: None,
                error: None,
                broken: Vec::new(),
                broken_count: 0,
                left_out: Vec::new(),
                left_out_count: 0,
                flapping: BTreeSet::new(),
            }),
            hold: Hold::default(),
        }
    }

    /// Whose it is.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Whether it is held, for those who change its records.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// How it is now.
    pub fn report(&self) -> SourceReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it; the time of the state follows.
    pub(super) fn update(&self, change: impl FnOnce(&mut SourceReport)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let before = report.state;
        change(&mut report);
        if report.state != before {
            report.since = SystemTime::now();
        }
    }
}
