//! `rate_limit`: how much may be asked.

use ipnet::IpNet;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::CheckedMapping;

/// `rate_limit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// Whether there are limits.
    pub enabled: bool,
    /// Queries a second of one prefix.
    pub rate: u32,
    /// How many at once.
    pub burst: u32,
    /// Bits of the prefix of an IPv4 client.
    pub ipv4_prefix: u8,
    /// Bits of the prefix of an IPv6 client.
    pub ipv6_prefix: u8,
    /// Every so many queries over the limit one is answered truncated; 0 for none.
    pub slip: u8,
    /// Clients without limits.
    pub exempt: Vec<IpNet>,
    /// Rate and burst of all clients together.
    pub global: Option<(u32, u32)>,
}

/// Faster than any server, and still a nanosecond for each query.
const MOST: u32 = 1_000_000_000;
const RATE: u32 = 100;
const BURST: u32 = 50;
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 56;
const SLIP: u8 = 2;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[
        "enabled",
        "rate",
        "burst",
        "ipv4_prefix",
        "ipv6_prefix",
        "slip",
        "exempt",
        "global",
    ],
    applies: Applies::Live(&[("rate_limit", |old, new| old.rate_limit != new.rate_limit)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> RateLimitConfig {
    let section = input.root.section("rate_limit", KEY.keys, findings);
    let slip = section.number("slip", 0..=u8::MAX, "queries", "slip: 2", findings);
    let bits = |key, most, example, findings: &mut Findings| section.number(key, 0..=most, "bits", example, findings);
    RateLimitConfig {
        enabled: section.boolean("enabled", "enabled: true", findings).unwrap_or(false),
        rate: read_rate(&section, findings).unwrap_or(RATE),
        burst: read_burst(&section, findings).unwrap_or(BURST),
        ipv4_prefix: bits("ipv4_prefix", 32u8, "ipv4_prefix: 24", findings).unwrap_or(IPV4_PREFIX),
        ipv6_prefix: bits("ipv6_prefix", 128u8, "ipv6_prefix: 56", findings).unwrap_or(IPV6_PREFIX),
        slip: slip.unwrap_or(SLIP),
        exempt: section
            .prefixes("exempt", "exempt: [10.0.0.0/8]", findings)
            .unwrap_or_default(),
        global: read_global(&section, findings),
    }
}

/// Both numbers, or nothing.
fn read_global(parent: &CheckedMapping<'_>, findings: &mut Findings) -> Option<(u32, u32)> {
    let section = parent.section("global", &["rate", "burst"], findings);
    if !parent.has_value("global") {
        return None;
    }
    for (key, example) in [("rate", "rate: 100000"), ("burst", "burst: 10000")] {
        if section.position(key).is_none() {
            let section_name = "`rate_limit.global`".to_owned();
            let problem = ConfigProblem::MissingKey {
                key,
                section: section_name,
                example,
            };
            findings.error(section.at, problem);
        }
    }
    read_rate(&section, findings).zip(read_burst(&section, findings))
}

fn read_rate(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<u32> {
    section.number("rate", 1..=MOST, "queries a second", "rate: 100", findings)
}

fn read_burst(section: &CheckedMapping<'_>, findings: &mut Findings) -> Option<u32> {
    section.number("burst", 1..=MOST, "queries", "burst: 50", findings)
}
