//! `sources.nomad`: the native services of a Nomad.

use std::sync::Arc;

use super::super::problem::Findings;
use super::super::section::CheckedMapping;
use super::naming::Naming;
use super::peer::{PeerSettings, Secret};
use super::{Surroundings, naming, peer};

/// An instance of `sources.nomad`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NomadSource {
    /// Its HTTP API.
    pub peer: PeerSettings,
    /// The namespace; `*` stands for all that the token may read.
    pub namespace: Arc<str>,
    /// How names are made.
    pub naming: Naming,
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
    "domain",
    "rule_syntax",
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
    let namespace = section.short_text("namespace", "namespace: default", 128, findings);
    let mut peer = peer::read(section, around, ADDRESS, "token_file", findings)?;
    peer.secret = around.environment.get(TOKEN).map(|token| Secret(token.into()));
    Some(NomadSource {
        peer,
        namespace: namespace.map_or_else(|| NAMESPACE.into(), Arc::from),
        naming,
    })
}
