//! The keys of the source, as the rest of this room asks for them.

use std::net::IpAddr;

use super::follow::Scope;
use super::kinds::Kind;
use crate::config::{KubernetesSource, WatchedKind};
use crate::model::name::Name;
use crate::model::views::ViewName;

/// What is published of objects: the keys of the source.
pub type Publishing = KubernetesSource;

/// The kinds whose names are published.
pub fn watched(settings: &KubernetesSource) -> Vec<Kind> {
    let mut kinds = match &settings.watch {
        Some(kinds) => kinds.iter().copied().map(Kind::from).collect(),
        None => Kind::default_watch(),
    };
    if settings.persist && !kinds.contains(&Kind::ConfigMap) {
        kinds.push(Kind::ConfigMap);
    }
    kinds
}

/// The ConfigMap with records.
pub fn config_map_scope(settings: &KubernetesSource) -> Scope {
    let place = &settings.config_map;
    Scope {
        kind: Kind::ConfigMap,
        namespace: Some(place.namespace.clone()),
        labels: None,
        name: Some(place.name.clone()),
    }
}

impl From<WatchedKind> for Kind {
    fn from(kind: WatchedKind) -> Self {
        match kind {
            WatchedKind::Ingress => Self::Ingress,
            WatchedKind::IngressRoute => Self::IngressRoute,
            WatchedKind::IngressRouteTcp => Self::IngressRouteTcp,
            WatchedKind::HttpRoute => Self::HttpRoute,
            WatchedKind::GrpcRoute => Self::GrpcRoute,
            WatchedKind::TlsRoute => Self::TlsRoute,
            WatchedKind::Service => Self::Service,
            WatchedKind::DnsEndpoint => Self::DnsEndpoint,
            WatchedKind::Zone => Self::Zone,
            WatchedKind::RecordSet => Self::RecordSet,
            WatchedKind::Gateway => Self::Gateway,
            WatchedKind::Node => Self::Node,
            WatchedKind::ConfigMap => Self::ConfigMap,
        }
    }
}

impl KubernetesSource {
    /// The zone that a name is in: of the configured ones the longest. `None`: the name is not published.
    pub fn zone_of(&self, name: &Name) -> Option<&Name> {
        let zones = self.zones.iter().filter(|zone| name.is_at_or_below(zone));
        zones.max_by_key(|zone| zone.label_count())
    }

    /// Whether names in a view may lead to an address.
    pub fn may_lead_to(&self, view: Option<&ViewName>, address: IpAddr) -> bool {
        let of_view = self.addresses.iter().find(|of| of.view.as_ref() == view);
        of_view.is_none_or(|of| of.prefixes.iter().any(|prefix| prefix.contains(&address)))
    }

    /// Whether a name is published.
    pub fn is_published(&self, name: &Name) -> bool {
        self.zones.is_empty() || self.zone_of(name).is_some()
    }
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// To an address.
    Address(IpAddr),
    /// To another name.
    Host(String),
}

impl Target {
    /// From text: an address, or a name without its final dot.
    pub fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Host(text.trim_end_matches('.').to_owned()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Host(host) => f.write_str(host),
        }
    }
}
