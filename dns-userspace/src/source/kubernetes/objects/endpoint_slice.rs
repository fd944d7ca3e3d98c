//! EndpointSlice v1 (`discovery.k8s.io`): where the pods of a Service are.

use serde::Deserialize;

use super::Meta;

/// The label that names the Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What is read of an EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The ports.
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its host name, where it has one of its own.
    pub hostname: Option<String>,
    /// The node that it is on.
    #[serde(rename = "nodeName")]
    pub node_name: Option<String>,
    conditions: Conditions,
}

/// One port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// Its name.
    pub name: Option<String>,
    /// Its number.
    pub port: Option<u16>,
    /// TCP, UDP or SCTP.
    pub protocol: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

impl Endpoint {
    /// Whether it takes traffic: where nothing is said, it does.
    pub fn is_ready(&self) -> bool {
        self.conditions.ready != Some(false)
    }
}

/// The name of the Service that a slice is of.
pub fn service_of(meta: &Meta) -> Option<&str> {
    meta.labels.get(SERVICE_LABEL).map(String::as_str)
}
