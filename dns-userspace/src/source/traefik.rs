//! `sources.traefik`: the routers of a Traefik, from its API.
//!
//! ```text
//! GET /api/rawdata ─ routers, tcpRouters ─ rules ─► Router a@file: a.example.org. A, AAAA of `targets`
//! path/*.yaml, *.toml ─ http.routers, tcp.routers ─► the same
//! metrics of each target ─ open connections ─► weights of `targets`
//! ```
//!
//! Traefik's API has no way to wait for a change: it is asked every few seconds, and what it says is compared. The API
//! shows all providers, with default rules applied. A router that is disabled has no names; nor has one below another
//! router, whose hosts are among those of the other. `docs/discovery.md` is for users.

mod files;
mod loads;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use self::loads::Loads;
use super::disagreement::{Disagreement, RoutedRule};
use super::peer::{Answer, Credential, LatePeer, Peer};
use super::polled::{Objects, Readable};
use super::proxy_files::{self, ProxyFiles};
use super::services::of_targets;
use super::{Claim, Object, WorldError};
use crate::config::{ProxySource, is_within};
use crate::model::name::Name;
use crate::model::record::Wildcard;
use crate::traefik_rule::{self, Dialect, Rule};

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pages of a list at most.
const MOST_PAGES: u64 = 1000;

/// The routers of a Traefik.
pub(super) struct Traefik {
    settings: ProxySource,
    peer: LatePeer,
    /// Its configuration, where that is read in the place of the API.
    files: Option<ProxyFiles>,
    /// The loads of the proxies, where they say them.
    loads: Option<Loads>,
}

/// `/api/rawdata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawData {
    routers: BTreeMap<String, Router>,
    tcp_routers: BTreeMap<String, Router>,
}

/// A router, as all paths show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Router {
    #[serde(default)]
    name: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    rule_syntax: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    parent_refs: Vec<String>,
}

impl Readable for Traefik {
    async fn read(&mut self) -> Result<Objects, WorldError> {
        if let Some(loads) = &mut self.loads {
            loads.begin().await;
        }
        let routers = match &mut self.files {
            Some(files) => files::routers(files.read(files::ENDINGS).await?)?,
            None => {
                let peer = self.peer.get()?;
                routers(&peer).await?
            }
        };
        let targets = match &self.loads {
            Some(loads) => loads.weights(),
            None => self.settings.targets.iter().map(|target| (*target, 1)).collect(),
        };
        let objects = routers.into_iter().map(|(key, router, is_http)| {
            let claims = self.claims(&router, is_http, &targets);
            (Arc::clone(&key), Object { key, since: 0, claims })
        });
        let problems = self.loads.iter().flat_map(Loads::problems);
        let problems = problems.map(|object| (Arc::clone(&object.key), object));
        Ok(objects.chain(problems).collect())
    }

    async fn pause(&mut self) {
        let Self {
            files, loads, settings, ..
        } = self;
        let changed = async {
            match files {
                Some(files) => files.changed().await,
                None => tokio::time::sleep(settings.poll).await,
            }
        };
        let loads_changed = async {
            match loads {
                Some(loads) => loads.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = loads_changed => {}
        }
    }
}

impl Traefik {
    pub(super) fn new(settings: ProxySource) -> Self {
        Self {
            peer: LatePeer::new("Traefik", settings.peer.clone(), Credential::Basic),
            files: settings.path.clone().map(ProxyFiles::new),
            loads: Loads::new(&settings),
            settings,
        }
    }

    fn claims(&self, router: &Router, is_http: bool, targets: &BTreeMap<IpAddr, u16>) -> Result<Vec<Claim>, String> {
        if !router.has_names() {
            return Ok(Vec::new());
        }
        let rule = router.rule(is_http, self.settings.is_v2)?;
        let names = traefik_rule::hosts(&rule);
        if names.is_empty()
            && let Some(unknown) = names.underivable.first()
        {
            return Err(format!(
                "no name can be derived from `{}`: {}",
                unknown.what, unknown.reason
            ));
        }
        let mut all = names.exact.iter().chain(&names.any_depth).chain(&names.one_label);
        if let Some(outside) = all.find(|name| !is_within(name, &self.settings.zones)) {
            return Err(outside_of_zones(outside));
        }
        let any_depth = names
            .exact
            .iter()
            .chain(&names.any_depth)
            .map(|name| (name, Wildcard::Rfc4592));
        let all = any_depth.chain(names.one_label.iter().map(|name| (name, Wildcard::OneLabel)));
        let claims = all.flat_map(|(name, wildcard)| of_targets(name, targets.clone(), wildcard, self.settings.ttl));
        Ok(claims.collect())
    }
}

/// What is said of a name that a proxy may not have.
pub(super) fn outside_of_zones(name: &Name) -> String {
    format!("{name} is in none of the zones that this source may have names in (`zones`)")
}

impl Router {
    /// Whether its rule says which names it has.
    fn has_names(&self) -> bool {
        self.status != "disabled" && self.parent_refs.is_empty()
    }

    fn rule(&self, is_http: bool, is_v2: bool) -> Result<Rule, String> {
        let own = match self.rule_syntax.as_str() {
            "v2" | "v3" => Some(self.rule_syntax.as_str()),
            _ => is_v2.then_some("v2"),
        };
        let dialect = if is_http { Dialect::http(own) } else { Dialect::tcp(own) };
        traefik_rule::parse(&self.rule, dialect).map_err(|error| error.to_string())
    }
}

/// Routers, each with its key, and whether it is one of HTTP.
pub(super) type Routers = Vec<(Arc<str>, Router, bool)>;

/// All routers of a configuration that is in files.
pub(super) async fn routers_in(path: &Arc<Path>) -> Result<Routers, WorldError> {
    files::routers(proxy_files::read(path, files::ENDINGS).await?)
}

/// All routers but Traefik's own.
pub(super) async fn routers(peer: &Peer) -> Result<Routers, WorldError> {
    let answer = peer.ask("/api/rawdata", TIMEOUT).await?;
    let data = match answer.status.as_u16() {
        404 => RawData {
            routers: listed(peer, "/api/http/routers", &answer).await?,
            tcp_routers: listed(peer, "/api/tcp/routers", &answer).await?,
        },
        _ => answer.checked()?.json()?,
    };
    let http = data.routers.into_iter().map(|(name, router)| (name, router, true));
    let tcp = data.tcp_routers.into_iter().map(|(name, router)| (name, router, false));
    let own = http.chain(tcp).filter(|(name, ..)| !name.ends_with("@internal"));
    let named = own.map(|(name, router, is_http)| (key(&name, is_http), router, is_http));
    Ok(named.collect())
}

fn key(name: &str, is_http: bool) -> Arc<str> {
    let kind = if is_http { "Router" } else { "TCP router" };
    format!("{kind} {name}").into()
}

/// The rules of all routers, and those that cannot be read.
pub(super) fn routed(routers: Routers, is_v2: bool) -> (Vec<RoutedRule>, Vec<Disagreement>) {
    let (mut routed, mut broken) = (Vec::new(), Vec::new());
    for (key, router, is_http) in routers {
        if !router.has_names() {
            continue;
        }
        let router_name = key.to_string();
        match router.rule(is_http, is_v2) {
            Ok(rule) => routed.push(RoutedRule {
                router: router_name,
                names: traefik_rule::hosts(&rule),
                rule,
            }),
            Err(reason) => broken.push(Disagreement::Underivable {
                router: router_name,
                reason,
            }),
        }
    }
    (routed, broken)
}

/// The routers that take some request to a host, each with its rule.
pub(super) fn takers(routers: Routers, is_v2: bool, host: &Name) -> Vec<(String, String)> {
    let takes = |(_, router, is_http): &(Arc<str>, Router, bool)| {
        router.has_names() && router.rule(*is_http, is_v2).is_ok_and(|rule| rule.takes(host))
    };
    let taking = routers.into_iter().filter(takes);
    taking.map(|(key, router, _)| (key.to_string(), router.rule)).collect()
}

/// A list of routers, page by page. `rawdata` is the reply that has no raw data.
async fn listed(peer: &Peer, path: &str, rawdata: &Answer) -> Result<BTreeMap<String, Router>, WorldError> {
    let mut routers = BTreeMap::new();
    let mut page = 1;
    while page <= MOST_PAGES {
        let answer = peer.ask(&format!("{path}?page={page}&per_page=100"), TIMEOUT).await?;
        if answer.status.as_u16() == 404 {
            let is_up = peer
                .ask("/ping", TIMEOUT)
                .await
                .is_ok_and(|ping| ping.status.as_u16() == 200);
            let error = rawdata
                .clone()
                .checked()
                .map_or_else(|error| error.0, |_| String::new());
            return Err(WorldError(match is_up {
                true => {
                    format!("{error}: Traefik serves, and its API is off: set `api.insecure`, or route api@internal")
                }
                false => format!("{error}: it is no API of Traefik"),
            }));
        }
        let answer = answer.checked()?;
        let all: Vec<Router> = answer.json()?;
        routers.extend(all.into_iter().map(|router| (router.name.clone(), router)));
        match answer.number("x-next-page") {
            Some(next) if next > page => page = next,
            // After the last page comes page 1.
            _ => break,
        }
    }
    Ok(routers)
}

#[cfg(test)]
mod tests;
