//! What Nomad's HTTP API answers, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::allocations::Id;
use crate::source::services::{Instance, Node, Resolved};

/// An entry of `/v1/services`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Namespace {
    namespace: String,
    #[serde(default)]
    services: Option<Vec<Listed>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    service_name: String,
}

impl Namespace {
    /// The services in it, each with the namespace.
    pub(super) fn into_services(self) -> impl Iterator<Item = (String, String)> {
        let Self { namespace, services } = self;
        let services = services.unwrap_or_default().into_iter();
        services.map(move |listed| (namespace.clone(), listed.service_name))
    }
}

/// One instance, as `/v1/service/NAME` and the events have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Registration {
    #[serde(rename = "ID")]
    id: String,
    pub(super) service_name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(rename = "AllocID", default)]
    allocation: String,
    #[serde(rename = "NodeID", default)]
    node_id: String,
    #[serde(default)]
    datacenter: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: i64,
    #[serde(default)]
    modify_index: u64,
}

/// An instance that is registered.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    /// The index of its last change.
    pub(super) index: u64,
    /// The allocation that it is in.
    pub(super) allocation: Id,
    /// It. Its checks are not among what Nomad says of it.
    pub(super) instance: Instance,
}

impl From<Registration> for Registered {
    fn from(registration: Registration) -> Self {
        let Registration {
            id,
            namespace,
            allocation,
            node_id,
            datacenter,
            tags,
            address,
            port,
            modify_index,
            ..
        } = registration;
        let instance = Instance {
            id,
            address,
            port: u16::try_from(port).ok().filter(|port| *port != 0),
            tags: tags.unwrap_or_default(),
            weight: 1,
            is_passing: true,
            meta: BTreeMap::new(),
            node: Some(Node {
                name: node_id,
                address: String::new(),
                datacenter,
            }),
            resolved: Resolved::default(),
        };
        Self {
            index: modify_index,
            allocation: (namespace, allocation),
            instance,
        }
    }
}

/// `/v1/agent/self`.
#[derive(Debug, Deserialize)]
pub(super) struct AgentSelf {
    config: AgentConfig,
    #[serde(default)]
    stats: AgentStats,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    #[serde(default)]
    datacenter: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AgentStats {
    client: BTreeMap<String, String>,
}

impl From<AgentSelf> for Node {
    fn from(agent: AgentSelf) -> Self {
        Self {
            // A server that runs no jobs has none.
            name: agent.stats.client.get("node_id").cloned().unwrap_or_default(),
            address: String::new(),
            datacenter: agent.config.datacenter,
        }
    }
}

/// A line of the stream of events; a heartbeat has none.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(default)]
    pub(super) events: Vec<ServiceEvent>,
}

/// One event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceEvent {
    pub(super) topic: String,
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) index: u64,
    pub(super) payload: Payload,
}

/// What an event is about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Payload {
    #[serde(default)]
    pub(super) service: Option<Registration>,
}
