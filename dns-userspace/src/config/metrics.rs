//! `metrics`: what is counted besides what is always counted.

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

/// `metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Whether answers are counted for each zone.
    pub per_zone: bool,
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["per_zone"],
    applies: Applies::AtRestart(&[("metrics.per_zone", |old, new| {
        old.metrics.per_zone != new.metrics.per_zone
    })]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> MetricsConfig {
    let section = input.root.section("metrics", KEY.keys, findings);
    let per_zone = section.boolean("per_zone", "per_zone: true", findings);
    MetricsConfig {
        per_zone: per_zone.unwrap_or(false),
    }
}
