//! Upstream servers: what they were asked, how long they took, and how they failed.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

const LABELS: &[&str] = &["upstream", "server"];
/// From what a resolver in the next room takes to what a client hardly waits for.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// What is counted of all servers.
#[derive(Debug, Clone)]
pub struct UpstreamMetrics {
    pub(super) queries: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) seconds: HistogramVec,
    pub(super) up: IntGaugeVec,
    pub(super) probes: IntCounterVec,
}

/// What is counted of one.
#[derive(Debug, Clone)]
pub struct UpstreamServerMetrics {
    /// Questions that it was asked.
    pub queries: IntCounter,
    /// Those that got no answer from it.
    pub failures: IntCounter,
    /// How long its replies took.
    pub seconds: Histogram,
    /// 1, or 0 while it rests.
    pub up: IntGauge,
    /// Probes that it replied to, and those that it did not.
    probes: [IntCounter; 2],
}

impl UpstreamServerMetrics {
    /// Counts a probe.
    pub fn count_probe(&self, is_answered: bool) {
        self.probes[usize::from(!is_answered)].inc();
    }
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        let counters =
            |name, help| IntCounterVec::new(Opts::new(name, help), LABELS).expect("the names and help are constants");
        let seconds = HistogramOpts::new("hotdns_upstream_seconds", "Time to the reply of an upstream server.");
        let up = Opts::new(
            "hotdns_upstream_up",
            "1, or 0 while an upstream server rests because it did not reply.",
        );
        let probes = Opts::new(
            "hotdns_upstream_probes_total",
            "Questions that an upstream server was asked by time.",
        );
        Self {
            probes: IntCounterVec::new(probes, &["upstream", "server", "result"]).expect("the names are constants"),
            queries: counters(
                "hotdns_upstream_queries_total",
                "Questions that an upstream server was asked.",
            ),
            failures: counters(
                "hotdns_upstream_failures_total",
                "Questions to which an upstream server gave no reply, or an error.",
            ),
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), LABELS).expect("the names are constants"),
            up: IntGaugeVec::new(up, LABELS).expect("the names and help are constants"),
        }
    }
}

impl UpstreamMetrics {
    /// Those of one server of a set; they are shown from now on.
    pub fn of(&self, upstream: &str, server: &str) -> UpstreamServerMetrics {
        let labels = &[upstream, server];
        let metrics = UpstreamServerMetrics {
            queries: self.queries.with_label_values(labels),
            failures: self.failures.with_label_values(labels),
            seconds: self.seconds.with_label_values(labels),
            up: self.up.with_label_values(labels),
            probes: ["answered", "silent"].map(|result| self.probes.with_label_values(&[upstream, server, result])),
        };
        metrics.up.set(1);
        metrics
    }
}
