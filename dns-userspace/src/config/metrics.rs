//! `metrics`: what is counted besides what is always counted.

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

/// `metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Whether answers are counted for each zone.
    pub per_zone: bool,
    /// Whether counts are shown under CoreDNS' names too.
    pub coredns_names: bool,
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["per_zone", "coredns_names"],
    applies: Applies::AtRestart(&[
        ("metrics.per_zone", |old, new| {
            old.metrics.per_zone != new.metrics.per_zone
        }),
        ("metrics.coredns_names", |old, new| {
            old.metrics.coredns_names != new.metrics.coredns_names
        }),
    ]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> MetricsConfig {
    let section = input.root.section("metrics", KEY.keys, findings);
    let per_zone = section.boolean("per_zone", "per_zone: true", findings);
    let coredns_names = section.boolean("coredns_names", "coredns_names: true", findings);
    MetricsConfig {
        per_zone: per_zone.unwrap_or(false),
        coredns_names: coredns_names.unwrap_or(false),
    }
}
