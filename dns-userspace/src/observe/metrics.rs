//! What is counted, and how it is shown to Prometheus. `docs/metrics.md` lists every name.
//!
//! ```text
//! socket workers ─ QueryCounters (atomics in shards) ─┐
//!                  Figures (rare events)             ─┤
//! XDP program    ─ XdpFigures (read on demand) ───────┼─► Metrics::render  (text exposition format)
//! writer         ─ gauges and counters ───────────────┘
//! ```
//!
//! Nothing is added up before someone asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::cluster::{CertificateFigures, CertificatesCollector};
use crate::journal::Nodes;
use crate::observe::figures::{CacheFigures, Figures, HttpFigures};
use crate::observe::latency::Latency;
use crate::observe::readiness::Readiness;
use crate::publish::{TableFigures, ZoneCounts};
use crate::rules::RuleBook;
use crate::source::Registry as Sources;
use crate::store::Conflicts;
use crate::target::TargetFigures;

mod cache;
mod coredns;
mod denied;
mod http;
mod nodes;
mod process;
mod queries;
mod readiness;
mod rules;
mod sockets;
mod sources;
mod table;
mod upstreams;
mod xdp;
mod zones;

pub use queries::QueryCounters;
pub use upstreams::{UpstreamMetrics, UpstreamServerMetrics};
pub use xdp::{XdpFigures, XdpReading};

/// Series of `hotdns_conflicts` at most: a file can bring any number.
const CONFLICT_SERIES: usize = 1000;

/// Everything that `GET /metrics` shows.
pub struct Metrics {
    registry: Registry,
    queries: Arc<QueryCounters>,
    sockets: Arc<Figures>,
    xdp: Option<Arc<dyn XdpFigures>>,
    latency: Arc<Latency>,
    records: IntGaugeVec,
    conflicts: IntGaugeVec,
    /// Those that the series are to show once somebody looks; none where they do already.
    new_conflicts: Mutex<Option<Conflicts>>,
    conflicts_total: IntGauge,
    reload_failures: IntCounter,
    version: IntGauge,
    changes: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero; `xdp` is absent where no program is loaded. `sockets` are the rare events of the socket
    /// plane.
    pub fn new(xdp: Option<Arc<dyn XdpFigures>>, sockets: Arc<Figures>) -> Self {
        let registry = Registry::new();
        let queries = Arc::new(QueryCounters::new());
        let records = gauges(
            "hotdns_records",
            "Resource records that are served, by source.",
            &["source"],
        );
        let conflicts = gauges(
            "hotdns_conflicts",
            "RRsets of files that are left out (name, type), because another source's is served (served_type, \
             served_source); the first 1000.",
            &["name", "type", "source", "served_type", "served_source"],
        );
        let conflicts_total = gauge(
            "hotdns_conflicts_count",
            "Number of RRsets of files that are left out, because another source's is served.",
        );
        let reload_failures = IntCounter::new(
            "hotdns_reload_failures_total",
            "Configuration files and zone files that could not be loaded.",
        )
        .expect("the name and help are constants");
        let version = gauge("hotdns_version", "The version of the latest change.");
        let changes = IntCounterVec::new(
            Opts::new(
                "hotdns_changes_total",
                "Change sets, by the kind of their source and what became of them.",
            ),
            &["source", "result"],
        )
        .expect("the name and help are constants");
        let build_info = gauges(
            "hotdns_build_info",
            "Always 1; the labels say what is running.",
            &["version"],
        );
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for source in ["zone_file", "config", "api"] {
            records.with_label_values(&[source]).set(0);
        }
        let latency = Arc::new(Latency::new());
        let mut collectors: Vec<Box<dyn prometheus::core::Collector>> = vec![
            latency.collector(),
            Box::new(queries::QueriesCollector::new(queries.clone(), xdp.clone())),
            Box::new(sockets::SocketsCollector::new(Arc::clone(&sockets))),
            Box::new(denied::DeniedCollector::new(Arc::clone(&sockets), xdp.clone())),
            Box::new(xdp::XdpCollector::new(xdp.clone())),
            Box::new(records.clone()),
            Box::new(conflicts.clone()),
            Box::new(conflicts_total.clone()),
            Box::new(reload_failures.clone()),
            Box::new(version.clone()),
            Box::new(changes.clone()),
            Box::new(build_info),
        ];
        // What it reads is Linux's.
        if cfg!(target_os = "linux") {
            collectors.push(Box::new(process::ProcessCollector::new()));
        }
        for collector in collectors {
            registry.register(collector).expect("every name is registered once");
        }
        Self {
            registry,
            queries,
            sockets,
            xdp,
            latency,
            records,
            conflicts,
            new_conflicts: Mutex::default(),
            conflicts_total,
            reload_failures,
            version,
            changes,
        }
    }

    /// Where the socket servers count the answers they send.
    pub fn queries(&self) -> Arc<QueryCounters> {
        self.queries.clone()
    }

    /// Where the socket servers note how long answers take.
    pub fn latency(&self) -> Arc<Latency> {
        Arc::clone(&self.latency)
    }

    /// Where the socket servers count rare events.
    pub fn sockets(&self) -> Arc<Figures> {
        Arc::clone(&self.sockets)
    }

    /// Shows counts under CoreDNS' names too, from now on.
    ///
    /// # Panics
    /// If that is shown already.
    pub fn show_coredns_names(&self, dns_port: u16) {
        let collector = coredns::CoreDnsCollector::new(self.queries(), self.xdp.clone(), dns_port);
        let registered = self.registry.register(Box::new(collector));
        registered.expect("these names are shown once");
    }

    /// Shows the table of ready answers too, from now on.
    ///
    /// # Panics
    /// If one is shown already.
    pub fn show_table(&self, figures: Arc<TableFigures>) {
        let collector = table::TableCollector::new(figures);
        let registered = self.registry.register(Box::new(collector));
        registered.expect("one table is shown");
    }

    /// Shows what is answered for each zone too, from now on.
    ///
    /// # Panics
    /// If that is shown already.
    pub fn show_zones(&self, counts: Arc<ZoneCounts>) {
        let registered = self.registry.register(Box::new(zones::ZonesCollector::new(counts)));
        registered.expect("zones are shown once");
    }

    /// Shows how far the server is too, from now on.
    ///
    /// # Panics
    /// If that is shown already.
    pub fn show_readiness(&self, readiness: Arc<Readiness>) {
        let collector = readiness::ReadinessCollector::new(readiness);
        let registered = self.registry.register(Box::new(collector));
        registered.expect("readiness is shown once");
    }

    /// Shows how many lines of the log were dropped too, from now on.
    ///
    /// # Panics
    /// If that is shown already.
    pub fn show_dropped_lines(&self, dropped: IntCounter) {
        let registered = self.registry.register(Box::new(dropped));
        registered.expect("dropped lines are shown once");
    }

    /// Shows the connections of HTTP too, from now on.
    ///
    /// # Panics
    /// If they are shown already.
    pub fn show_http(&self, figures: Arc<HttpFigures>) {
        let registered = self.registry.register(Box::new(http::HttpCollector::new(figures)));
        registered.expect("HTTP is shown once");
    }

    /// Shows upstream servers too, from now on.
    ///
    /// # Panics
    /// If they are shown already.
    pub fn show_upstreams(&self, upstreams: &UpstreamMetrics) {
        let UpstreamMetrics {
            queries,
            failures,
            seconds,
            up,
            probes,
        } = upstreams.clone();
        let collectors: [Box<dyn prometheus::core::Collector>; 5] = [
            Box::new(queries),
            Box::new(failures),
            Box::new(seconds),
            Box::new(up),
            Box::new(probes),
        ];
        for collector in collectors {
            self.registry
                .register(collector)
                .expect("upstream servers are shown once");
        }
    }

    /// Shows the cache too, from now on.
    ///
    /// # Panics
    /// If it is shown already.
    pub fn show_cache(&self, figures: Box<dyn Fn() -> Arc<CacheFigures> + Send + Sync>) {
        let registered = self.registry.register(Box::new(cache::CacheCollector::new(figures)));
        registered.expect("one cache is shown");
    }

    /// Shows the nodes that share an etcd, from now on.
    ///
    /// # Panics
    /// If they are shown already.
    pub fn show_nodes(&self, nodes: Arc<Nodes>) {
        let registered = self.registry.register(Box::new(nodes::NodesCollector::new(nodes)));
        registered.expect("nodes are shown once");
    }

    /// Shows the rules too, from now on.
    ///
    /// # Panics
    /// If they are shown already.
    pub fn show_rules(&self, rules: &Arc<RuleBook>) {
        let collector = rules::RulesCollector::new(Arc::clone(rules));
        self.registry
            .register(Box::new(collector))
            .expect("rules are shown once");
    }

    /// Shows the watched sources too, from now on.
    ///
    /// # Panics
    /// If they are shown already.
    pub fn show_sources(&self, sources: Arc<Sources>) {
        let collector = sources::SourcesCollector::new(sources);
        let registered = self.registry.register(Box::new(collector));
        registered.expect("sources are shown once");
    }

    /// Shows what targets count.
    pub(crate) fn show_targets(&self, figures: &TargetFigures) {
        for collector in figures.collectors() {
            self.registry.register(collector).expect("targets are shown once");
        }
    }

    /// Shows what is counted of certificates.
    pub(crate) fn show_certificates(&self, figures: Arc<CertificateFigures>) {
        let collector = Box::new(CertificatesCollector(figures));
        self.registry.register(collector).expect("certificates are shown once");
    }

    /// The content type of [`Metrics::render`].
    pub fn content_type() -> &'static str {
        prometheus::TEXT_FORMAT
    }

    /// Everything in Prometheus' text exposition format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        let mut new_conflicts = self.new_conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(conflicts) = new_conflicts.take() {
            self.show_conflicts(&conflicts);
        }
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    pub(crate) fn set_records(&self, by_kind: &BTreeMap<&str, i64>) {
        for (kind, rrs) in by_kind {
            self.records.with_label_values(&[kind]).set(*rrs);
        }
    }

    pub(crate) fn set_conflicts(&self, conflicts: &Conflicts) {
        let count = conflicts.len();
        self.conflicts_total.set(i64::try_from(count).unwrap_or(i64::MAX));
        *self.new_conflicts.lock().unwrap_or_else(PoisonError::into_inner) = Some(conflicts.clone());
    }

    fn show_conflicts(&self, conflicts: &Conflicts) {
        self.conflicts.reset();
        for conflict in conflicts.iter().take(CONFLICT_SERIES) {
            let labels = [
                &conflict.owner.to_string(),
                &conflict.rtype.to_string(),
                conflict.left_out.label(),
                &conflict.served_type.to_string(),
                conflict.served.label(),
            ];
            self.conflicts.with_label_values(&labels).set(1);
        }
    }

    pub(crate) fn set_version(&self, version: u64) {
        self.version.set(i64::try_from(version).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_change(&self, source: &str, result: &str) {
        self.changes.with_label_values(&[source, result]).inc();
    }

    pub(crate) fn count_reload_failures(&self, units: usize) {
        self.reload_failures.inc_by(units as u64);
    }
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect("the names and help are constants")
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("the name and help are constants")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::message::Protocol;
    use crate::model::record::RecordType;
    use crate::model::source::Origin;
    use crate::store::Conflict;

    struct Program;

    impl XdpFigures for Program {
        fn read(&self) -> XdpReading {
            XdpReading {
                answers: vec![(1, 0, 40), (16, 0, 2), (1, 0, 1)],
                passed: vec![("not_found", 5), ("fragment", 0)],
                dropped: vec![("response", 6), ("rate_limit", 7), ("acl", 8)],
                limited: 9,
                denied: 10,
                attached: vec![("eth0".to_owned(), "native")],
                addresses: 11,
                addresses_left_out: 12,
            }
        }
    }

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().expect("rendered")).expect("text")
    }

    #[test]
    fn every_answer_shows_by_transport_qtype_and_rcode() {
        let metrics = Metrics::new(None, Arc::default());
        let queries = metrics.queries();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        queries.count(Protocol::Udp, 1, 0);
                    }
                });
            }
        });
        queries.count(Protocol::Tcp, 255, 0);
        queries.count(Protocol::Tcp, 65280, 5);
        queries.count(Protocol::Udp, 28, 16);
        queries.count(Protocol::Udp, 0, 200);
        let text = text(&metrics);
        for line in [
            r#"hotdns_queries_total{qtype="A",rcode="NOERROR",transport="udp"} 400"#,
            r#"hotdns_queries_total{qtype="ANY",rcode="NOERROR",transport="tcp"} 1"#,
            r#"hotdns_queries_total{qtype="other",rcode="REFUSED",transport="tcp"} 1"#,
            r#"hotdns_queries_total{qtype="AAAA",rcode="BADVERS",transport="udp"} 1"#,
            r#"hotdns_queries_total{qtype="other",rcode="other",transport="udp"} 1"#,
            r#"hotdns_queries_total{qtype="A",rcode="NOERROR",transport="xdp"} 0"#,
            "hotdns_xdp_answers_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn xdp_figures_are_read_when_asked_for() {
        let text = text(&Metrics::new(Some(Arc::new(Program)), Arc::default()));
        for line in [
            r#"hotdns_queries_total{qtype="A",rcode="NOERROR",transport="xdp"} 41"#,
            r#"hotdns_queries_total{qtype="TXT",rcode="NOERROR",transport="xdp"} 2"#,
            "hotdns_xdp_answers_total 43",
            r#"hotdns_xdp_passed_total{reason="not_found"} 5"#,
            r#"hotdns_xdp_passed_total{reason="fragment"} 0"#,
            r#"hotdns_xdp_dropped_total{reason="response"} 6"#,
            r#"hotdns_rate_limited_total{action="dropped",plane="xdp"} 7"#,
            r#"hotdns_rate_limited_total{action="truncated",plane="xdp"} 9"#,
            r#"hotdns_acl_denied_total{action="dropped",plane="xdp"} 8"#,
            r#"hotdns_acl_denied_total{action="refused",plane="xdp"} 10"#,
            r#"hotdns_xdp_attached{interface="eth0",mode="native"} 1"#,
            r#"hotdns_xdp_addresses{state="answered"} 11"#,
            r#"hotdns_xdp_addresses{state="left_out"} 12"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn rare_events_of_sockets_show_from_the_start() {
        let metrics = Metrics::new(None, Arc::default());
        let sockets = metrics.sockets();
        sockets.panics.store(1, Ordering::Relaxed);
        sockets.udp_unsent.store(2, Ordering::Relaxed);
        sockets.tcp_refused.store(3, Ordering::Relaxed);
        sockets.tcp_connections.store(4, Ordering::Relaxed);
        sockets.limit_dropped.store(5, Ordering::Relaxed);
        sockets.limit_truncated.store(6, Ordering::Relaxed);
        sockets.acl_dropped.store(7, Ordering::Relaxed);
        sockets.acl_refused.store(8, Ordering::Relaxed);
        let text = text(&metrics);
        for line in [
            "hotdns_worker_panics_total 1",
            "hotdns_udp_unsent_total 2",
            "hotdns_tcp_refused_total 3",
            "hotdns_tcp_connections 4",
            "hotdns_forward_overflow_total 0",
            r#"hotdns_rate_limited_total{action="dropped",plane="sockets"} 5"#,
            r#"hotdns_rate_limited_total{action="truncated",plane="sockets"} 6"#,
            r#"hotdns_acl_denied_total{action="dropped",plane="sockets"} 7"#,
            r#"hotdns_acl_denied_total{action="refused",plane="sockets"} 8"#,
            r#"hotdns_rate_limited_total{action="dropped",plane="xdp"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn connections_of_http_show() {
        let metrics = Metrics::new(None, Arc::default());
        let figures: Arc<HttpFigures> = Arc::default();
        metrics.show_http(Arc::clone(&figures));
        figures.connections.store(1, Ordering::Relaxed);
        figures.displaced.store(2, Ordering::Relaxed);
        figures.stalled.store(3, Ordering::Relaxed);
        figures.full.store(4, Ordering::Relaxed);
        figures.overloaded.store(5, Ordering::Relaxed);
        let text = text(&metrics);
        for line in [
            "hotdns_http_connections 1",
            r#"hotdns_http_closed_total{reason="displaced"} 2"#,
            r#"hotdns_http_closed_total{reason="stalled"} 3"#,
            r#"hotdns_http_closed_total{reason="full"} 4"#,
            "hotdns_http_overloaded_total 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn records_conflicts_failures_build_and_process_show() {
        let metrics = Metrics::new(None, Arc::default());
        metrics.set_records(&BTreeMap::from([("config", 1), ("zone_file", 20), ("api", 3)]));
        let conflict = Conflict {
            owner: "www.x.".parse().expect("a name"),
            rtype: RecordType::A,
            left_out: Origin::zone_file("zones/x"),
            served: Origin::api(),
            served_type: RecordType::CNAME,
            view: None,
        };
        metrics.set_conflicts(&Conflicts::from_iter([conflict]));
        metrics.count_reload_failures(2);
        let first = text(&metrics);
        for line in [
            r#"hotdns_records{source="zone_file"} 20"#,
            r#"hotdns_records{source="api"} 3"#,
            r#"hotdns_conflicts{name="www.x.",served_source="api",served_type="CNAME",source="zone_file",type="A"} 1"#,
            "hotdns_conflicts_count 1",
            "hotdns_reload_failures_total 2",
        ] {
            assert!(first.lines().any(|found| found == line), "{line} in\n{first}");
        }
        assert!(first.contains(concat!(
            "hotdns_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        )));
        assert!(first.contains("process_resident_memory_bytes"));
        metrics.set_conflicts(&Conflicts::default());
        assert!(!text(&metrics).contains("www.x."), "a conflict that is over is gone");
    }
}
