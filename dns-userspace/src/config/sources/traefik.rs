//! `sources.traefik`: the routers of a Traefik, from its API.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use super::peer::PeerSettings;
use super::{Surroundings, naming, peer};

/// An instance of `sources.traefik`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraefikSource {
    /// Its API.
    pub peer: PeerSettings,
    /// The addresses of its entry points: where all names lead.
    pub targets: Vec<IpAddr>,
    /// The TTL of all records, in seconds.
    pub ttl: u32,
    /// The time between two looks at it.
    pub poll: Duration,
    /// Whether rules without a syntax of their own are of version 2.
    pub is_v2: bool,
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "address",
    "basic_file",
    "ca",
    "targets",
    "ttl",
    "poll",
    "rule_syntax",
];
pub(super) const REMEDY: &str = "change the router in Traefik";
const ADDRESS: &str = "http://127.0.0.1:8080";
const POLL: Duration = Duration::from_secs(5);
const POLLS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<TraefikSource> {
    let targets = peer::addresses(section, "targets", findings);
    if !section.has_value("targets") {
        let problem = ConfigProblem::MissingKey {
            key: "targets",
            section: "a source of `sources.traefik`".to_owned(),
            example: "targets: [192.0.2.1]",
        };
        findings.error(section.at, problem);
    }
    let ttl = around.ttl(section, findings);
    let poll = section.duration("poll", "poll: 5s", &POLLS, findings).unwrap_or(POLL);
    let is_v2 = naming::is_v2(section, findings);
    Some(TraefikSource {
        peer: peer::read(section, around, ADDRESS, "basic_file", findings)?,
        targets,
        ttl,
        poll,
        is_v2,
    })
}
