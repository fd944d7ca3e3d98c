//! `hotdns_xdp_*`: what the XDP program did.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// Reads the program's counters.
pub trait XdpFigures: Send + Sync {
    /// All counters, since the start of the process, over all processors and interfaces.
    fn read(&self) -> XdpReading;
}

/// The XDP program's counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XdpReading {
    /// Answers by QTYPE and RCODE; pairs may repeat, and are added up.
    pub answers: Vec<(u16, u8, u64)>,
    /// DNS to us that went up, by reason; every reason is listed, with 0 too.
    pub passed: Vec<(&'static str, u64)>,
    /// DNS to us that was dropped, by reason; every reason is listed, with 0 too.
    pub dropped: Vec<(&'static str, u64)>,
    /// Answers truncated because of a rate limit.
    pub limited: u64,
    /// Answers refused because of an access list.
    pub denied: u64,
}

pub(super) struct XdpCollector {
    source: Option<Arc<dyn XdpFigures>>,
    descs: Vec<Desc>,
}

impl XdpCollector {
    pub(super) fn new(source: Option<Arc<dyn XdpFigures>>) -> Self {
        let descs = [answers().desc(), passed().desc(), dropped().desc()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        Self { source, descs }
    }
}

impl Collector for XdpCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = self.source.as_ref().map(|source| source.read()).unwrap_or_default();
        let (answers, passed, dropped) = (answers(), passed(), dropped());
        answers.inc_by(reading.answers.iter().map(|(_, _, answers)| answers).sum());
        for (family, figures) in [(&passed, reading.passed), (&dropped, reading.dropped)] {
            for (reason, packets) in figures {
                family.with_label_values(&[reason]).inc_by(packets);
            }
        }
        [answers.collect(), passed.collect(), dropped.collect()].concat()
    }
}

fn answers() -> IntCounter {
    IntCounter::new("hotdns_xdp_answers_total", "Answers sent by the XDP program.").expect("constants")
}

fn passed() -> IntCounterVec {
    by_reason(
        "hotdns_xdp_passed_total",
        "DNS to this server that the XDP program passed up to userspace, by reason.",
    )
}

fn dropped() -> IntCounterVec {
    by_reason(
        "hotdns_xdp_dropped_total",
        "DNS to this server that the XDP program dropped, by reason.",
    )
}

fn by_reason(name: &str, help: &str) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), &["reason"]).expect("the names and help are constants")
}
