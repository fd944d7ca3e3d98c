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
use std::time::Duration;

use axum::http::{Request, Uri};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::services::{Instance, Tags};
use crate::config::{CheckKind, CheckSettings};

/// What is checked, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    address: String,
    port: u16,
    /// The path of an HTTP check; `None`: a connection is enough.
    path: Option<String>,
    interval: Duration,
    timeout: Duration,
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

/// All targets of one source.
pub(super) struct Checks {
    settings: Option<CheckSettings>,
    targets: BTreeMap<Target, Health>,
    running: FuturesUnordered<BoxFuture<'static, (Target, u64, bool)>>,
    generation: u64,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Checks {
    /// Checks by these settings; none without.
    pub(super) fn new(settings: Option<CheckSettings>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            settings,
            targets: BTreeMap::new(),
            running: FuturesUnordered::new(),
            generation: 0,
            // A connection for each check: one that is kept says little of a server.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
        }
    }

    /// These are all instances now.
    pub(super) fn set<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>) {
        if self.settings.is_none() {
            return;
        }
        let targets: BTreeSet<Target> = instances.filter_map(|instance| self.target(instance)).collect();
        self.targets.retain(|target, _| targets.contains(target));
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

    /// Waits until a target is another than before. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) {
        let Some(settings) = self.settings.clone() else {
            return pending().await;
        };
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
            let has_changed = health.take(passes, &settings);
            self.begin(target.clone(), generation, target.interval);
            if has_changed {
                return;
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
        let path = match settings.kind {
            CheckKind::Tcp => tags.check.path,
            CheckKind::Http => Some(tags.check.path.unwrap_or_else(|| settings.path.to_string())),
        };
        Some(Target {
            address: instance.address.clone(),
            port: tags.check.port.or(tags.port).or(instance.port)?,
            path,
            interval: tags.check.interval.unwrap_or(settings.interval),
            timeout: tags.check.timeout.unwrap_or(settings.timeout),
        })
    }
}

impl Health {
    /// Takes the outcome of a check; whether the target is another now.
    fn take(&mut self, passes: bool, settings: &CheckSettings) -> bool {
        if passes == self.is_passing {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = if passes { settings.rise } else { settings.fall };
        if self.against < enough {
            return false;
        }
        self.is_passing = passes;
        self.against = 0;
        true
    }
}

/// Whether a target passes: a connection, or a status from 200 to 399.
async fn check(client: &Client<HttpConnector, Empty<Bytes>>, target: &Target) -> bool {
    let Some(path) = &target.path else {
        return TcpStream::connect((target.address.as_str(), target.port)).await.is_ok();
    };
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

#[cfg(test)]
mod tests;
