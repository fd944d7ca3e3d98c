//! What clusters count, under the names of catalyst-dns-sync, whose dashboards and alerts go on to work.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use super::kinds::Kind;

/// Figures of all clusters together.
pub struct KubernetesFigures {
    resources: IntGaugeVec,
    seconds: HistogramVec,
    errors: IntCounterVec,
    build: IntGaugeVec,
    leader: IntGaugeVec,
    leader_changes: IntCounterVec,
}

/// Why something went wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// An object cannot be understood.
    Invalid,
    /// A kind may not be listed.
    Forbidden,
    /// The cluster is away.
    Unreachable,
}

impl Default for KubernetesFigures {
    fn default() -> Self {
        const GOOD: &str = "names and labels of a metric";
        let build = Opts::new("catalyst_dns_sync_build_info", "1, with the version as a label.");
        let build = IntGaugeVec::new(build, &["version", "commit", "go_version"]).expect(GOOD);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), "", ""]).set(1);
        Self {
            resources: IntGaugeVec::new(
                Opts::new(
                    "catalyst_dns_sync_ingress_resources",
                    "Objects of clusters that are watched.",
                ),
                &["namespace", "type"],
            )
            .expect(GOOD),
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "catalyst_dns_sync_reconcile_duration_seconds",
                    "Seconds that it took to see what a change of an object asks for.",
                )
                .buckets(vec![1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]),
                &["resource_type"],
            )
            .expect(GOOD),
            errors: IntCounterVec::new(
                Opts::new(
                    "catalyst_dns_sync_reconcile_errors_total",
                    "Objects and lists that could not be taken.",
                ),
                &["resource_type", "error_type"],
            )
            .expect(GOOD),
            build,
            leader: IntGaugeVec::new(
                Opts::new("hotdns_leader", "1 where this replica writes to others, by the Lease."),
                &["lease"],
            )
            .expect(GOOD),
            leader_changes: IntCounterVec::new(
                Opts::new(
                    "hotdns_leader_changes_total",
                    "How often this replica has begun or ceased to write to others.",
                ),
                &["lease"],
            )
            .expect(GOOD),
        }
    }
}

impl KubernetesFigures {
    /// All of them, to be shown.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.resources.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.build.clone()),
            Box::new(self.leader.clone()),
            Box::new(self.leader_changes.clone()),
        ]
    }

    /// Whether this replica writes, by the Lease of this name.
    pub(super) fn set_leader(&self, lease: &str, leads: bool) {
        let gauge = self.leader.with_label_values(&[lease]);
        if gauge.get() != i64::from(leads) {
            self.leader_changes.with_label_values(&[lease]).inc();
        }
        gauge.set(leads.into());
    }

    pub(super) fn count_resource(&self, namespace: &Arc<str>, kind: Kind, more: i64) {
        self.resources.with_label_values(&[&**namespace, kind.name()]).add(more);
    }

    pub(super) fn count_fault(&self, kind: &str, fault: Fault) {
        let fault = match fault {
            Fault::Invalid => "invalid",
            Fault::Forbidden => "forbidden",
            Fault::Unreachable => "unreachable",
        };
        self.errors.with_label_values(&[kind, fault]).inc();
    }

    pub(super) fn observe(&self, kind: Kind, took: Duration) {
        self.seconds
            .with_label_values(&[kind.name()])
            .observe(took.as_secs_f64());
    }
}
