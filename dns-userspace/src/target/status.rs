//! How each target is, for the API.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Pending changes and differences of one target that are shown.
pub const MOST_SHOWN: usize = 100;

/// How targets are, by their keys, such as `technitium/home`.
#[derive(Default)]
pub struct Targets(Mutex<BTreeMap<String, TargetReport>>);

/// The state of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetState {
    /// Nothing was written yet.
    #[default]
    Starting,
    /// It has what is wanted, but for what is pending.
    Synced,
    /// It could not be written.
    Failing,
    /// Another replica writes.
    Standby,
    /// What would be written is only said.
    DryRun,
}

/// How a target is.
#[derive(Debug, Clone, Default)]
pub struct TargetReport {
    /// Its state.
    pub state: TargetState,
    /// Why it could not be written.
    pub error: Option<String>,
    /// Records that it has of us.
    pub records: usize,
    /// When its zones were read last.
    pub last_read: Option<SystemTime>,
    /// Changes that it has not taken: the first ones.
    pub pending: Vec<PendingChange>,
    /// How many these are in all.
    pub pending_count: usize,
    /// What differs though we did not make it so: the first ones.
    pub drift: Vec<DriftReport>,
    /// How many these are in all.
    pub drift_count: usize,
    /// In a dry run with diff: what would be written.
    pub diff: Option<String>,
}

/// A change that a target has not taken.
#[derive(Debug, Clone)]
pub struct PendingChange {
    /// `add`, `update`, `delete`.
    pub change: &'static str,
    /// The record: `www.example.org A 192.0.2.1`.
    pub record: String,
    /// How often it failed.
    pub attempts: u32,
    /// Why it waits.
    pub reason: String,
}

/// A difference that we did not make.
#[derive(Debug, Clone)]
pub struct DriftReport {
    /// `unexpected_ip`, `unexpected_record`, `missing_record`.
    pub kind: &'static str,
    /// The record: `www.example.org A 192.0.2.1`.
    pub record: String,
    /// Since when it is known.
    pub since: SystemTime,
    /// Whether it is put right, since the object says so.
    pub is_remediated: bool,
}

impl TargetState {
    /// In a word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Synced => "synced",
            Self::Failing => "failing",
            Self::Standby => "standby",
            Self::DryRun => "dry_run",
        }
    }
}

impl Targets {
    /// Changes what is known of a target.
    pub(super) fn update(&self, key: &str, change: impl FnOnce(&mut TargetReport)) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(reports.entry(key.to_owned()).or_default());
    }

    /// A target is configured no more.
    pub(super) fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, TargetReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// DNS APIs that could not be written last, with the reason.
    pub fn away(&self) -> Vec<(String, String)> {
        let all = self.all();
        let is_dns = |key: &str| !(key.starts_with("slack/") || key.starts_with("hosts_file/"));
        let away = all.into_iter().filter(|(key, report)| {
            is_dns(key) && matches!(report.state, TargetState::Failing | TargetState::Starting)
        });
        away.map(|(key, report)| (key, report.error.unwrap_or_else(|| "it was not reached yet".to_owned())))
            .collect()
    }
}
