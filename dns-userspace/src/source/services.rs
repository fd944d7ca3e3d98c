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

mod describe;
mod registry_names;
mod tags;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::world::Object;
use crate::model::name::Name;

pub use self::describe::describe;
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

/// How names are made of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Services have names below this.
    pub suffix: Name,
    /// Whether services without a tag that asks for it have names.
    pub exposed_by_default: bool,
    /// The TTL of all records.
    pub ttl: u32,
    /// Where names of rules lead: the proxy's addresses. None: to the instances themselves.
    pub targets: Vec<IpAddr>,
    /// The registry's own names are made below this, as Consul's DNS server has them below `consul.`.
    pub domain: Option<Name>,
    /// Whether the meta of instances becomes TXT records at the service's name.
    pub has_meta_txt: bool,
    /// Whether rules without a syntax of their own are of Traefik 2.
    pub is_v2: bool,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            suffix: Name::from_wire(b"\x09localhost\x00").unwrap_or_else(|_| Name::root()),
            exposed_by_default: false,
            ttl: 30,
            targets: Vec::new(),
            domain: None,
            has_meta_txt: false,
            is_v2: false,
        }
    }
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
