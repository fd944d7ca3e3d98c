//! Our own checks of instances, beside what their registry says.
//!
//! ```text
//! instance, settings, tags ─► Target ─► one check every interval ─► passes or fails ─► served or not
//! ```
//!
//! A target counts as passing until its checks fail `fall` times in a row, and as failing until they pass `rise` times
//! in a row. One that was never checked passes, so that a start takes no name away. As with a registry's checks, the
//! last instance of a name stays ([`super::services::served`]).

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::http::{Request, Uri};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{sleep, timeout};

use super::services::{Instance, Tags};
use crate::config::{CheckAsk, CheckSettings};
use crate::model::name::Name;

/// What is checked, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    address: String,
    port: u16,
    ask: CheckAsk,
    interval: Duration,
    timeout: Duration,
    /// Checks in a row that make it another: that pass, and that fail.
    rise: u32,
    fall: u32,
}

/// How a target is.
#[derive(Debug)]
struct Health {
    is_passing: bool,
    /// Checks in a row that said otherwise.
    against: u32,
    /// Tells the checks of a target that has gone and come back from those of before.
    generation: u64,
}

/// All targets of one source; `K` tells its services apart.
pub(super) struct Checks<K> {
    settings: Option<CheckSettings>,
    /// A change of one service costs nothing for the others.
    of_service: BTreeMap<K, BTreeSet<Target>>,
    targets: BTreeMap<Target, Health>,
    running: FuturesUnordered<BoxFuture<'static, (Target, u64, bool)>>,
    generation: u64,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl<K: Ord + Clone> Checks<K> {
    /// Checks by these settings; none without.
    pub(super) fn new(settings: Option<CheckSettings>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            settings,
            of_service: BTreeMap::new(),
            targets: BTreeMap::new(),
            running: FuturesUnordered::new(),
            generation: 0,
            // A connection for each check: one that is kept says little of a server.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
        }
    }

    /// These are all instances of a service now; without any it is forgotten.
    pub(super) fn set<'a>(&mut self, service: &K, instances: impl Iterator<Item = &'a Instance>) {
        if self.settings.is_none() {
            return;
        }
        let targets: BTreeSet<Target> = instances.filter_map(|instance| self.target(instance)).collect();
        let before = match targets.is_empty() {
            true => self.of_service.remove(service),
            false => self.of_service.insert(service.clone(), targets.clone()),
        };
        for target in before.into_iter().flatten() {
            if !self.of_service.values().any(|targets| targets.contains(&target)) {
                self.targets.remove(&target);
            }
        }
        for target in targets {
            if self.targets.contains_key(&target) {
                continue;
            }
            self.generation += 1;
            let health = Health {
                is_passing: true,
                against: 0,
                generation: self.generation,
            };
            self.begin(target.clone(), self.generation, Duration::ZERO);
            self.targets.insert(target, health);
        }
    }

    /// Only these services are there still.
    pub(super) fn retain(&mut self, is_there: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.of_service.keys().filter(|key| !is_there(key)).cloned().collect();
        gone.iter().for_each(|service| self.set(service, std::iter::empty()));
    }

    /// The same instances, without the health of those that our checks find failing.
    pub(super) fn judged<'a>(&self, instances: impl Iterator<Item = &'a Instance>) -> Vec<Instance> {
        let judge = |instance: &Instance| {
            let target = self.target(instance);
            let health = target.and_then(|target| self.targets.get(&target));
            Instance {
                is_passing: instance.is_passing && health.is_none_or(|health| health.is_passing),
                ..instance.clone()
            }
        };
        instances.map(judge).collect()
    }

    /// Waits until a target is another than before: the services that have it. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) -> Vec<K> {
        loop {
            let Some((target, generation, passes)) = self.running.next().await else {
                return pending().await;
            };
            let Some(health) = self.targets.get_mut(&target) else {
                continue;
            };
            if health.generation != generation {
                continue;
            }
            let has_changed = health.take(passes, (target.rise, target.fall));
            self.begin(target.clone(), generation, target.interval);
            if has_changed {
                let services = self.of_service.iter().filter(|(_, targets)| targets.contains(&target));
                return services.map(|(service, _)| service.clone()).collect();
            }
        }
    }

    fn begin(&self, target: Target, generation: u64, pause: Duration) {
        let client = self.client.clone();
        self.running.push(Box::pin(async move {
            sleep(pause).await;
            let passes = timeout(target.timeout, check(&client, &target)).await.unwrap_or(false);
            (target, generation, passes)
        }));
    }

    /// What is checked of an instance: what its tags say, else the settings.
    fn target(&self, instance: &Instance) -> Option<Target> {
        let settings = self.settings.as_ref()?;
        let tags = Tags::read(&instance.tags, false);
        let own = tags.check.path.map(|path| CheckAsk::Path(path.into()));
        Some(Target {
            address: instance.address.clone(),
            port: tags.check.port.or(tags.port).or(instance.port)?,
            ask: own.unwrap_or_else(|| settings.ask.clone()),
            interval: tags.check.interval.unwrap_or(settings.interval),
            timeout: tags.check.timeout.unwrap_or(settings.timeout),
            rise: tags.check.rise.unwrap_or(settings.rise),
            fall: tags.check.fall.unwrap_or(settings.fall),
        })
    }
}

impl Health {
    /// Takes the outcome of a check; whether the target is another now.
    fn take(&mut self, passes: bool, (rise, fall): (u32, u32)) -> bool {
        if passes == self.is_passing {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = if passes { rise } else { fall };
        if self.against < enough {
            return false;
        }
        self.is_passing = passes;
        self.against = 0;
        true
    }
}

/// Whether a target passes: see [`CheckAsk`].
async fn check(client: &Client<HttpConnector, Empty<Bytes>>, target: &Target) -> bool {
    match &target.ask {
        CheckAsk::Connection => TcpStream::connect((target.address.as_str(), target.port)).await.is_ok(),
        CheckAsk::Path(path) => answers_http(client, target, path).await,
        CheckAsk::Name(name) => answers_dns(target, name).await.unwrap_or(false),
    }
}

async fn answers_http(client: &Client<HttpConnector, Empty<Bytes>>, target: &Target, path: &str) -> bool {
    let host = match target.address.contains(':') {
        true => format!("[{}]", target.address),
        false => target.address.clone(),
    };
    let Ok(uri) = format!("http://{host}:{}{path}", target.port).parse::<Uri>() else {
        return false;
    };
    let Ok(request) = Request::get(uri).body(Empty::new()) else {
        return false;
    };
    let reply = client.request(request).await;
    reply.is_ok_and(|reply| reply.status().is_success() || reply.status().is_redirection())
}

/// Asks for the addresses of a name over UDP, and waits for the reply to that question; what else comes is passed over.
async fn answers_dns(target: &Target, name: &Name) -> std::io::Result<bool> {
    let server = lookup_host((target.address.as_str(), target.port)).await?.next();
    let server = server.ok_or(std::io::ErrorKind::NotFound)?;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    // RFC 1035 §4.1: ID, RD alone of the flags, one question, its name, type A, class IN.
    let mut query = rand::random::<[u8; 2]>().to_vec();
    query.extend_from_slice(&[0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&[0, 1, 0, 1]);
    socket.send(&query).await?;
    let mut reply = [0; 512];
    loop {
        let length = socket.recv(&mut reply).await?;
        let reply = &reply[..length];
        let is_reply = reply.get(2).is_some_and(|flags| flags & 0x80 != 0) && reply.get(..2) == query.get(..2);
        let question = reply.get(12..query.len());
        if is_reply && question.is_some_and(|question| question.eq_ignore_ascii_case(&query[12..])) {
            return Ok(reply[3] & 0x0F == 0);
        }
    }
}

#[cfg(test)]
mod tests;
