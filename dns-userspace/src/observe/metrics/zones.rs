//! `hotdns_zone_queries_total`: answers by zone, where that is asked for (`metrics.per_zone`).

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use crate::publish::{ZoneAnswers, ZoneCounts};

/// Shows [`ZoneCounts`].
pub(super) struct ZonesCollector {
    counts: Arc<ZoneCounts>,
    desc: Desc,
}

impl ZonesCollector {
    pub(super) fn new(counts: Arc<ZoneCounts>) -> Self {
        let desc = family().desc()[0].clone();
        Self { counts, desc }
    }
}

impl Collector for ZonesCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let family = family();
        for ZoneAnswers {
            zone,
            transport,
            rcode,
            answers,
        } in self.counts.read()
        {
            family
                .with_label_values(&[zone.as_str(), transport, rcode])
                .inc_by(answers);
        }
        family.collect()
    }
}

fn family() -> IntCounterVec {
    let opts = Opts::new(
        "hotdns_zone_queries_total",
        "Answers that a zone gave, by transport and RCODE.",
    );
    IntCounterVec::new(opts, &["zone", "transport", "rcode"]).expect("the names and help are constants")
}
