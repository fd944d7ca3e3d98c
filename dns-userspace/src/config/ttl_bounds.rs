//! `ttl_bounds`: bounds of TTLs in `records` and the API.

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};

/// `ttl_bounds`, both included, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlBounds {
    /// The smallest TTL.
    pub min: u32,
    /// The largest TTL.
    pub max: u32,
}

const DEFAULT: TtlBounds = TtlBounds { min: 60, max: 86_400 };
/// The largest TTL (RFC 2181 §8).
pub(super) const MAX_TTL: u32 = 0x7FFF_FFFF;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["min", "max"],
    applies: Applies::Live(&[("ttl_bounds", |old, new| old.ttl_bounds != new.ttl_bounds)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> TtlBounds {
    let section = input.root.section("ttl_bounds", KEY.keys, findings);
    let min = section.number("min", 0..=MAX_TTL, "seconds", "min: 60", findings);
    let max = section.number("max", 0..=MAX_TTL, "seconds", "max: 86400", findings);
    let bounds = TtlBounds {
        min: min.unwrap_or(DEFAULT.min),
        max: max.unwrap_or(DEFAULT.max),
    };
    if bounds.min <= bounds.max {
        return bounds;
    }
    let at = section
        .position("min")
        .or(section.position("max"))
        .unwrap_or(section.at);
    let TtlBounds { min, max } = bounds;
    findings.error(at, ConfigProblem::BoundsReversed { min, max });
    // Nothing is outside these: the records' TTLs are not to blame.
    TtlBounds { min: 0, max: MAX_TTL }
}
