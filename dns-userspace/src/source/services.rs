//! Services of a registry, Consul's or Nomad's, and the names that come of them. Pure.
//!
//! ```text
//! service `api`, suffix `dev.example.com.`
//!   api.dev.example.com.       A, AAAA   the instances that pass their checks
//!   api.dev.example.com.       SRV       with ports and weights
//!   _api._tcp.dev.example.com. SRV       the same (RFC 2782)
//! tag traefik.http.routers.api.rule=Host(`api.example.org`)
//!   api.example.org.           A, AAAA   the instances that have the tag, or the proxy, where its addresses are given
//! ```
//!
//! Names are those of *exposed* instances: `traefik.enable=true`, a `urlprefix-` tag, or every instance where
//! `exposed_by_default` is set, but for those with `traefik.enable=false`.

pub mod convert;
mod describe;
mod nearness;
mod registry_names;
mod tags;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::world::Object;
use crate::config::Naming;

pub use self::describe::{describe, of_targets};
pub use self::registry_names::node;
pub use self::tags::{Router, Tags};

/// One instance of a service, as its registry describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// What tells it from the others of its service.
    pub id: String,
    /// An address, or the name of a host.
    pub address: String,
    /// The port; `None` where it has none.
    pub port: Option<u16>,
    /// Its own tags.
    pub tags: Vec<String>,
    /// Its weight; 0 stands for 1.
    pub weight: u16,
    /// Whether all of its checks pass.
    pub is_passing: bool,
    /// What the registry keeps beside it.
    pub meta: BTreeMap<String, String>,
    /// The machine it runs on, where the registry says.
    pub node: Option<Node>,
    /// What is known of the host, where that is in the place of an address, and is looked up.
    pub resolved: Resolved,
}

/// What is known of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses that were found last.
    pub addresses: Vec<IpAddr>,
    /// Why it could not be looked up the last time.
    pub problem: Option<String>,
}

/// A machine of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its datacenter.
    pub datacenter: String,
}

/// The objects that one service is: itself, and each tag of it that is wrong.
pub fn objects(service: &str, since: u64, instances: &[Instance], naming: &Naming) -> Vec<Object> {
    let described = describe(service, instances, naming);
    let (claims, problems) = match described {
        Ok(described) => (Ok(described.claims), described.problems),
        Err(reason) => (Err(reason), BTreeMap::new()),
    };
    let whole = Object {
        key: key(service),
        since,
        claims,
    };
    let problems = problems.into_iter().map(|(what, reason)| Object {
        key: Arc::from(format!("{}, {what}", key(service))),
        since: 0,
        claims: Err(reason),
    });
    std::iter::once(whole).chain(problems).collect()
}

/// The key of a service's object.
pub fn key(service: &str) -> Arc<str> {
    Arc::from(format!("Service {service}"))
}

/// The instances of a service that are served: those that pass; where none does, those that were served before and
/// are still there; else all. So the last instance of a name never leaves because of its checks.
pub fn served<'a>(now: &'a [Instance], before: &[String]) -> Vec<&'a Instance> {
    let passing: Vec<&Instance> = now.iter().filter(|instance| instance.is_passing).collect();
    if !passing.is_empty() {
        return passing;
    }
    let last: Vec<&Instance> = now.iter().filter(|instance| before.contains(&instance.id)).collect();
    if !last.is_empty() { last } else { now.iter().collect() }
}

#[cfg(test)]
mod tests;
