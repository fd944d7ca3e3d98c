//! What clusters count, under the names of catalyst-dns-sync, whose dashboards and alerts go on to work.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use super::cluster::Previews;
use super::kinds::Kind;

/// Figures of all clusters together.
pub struct KubernetesFigures {
    resources: IntGaugeVec,
    seconds: HistogramVec,
    errors: IntCounterVec,
    build: IntGaugeVec,
    previews: IntGaugeVec,
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
        let build = Opts::new("catalyst_dns_sync_build_info", "1, with what was built as labels.");
        let build = IntGaugeVec::new(build, &["version", "commit", "go_version", "rust_version"]).expect(GOOD);
        build
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                option_env!("HOTDNS_COMMIT").unwrap_or_default(),
                "",
                env!("HOTDNS_RUST_VERSION"),
            ])
            .set(1);
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
            previews: IntGaugeVec::new(
                Opts::new(
                    "catalyst_dns_sync_preview_environments_total",
                    "1 for each preview environment that there is, by its namespace.",
                ),
                &["namespace", "status"],
            )
            .expect(GOOD),
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
            Box::new(self.previews.clone()),
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

    /// These were the preview environments of a cluster, and these are they now: each namespace with its status.
    pub(super) fn count_previews(&self, before: &Previews, after: &Previews) {
        for (namespace, status) in before.iter().filter(|(key, status)| after.get(*key) != Some(*status)) {
            let gauge = self.previews.with_label_values(&[&**namespace, *status]);
            gauge.dec();
            // Another cluster may have one of the same name.
            if gauge.get() == 0 {
                // It is there: it was counted.
                let _ = self.previews.remove_label_values(&[&**namespace, *status]);
            }
        }
        for (namespace, status) in after.iter().filter(|(key, status)| before.get(*key) != Some(*status)) {
            self.previews.with_label_values(&[&**namespace, *status]).inc();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_environment_is_shown_as_long_as_it_is_there() {
        let figures = KubernetesFigures::default();
        let shown = || {
            let families = figures.previews.collect();
            let metrics = families.iter().flat_map(|family| family.get_metric());
            let labels = metrics.map(|metric| {
                let values = metric.get_label().iter().map(|label| label.value().to_owned());
                values.collect::<Vec<_>>().join(" ")
            });
            labels.collect::<Vec<_>>()
        };
        let (none, active) = (Previews::new(), Previews::from([("pr-1".into(), "active")]));
        figures.count_previews(&none, &active);
        assert_eq!(shown(), ["pr-1 active"]);
        figures.count_previews(&active, &Previews::from([("pr-1".into(), "ending")]));
        assert_eq!(shown(), ["pr-1 ending"]);
        figures.count_previews(&Previews::from([("pr-1".into(), "ending")]), &none);
        assert!(shown().is_empty());
    }
}
