//! `sources.consul`: the catalog of a Consul.

use std::sync::Arc;

use super::super::problem::Findings;
use super::super::section::CheckedMapping;
use super::checks::CheckSettings;
use super::naming::Naming;
use super::peer::PeerSettings;
use super::{Surroundings, checks, naming, peer};

/// An instance of `sources.consul`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulSource {
    /// Its HTTP API.
    pub peer: PeerSettings,
    /// The datacenter; that of the agent without.
    pub datacenter: Option<Arc<str>>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<Arc<str>>,
    /// How names are made.
    pub naming: Naming,
    /// Our own checks of the instances.
    pub checks: Option<CheckSettings>,
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "address",
    "token_file",
    "ca",
    "datacenter",
    "namespace",
    "suffix",
    "exposed_by_default",
    "ttl",
    "targets",
    "zones",
    "order",
    "domain",
    "meta_txt",
    "rule_syntax",
    "checks",
];
pub(super) const REMEDY: &str = "change the service in Consul";
pub(super) const ADDRESS: &str = "http://127.0.0.1:8500";
/// The variable with the token where no file has one.
pub(super) const TOKEN: &str = "CONSUL_HTTP_TOKEN";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ConsulSource> {
    let naming = naming::read(section, around, findings);
    let checks = checks::read(section, findings);
    let word = |key, example, findings: &mut Findings| section.short_text(key, example, 128, findings).map(Arc::from);
    let datacenter = word("datacenter", "datacenter: dc1", findings);
    let namespace = word("namespace", "namespace: default", findings);
    let mut peer = peer::read(section, around, ADDRESS, "token_file", findings)?;
    peer.secret = around.secret(TOKEN);
    Some(ConsulSource {
        peer,
        datacenter,
        namespace,
        naming,
        checks,
    })
}
