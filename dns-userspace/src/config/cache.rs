//! `cache`: answers of upstream servers that are kept.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;
use super::section::CheckedMapping;
use crate::host::memory::Size;

/// `cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Whether anything is kept.
    pub enabled: bool,
    /// What all of it may take.
    pub max_bytes: Size,
    /// The least time for which a positive answer is kept, in seconds.
    pub min_ttl: u32,
    /// The longest.
    pub max_ttl: u32,
    /// The longest for a negative one.
    pub negative_max_ttl: u32,
    /// Whether a name that is denied denies all names below it.
    pub below_nxdomain: bool,
    /// What happens to answers that are over.
    pub stale: StaleConfig,
    /// Whether an answer that is asked for is fetched anew before it is over.
    pub prefetch: bool,
    /// Whether answers are kept on disk over a restart.
    pub persist: bool,
    /// Which answers leave from XDP.
    pub xdp: HotConfig,
}

/// `cache.xdp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotConfig {
    /// How many answers that are asked for often are given from there; 0: none.
    pub names: u32,
}

/// `cache.stale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleConfig {
    /// How long after its end an answer is still given where there is no other; zero: never.
    pub max_age: Duration,
    /// How long a client waits for upstream before it gets such an answer.
    pub client_wait: Duration,
}

const KEYS: &[&str] = &[
    "enabled",
    "max_bytes",
    "min_ttl",
    "max_ttl",
    "negative_max_ttl",
    "below_nxdomain",
    "stale",
    "prefetch",
    "persist",
    "xdp",
];
const MAX_BYTES: Size = Size(64 << 20);
const SIZES: RangeInclusive<Size> = Size(1 << 20)..=Size(1 << 40);
/// RFC 8767 §4: a TTL is 2^31 - 1 at most, and what is longer than a week makes little sense.
const TTLS: RangeInclusive<u32> = 0..=604_800;
const MAX_TTL: u32 = 86_400;
const NEGATIVE_MAX_TTL: u32 = 3600;
const STALE_AGES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * 86_400);
const STALE_AGE: Duration = Duration::from_secs(86_400);
const CLIENT_WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// RFC 8767 §5.
const CLIENT_WAIT: Duration = Duration::from_millis(1800);
const HOT_NAMES: u32 = 16_384;
/// More would take too long to be looked after five times a second.
const MOST_HOT_NAMES: RangeInclusive<u32> = 0..=262_144;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: KEYS,
    applies: Applies::Live(&[("cache", |old, new| old.cache != new.cache)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> CacheConfig {
    let section = input.root.section("cache", KEYS, findings);
    let ttl = |key, example, default, findings: &mut Findings| {
        let given = section.number(key, TTLS, "seconds", example, findings);
        given.unwrap_or(default)
    };
    let min_ttl = ttl("min_ttl", "min_ttl: 0", 0, findings);
    let max_ttl = ttl("max_ttl", "max_ttl: 86400", MAX_TTL.max(min_ttl), findings);
    if min_ttl > max_ttl {
        let at = section.position("min_ttl").unwrap_or(section.at);
        findings.error(
            at,
            super::ConfigProblem::CacheBoundsReversed {
                min: min_ttl,
                max: max_ttl,
            },
        );
    }
    CacheConfig {
        enabled: section.boolean("enabled", "enabled: true", findings).unwrap_or(true),
        max_bytes: section
            .size("max_bytes", "max_bytes: 64MiB", &SIZES, findings)
            .unwrap_or(MAX_BYTES),
        min_ttl,
        max_ttl,
        negative_max_ttl: ttl("negative_max_ttl", "negative_max_ttl: 3600", NEGATIVE_MAX_TTL, findings),
        below_nxdomain: section
            .boolean("below_nxdomain", "below_nxdomain: false", findings)
            .unwrap_or(true),
        stale: read_stale(&section, findings),
        prefetch: section.boolean("prefetch", "prefetch: true", findings).unwrap_or(true),
        persist: section.boolean("persist", "persist: true", findings).unwrap_or(false),
        xdp: read_xdp(&section, findings),
    }
}

fn read_xdp(cache: &CheckedMapping<'_>, findings: &mut Findings) -> HotConfig {
    let section = cache.section("xdp", &["names"], findings);
    let names = section.number("names", MOST_HOT_NAMES, "answers", "names: 16384", findings);
    HotConfig {
        names: names.unwrap_or(HOT_NAMES),
    }
}

fn read_stale(cache: &CheckedMapping<'_>, findings: &mut Findings) -> StaleConfig {
    let section = cache.section("stale", &["max_age", "client_wait"], findings);
    StaleConfig {
        max_age: section
            .duration("max_age", "max_age: 1d", &STALE_AGES, findings)
            .unwrap_or(STALE_AGE),
        client_wait: section
            .duration("client_wait", "client_wait: 1800ms", &CLIENT_WAITS, findings)
            .unwrap_or(CLIENT_WAIT),
    }
}
