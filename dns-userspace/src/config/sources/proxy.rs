//! Proxies that are asked for their hosts: the same keys for Traefik and Caddy.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::CheckedMapping;
use super::peer::PeerSettings;
use super::{Surroundings, naming, peer};
use crate::model::name::Name;

/// An instance of `sources.traefik` or `sources.caddy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySource {
    /// Its API.
    pub peer: PeerSettings,
    /// Its configuration, a file or a folder, which is read in the place of the API.
    pub path: Option<Arc<Path>>,
    /// The addresses at which it serves: where all names lead.
    pub targets: Vec<IpAddr>,
    /// The metrics of each target, in their order; none: all weigh alike.
    pub metrics: Vec<PeerSettings>,
    /// Names have to be in one of these zones; none: in any.
    pub zones: Vec<Name>,
    /// The TTL of all records, in seconds.
    pub ttl: u32,
    /// The time between two looks at it.
    pub poll: Duration,
    /// Whether rules without a syntax of their own are of Traefik 2.
    pub is_v2: bool,
}

const POLL: Duration = Duration::from_secs(5);
const POLLS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// Reads a proxy of `kind`, whose API is at `default_url` by default.
pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    kind: &str,
    default_url: &'static str,
    findings: &mut Findings,
) -> Option<ProxySource> {
    let targets = peer::addresses(section, "targets", findings);
    if !section.has_value("targets") {
        let problem = ConfigProblem::MissingKey {
            key: "targets",
            section: format!("a source of `sources.{kind}`"),
            example: "targets: [192.0.2.1]",
        };
        findings.error(section.at, problem);
    }
    let path = section.text("path", "path: /etc/traefik/dynamic", findings);
    if let (Some(path), true) = (path, section.has_value("address")) {
        findings.error(path.at, ConfigProblem::PathAndAddress);
    }
    let ttl = around.ttl(section, findings);
    let poll = section.duration("poll", "poll: 5s", &POLLS, findings).unwrap_or(POLL);
    let is_v2 = naming::is_v2(section, findings);
    Some(ProxySource {
        peer: peer::read(section, around, default_url, "basic_file", findings)?,
        path: path.map(|path| around.base.join(path.text).into()),
        targets,
        metrics: Vec::new(),
        zones: peer::zones(section, findings),
        ttl,
        poll,
        is_v2,
    })
}
