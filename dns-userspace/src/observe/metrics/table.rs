//! `hotdns_table_*`: how full the table of ready answers is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge};

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

fn families(figures: &TableFigures) -> [Box<dyn Collector>; 6] {
    let refused = IntCounter::new(
        "hotdns_table_refused_total",
        "How often a larger table of ready answers could not be had, for want of memory; the log has the reason.",
    )
    .expect("the names and help are constants");
    refused.inc_by(figures.refused.load(Ordering::Relaxed));
    [
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

fn gauge(name: &str, help: &str, value: &AtomicU64) -> Box<dyn Collector> {
    let gauge = IntGauge::new(name, help).expect("the names and help are constants");
    gauge.set(i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    Box::new(gauge)
}
