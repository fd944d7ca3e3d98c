//! `sources.hosts`: a file in the format of `/etc/hosts`.

use std::path::Path;
use std::sync::Arc;

use super::super::problem::Findings;
use super::super::section::CheckedMapping;
use super::Surroundings;
use crate::model::name::Name;

/// An instance of `sources.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsSource {
    /// The file.
    pub path: Arc<Path>,
    /// The TTL of its records, in seconds.
    pub ttl: u32,
    /// What is put behind names without a dot: with `lan.`, `printer` is `printer.lan.`
    pub domain: Option<Name>,
    /// Whether addresses have PTR records too.
    pub ptr: bool,
}

pub(super) const KEYS: &[&str] = &["name", "path", "ttl", "domain", "ptr"];
pub(super) const REMEDY: &str = "edit the hosts file";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<HostsSource> {
    let domain = section.text("domain", "domain: lan.", findings);
    let domain = domain.and_then(|domain| domain.to_name("domain", findings));
    let ttl = around.ttl(section, findings);
    let ptr = section.boolean("ptr", "ptr: true", findings).unwrap_or(true);
    Some(HostsSource {
        path: around.path(section, "path", "path: /etc/hosts", findings)?,
        ttl,
        domain,
        ptr,
    })
}
