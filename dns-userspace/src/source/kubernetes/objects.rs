//! Objects of a cluster, as little of each as is read, and what each asks for. Pure: no IO, no clock.
//!
//! ```text
//! JSON ─ read ─► Object { meta, body } ─ what others say of it: class, Gateway, Namespace, EndpointSlices ─► Wanted
//! ```
//!
//! One file for each kind. Fields are named as the API names them.

mod cluster_dns;
mod config_map;
mod dns_endpoint;
mod endpoint_slice;
mod gateway;
mod ingress;
mod ingress_class;
mod ingress_route;
mod meta;
mod namespace;
mod node;
mod pod;
mod record_set;
mod route;
mod service;
mod wanted;
mod zone;

use serde_json::Value;

pub use self::cluster_dns::domain_claims;
pub use self::endpoint_slice::{EndpointSlice, service_of};
pub use self::gateway::Gateway;
pub use self::ingress_class::IngressClass;
pub use self::meta::{Condition, Meta, ObjectKey};
pub use self::namespace::Namespace;
pub use self::node::{Access, Node};
pub use self::service::Service;
pub use self::wanted::{Outcome, Wanted};
pub use self::zone::Defaults;

use super::cluster::Cluster;
use super::kinds::Kind;
use super::settings::Target;

/// The class of an Ingress before `ingressClassName` was.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Marks the class of Ingresses that name none.
pub const DEFAULT_CLASS_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// An object of a cluster.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its metadata.
    pub meta: Meta,
    /// What is read of the rest.
    pub body: Body,
}

/// What is read of an object, by its kind.
#[derive(Debug, Clone)]
pub enum Body {
    /// See [`ingress`].
    Ingress(Box<ingress::Ingress>),
    /// See [`ingress_class`].
    IngressClass(IngressClass),
    /// See [`service`].
    Service(Box<Service>),
    /// See [`endpoint_slice`].
    EndpointSlice(Box<EndpointSlice>),
    /// See [`node`].
    Node(Box<Node>),
    /// See [`pod`].
    Pod(Box<pod::Pod>),
    /// See [`namespace`].
    Namespace(Namespace),
    /// See [`gateway`].
    Gateway(Box<Gateway>),
    /// See [`route`].
    Route(Box<route::Route>),
    /// See [`ingress_route`].
    IngressRoute(Box<ingress_route::IngressRoute>),
    /// See [`dns_endpoint`].
    DnsEndpoint(Box<dns_endpoint::DnsEndpoint>),
    /// See [`zone`].
    Zone(Box<zone::Zone>),
    /// See [`record_set`].
    RecordSet(Box<record_set::RecordSet>),
    /// See [`config_map`].
    ConfigMap(config_map::ConfigMap),
}

impl Object {
    /// From JSON of the API.
    pub fn read(kind: Kind, mut value: Value) -> Result<Self, String> {
        drop_nulls(&mut value);
        let meta: Meta = from(value["metadata"].take())?;
        let body = match kind {
            Kind::Ingress => Body::Ingress(from(value)?),
            Kind::IngressClass => Body::IngressClass(IngressClass::of(&meta)),
            Kind::Service => Body::Service(from(value)?),
            Kind::EndpointSlice => Body::EndpointSlice(from(value)?),
            Kind::Node => Body::Node(from::<Box<Node>>(value).map(|node| Box::new(node.kept()))?),
            Kind::Pod => Body::Pod(from(value)?),
            Kind::Namespace => Body::Namespace(Namespace::of(&meta)),
            Kind::Gateway => Body::Gateway(from(value)?),
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute => Body::Route(from(value)?),
            Kind::DnsEndpoint => Body::DnsEndpoint(from(value)?),
            Kind::Zone => Body::Zone(from(value)?),
            Kind::RecordSet => Body::RecordSet(from(value)?),
            Kind::ConfigMap => Body::ConfigMap(from(value)?),
            Kind::IngressRoute | Kind::IngressRouteTcp => Body::IngressRoute(from(value)?),
        };
        let mut meta = meta.kept();
        // There are many of them, and nobody asks for their labels.
        if matches!(kind, Kind::Pod | Kind::Node) {
            meta.labels.clear();
        }
        Ok(Self { kind, meta, body })
    }

    /// What tells it from all others.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(self.kind, &self.meta.namespace, &self.meta.name)
    }

    /// The addresses and host names in its own status or specification, sorted.
    pub fn addresses(&self) -> Vec<Target> {
        let mut addresses = match &self.body {
            Body::Ingress(ingress) => ingress.addresses(),
            Body::Service(service) => service.addresses(),
            Body::Gateway(gateway) => gateway.addresses(),
            _ => Vec::new(),
        };
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// What its status says of us.
    pub fn condition(&self) -> Option<&Condition> {
        match &self.body {
            Body::Zone(zone) => zone.condition(),
            Body::RecordSet(set) => set.condition(),
            _ => None,
        }
    }

    /// What it asks for.
    pub fn outcome(&self, cluster: &Cluster) -> Outcome {
        let mut wanted = Wanted::new(self, cluster);
        if wanted.is_excluded() {
            return wanted.finish();
        }
        match &self.body {
            Body::Ingress(ingress) => ingress.publish(self, cluster, &mut wanted),
            Body::Service(service) => service.publish(self, cluster, &mut wanted),
            Body::Route(route) => route.publish(self, cluster, &mut wanted),
            Body::IngressRoute(route) => route.publish(self, cluster, &mut wanted),
            Body::DnsEndpoint(endpoint) => endpoint.publish(&mut wanted),
            Body::Zone(zone) => zone.publish(&mut wanted),
            Body::RecordSet(set) => set.publish(cluster, &mut wanted),
            Body::ConfigMap(map) => map.publish(self, cluster, &mut wanted),
            Body::Pod(pod) => pod.publish(self, cluster, &mut wanted),
            Body::Gateway(gateway) => gateway.publish(self, cluster, &mut wanted),
            Body::IngressClass(_) | Body::EndpointSlice(_) | Body::Node(_) | Body::Namespace(_) => {}
        }
        wanted.finish()
    }
}

/// The API writes some empty lists as `null`: such a field is as one that is not there.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("it cannot be read: {error}"))
}
