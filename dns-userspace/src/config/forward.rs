//! `forward`: sets of upstream servers, and which names go to which of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::address::{Purpose, host, parse_address};
use super::backend::BackendConfig;
use super::choice::{ClosedList, choices};
use super::document::{FilePosition, YamlKind};
use super::keys::{Applies, Input, TopLevelKey};
use super::listen::ListenAddresses;
use super::problem::{ConfigProblem, Findings};
use super::section::{CheckedMapping, Text};
use crate::host::addresses::HostAddresses;
use crate::model::name::Name;
use crate::model::views::{ViewClients, ViewName};

mod probe;
mod server;

pub use probe::{ProbeConfig, ProbeWhen};
pub(super) use server::parse_server;
pub use server::{ServerPlace, UpstreamServer, UpstreamTransport};

/// `forward`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardConfig {
    /// Sets of servers beside that of `backend.upstream`, by name.
    pub upstreams: Vec<UpstreamSet>,
    /// Which names go where; the longest suffix of a name decides.
    pub routes: Vec<Route>,
    /// Resolvers that are asked for the addresses of servers that are given by name.
    pub bootstrap: Vec<SocketAddr>,
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
    /// How servers are asked by time.
    pub probe: ProbeConfig,
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
    /// Whose: those of the clients of this view; without one, of all that no route of their own view speaks of.
    pub view: Option<ViewName>,
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
const KEYS: &[&str] = &["upstreams", "routes", "bootstrap"];
const SET_KEYS: &[&str] = &["name", "servers", "policy", "failover_on", "timeout", "probe"];
const ROUTE_KEYS: &[&str] = &["zone", "to", "view"];
const UPSTREAMS_EXAMPLE: &str = "upstreams: [{name: corp, servers: [\"10.0.0.2\"]}]";
const ROUTES_EXAMPLE: &str = "routes: [{zone: corp.example., to: corp}]";
const FAILOVER_EXAMPLE: &str = "failover_on: [network, servfail, refused]";
const BOOTSTRAP_EXAMPLE: &str = "bootstrap: [\"192.0.2.53\"]";
const BOOTSTRAP_PORT: u16 = 53;
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: KEYS,
    applies: Applies::Live(&[
        ("forward.upstreams", |old, new| {
            old.forward.upstreams != new.forward.upstreams
        }),
        ("forward.routes", |old, new| old.forward.routes != new.forward.routes),
        ("forward.bootstrap", |old, new| {
            old.forward.bootstrap != new.forward.bootstrap
        }),
    ]),
};

pub(super) fn read(
    input: &Input<'_>,
    listen: &ListenAddresses,
    views: &[ViewClients],
    backend: &BackendConfig,
    findings: &mut Findings,
) -> ForwardConfig {
    let section = input.root.section("forward", KEYS, findings);
    let listen = listen.addresses();
    let upstreams = read_sets(&section, &listen, findings);
    let routes = read_routes(&section, &upstreams, views, findings);
    let bootstrap = read_bootstrap(&section, &listen, findings);
    let default = backend.upstream.enabled.then_some(&backend.upstream.servers);
    let mut servers = default
        .into_iter()
        .chain(upstreams.iter().map(|set| &set.servers))
        .flatten();
    let named = servers.find_map(UpstreamServer::host_name);
    if let Some(name) = named.filter(|_| bootstrap.is_empty()) {
        let name = name.to_owned();
        let at = section.position("upstreams").or_else(|| input.root.position("backend"));
        findings.error(at.unwrap_or(section.at), ConfigProblem::NoBootstrap { name });
    }
    ForwardConfig {
        upstreams,
        routes,
        bootstrap,
    }
}

/// Resolvers that know the addresses of servers: addresses themselves, and none of ours.
fn read_bootstrap(forward: &CheckedMapping<'_>, listen: &[SocketAddr], findings: &mut Findings) -> Vec<SocketAddr> {
    let (key, host) = (forward.path("bootstrap"), host());
    let texts = forward
        .texts("bootstrap", BOOTSTRAP_EXAMPLE, findings)
        .unwrap_or_default();
    let mut bootstrap = Vec::with_capacity(texts.len());
    for Text { at, text } in texts {
        match parse_address(&key, text, BOOTSTRAP_PORT, Purpose::Server, &host) {
            Ok(server) => {
                check_is_other("forward.bootstrap", server, listen, at, findings);
                bootstrap.push(server);
            }
            Err(problem) => findings.error(at, problem),
        }
    }
    bootstrap
}

/// Says where a server is this server itself, by what is written in `listen` or as loopback.
fn check_is_other(
    key: &'static str,
    server: SocketAddr,
    listen: &[SocketAddr],
    at: FilePosition,
    findings: &mut Findings,
) {
    let mut own = listen.iter();
    if let Some(&listen) = own.find(|own| HostAddresses::default().is_ourselves(server, &[**own])) {
        findings.error(at, ConfigProblem::SetServerIsSelf { key, server, listen });
    }
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
        let probe = probe::read(&section, findings);
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
            probe,
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
    let (key, host) = (set.path("servers"), host());
    let mut servers = Vec::new();
    let texts = set.texts(
        "servers",
        "servers: [\"10.0.0.2\", \"tls://192.0.2.9#dns.example\"]",
        findings,
    );
    let given = texts.as_ref().map_or(0, Vec::len);
    for Text { at, text } in texts.unwrap_or_default() {
        match parse_server(&key, text, &host) {
            Ok(server) if servers.contains(&server) => {
                let address = server.to_string();
                let key = key.clone();
                findings.error(at, ConfigProblem::DuplicateAddress { key, address });
            }
            Ok(server) => {
                if let Some(address) = server
                    .address()
                    .filter(|_| server.transport == UpstreamTransport::Plain)
                {
                    check_is_other("forward.upstreams", address, listen, at, findings);
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

fn read_routes(
    forward: &CheckedMapping<'_>,
    sets: &[UpstreamSet],
    views: &[ViewClients],
    findings: &mut Findings,
) -> Vec<Route> {
    let items = forward.list("routes", ROUTES_EXAMPLE, findings).unwrap_or_default();
    let mut routes = Vec::with_capacity(items.len());
    let mut first: HashMap<(Name, Option<ViewName>), FilePosition> = HashMap::new();
    for item in items {
        let section = CheckedMapping::item(item, "a route", ROUTE_KEYS, findings);
        if !matches!(item.kind, YamlKind::Mapping(_)) {
            continue;
        }
        let zone = section.required_text("zone", "zone: corp.example.", findings);
        let to = section.required_text("to", "to: corp", findings);
        let view = read_view(&section, views, findings);
        let zone = zone.and_then(|text| Some((text.at, text.to_name("zone", findings)?)));
        let (Some((at, zone)), Some(to)) = (zone, to) else {
            continue;
        };
        if let Some(first) = first.insert((zone.to_lowercase(), view.clone()), at) {
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
        routes.push(Route { zone, view, to: target });
    }
    routes
}

/// The view that a route is for.
fn read_view(route: &CheckedMapping<'_>, views: &[ViewClients], findings: &mut Findings) -> Option<ViewName> {
    let Text { at, text } = route.text("view", "view: office", findings)?;
    let found = views.iter().find(|view| *view.name == *text);
    if found.is_none() {
        let known = views.iter().map(|view| view.name.to_string()).collect();
        let name = text.to_owned();
        findings.error(at, ConfigProblem::UnknownView { name, known });
    }
    found.map(|view| ViewName::clone(&view.name))
}
