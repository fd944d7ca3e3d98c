//! What the writer does, in the metrics and in readiness.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::metrics::Metrics;
use super::readiness::Readiness;
use crate::control::Observer;
use crate::journal::StorageStatus;
use crate::source::Registry;
use crate::store::Conflicts;

/// Tells metrics and readiness.
pub struct Told {
    /// Where records, conflicts and failures are counted.
    pub metrics: Arc<Metrics>,
    /// Where it is said how the database is.
    pub readiness: Arc<Readiness>,
    /// Where conflicts are counted by source.
    pub sources: Arc<Registry>,
}

impl Observer for Told {
    fn records(&self, by_kind: &BTreeMap<&str, i64>) {
        self.metrics.set_records(by_kind);
    }

    fn conflicts(&self, conflicts: &Conflicts) {
        self.metrics.set_conflicts(conflicts);
        self.sources.set_conflicts(conflicts);
    }

    fn reload_failures(&self, files: usize) {
        self.metrics.count_reload_failures(files);
    }

    fn storage(&self, status: StorageStatus) {
        self.readiness.set_storage(status);
    }

    fn version(&self, version: u64) {
        self.metrics.set_version(version);
    }

    fn change(&self, source: &str, result: &'static str) {
        self.metrics.count_change(source, result);
    }
}
