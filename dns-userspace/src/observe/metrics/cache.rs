//! The cache of upstream answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntCounter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::gauge;
use crate::observe::figures::CacheFigures;

/// Shows [`CacheFigures`].
pub(super) struct CacheCollector {
    figures: Box<dyn Fn() -> Arc<CacheFigures> + Send + Sync>,
    descs: Vec<Desc>,
}

impl CacheCollector {
    /// `figures` gives them as they are.
    pub(super) fn new(figures: Box<dyn Fn() -> Arc<CacheFigures> + Send + Sync>) -> Self {
        let families = families(&figures());
        let descs = families.iter().flat_map(|family| family.desc()).cloned().collect();
        Self { figures, descs }
    }
}

impl Collector for CacheCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&(self.figures)());
        families.iter().flat_map(|family| family.collect()).collect()
    }
}

fn families(figures: &CacheFigures) -> Vec<Box<dyn Collector>> {
    let counter = |name, help, value: &AtomicU64| -> Box<dyn Collector> {
        let counter = IntCounter::new(name, help).expect("the names and help are constants");
        counter.inc_by(value.load(Ordering::Relaxed));
        Box::new(counter)
    };
    let level = |name, help, value: &AtomicU64| -> Box<dyn Collector> {
        let level = gauge(name, help);
        level.set(i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        Box::new(level)
    };
    let in_xdp = figures.hits_in_xdp.load(Ordering::Relaxed);
    let hits = AtomicU64::new(figures.hits.load(Ordering::Relaxed) + in_xdp);
    vec![
        counter(
            "hotdns_cache_hits_total",
            "Questions that the cache had an answer to, in XDP too.",
            &hits,
        ),
        counter(
            "hotdns_xdp_cache_answers_total",
            "Those of them that the XDP program answered.",
            &figures.hits_in_xdp,
        ),
        counter(
            "hotdns_xdp_rule_answers_total",
            "Questions that the XDP program answered as a rule says.",
            &figures.ruled_in_xdp,
        ),
        counter(
            "hotdns_cache_promoted_total",
            "Answers that were asked for so often that the fast path and XDP give them, those of rules too.",
            &figures.promoted,
        ),
        counter(
            "hotdns_cache_misses_total",
            "Questions that the cache had no answer to, or one that was over.",
            &figures.misses,
        ),
        counter(
            "hotdns_cache_stale_total",
            "Questions that were answered with what was over, because upstream did not answer in time.",
            &figures.stale,
        ),
        counter(
            "hotdns_cache_prefetch_total",
            "Answers that were fetched anew before they were over.",
            &figures.prefetch,
        ),
        counter(
            "hotdns_cache_evictions_total",
            "Answers that went for want of room.",
            &figures.evictions,
        ),
        level("hotdns_cache_bytes", "Memory of the cache.", &figures.bytes),
        level("hotdns_cache_entries", "Answers in the cache.", &figures.entries),
        level(
            "hotdns_cache_hot_entries",
            "Answers that the fast path and XDP give.",
            &figures.hot_entries,
        ),
    ]
}
