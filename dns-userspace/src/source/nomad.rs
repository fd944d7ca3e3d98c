//! `sources.nomad`: the native services of a Nomad.
//!
//! ```text
//! 1. GET /v1/event/stream?topic=Service    opened first, so that nothing is lost between list and stream
//! 2. GET /v1/services, /v1/service/NAME    the list; events that are older than it are skipped
//! 3. the stream                            one registration at a time; silent for 90 s: all is listed anew
//! 4. GET /v1/client/allocation/ID/checks   every 30 s: whose checks fail
//! ```
//!
//! The stream may skip events without a word (its buffer is short), so all is listed anew now and then. Where it cannot
//! be had, all is listed every 15 s. `docs/discovery.md` is for users.

mod allocations;
mod answers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::allocations::{Allocations, Id};
use self::answers::{AgentSelf, Message, Namespace, Registered, Registration};
use super::agent;
use super::checks::Checks;
use super::host_names::{HostNames, LookUp};
use super::peer::{Credential, LatePeer, Lines, Peer};
use super::services::{self, Instance};
use super::{Change, Event, Listing, Object, World, WorldError};
use crate::config::NomadSource;
use crate::model::shown::percent_encoded;

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the request for the stream has before the list begins.
const HEAD_START: Duration = Duration::from_millis(300);
/// A stream sends something every 30 s at the latest.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);
/// How often all is listed beside the stream.
const RESYNC: Duration = Duration::from_secs(300);
/// How often all is listed without a stream.
const REFRESH: Duration = Duration::from_secs(15);
/// Requests at a time while services are listed.
const AT_A_TIME: usize = 16;
const INDEX: &str = "x-nomad-index";

/// The services of a Nomad.
pub(super) struct Nomad {
    settings: NomadSource,
    peer: LatePeer,
    /// The index of the list: events up to it are in it.
    listed_at: u64,
    services: BTreeMap<Key, Known>,
    checks: Checks<Key>,
    /// Hosts that instances have in the place of addresses, by service.
    hosts: HostNames<Key>,
    /// What Nomad checks itself.
    allocations: Allocations,
    events: Events,
    /// When all is listed anew.
    resync: Instant,
    news: VecDeque<Event>,
}

/// A namespace and a service in it.
type Key = (String, String);

/// A service as it was last.
#[derive(Default)]
struct Known {
    /// Its instances, by their IDs.
    instances: BTreeMap<String, Registered>,
    /// Those that are served, by their IDs.
    served: Vec<String>,
    objects: BTreeMap<Arc<str>, Object>,
}

impl Known {
    fn all(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().map(|registered| &registered.instance)
    }
}

enum Events {
    Opening(BoxFuture<'static, Result<Lines, WorldError>>),
    Open(Lines),
    /// The stream cannot be had.
    Absent,
}

impl Nomad {
    /// A Nomad; `look_up` gives the addresses of hosts.
    pub(super) fn new(settings: NomadSource, look_up: LookUp) -> Self {
        Self {
            checks: Checks::new(settings.checks.clone()),
            hosts: HostNames::new(look_up),
            allocations: Allocations::new(settings.has_allocation_checks),
            peer: LatePeer::new("Nomad", settings.peer.clone(), Credential::Header("X-Nomad-Token")),
            settings,
            listed_at: 0,
            services: BTreeMap::new(),
            events: Events::Absent,
            resync: Instant::now(),
            news: VecDeque::new(),
        }
    }

    /// Opens the stream, as far as it opens at once.
    async fn open(&mut self, peer: &Arc<Peer>) {
        let namespace = percent_encoded(&self.settings.namespace);
        let mut opening: BoxFuture<'static, _> =
            Box::pin(peer.lines(format!("/v1/event/stream?topic=Service&namespace={namespace}")));
        self.events = match timeout(HEAD_START, &mut opening).await {
            Ok(Ok(lines)) => Events::Open(lines),
            Ok(Err(_)) => Events::Absent,
            Err(_) => Events::Opening(opening),
        };
    }

    async fn list_all(&mut self, peer: &Arc<Peer>) -> Result<Listing, WorldError> {
        let unlocated = agent::locate::<AgentSelf>(&mut self.settings.naming.near, peer).await;
        let namespace = percent_encoded(&self.settings.namespace);
        let listed = peer
            .get(&format!("/v1/services?namespace={namespace}"), TIMEOUT)
            .await?;
        let namespaces: Vec<Namespace> = listed.json()?;
        let keys = namespaces.into_iter().flat_map(Namespace::into_services);
        let keys: BTreeSet<Key> = keys.collect();
        let asked = stream::iter(keys).map(|key| async move {
            let path = format!(
                "/v1/service/{}?namespace={}",
                percent_encoded(&key.1),
                percent_encoded(&key.0)
            );
            let answer = peer.ask(&path, TIMEOUT).await?;
            // One that is gone by now.
            let is_gone = answer.status.as_u16() == 404;
            let registrations: Vec<Registration> = if is_gone { Vec::new() } else { answer.checked()?.json()? };
            Ok::<_, WorldError>((key, registrations))
        });
        let replies: Vec<Result<(Key, Vec<Registration>), WorldError>> =
            asked.buffer_unordered(AT_A_TIME).collect().await;
        let mut now: BTreeMap<Key, Known> = BTreeMap::new();
        for reply in replies {
            let (key, registrations) = reply?;
            let known = now.entry(key).or_default();
            for registered in registrations.into_iter().map(Registered::from) {
                known.instances.insert(registered.instance.id.clone(), registered);
            }
        }
        now.retain(|_, known| !known.instances.is_empty());
        for (key, known) in &mut now {
            if let Some(before) = self.services.get_mut(key) {
                known.served = std::mem::take(&mut before.served);
            }
        }
        self.services = now;
        let services = &self.services;
        self.checks.retain(|key| services.contains_key(key));
        self.hosts.retain(|key| services.contains_key(key));
        for (key, known) in services {
            self.checks.set(key, known.all());
            self.hosts.set(key, known.all());
        }
        self.hosts.settle().await;
        let registered = self.services.values().flat_map(|known| known.instances.values());
        let allocations = registered.map(|registered| registered.allocation.clone()).collect();
        self.allocations.set(peer, allocations);
        self.listed_at = listed.number(INDEX).unwrap_or(0);
        let keys: Vec<Key> = self.services.keys().cloned().collect();
        let mut objects: Vec<Object> = unlocated.into_iter().collect();
        for key in keys {
            let described = self.describe(&key);
            objects.extend(described.values().cloned());
            self.services.entry(key).or_default().objects = described;
        }
        Ok(Listing { objects, resume: None })
    }

    /// The services with an instance in an allocation.
    fn services_of(&self, id: &Id) -> Vec<Key> {
        let is_in = |known: &Known| known.instances.values().any(|registered| registered.allocation == *id);
        let services = self.services.iter().filter(|(_, known)| is_in(known));
        services.map(|(key, _)| key.clone()).collect()
    }

    /// The objects that a service is now.
    fn describe(&mut self, key: &Key) -> BTreeMap<Arc<str>, Object> {
        let Some(known) = self.services.get_mut(key) else {
            return BTreeMap::new();
        };
        let mut judged = self.checks.judged(known.all());
        for (judged, registered) in judged.iter_mut().zip(known.instances.values()) {
            judged.is_passing &= !self.allocations.fails(&registered.allocation, &key.1);
        }
        self.hosts.resolve(key, &mut judged);
        let instances: Vec<Instance> = services::served(&judged, &known.served).into_iter().cloned().collect();
        known.served = instances.iter().map(|instance| instance.id.clone()).collect();
        let objects = services::objects(&key.1, 0, &instances, &self.settings.naming);
        let named = objects.into_iter().map(|mut object| {
            // The same service may be in two namespaces.
            if key.0 != "default" {
                object.key = format!("{} in {}", object.key, key.0).into();
            }
            (Arc::clone(&object.key), object)
        });
        named.collect()
    }

    /// Takes one line of the stream.
    fn take(&mut self, line: &[u8]) -> Result<(), WorldError> {
        let wrong = |error| WorldError(format!("Nomad's stream of events cannot be understood: {error}"));
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let message: Message = serde_json::from_slice(line).map_err(wrong)?;
        for event in message.events {
            if event.topic != "Service" || event.index <= self.listed_at {
                continue;
            }
            let Some(registration) = event.payload.service else {
                continue;
            };
            let key = (registration.namespace.clone(), registration.service_name.clone());
            let mut registered = Registered::from(registration);
            let id = registered.instance.id.clone();
            let known = self.services.entry(key.clone()).or_default();
            let is_older = known
                .instances
                .get(&id)
                .is_some_and(|known| known.index > event.index.max(registered.index));
            match event.kind.as_str() {
                _ if is_older => continue,
                "ServiceRegistration" => {
                    registered.index = event.index;
                    self.allocations.add(registered.allocation.clone());
                    known.instances.insert(id, registered);
                }
                "ServiceDeregistration" => drop(known.instances.remove(&id)),
                _ => continue,
            }
            self.checks.set(&key, known.all());
            self.hosts.set(&key, known.all());
            self.tell(&key);
        }
        Ok(())
    }

    /// Tells what of a service is another now.
    fn tell(&mut self, key: &Key) {
        let objects = self.describe(key);
        let Some(known) = self.services.get_mut(key) else {
            return;
        };
        let is_gone = known.instances.is_empty();
        let objects = if is_gone { BTreeMap::new() } else { objects };
        let gone = known.objects.keys().filter(|key| !objects.contains_key(*key)).cloned();
        let other = objects
            .values()
            .filter(|object| known.objects.get(&object.key) != Some(*object))
            .cloned();
        let changes: Vec<Change> = gone.map(Change::Deleted).chain(other.map(Change::Applied)).collect();
        known.objects = objects;
        if is_gone {
            self.services.remove(key);
        }
        // That all are gone, a list has to say.
        let changes = if self.services.is_empty() {
            vec![Change::Relist]
        } else {
            changes
        };
        self.news
            .extend(changes.into_iter().map(|change| Event { change, resume: None }));
    }
}

impl World for Nomad {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        self.news.clear();
        let peer = self.peer.get()?;
        self.open(&peer).await;
        let listing = self.list_all(&peer).await?;
        let every = if matches!(self.events, Events::Absent) {
            REFRESH
        } else {
            RESYNC
        };
        self.resync = Instant::now() + every;
        Ok(listing)
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        let relist = Event {
            change: Change::Relist,
            resume: None,
        };
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(event);
            }
            let event = tokio::select! {
                event = self.events.next(self.resync) => event?,
                keys = self.checks.changed() => {
                    keys.iter().for_each(|key| self.tell(key));
                    continue;
                }
                keys = self.hosts.changed() => {
                    keys.iter().for_each(|key| self.tell(key));
                    continue;
                }
                id = self.allocations.changed() => {
                    self.services_of(&id).iter().for_each(|key| self.tell(key));
                    continue;
                }
            };
            match event {
                Told::Line(line) => self.take(&line)?,
                Told::Opened => {}
                Told::Refused => self.resync = Instant::now() + REFRESH,
                Told::Silence => return Ok(relist),
            }
        }
    }
}

/// What comes of waiting for the stream.
enum Told {
    /// A line, which may be empty.
    Line(Vec<u8>),
    /// The stream is there.
    Opened,
    /// It cannot be had.
    Refused,
    /// It says nothing, or it is time to list all anew.
    Silence,
}

impl Events {
    /// Waits for what comes next, until `resync` at most. Dropping the future loses nothing.
    async fn next(&mut self, resync: Instant) -> Result<Told, WorldError> {
        match self {
            Self::Absent => {
                sleep_until(resync).await;
                Ok(Told::Silence)
            }
            Self::Opening(opening) => {
                let (events, told) = match timeout_at(resync, opening).await {
                    Ok(Ok(lines)) => (Self::Open(lines), Told::Opened),
                    Ok(Err(_)) => (Self::Absent, Told::Refused),
                    Err(_) => return Ok(Told::Silence),
                };
                *self = events;
                Ok(told)
            }
            Self::Open(lines) => {
                let until = resync.min(Instant::now() + LONGEST_SILENCE);
                match timeout_at(until, lines.next()).await {
                    Ok(line) => Ok(Told::Line(line?)),
                    Err(_) => Ok(Told::Silence),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
