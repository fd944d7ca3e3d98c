//! What Consul's replies change: services, nodes, and whom to ask next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::peer::Answer;
use super::super::services::{self, Instance, Node};
use super::super::{Change, Event, Object, WorldError};
use super::answers::{CatalogNode, HealthEntry, StateCheck};
use super::{Consul, FILTERED, INDEX, Known, Query, Statuses};

impl Consul {
    /// Takes what a service is now.
    pub(super) fn take(&mut self, name: &str, answer: &Answer) -> Result<(), WorldError> {
        let entries: Vec<HealthEntry> = answer.json()?;
        let instances: Vec<Instance> = entries.into_iter().filter_map(HealthEntry::into_instance).collect();
        let known = self.services.entry(name.to_owned()).or_default();
        known.is_asked = false;
        known.place.advance(answer.number(INDEX));
        // A service without instances vanishes from the catalog; that says whether it is gone.
        if instances.is_empty() {
            return Ok(());
        }
        known.instances = instances;
        let name = name.to_owned();
        self.checks.set(&name, known.instances.iter());
        self.hosts.set(&name, known.instances.iter());
        Ok(())
    }

    /// Describes a service anew: its objects that differ, and the keys of those that are gone.
    pub(super) fn describe(&mut self, name: &str) -> (Vec<Object>, Vec<Arc<str>>) {
        let Some(known) = self.services.get_mut(name).filter(|known| !known.instances.is_empty()) else {
            return (Vec::new(), Vec::new());
        };
        let mut instances = self.checks.judged(known.instances.iter());
        self.hosts.resolve(&name.to_owned(), &mut instances);
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
    pub(super) fn tell_service(&mut self, name: &str) {
        let (other, gone) = self.describe(name);
        self.tell(gone.into_iter().map(Change::Deleted));
        self.tell(other.into_iter().map(Change::Applied));
    }

    pub(super) fn machines(&self, answer: &Answer) -> Result<BTreeMap<Arc<str>, Object>, WorldError> {
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

    pub(super) fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        let events = changes.into_iter().map(|change| Event { change, resume: None });
        self.news.extend(events);
    }

    /// Takes the checks of all services; those whose checks differ, or whose node's do, are asked at once.
    pub(super) fn take_states(&mut self, answer: &Answer) -> Result<(), WorldError> {
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
            self.ask(Query::Service(name), Some(Duration::ZERO));
        }
        Ok(())
    }

    /// Services that were selected, and are not any more.
    pub(super) fn gone(&self, selected: &BTreeSet<String>) -> Vec<String> {
        let known = self.services.keys();
        known.filter(|name| !selected.contains(*name)).cloned().collect()
    }

    pub(super) fn note(&mut self, query: Query, turn: u64, answer: &Answer) -> Result<(), WorldError> {
        match &query {
            Query::Catalog => {
                let selected = self.selected(answer.json()?);
                let is_filtered = answer.says(FILTERED);
                let gone = self.gone(&selected);
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
                let had_many = self.has_many();
                for name in gone {
                    let known = self.services.remove(&name).unwrap_or_default();
                    self.checks.set(&name, std::iter::empty());
                    self.hosts.set(&name, std::iter::empty());
                    self.tell(known.objects.into_keys().map(Change::Deleted));
                }
                for name in selected {
                    if !self.services.contains_key(&name) {
                        self.services.insert(name.clone(), Known::default());
                        self.wait_for(Query::Service(name));
                    }
                }
                if had_many {
                    // Some service is another: the catalog does not say which. If they are few by now, each waits.
                    self.ask_all();
                }
                if self.has_many() && !had_many {
                    self.wait_for(Query::States);
                }
            }
            Query::Service(name) => {
                if self.services.get(name).is_none_or(|known| known.turn != turn) {
                    return Ok(());
                }
                self.take(name, answer)?;
                self.tell_service(name);
            }
            Query::States => {
                self.states.advance(answer.number(INDEX));
                if !self.has_many() {
                    self.statuses.clear();
                    return Ok(());
                }
                self.take_states(answer)?;
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
}

/// Services that are not shown any more, where Consul says that it hides some.
pub(super) fn hidden(gone: &[String]) -> WorldError {
    let which = match gone {
        [] => "it shows no service at all".to_owned(),
        [first, rest @ ..] => format!("{first} and {} more are not shown any more", rest.len()),
    };
    WorldError(format!(
        "Consul says that its ACL hides services from this token, and {which}: give the token `service:read` and \
         `node:read`, or take it back"
    ))
}
