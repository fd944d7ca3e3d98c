//! `acl` and `rate_limit`: who may ask, and how much.

use std::sync::Arc;

use ipnet::IpNet;

use super::RateLimit;
use super::address::parse_prefix;
use super::choice::AccessAction;
use super::problem::{Findings, Problem};
use super::section::{Section, Text};
use crate::model::access::{Access, AccessList};

const ACL_KEYS: &[&str] = &["allow", "deny", "action"];
const RATE_LIMIT_KEYS: &[&str] = &[
    "enabled",
    "rate",
    "burst",
    "ipv4_prefix",
    "ipv6_prefix",
    "slip",
    "exempt",
    "global",
];
/// Faster than any server, and still a nanosecond for each query.
const MOST: u32 = 1_000_000_000;
const RATE: u32 = 100;
const BURST: u32 = 50;
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 56;
const SLIP: u8 = 2;

/// The list under `acl` of the configuration or of a zone; `None` where it names no prefix.
pub(super) fn read_access(parent: &Section<'_>, findings: &mut Findings) -> Option<Arc<AccessList>> {
    let section = parent.section("acl", ACL_KEYS, findings);
    let allow = read_prefixes(&section, "allow", "allow: [10.0.0.0/8]", findings).unwrap_or_default();
    let deny = read_prefixes(&section, "deny", "deny: [10.0.0.0/8]", findings).unwrap_or_default();
    let denied = match section.choice("action", findings) {
        None | Some(AccessAction::Refuse) => Access::Refused,
        Some(AccessAction::Drop) => Access::Dropped,
    };
    (!allow.is_empty() || !deny.is_empty()).then(|| Arc::new(AccessList::new(&allow, &deny, denied)))
}

pub(super) fn read_rate_limit(root: &Section<'_>, findings: &mut Findings) -> RateLimit {
    let section = root.section("rate_limit", RATE_LIMIT_KEYS, findings);
    let slip = section.number("slip", 0..=u8::MAX, "queries", "slip: 2", findings);
    let bits = |key, most, example, findings: &mut Findings| section.number(key, 0..=most, "bits", example, findings);
    RateLimit {
        enabled: section.boolean("enabled", "enabled: true", findings).unwrap_or(false),
        rate: read_rate(&section, findings).unwrap_or(RATE),
        burst: read_burst(&section, findings).unwrap_or(BURST),
        ipv4_prefix: bits("ipv4_prefix", 32u8, "ipv4_prefix: 24", findings).unwrap_or(IPV4_PREFIX),
        ipv6_prefix: bits("ipv6_prefix", 128u8, "ipv6_prefix: 56", findings).unwrap_or(IPV6_PREFIX),
        slip: slip.unwrap_or(SLIP),
        exempt: read_prefixes(&section, "exempt", "exempt: [10.0.0.0/8]", findings).unwrap_or_default(),
        global: read_global(&section, findings),
    }
}

/// Both numbers, or nothing.
fn read_global(parent: &Section<'_>, findings: &mut Findings) -> Option<(u32, u32)> {
    let section = parent.section("global", &["rate", "burst"], findings);
    if !parent.has_value("global") {
        return None;
    }
    for (key, example) in [("rate", "rate: 100000"), ("burst", "burst: 10000")] {
        if section.position(key).is_none() {
            let section_name = "`rate_limit.global`".to_owned();
            let problem = Problem::MissingKey {
                key,
                section: section_name,
                example,
            };
            findings.error(section.at, problem);
        }
    }
    read_rate(&section, findings).zip(read_burst(&section, findings))
}

fn read_rate(section: &Section<'_>, findings: &mut Findings) -> Option<u32> {
    section.number("rate", 1..=MOST, "queries a second", "rate: 100", findings)
}

fn read_burst(section: &Section<'_>, findings: &mut Findings) -> Option<u32> {
    section.number("burst", 1..=MOST, "queries", "burst: 50", findings)
}

/// The prefixes under `key`; `None` where it is not given.
pub(super) fn read_prefixes(
    section: &Section<'_>,
    key: &'static str,
    example: &'static str,
    findings: &mut Findings,
) -> Option<Vec<IpNet>> {
    let path = section.path(key);
    let texts = section.texts(key, example, findings)?;
    let mut prefixes = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        match parse_prefix(&path, text) {
            Ok(prefix) => prefixes.push(prefix),
            Err(problem) => findings.error(at, problem),
        }
    }
    Some(prefixes)
}
