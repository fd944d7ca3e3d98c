//! `sources.consul_kv`: records in a Consul's key-value store.

use std::sync::Arc;

use super::super::problem::Findings;
use super::super::section::CheckedMapping;
use super::peer::PeerSettings;
use super::{Surroundings, consul, peer};

/// An instance of `sources.consul_kv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulKvSource {
    /// Its HTTP API.
    pub peer: PeerSettings,
    /// The keys that are records begin so.
    pub prefix: Arc<str>,
    /// The TTL of records that name none, in seconds.
    pub ttl: u32,
}

pub(super) const KEYS: &[&str] = &["name", "address", "token_file", "ca", "prefix", "ttl"];
pub(super) const REMEDY: &str = "change the key in Consul";
const PREFIX: &str = "hotdns/records/";

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<ConsulKvSource> {
    let prefix = section.short_text("prefix", "prefix: hotdns/records/", 512, findings);
    let ttl = around.ttl(section, findings);
    let mut peer = peer::read(section, around, consul::ADDRESS, "token_file", findings)?;
    peer.secret = around.secret(consul::TOKEN);
    Some(ConsulKvSource {
        peer,
        prefix: prefix.map_or_else(|| PREFIX.into(), Arc::from),
        ttl,
    })
}
