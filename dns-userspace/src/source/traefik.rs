//! `sources.traefik`: the routers of a Traefik, from its API.
//!
//! ```text
//! GET /api/rawdata ─ routers, tcpRouters ─ rules ─► Router a@file: a.example.org. A, AAAA of `targets`
//! ```
//!
//! Traefik's API has no way to wait for a change: it is asked every few seconds, and what it says is compared. The API
//! shows all providers, with default rules applied. A router that is disabled has no names; nor has one below another
//! router, whose hosts are among those of the other. `docs/discovery.md` is for users.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::peer::{Answer, Credential, Peer};
use super::services::of_targets;
use super::{Change, Claim, Event, Listing, Object, World, WorldError};
use crate::config::TraefikSource;
use crate::model::record::Wildcard;
use crate::traefik_rule::{self, Dialect};

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pages of a list at most.
const MOST_PAGES: u64 = 1000;

/// The routers of a Traefik.
pub(super) struct Traefik {
    settings: TraefikSource,
    peer: Option<Arc<Peer>>,
    known: BTreeMap<Arc<str>, Object>,
    news: VecDeque<Event>,
}

/// `/api/rawdata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawData {
    routers: BTreeMap<String, Router>,
    tcp_routers: BTreeMap<String, Router>,
}

/// A router, as all paths show it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Router {
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

impl Traefik {
    pub(super) fn new(settings: TraefikSource) -> Self {
        Self {
            settings,
            peer: None,
            known: BTreeMap::new(),
            news: VecDeque::new(),
        }
    }

    fn peer(&mut self) -> Result<Arc<Peer>, WorldError> {
        if let Some(peer) = &self.peer {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(Peer::new("Traefik", self.settings.peer.clone(), Credential::Basic)?);
        self.peer = Some(Arc::clone(&peer));
        Ok(peer)
    }

    async fn read(&mut self) -> Result<BTreeMap<Arc<str>, Object>, WorldError> {
        let peer = self.peer()?;
        let answer = peer.ask("/api/rawdata", TIMEOUT).await?;
        let data = match answer.status.as_u16() {
            404 => RawData {
                routers: listed(&peer, "/api/http/routers", &answer).await?,
                tcp_routers: listed(&peer, "/api/tcp/routers", &answer).await?,
            },
            _ => answer.checked()?.json()?,
        };
        let http = data.routers.into_iter().map(|(name, router)| (name, router, true));
        let tcp = data.tcp_routers.into_iter().map(|(name, router)| (name, router, false));
        let objects =
            http.chain(tcp)
                .filter(|(name, ..)| !name.ends_with("@internal"))
                .map(|(name, router, is_http)| {
                    let kind = if is_http { "Router" } else { "TCP router" };
                    let key: Arc<str> = format!("{kind} {name}").into();
                    let claims = self.claims(&router, is_http);
                    (Arc::clone(&key), Object { key, since: 0, claims })
                });
        Ok(objects.collect())
    }

    fn claims(&self, router: &Router, is_http: bool) -> Result<Vec<Claim>, String> {
        if router.status == "disabled" || !router.parent_refs.is_empty() {
            return Ok(Vec::new());
        }
        let own = match router.rule_syntax.as_str() {
            "v2" | "v3" => Some(router.rule_syntax.as_str()),
            _ => self.settings.is_v2.then_some("v2"),
        };
        let dialect = if is_http { Dialect::http(own) } else { Dialect::tcp(own) };
        let rule = traefik_rule::parse(&router.rule, dialect).map_err(|error| error.to_string())?;
        let names = traefik_rule::hosts(&rule);
        if names.is_empty()
            && let Some(unknown) = names.underivable.first()
        {
            return Err(format!(
                "no name can be derived from `{}`: {}",
                unknown.what, unknown.reason
            ));
        }
        let targets: BTreeMap<IpAddr, u16> = self.settings.targets.iter().map(|target| (*target, 1)).collect();
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

impl World for Traefik {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.news.clear();
        self.known = self.read().await?;
        Ok(Listing {
            objects: self.known.values().cloned().collect(),
            resume: None,
        })
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(event);
            }
            tokio::time::sleep(self.settings.poll).await;
            let now = self.read().await?;
            let has_names = |objects: &BTreeMap<Arc<str>, Object>| {
                objects
                    .values()
                    .any(|object| object.claims.as_ref().is_ok_and(|claims| !claims.is_empty()))
            };
            let changes: Vec<Change> = match has_names(&self.known) && !has_names(&now) {
                // A Traefik that starts has no routers yet: the driver doubts such a list.
                true => vec![Change::Relist],
                false => {
                    let gone = self.known.keys().filter(|key| !now.contains_key(*key)).cloned();
                    let other = now
                        .values()
                        .filter(|object| self.known.get(&object.key) != Some(*object));
                    gone.map(Change::Deleted)
                        .chain(other.cloned().map(Change::Applied))
                        .collect()
                }
            };
            self.known = now;
            self.news = changes
                .into_iter()
                .map(|change| Event { change, resume: None })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests;
