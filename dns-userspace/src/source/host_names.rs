//! Hosts that instances have in the place of addresses: their addresses are looked up, and kept up to date.
//!
//! ```text
//! service, hosts ─► our own zones, else the system's resolver, every 30 s ─► addresses of its instances
//! ```
//!
//! A service whose instances are all at one host needs nothing of this: it is a CNAME, which its clients follow. Of
//! several hosts, or of hosts beside addresses, no CNAME can be made (RFC 1034 §3.6.2), so their addresses are served.
//! A host that cannot be looked up keeps the addresses that were found last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::services::{Instance, Resolved};
use crate::answer::{End, ResolveOptions, resolve};
use crate::control::History;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;

/// Between two look-ups of one host.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a list waits for hosts that were never looked up.
const FIRST: Duration = Duration::from_secs(2);
/// Look-ups at a time.
const AT_A_TIME: usize = 16;
/// Addresses of one host that are taken.
const MOST_ADDRESSES: usize = 64;

/// The addresses of a host, or why there are none.
type Found = Result<Vec<IpAddr>, String>;

/// What looks hosts up.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, Found> + Send + Sync>;

/// The hosts of all services of one source; `K` tells the services apart.
pub(super) struct HostNames<K> {
    look_up: LookUp,
    interval: Duration,
    of_service: BTreeMap<K, BTreeSet<String>>,
    hosts: BTreeMap<String, Host>,
    running: FuturesUnordered<BoxFuture<'static, (String, u64, Found)>>,
    room: Arc<Semaphore>,
    generation: u64,
}

/// A host.
struct Host {
    resolved: Resolved,
    was_looked_up: bool,
    /// Tells the look-ups of one that has gone and come back from those of before.
    generation: u64,
}

impl<K: Ord + Clone> HostNames<K> {
    /// No service yet.
    pub(super) fn new(look_up: LookUp) -> Self {
        Self {
            look_up,
            interval: INTERVAL,
            of_service: BTreeMap::new(),
            hosts: BTreeMap::new(),
            running: FuturesUnordered::new(),
            room: Arc::new(Semaphore::new(AT_A_TIME)),
            generation: 0,
        }
    }

    /// These are all instances of a service now; without any it is forgotten.
    pub(super) fn set<'a>(&mut self, service: &K, instances: impl Iterator<Item = &'a Instance>) {
        let hosts = looked_up(instances);
        let before = match hosts.is_empty() {
            true => self.of_service.remove(service),
            false => self.of_service.insert(service.clone(), hosts.clone()),
        };
        for host in before.into_iter().flatten() {
            if !hosts.contains(&host) && !self.of_service.values().any(|hosts| hosts.contains(&host)) {
                self.hosts.remove(&host);
            }
        }
        for host in hosts {
            if !self.hosts.contains_key(&host) {
                self.generation += 1;
                let known = Host {
                    resolved: Resolved::default(),
                    was_looked_up: false,
                    generation: self.generation,
                };
                self.hosts.insert(host.clone(), known);
                self.ask(host, self.generation, Duration::ZERO);
            }
        }
    }

    /// Only these services are there still.
    pub(super) fn retain(&mut self, is_there: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.of_service.keys().filter(|key| !is_there(key)).cloned().collect();
        gone.iter().for_each(|service| self.set(service, std::iter::empty()));
    }

    /// Says of each instance of a service what is known of its host.
    pub(super) fn resolve(&self, service: &K, instances: &mut [Instance]) {
        let Some(hosts) = self.of_service.get(service) else {
            return;
        };
        for instance in instances.iter_mut().filter(|one| hosts.contains(&one.address)) {
            if let Some(host) = self.hosts.get(&instance.address) {
                instance.resolved = host.resolved.clone();
            }
        }
    }

    /// Waits a while for hosts that were never looked up. Dropping the future loses nothing.
    pub(super) async fn settle(&mut self) {
        let _ = timeout(FIRST, async {
            while self.hosts.values().any(|host| !host.was_looked_up) {
                self.take_next().await;
            }
        })
        .await;
    }

    /// Waits until a host is another than before: the services that have it. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) -> Vec<K> {
        loop {
            if let Some(host) = self.take_next().await {
                let services = self.of_service.iter().filter(|(_, hosts)| hosts.contains(&host));
                return services.map(|(service, _)| service.clone()).collect();
            }
        }
    }

    /// Takes the next look-up; the host, where it is another than before.
    async fn take_next(&mut self) -> Option<String> {
        let Some((name, generation, found)) = self.running.next().await else {
            return std::future::pending().await;
        };
        let host = self.hosts.get_mut(&name).filter(|host| host.generation == generation)?;
        host.was_looked_up = true;
        let before = host.resolved.clone();
        match found {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(MOST_ADDRESSES);
                host.resolved = Resolved {
                    addresses,
                    problem: None,
                };
            }
            Err(problem) => host.resolved.problem = Some(problem),
        }
        let has_changed = host.resolved != before;
        self.ask(name.clone(), generation, self.interval);
        has_changed.then_some(name)
    }

    fn ask(&self, host: String, generation: u64, pause: Duration) {
        let (look_up, room) = (Arc::clone(&self.look_up), Arc::clone(&self.room));
        self.running.push(
            async move {
                sleep(pause).await;
                // It is never closed.
                let _room = room.acquire().await.ok();
                let found = timeout(PATIENCE, look_up(host.clone())).await;
                let found = found.unwrap_or_else(|_| Err(format!("no reply within {} s", PATIENCE.as_secs())));
                (host, generation, found)
            }
            .boxed(),
        );
    }

    /// The same, looked up more often.
    #[cfg(test)]
    pub(super) fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }
}

/// The hosts whose addresses a service needs: none where all of its instances are at one.
fn looked_up<'a>(instances: impl Iterator<Item = &'a Instance>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    let mut has_address = false;
    for instance in instances {
        match instance.address.parse::<IpAddr>() {
            Ok(_) => has_address = true,
            Err(_) if Name::parse_given(&instance.address).is_ok() => drop(hosts.insert(instance.address.clone())),
            // What is no name is looked up by nobody.
            Err(_) => {}
        }
    }
    match has_address || hosts.len() > 1 {
        true => hosts,
        false => BTreeSet::new(),
    }
}

/// Looks hosts up in our own zones, as they are served now, and what is not ours as the system does.
pub(super) fn in_our_zones_or_by_the_system(history: Arc<History>) -> LookUp {
    Arc::new(move |host| {
        let history = Arc::clone(&history);
        async move {
            match Name::parse_given(&host) {
                Ok(name) => match in_our_zones(&name, &history.present()) {
                    Ours::Found(found) => found,
                    Ours::LeadsTo(target) => by_the_system(&target.to_string()).await,
                    Ours::Unknown => by_the_system(&host).await,
                },
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    })
}

/// What our own zones say of a host.
#[derive(Debug, PartialEq, Eq)]
enum Ours {
    /// Its addresses, or that there are none.
    Found(Found),
    /// It is an alias of this name, which is not ours.
    LeadsTo(Name),
    /// It is not ours.
    Unknown,
}

fn in_our_zones(name: &Name, served: &Snapshot) -> Ours {
    let options = ResolveOptions {
        max_cname_depth: 10,
        resolve_cname_chain: true,
        return_soa_on_nxdomain: false,
        is_proven: true,
    };
    let mut addresses = Vec::new();
    for rtype in [RecordType::A, RecordType::AAAA] {
        let resolution = resolve(served, name, rtype, &options, &mut |_| {});
        match resolution.end {
            End::Final if resolution.authoritative => {}
            End::ChainLeaves(target) | End::FallsThrough(Some(target)) => return Ours::LeadsTo(target),
            _ => return Ours::Unknown,
        }
        let rrsets = resolution.answer.iter().filter(|section| section.rrset.rtype == rtype);
        addresses.extend(
            rrsets
                .flat_map(|section| section.rrset.rdatas.iter())
                .filter_map(address_of),
        );
    }
    Ours::Found(match addresses.is_empty() {
        true => Err("it has no address in our zones".to_owned()),
        false => Ok(addresses),
    })
}

fn address_of(rdata: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(rdata).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(rdata).map(IpAddr::from)).ok()
}

/// As every program on this machine looks hosts up.
async fn by_the_system(host: &str) -> Found {
    // Any port: only the address is wanted.
    let found = lookup_host((host.trim_end_matches('.'), 53)).await;
    let addresses: Vec<IpAddr> = found
        .map_err(|error| error.to_string())?
        .map(|found| found.ip())
        .collect();
    match addresses.is_empty() {
        true => Err("it has no address".to_owned()),
        false => Ok(addresses),
    }
}

/// Hosts are looked up by the system alone.
#[cfg(test)]
pub(super) fn by_the_system_alone() -> LookUp {
    Arc::new(|host| async move { by_the_system(&host).await }.boxed())
}

#[cfg(test)]
mod tests;
