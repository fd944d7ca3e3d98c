//! Rare events of the socket plane, and its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge};

use crate::observe::figures::Figures;

/// Shows [`Figures`].
pub(super) struct SocketsCollector {
    figures: Arc<Figures>,
    descs: Vec<Desc>,
}

impl SocketsCollector {
    pub(super) fn new(figures: Arc<Figures>) -> Self {
        let descs = families(&figures)
            .iter()
            .flat_map(|family| family.desc())
            .cloned()
            .collect();
        Self { figures, descs }
    }
}

impl Collector for SocketsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&self.figures)
            .iter()
            .flat_map(|family| family.collect())
            .collect()
    }
}

fn families(figures: &Figures) -> [Box<dyn Collector>; 11] {
    [
        counter(
            "hotdns_worker_panics_total",
            "Queries that made the answerer or the forwarder panic, and other panics of socket workers; the log has \
             each.",
            &figures.panics,
        ),
        counter(
            "hotdns_udp_unsent_total",
            "Answers over UDP that the kernel did not take.",
            &figures.udp_unsent,
        ),
        counter(
            "hotdns_tcp_refused_total",
            "TCP connections that were closed because of a limit.",
            &figures.tcp_refused,
        ),
        counter(
            "hotdns_forward_overflow_total",
            "Queries answered SERVFAIL because too many were on their way upstream.",
            &figures.forward_overflow,
        ),
        counter(
            "hotdns_forward_loops_total",
            "Queries answered SERVFAIL because this server had sent them upstream itself: a forwarding loop.",
            &figures.forward_loops,
        ),
        counter(
            "hotdns_query_log_written_total",
            "Queries that were written to the query log.",
            &figures.query_log_written,
        ),
        counter(
            "hotdns_query_log_dropped_total",
            "Queries that were to be written to the query log and were not, since it could not be written fast enough.",
            &figures.query_log_dropped,
        ),
        counter(
            "hotdns_xdp_untold_total",
            "Answers of the XDP program that were to be logged and were not, since its ring was full.",
            &figures.xdp_untold,
        ),
        counter(
            "hotdns_dnstap_written_total",
            "Frames that a dnstap collector has taken.",
            &figures.dnstap_written,
        ),
        counter(
            "hotdns_dnstap_dropped_total",
            "Frames that no dnstap collector has taken, since there was none, or it was too slow.",
            &figures.dnstap_dropped,
        ),
        connections(&figures.tcp_connections),
    ]
}

fn counter(name: &str, help: &str, value: &AtomicU64) -> Box<dyn Collector> {
    let counter = IntCounter::new(name, help).expect("the names and help are constants");
    counter.inc_by(value.load(Ordering::Relaxed));
    Box::new(counter)
}

fn connections(value: &AtomicU64) -> Box<dyn Collector> {
    let gauge = IntGauge::new("hotdns_tcp_connections", "TCP connections that are open.")
        .expect("the name and help are constants");
    gauge.set(i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    Box::new(gauge)
}
