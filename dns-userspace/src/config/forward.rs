//! `forward`: sets of upstream servers, and which names go to which of them.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::address::{Purpose, host, parse_address};
use super::choice::{ClosedList, choices};
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::listen::ListenAddresses;
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use crate::host::addresses::HostAddresses;
use crate::model::name::Name;

/// `forward`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardConfig {
    /// Sets of servers beside that of `backend.upstream`, by name.
    pub upstreams: Vec<UpstreamSet>,
    /// Which names go where; the longest suffix of a name decides.
    pub routes: Vec<Route>,
}

/// Servers that are asked for the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSet {
    /// What routes and metrics call it.
    pub name: Arc<str>,
    /// Its servers; never empty.
    pub servers: Vec<UpstreamServer>,
    /// Which of them is asked first, and how many at once.
    pub policy: Policy,
    /// After what the next server is asked.
    pub failover_on: FailoverOn,
    /// For a query as a whole, over all servers.
    pub timeout: Duration,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamServer {
    /// Where it is.
    pub address: SocketAddr,
    /// How it is asked.
    pub transport: UpstreamTransport,
}

/// How a server is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamTransport {
    /// Over UDP, and over TCP where a reply is truncated.
    Plain,
    /// Over TLS (RFC 7858), where the server proves to have this name, or without one the address itself.
    Tls(Option<Arc<str>>),
}

impl UpstreamServer {
    /// A server over UDP and TCP.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            transport: UpstreamTransport::Plain,
        }
    }
}

impl fmt::Display for UpstreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            UpstreamTransport::Plain => write!(f, "{}", self.address),
            UpstreamTransport::Tls(None) => write!(f, "tls://{}", self.address),
            UpstreamTransport::Tls(Some(name)) => write!(f, "tls://{}#{name}", self.address),
        }
    }
}

choices! {
    /// Which server of a set is asked first, and how many at once.
    Policy {
        /// In the order of the configuration.
        Sequential = "sequential",
        /// All at once; the first answer is taken.
        Parallel = "parallel",
        /// In an order that is drawn anew for each query.
        Random = "random",
        /// The one that has answered fastest lately first.
        Fastest = "fastest",
    }
    /// What a server can do wrong.
    Fault {
        /// No reply, or none that can be read.
        Network = "network",
        /// SERVFAIL.
        Servfail = "servfail",
        /// REFUSED, and every other code that is no answer.
        Refused = "refused",
    }
}

/// After which faults the next server is asked. After others the fault is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverOn {
    /// A server that does not answer, or cannot be reached.
    pub network: bool,
    /// SERVFAIL.
    pub servfail: bool,
    /// REFUSED, and every other code that is no answer.
    pub refused: bool,
}

impl FailoverOn {
    /// After all of them.
    pub const ALL: Self = Self {
        network: true,
        servfail: true,
        refused: true,
    };
}

/// Where names go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// These names: `zone` and all below it.
    pub zone: Name,
    /// Where they go.
    pub to: RouteTarget,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// Nowhere: NXDOMAIN.
    Never,
    /// To the servers of `backend.upstream`.
    Default,
    /// To the set of this name.
    Set(Arc<str>),
}

/// The name of the set of `backend.upstream`.
pub const DEFAULT_SET: &str = "default";
/// The route that leads nowhere.
const NEVER: &str = "never";
const KEYS: &[&str] = &["upstreams", "routes"];
const SET_KEYS: &[&str] = &["name", "servers", "policy", "failover_on", "timeout"];
const ROUTE_KEYS: &[&str] = &["zone", "to"];
const UPSTREAMS_EXAMPLE: &str = "upstreams: [{name: corp, servers: [\"10.0.0.2\"]}]";
const ROUTES_EXAMPLE: &str = "routes: [{zone: corp.example., to: corp}]";
const FAILOVER_EXAMPLE: &str = "failover_on: [network, servfail, refused]";
const PLAIN_PORT: u16 = 53;
const TLS_PORT: u16 = 853;
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: KEYS,
    applies: Applies::Live(&[
        ("forward.upstreams", |old, new| {
            old.forward.upstreams != new.forward.upstreams
        }),
        ("forward.routes", |old, new| old.forward.routes != new.forward.routes),
    ]),
};

pub(super) fn read(input: &Input<'_>, listen: &ListenAddresses, findings: &mut Findings) -> ForwardConfig {
    let section = input.root.section("forward", KEYS, findings);
    let upstreams = read_sets(&section, &listen.addresses(), findings);
    let routes = read_routes(&section, &upstreams, findings);
    ForwardConfig { upstreams, routes }
}

fn read_sets(forward: &CheckedMapping<'_>, listen: &[SocketAddr], findings: &mut Findings) -> Vec<UpstreamSet> {
    let items = forward
        .list("upstreams", UPSTREAMS_EXAMPLE, findings)
        .unwrap_or_default();
    let mut sets: Vec<UpstreamSet> = Vec::with_capacity(items.len());
    let mut first: HashMap<String, FilePosition> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "an upstream set", SET_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let name = section.required_text("name", "name: corp", findings);
        let servers = read_servers(&section, listen, findings);
        let policy = section.choice("policy", findings).unwrap_or(Policy::Sequential);
        let failover_on = read_failover(&section, findings);
        let timeout = section.duration("timeout", "timeout: 5s", &TIMEOUTS, findings);
        let Some(Text { at, text }) = name else {
            continue;
        };
        if matches!(text, "" | NEVER | DEFAULT_SET) {
            let name = text.to_owned();
            findings.error(at, ConfigProblem::ReservedUpstream { name });
            continue;
        }
        if let Some(first) = first.insert(text.to_owned(), at) {
            let name = text.to_owned();
            findings.error(at, ConfigProblem::DuplicateUpstream { name, first });
            continue;
        }
        sets.push(UpstreamSet {
            name: text.into(),
            servers,
            policy,
            failover_on,
            timeout: timeout.unwrap_or(TIMEOUT),
        });
    }
    sets
}

fn read_failover(section: &CheckedMapping<'_>, findings: &mut Findings) -> FailoverOn {
    let Some(words) = section.texts("failover_on", FAILOVER_EXAMPLE, findings) else {
        return FailoverOn::ALL;
    };
    let mut on = FailoverOn {
        network: false,
        servfail: false,
        refused: false,
    };
    for Text { at, text } in words {
        match Fault::from_word(text) {
            Some(Fault::Network) => on.network = true,
            Some(Fault::Servfail) => on.servfail = true,
            Some(Fault::Refused) => on.refused = true,
            None => findings.error(
                at,
                ConfigProblem::NotAChoice {
                    key: section.path("failover_on"),
                    value: text.to_owned(),
                    choices: Fault::WORDS,
                },
            ),
        }
    }
    on
}

fn read_servers(set: &CheckedMapping<'_>, listen: &[SocketAddr], findings: &mut Findings) -> Vec<UpstreamServer> {
    let key = set.path("servers");
    let mut servers = Vec::new();
    let texts = set.texts(
        "servers",
        "servers: [\"10.0.0.2\", \"tls://192.0.2.9#dns.example\"]",
        findings,
    );
    let given = texts.as_ref().map_or(0, Vec::len);
    for Text { at, text } in texts.unwrap_or_default() {
        match parse_server(&key, text) {
            Ok(server) if servers.contains(&server) => {
                let address = server.to_string();
                let key = key.clone();
                findings.error(at, ConfigProblem::DuplicateAddress { key, address });
            }
            Ok(server) => {
                let address = server.address;
                let own = listen.iter().copied();
                let own = own.filter(|_| server.transport == UpstreamTransport::Plain);
                let mut own = own.filter(|own| HostAddresses::default().is_ourselves(address, &[*own]));
                if let Some(listen) = own.next() {
                    findings.error(
                        at,
                        ConfigProblem::SetServerIsSelf {
                            server: address,
                            listen,
                        },
                    );
                }
                servers.push(server);
            }
            Err(problem) => findings.error(at, problem),
        }
    }
    if given == 0 {
        findings.error(
            set.position("servers").unwrap_or(set.at),
            ConfigProblem::Empty {
                key,
                remedy: "write one server at least, as in `servers: [\"10.0.0.2\"]`",
            },
        );
    }
    servers
}

/// `192.0.2.1`, `192.0.2.1:53`, `tls://192.0.2.9#dns.example`.
fn parse_server(key: &str, text: &str) -> Result<UpstreamServer, ConfigProblem> {
    let host = host();
    let Some((scheme, rest)) = text.split_once("://") else {
        return parse_address(key, text, PLAIN_PORT, Purpose::Server, &host).map(UpstreamServer::plain);
    };
    let bad = || ConfigProblem::BadUpstreamServer {
        key: key.to_owned(),
        text: text.to_owned(),
    };
    let (address, name) = match rest.split_once('#') {
        Some((address, name)) => (address, Some(name)),
        None => (rest, None),
    };
    match (scheme, name) {
        ("udp", None) => parse_address(key, address, PLAIN_PORT, Purpose::Server, &host).map(UpstreamServer::plain),
        ("tls", name) => {
            if name.is_some_and(|name| !is_host_name(name)) {
                return Err(bad());
            }
            Ok(UpstreamServer {
                address: parse_address(key, address, TLS_PORT, Purpose::Server, &host)?,
                transport: UpstreamTransport::Tls(name.map(|name| name.trim_end_matches('.').into())),
            })
        }
        _ => Err(bad()),
    }
}

/// What a certificate can be for: a host name or an address.
fn is_host_name(text: &str) -> bool {
    let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.len() < 254 && text.bytes().all(is_letter))
}

fn read_routes(forward: &CheckedMapping<'_>, sets: &[UpstreamSet], findings: &mut Findings) -> Vec<Route> {
    let items = forward.list("routes", ROUTES_EXAMPLE, findings).unwrap_or_default();
    let mut routes = Vec::with_capacity(items.len());
    let mut first: HashMap<Name, FilePosition> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "a route", ROUTE_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let zone = section.required_text("zone", "zone: corp.example.", findings);
        let to = section.required_text("to", "to: corp", findings);
        let zone = zone.and_then(|text| Some((text.at, text.to_name("zone", findings)?)));
        let (Some((at, zone)), Some(to)) = (zone, to) else {
            continue;
        };
        if let Some(first) = first.insert(zone.to_lowercase(), at) {
            findings.error(at, ConfigProblem::DuplicateRoute { zone, first });
            continue;
        }
        let target = match to.text {
            NEVER => RouteTarget::Never,
            DEFAULT_SET => RouteTarget::Default,
            name => match sets.iter().find(|set| *set.name == *name) {
                Some(set) => RouteTarget::Set(Arc::clone(&set.name)),
                None => {
                    let known = sets.iter().map(|set| set.name.to_string()).collect();
                    let name = name.to_owned();
                    findings.error(to.at, ConfigProblem::UnknownUpstream { name, known });
                    continue;
                }
            },
        };
        routes.push(Route { zone, to: target });
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_addresses_with_an_optional_scheme() {
        let read = |text| parse_server("servers", text).map(|server| server.to_string()).ok();
        assert_eq!(read("192.0.2.1").as_deref(), Some("192.0.2.1:53"));
        assert_eq!(read("udp://192.0.2.1:5353").as_deref(), Some("192.0.2.1:5353"));
        assert_eq!(
            read("tls://192.0.2.9#dns.example.").as_deref(),
            Some("tls://192.0.2.9:853#dns.example")
        );
        assert_eq!(
            read("tls://[2001:db8::1]:8853").as_deref(),
            Some("tls://[2001:db8::1]:8853")
        );
        for bad in [
            "dns.example",
            "https://dns.example/dns-query",
            "tls://192.0.2.9#",
            "tls://dns.example",
            "udp://192.0.2.1#x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
