//! `backend`: how questions are answered, and where those for names that are not ours go.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use dns_common::order::Prefixes;
use ipnet::IpNet;

use super::address::host;
use super::forward::{UpstreamServer, UpstreamTransport, parse_server};
use super::keys::{Applies, Input, TopLevelKey};
use super::listen::ListenAddresses;
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use super::ttl_bounds::TtlBounds;
use crate::host::addresses::HostAddresses;

/// `backend`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendConfig {
    /// The TTL of records that name none, in seconds.
    pub default_ttl: u32,
    /// Whether an answer follows CNAMEs.
    pub resolve_cname_chain: bool,
    /// The most CNAMEs that an answer follows.
    pub max_cname_depth: u8,
    /// Whether NXDOMAIN carries the zone's SOA record.
    pub return_soa_on_nxdomain: bool,
    /// With `order: hash`, IPv4 clients that share so many bits get one order.
    pub hash_ipv4_prefix: u8,
    /// The same of IPv6 clients.
    pub hash_ipv6_prefix: u8,
    /// Where questions for names that are not ours go.
    pub upstream: UpstreamConfig,
}

/// `backend.upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Whether anything is forwarded.
    pub enabled: bool,
    /// Resolvers in the order in which they are asked.
    pub servers: Vec<UpstreamServer>,
    /// How long one server may take.
    pub timeout: Duration,
    /// Clients whose questions are forwarded.
    pub allow: Vec<IpNet>,
}

impl BackendConfig {
    /// The prefixes of clients that get one order with `order: hash`.
    pub fn hash_prefixes(&self) -> Prefixes {
        Prefixes::of(self.hash_ipv4_prefix, self.hash_ipv6_prefix)
    }
}

const DEFAULT_TTL: u32 = 300;
const MAX_CNAME_DEPTH: u8 = 10;
const UPSTREAM_KEYS: &[&str] = &["enabled", "servers", "timeout", "allow"];
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(5);
const UPSTREAM_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// Loopback, private (RFC 1918, RFC 4193) and link-local (RFC 3927, RFC 4291 §2.5.6).
const UPSTREAM_CLIENTS: &[&str] = &[
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[
        "default_ttl",
        "resolve_cname_chain",
        "max_cname_depth",
        "return_soa_on_nxdomain",
        "hash_ipv4_prefix",
        "hash_ipv6_prefix",
        "upstream",
    ],
    applies: Applies::Live(&[
        ("backend.default_ttl", |old, new| {
            old.backend.default_ttl != new.backend.default_ttl
        }),
        ("backend.resolve_cname_chain", |old, new| {
            old.backend.resolve_cname_chain != new.backend.resolve_cname_chain
        }),
        ("backend.max_cname_depth", |old, new| {
            old.backend.max_cname_depth != new.backend.max_cname_depth
        }),
        ("backend.return_soa_on_nxdomain", |old, new| {
            old.backend.return_soa_on_nxdomain != new.backend.return_soa_on_nxdomain
        }),
        ("backend.hash_ipv4_prefix", |old, new| {
            old.backend.hash_ipv4_prefix != new.backend.hash_ipv4_prefix
        }),
        ("backend.hash_ipv6_prefix", |old, new| {
            old.backend.hash_ipv6_prefix != new.backend.hash_ipv6_prefix
        }),
        ("backend.upstream.enabled", |old, new| {
            old.backend.upstream.enabled != new.backend.upstream.enabled
        }),
        ("backend.upstream.servers", |old, new| {
            old.backend.upstream.servers != new.backend.upstream.servers
        }),
        ("backend.upstream.timeout", |old, new| {
            old.backend.upstream.timeout != new.backend.upstream.timeout
        }),
        ("backend.upstream.allow", |old, new| {
            old.backend.upstream.allow != new.backend.upstream.allow
        }),
    ]),
};

pub(super) fn read(
    input: &Input<'_>,
    bounds: &TtlBounds,
    listen: &ListenAddresses,
    findings: &mut Findings,
) -> BackendConfig {
    let section = input.root.section("backend", KEY.keys, findings);
    let default_ttl = section.number(
        "default_ttl",
        bounds.min..=bounds.max,
        "seconds (`ttl_bounds`)",
        "default_ttl: 300",
        findings,
    );
    let bits = |key, most, example, findings: &mut Findings| section.number(key, 1..=most, "bits", example, findings);
    let hash_ipv4_prefix = bits(
        "hash_ipv4_prefix",
        Prefixes::MOST_IPV4,
        "hash_ipv4_prefix: 24",
        findings,
    );
    let hash_ipv6_prefix = bits(
        "hash_ipv6_prefix",
        Prefixes::MOST_IPV6,
        "hash_ipv6_prefix: 56",
        findings,
    );
    BackendConfig {
        default_ttl: default_ttl.unwrap_or(DEFAULT_TTL.clamp(bounds.min, bounds.max)),
        resolve_cname_chain: section
            .boolean("resolve_cname_chain", "resolve_cname_chain: true", findings)
            .unwrap_or(true),
        max_cname_depth: section
            .number("max_cname_depth", 1..=u8::MAX, "", "max_cname_depth: 10", findings)
            .unwrap_or(MAX_CNAME_DEPTH),
        return_soa_on_nxdomain: section
            .boolean("return_soa_on_nxdomain", "return_soa_on_nxdomain: true", findings)
            .unwrap_or(true),
        hash_ipv4_prefix: hash_ipv4_prefix.unwrap_or(Prefixes::DEFAULT_IPV4),
        hash_ipv6_prefix: hash_ipv6_prefix.unwrap_or(Prefixes::DEFAULT_IPV6),
        upstream: read_upstream(&section, &listen.addresses(), findings),
    }
}

fn read_upstream(backend: &CheckedMapping<'_>, listen: &[SocketAddr], findings: &mut Findings) -> UpstreamConfig {
    let section = backend.section("upstream", UPSTREAM_KEYS, findings);
    let enabled = section.boolean("enabled", "enabled: true", findings).unwrap_or(false);
    let errors_before = findings.error_count();
    let servers = read_servers(&section, enabled, listen, findings);
    // Servers that are there and cannot be read have their own errors.
    if enabled && servers.is_empty() && findings.error_count() == errors_before {
        findings.error(
            section.position("servers").unwrap_or(section.at),
            ConfigProblem::NoUpstream,
        );
    }
    let timeout = section.duration("timeout", "timeout: 5s", &UPSTREAM_TIMEOUTS, findings);
    let allow = section.prefixes("allow", "allow: [10.0.0.0/8]", findings);
    UpstreamConfig {
        enabled,
        servers,
        timeout: timeout.unwrap_or(UPSTREAM_TIMEOUT),
        allow: allow.unwrap_or_else(|| UPSTREAM_CLIENTS.iter().filter_map(|text| text.parse().ok()).collect()),
    }
}

fn read_servers(
    section: &CheckedMapping<'_>,
    is_enabled: bool,
    listen: &[SocketAddr],
    findings: &mut Findings,
) -> Vec<UpstreamServer> {
    let key = section.path("servers");
    let host = host();
    let mut servers: Vec<UpstreamServer> = Vec::new();
    let mut seen = HashSet::new();
    let texts = section.texts("servers", "servers: [\"192.0.2.53:53\"]", findings);
    for Text { at, text } in texts.unwrap_or_default() {
        match parse_server(&key, text, &host) {
            Ok(server) if !seen.insert(server.clone()) => {
                findings.error(
                    at,
                    ConfigProblem::DuplicateAddress {
                        key: key.clone(),
                        address: server.to_string(),
                    },
                );
            }
            Ok(server) => {
                let address = server
                    .address()
                    .filter(|_| server.transport == UpstreamTransport::Plain);
                servers.push(server);
                let Some(server) = address else {
                    continue;
                };
                // Loopback and what is written here are always ours. The host's other addresses come and go.
                if let Some(own) = ourselves(server, listen, &HostAddresses::default()) {
                    findings.error(at, ConfigProblem::UpstreamIsSelf { server, listen: own });
                } else if is_enabled && ourselves(server, listen, &host).is_some() {
                    let message = format!(
                        "`{key}`: {server} is an address of this host at present, and so this server: it is not asked \
                         as long as that is so"
                    );
                    findings.warning(at, message);
                }
            }
            Err(problem) => findings.error(at, problem),
        }
    }
    servers
}

/// The address in `listen` by which `server` is this server, if it is.
fn ourselves(server: SocketAddr, listen: &[SocketAddr], host: &HostAddresses) -> Option<SocketAddr> {
    let mut own = listen.iter().copied();
    own.find(|own| host.is_ourselves(server, &[*own]))
}
