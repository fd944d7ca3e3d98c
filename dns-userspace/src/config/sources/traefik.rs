//! `sources.traefik`: the routers of a Traefik, from its API.

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
    "rule_syntax",
];
pub(super) const REMEDY: &str = "change the router in Traefik";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ProxySource> {
    proxy::read(section, around, "traefik", "http://127.0.0.1:8080", findings)
}
