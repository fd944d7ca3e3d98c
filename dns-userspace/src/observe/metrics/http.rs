//! Connections of HTTP, and what limits did to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts};

use super::gauge;
use crate::observe::figures::HttpFigures;

/// Shows [`HttpFigures`].
pub(super) struct HttpCollector {
    figures: Arc<HttpFigures>,
    descs: Vec<Desc>,
}

impl HttpCollector {
    pub(super) fn new(figures: Arc<HttpFigures>) -> Self {
        let families = families(&figures);
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { figures, descs }
    }
}

impl Collector for HttpCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.figures);
        families.iter().flat_map(|family| family.collect()).collect()
    }
}

fn families(figures: &HttpFigures) -> [Box<dyn Collector>; 3] {
    let connections = gauge("hotdns_http_connections", "HTTP connections that are open.");
    let open = figures.connections.load(Ordering::Relaxed);
    connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    let opts = Opts::new(
        "hotdns_http_closed_total",
        "HTTP connections that were closed because of a limit, by what it was.",
    );
    let closed = IntCounterVec::new(opts, &["reason"]).expect("the names and help are constants");
    for (reason, value) in [
        ("displaced", &figures.displaced),
        ("stalled", &figures.stalled),
        ("full", &figures.full),
    ] {
        closed
            .with_label_values(&[reason])
            .inc_by(value.load(Ordering::Relaxed));
    }
    let overloaded = IntCounter::new(
        "hotdns_http_overloaded_total",
        "HTTP requests that were answered 503 `overloaded`.",
    )
    .expect("the name and help are constants");
    overloaded.inc_by(figures.overloaded.load(Ordering::Relaxed));
    [Box::new(connections), Box::new(closed), Box::new(overloaded)]
}
