//! What rate limits and access lists kept from being answered, by both planes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dns_common::reason::DropReason;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::xdp::{XdpFigures, XdpReading};
use crate::observe::figures::Figures;

/// Shows `hotdns_rate_limited_total` and `hotdns_acl_denied_total`.
pub(super) struct DeniedCollector {
    figures: Arc<Figures>,
    xdp: Option<Arc<dyn XdpFigures>>,
    descs: Vec<Desc>,
}

impl DeniedCollector {
    pub(super) fn new(figures: Arc<Figures>, xdp: Option<Arc<dyn XdpFigures>>) -> Self {
        let families = families(&figures, &XdpReading::default());
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { figures, xdp, descs }
    }
}

impl Collector for DeniedCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = self.xdp.as_ref().map(|xdp| xdp.read()).unwrap_or_default();
        families(&self.figures, &reading)
            .iter()
            .flat_map(|family| family.collect())
            .collect()
    }
}

fn families(figures: &Figures, xdp: &XdpReading) -> [IntCounterVec; 2] {
    let family = |name: &str, help: &str| {
        IntCounterVec::new(Opts::new(name, help), &["plane", "action"]).expect("the names and help are constants")
    };
    let limited = family(
        "hotdns_rate_limited_total",
        "Queries over a rate limit, by plane and what became of them.",
    );
    let denied = family(
        "hotdns_acl_denied_total",
        "Queries that an access list denied, by plane and what became of them.",
    );
    let sockets = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let dropped = |reason: DropReason| {
        let counts = xdp.dropped.iter().filter(|(label, _)| *label == reason.label());
        counts.map(|(_, count)| count).sum()
    };
    for (family, plane, action, count) in [
        (&limited, "xdp", "dropped", dropped(DropReason::RateLimit)),
        (&limited, "xdp", "truncated", xdp.limited),
        (&limited, "sockets", "dropped", sockets(&figures.limit_dropped)),
        (&limited, "sockets", "truncated", sockets(&figures.limit_truncated)),
        (&denied, "xdp", "dropped", dropped(DropReason::Access)),
        (&denied, "xdp", "refused", xdp.denied),
        (&denied, "sockets", "dropped", sockets(&figures.acl_dropped)),
        (&denied, "sockets", "refused", sockets(&figures.acl_refused)),
    ] {
        family.with_label_values(&[plane, action]).inc_by(count);
    }
    [limited, denied]
}
