//! Gateway (`gateway.networking.k8s.io`): its listeners, and which routes each lets in. Where Gateways are watched for
//! themselves (`watch: [gateway]`), the listeners' own names lead to its addresses, with or without a route.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::super::kinds::Kind;
use super::super::settings::Target;
use super::wanted::wildcard_of;
use super::{Condition, Object, Wanted};
use crate::config::WatchedKind;

/// What is read of a Gateway.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Gateway {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    gateway_class_name: String,
    listeners: Vec<Listener>,
}

/// A listener.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its host name; `None`: any host.
    pub hostname: Option<String>,
    /// Its port.
    pub port: u16,
    protocol: String,
    allowed_routes: AllowedRoutes,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AllowedRoutes {
    namespaces: FromNamespaces,
    kinds: Vec<RouteKind>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FromNamespaces {
    from: Option<String>,
    selector: Selector,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RouteKind {
    kind: String,
}

/// A label selector.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Requirement>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
    listeners: Vec<ListenerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    address_type: Option<String>,
    value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ListenerStatus {
    name: String,
    conditions: Vec<Condition>,
}

impl Gateway {
    pub(super) fn addresses(&self) -> Vec<Target> {
        let addresses = self.status.addresses.iter();
        let known = addresses
            .filter(|address| matches!(address.address_type.as_deref(), None | Some("IPAddress" | "Hostname")));
        known.map(|address| Target::parse(&address.value)).collect()
    }

    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let watch = cluster.publishing().watch.as_ref();
        if !watch.is_some_and(|watch| watch.contains(&WatchedKind::Gateway)) {
            return wanted.note("its listeners have no names of their own: `watch` does not name `gateway`");
        }
        wanted.set_view_of_class(self.class());
        let named = object.meta.annotations().list("hostname");
        let hosts = self.listeners().filter_map(|listener| listener.hostname.as_deref());
        let hosts: Vec<_> = hosts
            .chain(named)
            .map(|host| (host.to_owned(), wildcard_of(object.kind)))
            .collect();
        let targets = wanted.targets(cluster.addresses(object));
        wanted.point_all(&hosts, &targets);
    }

    /// Its class.
    pub(super) fn class(&self) -> &str {
        &self.spec.gateway_class_name
    }

    /// The listeners that are good: none whose status says that it is refused, or in conflict with another one.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.spec.listeners.iter().filter(|listener| {
            let status = self.status.listeners.iter().find(|status| status.name == listener.name);
            let conditions = status.into_iter().flat_map(|status| &status.conditions);
            !conditions.into_iter().any(|condition| {
                matches!(
                    (condition.condition.as_str(), condition.status.as_str()),
                    ("Accepted", "False") | ("Conflicted", "True")
                )
            })
        })
    }
}

impl Listener {
    /// Whether routes of this kind fit its protocol, and are among those that it lets in.
    pub(super) fn takes(&self, kind: Kind) -> bool {
        let fits = match kind {
            Kind::TlsRoute => self.protocol == "TLS",
            _ => matches!(self.protocol.as_str(), "HTTP" | "HTTPS"),
        };
        let kinds = &self.allowed_routes.kinds;
        fits && (kinds.is_empty() || kinds.iter().any(|allowed| allowed.kind == kind.name()))
    }

    /// Whether routes of a namespace with these labels are let in. `is_same`: it is the Gateway's own.
    pub(super) fn lets_in(&self, is_same: bool, labels: Option<&BTreeMap<String, String>>) -> bool {
        let namespaces = &self.allowed_routes.namespaces;
        match namespaces.from.as_deref() {
            None | Some("Same") => is_same,
            Some("All") => true,
            Some("Selector") => labels.is_some_and(|labels| namespaces.selector.selects(labels)),
            Some(_) => false,
        }
    }
}

impl Selector {
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(has) && self.match_expressions.iter().all(|one| one.is_met(labels))
    }
}

impl Requirement {
    fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => !value.is_some_and(|value| self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}
