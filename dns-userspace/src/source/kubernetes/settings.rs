//! What a source of this kind is told: what of its cluster is published, where, and how.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::kinds::Kind;
use crate::model::name::Name;
use crate::model::views::ViewName;

/// How to reach a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig; without one, `KUBECONFIG`, then the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without one, its current context.
    pub context: Option<String>,
    /// Namespaces that are watched; none: all.
    pub namespaces: Vec<String>,
    /// Only objects with these labels, as `kubectl get -l` takes it. Not for Namespaces, Gateways, IngressClasses and
    /// EndpointSlices: these tell what becomes of other objects.
    pub selector: Option<String>,
    /// The kinds whose names are published.
    pub watch: Vec<Kind>,
    /// Whether `watch` was given: then a kind that may not be listed is an error of the whole source.
    pub is_watch_given: bool,
    /// The ConfigMap with records.
    pub config_map: ConfigMapPlace,
}

/// Where a ConfigMap with records is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapPlace {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key of its `data` that holds the configuration.
    pub key: String,
}

impl Default for ConfigMapPlace {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            name: "jw238dns-config".to_owned(),
            key: "config.yaml".to_owned(),
        }
    }
}

/// What is published of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publishing {
    /// Only names at or below one of these; none: all names.
    pub zones: Vec<Name>,
    /// Addresses and host names of objects that have no status with addresses, or an empty one.
    pub targets: Vec<String>,
    /// The TTL where an object says none.
    pub ttl: u32,
    /// The view of all records; `None` is the default view.
    pub view: Option<ViewName>,
    /// Classes of Ingresses that are published; none: all.
    pub ingress_classes: Vec<String>,
    /// The view of an Ingress by its class.
    pub class_views: Vec<(String, ViewName)>,
    /// How long the addresses of an object stay whose status lists none any more.
    pub hold: Duration,
    /// The syntax of Traefik's rules where a route does not say: v2 or v3.
    pub is_traefik_v2: bool,
    /// The key of a ConfigMap that holds a configuration.
    pub config_map: ConfigMapPlace,
    /// The domain of cluster DNS, such as `cluster.local.`; `None`: not served.
    pub cluster_domain: Option<Name>,
}

impl Default for Publishing {
    fn default() -> Self {
        Self {
            zones: Vec::new(),
            targets: Vec::new(),
            ttl: 300,
            view: None,
            ingress_classes: Vec::new(),
            class_views: Vec::new(),
            hold: Duration::from_secs(300),
            is_traefik_v2: false,
            config_map: ConfigMapPlace::default(),
            cluster_domain: None,
        }
    }
}

/// One source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// The cluster.
    pub access: Access,
    /// What is published.
    pub publishing: Arc<Publishing>,
}

impl Publishing {
    /// The zone that a name is in: of the configured ones the longest. `None`: the name is not published.
    pub fn zone_of(&self, name: &Name) -> Option<&Name> {
        let zones = self.zones.iter().filter(|zone| name.is_at_or_below(zone));
        zones.max_by_key(|zone| zone.label_count())
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
