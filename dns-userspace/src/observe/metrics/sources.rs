//! `hotdns_source_…`: how each watched source is.

use std::sync::Arc;
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::gauges;
use crate::source::{Registry, SourceState};

/// Shows the watched sources.
pub(super) struct SourcesCollector {
    sources: Arc<Registry>,
    descs: Vec<Desc>,
}

impl SourcesCollector {
    pub(super) fn new(sources: Arc<Registry>) -> Self {
        let families = families(&sources);
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { sources, descs }
    }
}

impl Collector for SourcesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.sources);
        // Clusters may come and go.
        let clusters = self.sources.kubernetes_figures().into_iter();
        let clusters = clusters.flat_map(|figures| figures.collectors());
        let families = families.into_iter().chain(clusters);
        families.flat_map(|family| family.collect()).collect()
    }
}

fn families(sources: &Registry) -> [Box<dyn Collector>; 7] {
    let of_source = ["kind", "name"];
    let states = gauges(
        "hotdns_source_state",
        "1 for the state that a watched source is in, 0 for the others.",
        &["kind", "name", "state"],
    );
    let objects = gauges(
        "hotdns_source_objects",
        "Objects of a watched source that are understood.",
        &of_source,
    );
    let skipped = gauges(
        "hotdns_source_skipped_objects",
        "Objects of a watched source that are not understood; the API says why.",
        &of_source,
    );
    let records = gauges(
        "hotdns_source_records",
        "RRsets that a watched source asks for.",
        &of_source,
    );
    let flapping = gauges(
        "hotdns_source_flapping",
        "Objects of a watched source that change so often that their changes are served more slowly.",
        &of_source,
    );
    let ages = gauges(
        "hotdns_source_sync_age_seconds",
        "Seconds since a watched source was in step with its world; absent where it never was.",
        &of_source,
    );
    let disagreements = gauges(
        "hotdns_source_disagreements",
        "Names and routers on which a Traefik and DNS disagree, by kind; absent where the two are not compared.",
        &["kind", "name", "disagreement"],
    );
    for source in sources.iter() {
        let info = source.status.source().info();
        let labels = [&*info.kind, info.name.as_deref().unwrap_or_default()];
        let report = source.status.report();
        for state in SourceState::ALL {
            let labels = [labels[0], labels[1], state.label()];
            states.with_label_values(&labels).set(i64::from(state == report.state));
        }
        for (kind, count) in source.disagreements() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            disagreements
                .with_label_values(&[labels[0], labels[1], kind])
                .set(count);
        }
        let set = |gauge: &prometheus::IntGaugeVec, value: usize| {
            gauge
                .with_label_values(&labels)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&objects, report.objects);
        set(&skipped, report.broken_count);
        set(&records, report.rrsets);
        set(&flapping, report.flapping.len());
        if let Some(age) = report.age(SystemTime::now()) {
            ages.with_label_values(&labels)
                .set(i64::try_from(age).unwrap_or(i64::MAX));
        }
    }
    [
        Box::new(states),
        Box::new(objects),
        Box::new(skipped),
        Box::new(records),
        Box::new(flapping),
        Box::new(ages),
        Box::new(disagreements),
    ]
}
