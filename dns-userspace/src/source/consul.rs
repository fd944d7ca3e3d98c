//! `sources.consul`: services of a Consul, by its catalog and health.
//!
//! ```text
//! GET /v1/catalog/services ─ names ─► one GET /v1/health/service/NAME each ─► Service NAME
//!     └ each waits at Consul until something may have changed (blocking queries), at most 55 s
//! ```
//!
//! A reply is no proof of a change: what it says is compared. An index that goes back begins at 0 again. Services that
//! vanish while Consul says that its ACL hides some are not taken for gone. `docs/discovery.md` is for users.

mod answers;
mod asking;
mod place;
mod registration;
mod taking;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;

use self::answers::AgentSelf;
pub(super) use self::place::Place;
pub(super) use self::registration::Registration;
use self::taking::hidden;
use super::agent;
use super::checks::Checks;
use super::host_names::{HostNames, LookUp};
use super::peer::{Answer, Credential, LatePeer, Peer};
use super::services::Instance;
use super::{Event, Listing, Object, World, WorldError};
use crate::config::ConsulSource;

/// How long Consul is asked to wait for a change.
pub(super) const WAIT: &str = "55s";
/// Consul waits up to a sixteenth longer.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(55 * 17 / 16 + 10);
/// For a reply that does not wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at a time that do not wait at Consul.
const AT_A_TIME: usize = 16;
/// Consul takes 200 connections of one client by default. Of more services than this, the checks of all are waited for
/// in one query, which says whom to ask; and each is asked in turn after a change of the catalog.
const MOST_WAITING: usize = 150;
/// How long it takes to ask all of them.
const IN_TURN: Duration = Duration::from_secs(15);
const FILTERED: &str = "x-consul-results-filtered-by-acls";
pub(super) const INDEX: &str = "x-consul-index";

/// The services of a Consul.
pub(super) struct Consul {
    settings: ConsulSource,
    peer: LatePeer,
    catalog: Place,
    nodes: Place,
    states: Place,
    /// The service and the status of each check, where there are many services.
    statuses: Statuses,
    /// Whether its ACL hides services from us.
    is_filtered: bool,
    /// Whether Consul has no leader, and a server without one is asked.
    is_stale: bool,
    services: BTreeMap<String, Known>,
    machines: BTreeMap<Arc<str>, Object>,
    checks: Checks<String>,
    /// Hosts that instances have in the place of addresses, by service.
    hosts: HostNames<String>,
    /// Replies that are waited for.
    answers: FuturesUnordered<BoxFuture<'static, Told>>,
    /// Requests that do not wait at Consul, at a time.
    room: Arc<Semaphore>,
    news: VecDeque<Event>,
}

/// What a reply is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Query {
    Catalog,
    Service(String),
    Nodes,
    /// The checks of all services.
    States,
}

/// By node and check: the service, which is empty for a check of the node, and the status.
type Statuses = BTreeMap<(String, String), (String, String)>;

/// A reply, what it is about, and the turn of its service.
type Told = (Query, u64, Result<Answer, WorldError>);

/// A service as it was last.
#[derive(Default)]
struct Known {
    place: Place,
    /// The question whose reply counts: one that is asked at once takes the place of the one before.
    turn: u64,
    /// Whether a reply is waited for.
    is_asked: bool,
    /// Its instances, as Consul has them.
    instances: Vec<Instance>,
    /// Those that are served, by their IDs.
    served: Vec<String>,
    objects: BTreeMap<Arc<str>, Object>,
}

impl Consul {
    /// A Consul; `look_up` gives the addresses of hosts.
    pub(super) fn new(settings: ConsulSource, look_up: LookUp) -> Self {
        Self {
            checks: Checks::new(settings.checks.clone()),
            hosts: HostNames::new(look_up),
            peer: LatePeer::new("Consul", settings.peer.clone(), Credential::Header("X-Consul-Token")),
            settings,
            catalog: Place::default(),
            nodes: Place::default(),
            states: Place::of_all(),
            statuses: Statuses::new(),
            is_filtered: false,
            is_stale: false,
            services: BTreeMap::new(),
            machines: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            room: Arc::new(Semaphore::new(AT_A_TIME)),
            news: VecDeque::new(),
        }
    }

    async fn list_all(&mut self, peer: &Arc<Peer>) -> Result<Listing, WorldError> {
        let unlocated = agent::locate::<AgentSelf>(&mut self.settings.naming.near, peer).await;
        let catalog = peer.get(&self.path(&Query::Catalog), TIMEOUT).await?;
        let selected = self.selected(catalog.json()?);
        let is_filtered = catalog.says(FILTERED);
        let gone = self.gone(&selected);
        if is_filtered && (selected.is_empty() || (!self.is_filtered && !gone.is_empty())) {
            return Err(hidden(&gone));
        }
        self.services.retain(|name, _| selected.contains(name));
        let paths: Vec<(String, String)> = selected
            .into_iter()
            .map(|name| (name.clone(), self.path(&Query::Service(name))))
            .collect();
        let replies: Vec<(String, Result<Answer, WorldError>)> = stream::iter(paths)
            .map(|(name, path)| async move { (name, peer.get(&path, TIMEOUT).await) })
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        for (name, answer) in replies {
            let answer = answer?;
            self.services.entry(name.clone()).or_default().place = Place::default();
            self.take(&name, &answer)?;
        }
        let services = &self.services;
        self.checks.retain(|name| services.contains_key(name));
        self.hosts.retain(|name| services.contains_key(name));
        self.hosts.settle().await;
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in names {
            self.describe(&name);
        }
        if self.settings.naming.domain.is_some() {
            let nodes = peer.get(&self.path(&Query::Nodes), TIMEOUT).await?;
            self.machines = self.machines(&nodes)?;
            self.nodes = Place::default();
            self.nodes.advance(nodes.number(INDEX));
        }
        self.is_filtered = is_filtered;
        self.catalog = Place::default();
        self.catalog.advance(catalog.number(INDEX));
        let of_services = self.services.values().flat_map(|known| known.objects.values());
        Ok(Listing {
            objects: of_services
                .chain(self.machines.values())
                .cloned()
                .chain(unlocated)
                .collect(),
            resume: None,
        })
    }
}

impl World for Consul {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.answers.clear();
        self.news.clear();
        let peer = self.peer.get()?;
        let listing = match self.list_all(&peer).await {
            // Without a leader, any server tells what it knows.
            Err(error) if !self.is_stale && error.0.contains(": 500 ") => {
                self.is_stale = true;
                let listing = self.list_all(&peer).await;
                self.is_stale = listing.is_ok();
                listing.map_err(|_| error)?
            }
            listing => listing?,
        };
        self.wait_for(Query::Catalog);
        if self.settings.naming.domain.is_some() {
            self.wait_for(Query::Nodes);
        }
        self.states = Place::of_all();
        self.statuses.clear();
        if self.has_many() {
            self.wait_for(Query::States);
        }
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in names {
            self.wait_for(Query::Service(name));
        }
        Ok(listing)
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(event);
            }
            let reply = tokio::select! {
                reply = self.answers.next() => reply,
                names = self.checks.changed() => {
                    names.iter().for_each(|name| self.tell_service(name));
                    continue;
                }
                names = self.hosts.changed() => {
                    names.iter().for_each(|name| self.tell_service(name));
                    continue;
                }
            };
            let Some((query, turn, answer)) = reply else {
                return Err(WorldError("no query waits for Consul".to_owned()));
            };
            let answer = answer?;
            if self.is_stale && answer.says("x-consul-knownleader") {
                self.is_stale = false;
            }
            self.note(query, turn, &answer)?;
        }
    }
}

#[cfg(test)]
mod tests;
