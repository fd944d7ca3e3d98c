//! `sources.nomad`: the native services of a Nomad.

use std::sync::Arc;

use super::super::problem::Findings;
use super::super::section::CheckedMapping;
use super::checks::CheckSettings;
use super::naming::Naming;
use super::peer::PeerSettings;
use super::{Surroundings, checks, naming, peer};

/// An instance of `sources.nomad`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NomadSource {
    /// Its HTTP API.
    pub peer: PeerSettings,
    /// The namespace; `*` stands for all that the token may read.
    pub namespace: Arc<str>,
    /// How names are made.
    pub naming: Naming,
    /// Our own checks of the instances.
    pub checks: Option<CheckSettings>,
    /// Whether Nomad is asked for the checks that it makes itself.
    pub has_allocation_checks: bool,
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "address",
    "token_file",
    "ca",
    "namespace",
    "suffix",
    "exposed_by_default",
    "ttl",
    "targets",
    "zones",
    "order",
    "near",
    "domain",
    "rule_syntax",
    "checks",
    "allocation_checks",
];
pub(super) const REMEDY: &str = "change the service in its Nomad job";
pub(super) const ADDRESS: &str = "http://127.0.0.1:4646";
/// The variable with the token where no file has one.
pub(super) const TOKEN: &str = "NOMAD_TOKEN";
/// All namespaces.
pub(super) const NAMESPACE: &str = "*";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<NomadSource> {
    let naming = naming::read(section, around, findings);
    let checks = checks::read(section, findings);
    let has_allocation_checks = section.boolean("allocation_checks", "allocation_checks: false", findings);
    let namespace = section.short_text("namespace", "namespace: default", 128, findings);
    let mut peer = peer::read(section, around, ADDRESS, "token_file", findings)?;
    peer.secret = around.secret(TOKEN);
    Some(NomadSource {
        peer,
        namespace: namespace.map_or_else(|| NAMESPACE.into(), Arc::from),
        naming,
        checks,
        has_allocation_checks: has_allocation_checks.unwrap_or(true),
    })
}
