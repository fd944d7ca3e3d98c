//! `sources.caddy`: the hosts of a Caddy, from its admin API.

use super::super::problem::Findings;
use super::super::section::CheckedMapping;
use super::proxy::ProxySource;
use super::{Surroundings, proxy};

pub(super) const KEYS: &[&str] = &[
    "name",
    "address",
    "path",
    "basic_file",
    "ca",
    "targets",
    "zones",
    "ttl",
    "poll",
];
pub(super) const REMEDY: &str = "change the site in Caddy";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ProxySource> {
    proxy::read(section, around, "caddy", "http://127.0.0.1:2019", findings)
}
