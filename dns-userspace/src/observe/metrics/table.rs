//! `hotdns_table_*`: how full the table of ready answers is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dns_common::slot::CLASS_BYTES;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts};

use crate::publish::TableFigures;

/// Shows [`TableFigures`].
pub(super) struct TableCollector {
    figures: Arc<TableFigures>,
    descs: Vec<Desc>,
}

impl TableCollector {
    pub(super) fn new(figures: Arc<TableFigures>) -> Self {
        let descs = families(&figures)
            .iter()
            .flat_map(|family| family.desc())
            .cloned()
            .collect();
        Self { figures, descs }
    }
}

impl Collector for TableCollector {
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

fn families(figures: &TableFigures) -> [Box<dyn Collector>; 8] {
    let refused = IntCounter::new(
        "hotdns_table_refused_total",
        "How often a larger table of ready answers could not be had, for want of memory; the log has the reason.",
    )
    .expect("the names and help are constants");
    refused.inc_by(figures.refused.load(Ordering::Relaxed));
    [
        fill(figures),
        slots(figures),
        gauge(
            "hotdns_table_names",
            "Names in the table of ready answers.",
            &figures.names,
        ),
        gauge(
            "hotdns_table_lines",
            "Lines of the table of ready answers, each with room for a name, or for two that need little.",
            &figures.lines,
        ),
        gauge(
            "hotdns_table_unplaced",
            "Names that found no room in the table of ready answers: only userspace answers them.",
            &figures.unplaced,
        ),
        gauge(
            "hotdns_table_sparse_areas",
            "Areas of a few names far below their empty non-terminals: what has no data there only userspace answers.",
            &figures.sparse_areas,
        ),
        gauge(
            "hotdns_table_bytes",
            "Octets of the table of ready answers.",
            &figures.bytes,
        ),
        Box::new(refused),
    ]
}

/// How much of the lines is used.
fn fill(figures: &TableFigures) -> Box<dyn Collector> {
    let gauge = Gauge::new(
        "hotdns_table_fill_ratio",
        "Share of the room in lines that is used, 0 to 1: the table grows at 0.85.",
    )
    .expect("the names and help are constants");
    let (halves, lines) = (&figures.halves, &figures.lines);
    let room = 2 * lines.load(Ordering::Relaxed).max(1);
    gauge.set(halves.load(Ordering::Relaxed) as f64 / room as f64);
    Box::new(gauge)
}

/// Slots for larger answers, by their octets.
fn slots(figures: &TableFigures) -> Box<dyn Collector> {
    let help = "Slots for ready answers that have no room in lines, by their octets: those in use, and all.";
    let family = IntGaugeVec::new(Opts::new("hotdns_table_slots", help), &["bytes", "state"])
        .expect("the names and help are constants");
    for (bytes, of_class) in CLASS_BYTES.iter().zip(&figures.slots) {
        for (state, value) in ["all", "used"].into_iter().zip(of_class) {
            let value = i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            family.with_label_values(&[&bytes.to_string(), state]).set(value);
        }
    }
    Box::new(family)
}

fn gauge(name: &str, help: &str, value: &AtomicU64) -> Box<dyn Collector> {
    let gauge = IntGauge::new(name, help).expect("the names and help are constants");
    gauge.set(i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    Box::new(gauge)
}
