//! HTTPRoute, GRPCRoute and TLSRoute (`gateway.networking.k8s.io`): their host names, as far as a listener that
//! accepted them has these too.
//!
//! | listener | route | published |
//! |---|---|---|
//! | `*.wildcard.io` | `foo.bar.wildcard.io` | `foo.bar.wildcard.io` |
//! | `very.specific.com` | `*.specific.com` | `very.specific.com` |
//! | `*.a.io` | none | `*.a.io` |
//! | none | none | nothing: it is any host |
//!
//! `*.s` stands for names of any depth below `s`, and not for `s`.
//!
//! Where Gateways may not be listed, a route that one of them has accepted is published with its own names, and leads
//! to the configured targets.
//!
//! A route counts at a Gateway where the Gateway's controller says `Accepted` of it. A route whose new specification
//! the controller has not looked at yet is published as it is now: its names would vanish at each change otherwise.

use std::sync::Arc;

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::Condition;
use super::gateway::Listener;
use super::wanted::wildcard_of;
use super::{Object, Wanted};

const GROUP: &str = "gateway.networking.k8s.io";

/// What is read of a route.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Route {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    parent_refs: Vec<ParentRef>,
    hostnames: Vec<String>,
}

/// A Gateway that a route wants to be at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParentRef {
    group: Option<String>,
    kind: Option<String>,
    namespace: Option<Arc<str>>,
    name: Arc<str>,
    section_name: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    parents: Vec<ParentStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParentStatus {
    parent_ref: ParentRef,
    conditions: Vec<Condition>,
}

impl ParentRef {
    fn is_gateway(&self) -> bool {
        self.group.as_deref().is_none_or(|group| group == GROUP)
            && self.kind.as_deref().is_none_or(|kind| kind == "Gateway")
    }

    /// With the defaults written out.
    fn whole(&self, namespace: &Arc<str>) -> Self {
        Self {
            group: Some(self.group.clone().unwrap_or_else(|| GROUP.to_owned())),
            kind: Some(self.kind.clone().unwrap_or_else(|| "Gateway".to_owned())),
            namespace: Some(self.namespace.clone().unwrap_or_else(|| Arc::clone(namespace))),
            ..self.clone()
        }
    }
}

impl Route {
    /// The Gateways that it names: namespace and name.
    pub fn gateways(&self, namespace: &Arc<str>) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
        let parents = self.spec.parent_refs.iter().filter(|parent| parent.is_gateway());
        let namespace = Arc::clone(namespace);
        parents.map(move |parent| {
            let of = parent.namespace.as_ref().unwrap_or(&namespace);
            (Arc::clone(of), Arc::clone(&parent.name))
        })
    }

    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let own = &object.meta.namespace;
        let annotations = object.meta.annotations();
        let is_annotated = annotations.get("gateway-hostname-source") != Some("defined-hosts-only");
        let is_specified = annotations.get("gateway-hostname-source") != Some("annotation-only");
        for parent in self.spec.parent_refs.iter().filter(|parent| parent.is_gateway()) {
            let parent = parent.whole(own);
            let of = parent.namespace.as_ref().unwrap_or(own);
            if !cluster.has_gateways() {
                match self.is_accepted(&parent, own) {
                    Ok(()) => self.publish_unseen(object, wanted),
                    Err(note) => wanted.note(note),
                }
                continue;
            }
            let Some((gateway, meta)) = cluster.gateway(of, &parent.name) else {
                wanted.note(format!("there is no Gateway {of}/{}", parent.name));
                continue;
            };
            if let Err(note) = self.is_accepted(&parent, own) {
                wanted.note(note);
                continue;
            }
            let listeners = gateway.listeners().filter(|listener| {
                let is_section = parent.section_name.as_ref().is_none_or(|name| *name == listener.name);
                let is_port = parent.port.is_none_or(|port| port == listener.port);
                let labels = cluster.namespace_labels(own);
                is_section && is_port && listener.takes(object.kind) && listener.lets_in(of == own, labels)
            });
            let mut hosts: Vec<String> = Vec::new();
            for listener in listeners {
                if is_specified {
                    hosts.extend(self.hosts_at(listener));
                }
            }
            if is_annotated {
                hosts.extend(annotations.list("hostname").into_iter().map(str::to_owned));
            }
            if hosts.is_empty() {
                wanted.note(format!(
                    "no listener of Gateway {of}/{} has a host name of it",
                    parent.name
                ));
                continue;
            }
            let named = meta.annotations().list("target");
            let of_gateway = match named.is_empty() {
                true => cluster.gateway_addresses(of, &parent.name),
                false => named.into_iter().map(super::Target::parse).collect(),
            };
            let targets = wanted.targets(of_gateway);
            wanted.set_view_of_class(gateway.class());
            let hosts: Vec<_> = hosts.into_iter().map(|host| (host, wildcard_of(object.kind))).collect();
            wanted.point_all(&hosts, &targets);
        }
    }

    /// Its own names and the configured targets: the Gateway that has accepted it may not be read.
    fn publish_unseen(&self, object: &Object, wanted: &mut Wanted<'_>) {
        let named = object.meta.annotations().list("hostname");
        let hosts = self.spec.hostnames.iter().map(String::as_str).chain(named);
        let hosts: Vec<_> = hosts.map(|host| (host.to_owned(), wildcard_of(object.kind))).collect();
        let targets = wanted.targets(Vec::new());
        wanted.point_all(&hosts, &targets);
    }

    fn is_accepted(&self, parent: &ParentRef, own: &Arc<str>) -> Result<(), String> {
        let name = format!("{}/{}", parent.namespace.as_ref().unwrap_or(own), parent.name);
        let mut statuses = self.status.parents.iter();
        let Some(status) = statuses.find(|status| status.parent_ref.whole(own) == *parent) else {
            return Err(format!("Gateway {name} has not accepted it yet"));
        };
        let accepted = status
            .conditions
            .iter()
            .find(|condition| condition.condition == "Accepted");
        match accepted {
            Some(condition) if condition.status == "True" => Ok(()),
            Some(condition) => Err(format!("Gateway {name} has not accepted it: {}", condition.reason)),
            None => Err(format!("Gateway {name} has not accepted it yet")),
        }
    }

    fn hosts_at(&self, listener: &Listener) -> Vec<String> {
        match (&listener.hostname, self.spec.hostnames.as_slice()) {
            (None, hosts) => hosts.to_vec(),
            (Some(listener), []) => vec![listener.clone()],
            (Some(listener), hosts) => hosts.iter().filter_map(|host| intersect(listener, host)).collect(),
        }
    }
}

/// The names that both stand for.
fn intersect(one: &str, other: &str) -> Option<String> {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let is_below = |name: &str, wildcard: &str| {
        // The `*` is cut, the dot behind it stays: `.s` ends what is below `s`, and not `s`.
        let suffix = wildcard.strip_prefix('*').filter(|suffix| suffix.starts_with('.'));
        suffix.is_some_and(|suffix| name.ends_with(suffix) && name.len() > suffix.len())
    };
    if one == other || is_below(&one, &other) {
        return Some(one);
    }
    is_below(&other, &one).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_those_of_listener_and_route() {
        for (listener, route, both) in [
            ("very.specific.com", "*.specific.com", Some("very.specific.com")),
            ("*.wildcard.io", "foo.bar.wildcard.io", Some("foo.bar.wildcard.io")),
            ("*.wildcard.io", "wildcard.io", None),
            ("*.anotherwildcard.io", "foo.wildcard.io", None),
            ("*.a.io", "*.b.a.io", Some("*.b.a.io")),
            ("*.b.a.io", "*.a.io", Some("*.b.a.io")),
            ("*.a.io", "*.a.io", Some("*.a.io")),
            ("*.xa.io", "*.a.io", None),
            ("A.io", "a.io", Some("a.io")),
            ("a.io", "b.io", None),
        ] {
            assert_eq!(intersect(listener, route).as_deref(), both, "{listener} {route}");
        }
    }
}
