//! What targets count. The names of Technitium's figures are those of catalyst-dns-sync, whose dashboards go on to
//! work.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

/// Figures of all targets.
pub struct TargetFigures {
    records: IntGaugeVec,
    pending: IntGaugeVec,
    changes: IntCounterVec,
    requests: IntCounterVec,
    seconds: HistogramVec,
    drift: IntCounterVec,
    provider_requests: IntCounterVec,
    provider_seconds: HistogramVec,
}

impl Default for TargetFigures {
    fn default() -> Self {
        const GOOD: &str = "names and labels of a metric";
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels).expect(GOOD);
        let gauges = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["target"]).expect(GOOD);
        Self {
            records: gauges("hotdns_target_records", "Records that a target has of us."),
            pending: gauges("hotdns_target_pending", "Changes that a target has not taken yet."),
            changes: counters(
                "catalyst_dns_sync_records_total",
                "Records that were created, updated or deleted at targets.",
                &["zone", "status"],
            ),
            requests: counters(
                "catalyst_dns_sync_api_requests_total",
                "Requests to Technitium's API; `error` where no status came.",
                &["endpoint", "method", "status_code"],
            ),
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "catalyst_dns_sync_api_request_duration_seconds",
                    "Seconds that requests to Technitium's API took.",
                ),
                &["endpoint", "method"],
            )
            .expect(GOOD),
            drift: counters(
                "catalyst_dns_sync_drift_detected_total",
                "Differences between a target and what we wrote there that we did not make.",
                &["zone", "hostname", "drift_type"],
            ),
            provider_requests: counters(
                "hotdns_target_requests_total",
                "Requests to the APIs of Cloudflare and Route 53; `error` where no status came.",
                &["provider", "endpoint", "status_code"],
            ),
            provider_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "hotdns_target_request_duration_seconds",
                    "Seconds that requests to the APIs of Cloudflare and Route 53 took.",
                ),
                &["provider", "endpoint"],
            )
            .expect(GOOD),
        }
    }
}

impl TargetFigures {
    /// All of them, to be shown.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.records.clone()),
            Box::new(self.pending.clone()),
            Box::new(self.changes.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.drift.clone()),
            Box::new(self.provider_requests.clone()),
            Box::new(self.provider_seconds.clone()),
        ]
    }

    pub(super) fn set_records(&self, target: &str, records: usize) {
        self.records
            .with_label_values(&[target])
            .set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    pub(super) fn set_pending(&self, target: &str, pending: usize) {
        self.pending
            .with_label_values(&[target])
            .set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    pub(super) fn count_change(&self, zone: &str, status: &str) {
        self.changes.with_label_values(&[zone, status]).inc();
    }

    pub(super) fn count_request(&self, endpoint: &str, status: &str, took: Duration) {
        self.requests.with_label_values(&[endpoint, "POST", status]).inc();
        self.seconds
            .with_label_values(&[endpoint, "POST"])
            .observe(took.as_secs_f64());
    }

    pub(super) fn count_provider(&self, provider: &str, endpoint: &str, status: &str, took: Duration) {
        self.provider_requests
            .with_label_values(&[provider, endpoint, status])
            .inc();
        self.provider_seconds
            .with_label_values(&[provider, endpoint])
            .observe(took.as_secs_f64());
    }

    pub(super) fn count_drift(&self, zone: &str, hostname: &str, kind: &str) {
        self.drift.with_label_values(&[zone, hostname, kind]).inc();
    }
}
