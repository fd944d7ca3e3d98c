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
mod place;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt};

use self::answers::{CatalogNode, HealthEntry, StateCheck};
pub(super) use self::place::Place;
use super::checks::Checks;
use super::peer::{Answer, Credential, Peer, encoded};
use super::services::{self, Instance, Node};
use super::{Change, Event, Listing, Object, World, WorldError};
use crate::config::ConsulSource;

/// How long Consul is asked to wait for a change.
pub(super) const WAIT: &str = "55s";
/// Consul waits up to a sixteenth longer.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(55 * 17 / 16 + 10);
/// For a reply that does not wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at a time while services are listed.
const AT_A_TIME: usize = 16;
/// Consul takes 200 connections of one client by default. Of more services than this, the checks of all are waited for in
/// one query, which says whom to ask; and each is asked in turn beside.
const MOST_WAITING: usize = 150;
/// How often each is asked then.
const IN_TURN: Duration = Duration::from_secs(15);
const FILTERED: &str = "x-consul-results-filtered-by-acls";
pub(super) const INDEX: &str = "x-consul-index";

/// The services of a Consul.
pub(super) struct Consul {
    settings: ConsulSource,
    peer: Option<Arc<Peer>>,
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
    checks: Checks,
    /// Replies that are waited for.
    answers: FuturesUnordered<BoxFuture<'static, Told>>,
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
    /// Its instances, as Consul has them.
    instances: Vec<Instance>,
    /// Those that are served, by their IDs.
    served: Vec<String>,
    objects: BTreeMap<Arc<str>, Object>,
}

impl Consul {
    pub(super) fn new(settings: ConsulSource) -> Self {
        Self {
            checks: Checks::new(settings.checks.clone()),
            settings,
            peer: None,
            catalog: Place::default(),
            nodes: Place::default(),
            states: Place::default(),
            statuses: Statuses::new(),
            is_filtered: false,
            is_stale: false,
            services: BTreeMap::new(),
            machines: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            news: VecDeque::new(),
        }
    }

    fn peer(&mut self) -> Result<Arc<Peer>, WorldError> {
        if let Some(peer) = &self.peer {
            return Ok(Arc::clone(peer));
        }
        let credential = Credential::Header("X-Consul-Token");
        let peer = Arc::new(Peer::new("Consul", self.settings.peer.clone(), credential)?);
        self.peer = Some(Arc::clone(&peer));
        Ok(peer)
    }

    /// The path of a query, with the parameters that all have.
    fn path(&self, query: &Query) -> String {
        let mut path = match query {
            Query::Catalog => "/v1/catalog/services?".to_owned(),
            Query::Nodes => "/v1/catalog/nodes?".to_owned(),
            Query::States => "/v1/health/state/any?".to_owned(),
            Query::Service(name) => format!("/v1/health/service/{}?", encoded(name)),
        };
        if let Some(datacenter) = &self.settings.datacenter {
            path.push_str(&format!("dc={}&", encoded(datacenter)));
        }
        if let Some(namespace) = &self.settings.namespace {
            path.push_str(&format!("ns={}&", encoded(namespace)));
        }
        if self.is_stale {
            path.push_str("stale&");
        }
        path.pop();
        path
    }

    /// Waits for the next reply to a query, beginning at its place.
    fn wait_for(&mut self, query: Query) {
        self.ask(query, false);
    }

    /// Whether there are more services than queries may wait.
    fn has_many(&self) -> bool {
        self.services.len() > MOST_WAITING
    }

    fn ask(&mut self, query: Query, at_once: bool) {
        let Some(peer) = self.peer.clone() else { return };
        let is_in_turn = self.has_many() && matches!(query, Query::Service(_));
        let mut turn = 0;
        let mut path = self.path(&query);
        let place = match &query {
            Query::Catalog => &mut self.catalog,
            Query::Nodes => &mut self.nodes,
            Query::States => &mut self.states,
            Query::Service(name) => match self.services.get_mut(name) {
                Some(known) => {
                    known.turn += u64::from(at_once);
                    turn = known.turn;
                    &mut known.place
                }
                None => return,
            },
        };
        let mut pause = place.pause();
        match place.index() {
            0 => {}
            _ if is_in_turn && at_once => {}
            _ if is_in_turn => pause = pause.max(IN_TURN),
            index => path.push_str(&format!("{}index={index}&wait={WAIT}", joint(&path))),
        }
        self.answers.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let answer = peer.get(&path, LONGEST_WAIT).await;
            (query, turn, answer)
        }));
    }

    /// The services that names are made of.
    fn selected(&self, catalog: BTreeMap<String, Option<Vec<String>>>) -> BTreeSet<String> {
        let naming = &self.settings.naming;
        let is_all = naming.exposed_by_default || naming.domain.is_some();
        let asks = |tag: &String| {
            let tag = tag.to_ascii_lowercase();
            tag.starts_with("traefik.enable=") || tag.starts_with("urlprefix-")
        };
        let selected = catalog
            .into_iter()
            .filter(|(_, tags)| is_all || tags.as_ref().is_some_and(|tags| tags.iter().any(asks)));
        selected.map(|(name, _)| name).collect()
    }

    /// Takes what a service is now.
    fn take(&mut self, name: &str, answer: &Answer) -> Result<(), WorldError> {
        let entries: Vec<HealthEntry> = answer.json()?;
        let instances: Vec<Instance> = entries.into_iter().filter_map(HealthEntry::into_instance).collect();
        let known = self.services.entry(name.to_owned()).or_default();
        known.place.advance(answer.number(INDEX));
        // A service without instances vanishes from the catalog; that says whether it is gone.
        if instances.is_empty() {
            return Ok(());
        }
        known.instances = instances;
        Ok(())
    }

    /// Checks the instances of all services, those that have come included.
    fn check(&mut self) {
        self.checks
            .set(self.services.values().flat_map(|known| &known.instances));
    }

    /// Describes a service anew: its objects that differ, and the keys of those that are gone.
    fn describe(&mut self, name: &str) -> (Vec<Object>, Vec<Arc<str>>) {
        let Some(known) = self.services.get_mut(name).filter(|known| !known.instances.is_empty()) else {
            return (Vec::new(), Vec::new());
        };
        let instances = self.checks.judged(known.instances.iter());
        let served: Vec<Instance> = services::served(&instances, &known.served)
            .into_iter()
            .cloned()
            .collect();
        known.served = served.iter().map(|instance| instance.id.clone()).collect();
        let objects = services::objects(name, 0, &served, &self.settings.naming);
        let objects: BTreeMap<Arc<str>, Object> = objects
            .into_iter()
            .map(|object| (Arc::clone(&object.key), object))
            .collect();
        let gone = known
            .objects
            .keys()
            .filter(|key| !objects.contains_key(*key))
            .cloned()
            .collect();
        let other = objects
            .values()
            .filter(|object| known.objects.get(&object.key) != Some(*object));
        let other = other.cloned().collect();
        known.objects = objects;
        (other, gone)
    }

    /// Tells what of a service is another now.
    fn tell_service(&mut self, name: &str) {
        let (other, gone) = self.describe(name);
        self.tell(gone.into_iter().map(Change::Deleted));
        self.tell(other.into_iter().map(Change::Applied));
    }

    fn machines(&self, answer: &Answer) -> Result<BTreeMap<Arc<str>, Object>, WorldError> {
        let Some(domain) = &self.settings.naming.domain else {
            return Ok(BTreeMap::new());
        };
        let nodes: Vec<CatalogNode> = answer.json()?;
        let objects = nodes.into_iter().map(|node| {
            let node = Node::from(node);
            let key: Arc<str> = format!("Node {}", node.name).into();
            let claims = Ok(services::node(&node, domain, self.settings.naming.ttl));
            (Arc::clone(&key), Object { key, since: 0, claims })
        });
        Ok(objects.collect())
    }

    fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        let events = changes.into_iter().map(|change| Event { change, resume: None });
        self.news.extend(events);
    }

    /// Takes the checks of all services; those whose checks differ, or whose node's do, are asked at once.
    fn take_states(&mut self, answer: &Answer) -> Result<(), WorldError> {
        let all: Vec<StateCheck> = answer.json()?;
        let now: Statuses = all.into_iter().map(StateCheck::into_status).collect();
        let before = std::mem::take(&mut self.statuses);
        let differs = |key: &&(String, String)| before.get(*key) != now.get(*key);
        let differing: BTreeSet<(&String, &String)> = before
            .keys()
            .chain(now.keys())
            .filter(differs)
            .filter_map(|key| Some((&key.0, &now.get(key).or_else(|| before.get(key))?.0)))
            .collect();
        let is_on = |known: &Known, node: &String| {
            let mut nodes = known.instances.iter().filter_map(|instance| instance.node.as_ref());
            nodes.any(|on| on.name == *node)
        };
        let mut to_ask: BTreeSet<String> = BTreeSet::new();
        // The first reply is no news: all services have just been listed.
        for (node, service) in differing.iter().filter(|_| !before.is_empty()) {
            let of_node = self
                .services
                .iter()
                .filter(|(_, known)| service.is_empty() && is_on(known, node));
            to_ask.extend(of_node.map(|(name, _)| name.clone()));
            to_ask.extend(self.services.contains_key(*service).then(|| (*service).clone()));
        }
        self.statuses = now;
        for name in to_ask {
            self.ask(Query::Service(name), true);
        }
        Ok(())
    }

    fn note(&mut self, query: Query, turn: u64, answer: &Answer) -> Result<(), WorldError> {
        match &query {
            Query::Catalog => {
                let selected = self.selected(answer.json()?);
                let is_filtered = answer.says(FILTERED);
                let gone: Vec<String> = self
                    .services
                    .keys()
                    .filter(|name| !selected.contains(*name))
                    .cloned()
                    .collect();
                if !gone.is_empty() {
                    if selected.is_empty() {
                        self.tell([Change::Relist]);
                        return Ok(());
                    }
                    if is_filtered && !self.is_filtered {
                        return Err(hidden(&gone));
                    }
                }
                self.is_filtered = is_filtered;
                self.catalog.advance(answer.number(INDEX));
                for name in gone {
                    let known = self.services.remove(&name).unwrap_or_default();
                    self.tell(known.objects.into_keys().map(Change::Deleted));
                }
                let had_many = self.has_many();
                for name in selected {
                    if !self.services.contains_key(&name) {
                        self.services.insert(name.clone(), Known::default());
                        self.wait_for(Query::Service(name));
                    }
                }
                if self.has_many() && !had_many && self.statuses.is_empty() {
                    self.wait_for(Query::States);
                }
            }
            Query::Service(name) => {
                if self.services.get(name).is_none_or(|known| known.turn != turn) {
                    return Ok(());
                }
                self.take(name, answer)?;
                self.check();
                self.tell_service(name);
            }
            Query::States => {
                self.states.advance(answer.number(INDEX));
                self.take_states(answer)?;
                if !self.has_many() {
                    self.statuses.clear();
                    return Ok(());
                }
            }
            Query::Nodes => {
                self.nodes.advance(answer.number(INDEX));
                let now = self.machines(answer)?;
                let gone: Vec<Arc<str>> = self
                    .machines
                    .keys()
                    .filter(|key| !now.contains_key(*key))
                    .cloned()
                    .collect();
                let other = now
                    .values()
                    .filter(|object| self.machines.get(&object.key) != Some(*object));
                let other: Vec<Object> = other.cloned().collect();
                self.machines = now;
                self.tell(gone.into_iter().map(Change::Deleted));
                self.tell(other.into_iter().map(Change::Applied));
            }
        }
        self.wait_for(query);
        Ok(())
    }

    async fn list_all(&mut self, peer: &Arc<Peer>) -> Result<Listing, WorldError> {
        let catalog = peer.get(&self.path(&Query::Catalog), TIMEOUT).await?;
        let selected = self.selected(catalog.json()?);
        let is_filtered = catalog.says(FILTERED);
        let gone: Vec<String> = self
            .services
            .keys()
            .filter(|name| !selected.contains(*name))
            .cloned()
            .collect();
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
        self.check();
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
            objects: of_services.chain(self.machines.values()).cloned().collect(),
            resume: None,
        })
    }
}

fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

fn hidden(gone: &[String]) -> WorldError {
    let which = match gone {
        [] => "it shows no service at all".to_owned(),
        [first, rest @ ..] => format!("{first} and {} more are not shown any more", rest.len()),
    };
    WorldError(format!(
        "Consul says that its ACL hides services from this token, and {which}: give the token `service:read` and \
         `node:read`, or take it back"
    ))
}

impl World for Consul {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.answers.clear();
        self.news.clear();
        let peer = self.peer()?;
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
        self.states = Place::default();
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
                () = self.checks.changed() => {
                    let names: Vec<String> = self.services.keys().cloned().collect();
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
