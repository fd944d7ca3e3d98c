//! `hotdns_xdp_*`: what the XDP program did.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts};

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
    /// The interfaces it is attached to, and how.
    pub attached: Vec<(String, &'static str)>,
    /// Own addresses that it answers for, by interface and tag.
    pub addresses: u64,
    /// Those that it has no room for.
    pub addresses_left_out: u64,
}

pub(super) struct XdpCollector {
    source: Option<Arc<dyn XdpFigures>>,
    descs: Vec<Desc>,
}

impl XdpCollector {
    pub(super) fn new(source: Option<Arc<dyn XdpFigures>>) -> Self {
        let descs = [
            answers().desc(),
            passed().desc(),
            dropped().desc(),
            attached().desc(),
            addresses().desc(),
        ]
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
        let (attached, addresses) = (attached(), addresses());
        for (interface, mode) in &reading.attached {
            attached.with_label_values(&[interface.as_str(), mode]).set(1);
        }
        for (state, number) in [
            ("answered", reading.addresses),
            ("left_out", reading.addresses_left_out),
        ] {
            addresses
                .with_label_values(&[state])
                .set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        [
            answers.collect(),
            passed.collect(),
            dropped.collect(),
            attached.collect(),
            addresses.collect(),
        ]
        .concat()
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

fn attached() -> IntGaugeVec {
    let help = "Interfaces that the XDP program is attached to: 1 for each.";
    IntGaugeVec::new(Opts::new("hotdns_xdp_attached", help), &["interface", "mode"])
        .expect("the names and help are constants")
}

fn addresses() -> IntGaugeVec {
    let help = "Own addresses at interfaces with the XDP program: answered from there, or left out for want of room.";
    IntGaugeVec::new(Opts::new("hotdns_xdp_addresses", help), &["state"]).expect("the names and help are constants")
}

fn by_reason(name: &str, help: &str) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), &["reason"]).expect("the names and help are constants")
}
