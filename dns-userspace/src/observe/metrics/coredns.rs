//! CoreDNS' names for the same counts (`metrics.coredns_names`), so that its dashboards and alerts go on.
//!
//! What hotdns does not tell apart has one value: `server` is `dns://.:53` and the like, `zone` is `.`, `view`,
//! `family` and `plugin` are empty. Answers of the XDP program are UDP, as they are for a client.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, MetricFamily};
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::queries::{QueriesCollector, QueryCounters};
use super::xdp::XdpFigures;

const REQUESTS: [&str; 6] = ["server", "zone", "view", "proto", "family", "type"];
const RESPONSES: [&str; 5] = ["server", "zone", "view", "rcode", "plugin"];

pub(super) struct CoreDnsCollector {
    queries: QueriesCollector,
    server: String,
    descs: Vec<Desc>,
}

impl CoreDnsCollector {
    pub(super) fn new(counters: Arc<QueryCounters>, xdp: Option<Arc<dyn XdpFigures>>, dns_port: u16) -> Self {
        let (requests, responses) = families();
        let build = build_info();
        let descs = [requests.desc(), responses.desc(), build.desc()].concat();
        Self {
            queries: QueriesCollector::new(counters, xdp),
            server: format!("dns://.:{dns_port}"),
            descs: descs.into_iter().cloned().collect(),
        }
    }
}

impl Collector for CoreDnsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (requests, responses) = families();
        let answers = self.queries.collect();
        for answer in answers.iter().flat_map(MetricFamily::get_metric) {
            let label = |name: &str| {
                let found = answer.get_label().iter().find(|label| label.name() == name);
                found.map_or("", LabelPair::value)
            };
            let proto = if label("transport") == "tcp" { "tcp" } else { "udp" };
            let count = answer.get_counter().get_value() as u64;
            let server = self.server.as_str();
            requests
                .with_label_values(&[server, ".", "", proto, "", label("qtype")])
                .inc_by(count);
            responses
                .with_label_values(&[server, ".", "", label("rcode"), ""])
                .inc_by(count);
        }
        [requests.collect(), responses.collect(), build_info().collect()].concat()
    }
}

fn families() -> (IntCounterVec, IntCounterVec) {
    let family = |name: &str, help: &str, labels: &[&str]| {
        IntCounterVec::new(Opts::new(name, help), labels).expect("the names and help are constants")
    };
    (
        family(
            "coredns_dns_requests_total",
            "Answers sent, under CoreDNS' name.",
            &REQUESTS,
        ),
        family(
            "coredns_dns_responses_total",
            "Answers sent, under CoreDNS' name.",
            &RESPONSES,
        ),
    )
}

fn build_info() -> IntGaugeVec {
    let opts = Opts::new("coredns_build_info", "Always 1; the version is hotdns'.");
    let family = IntGaugeVec::new(opts, &["version", "revision", "goversion"]).expect("the name is a constant");
    family.with_label_values(&[env!("CARGO_PKG_VERSION"), "", ""]).set(1);
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Protocol;

    #[test]
    fn counts_have_coredns_names() {
        let counters = Arc::new(QueryCounters::new());
        counters.count(Protocol::Tcp, 28, 3);
        counters.count(Protocol::Udp, 1, 0);
        let collector = CoreDnsCollector::new(counters, None, 5300);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(collector)).expect("registered once");
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        for line in [
            r#"coredns_dns_requests_total{family="",proto="tcp",server="dns://.:5300",type="AAAA",view="",zone="."} 1"#,
            r#"coredns_dns_requests_total{family="",proto="udp",server="dns://.:5300",type="A",view="",zone="."} 1"#,
            r#"coredns_dns_responses_total{plugin="",rcode="NXDOMAIN",server="dns://.:5300",view="",zone="."} 1"#,
            r#"coredns_build_info{goversion="",revision="",version=""#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
