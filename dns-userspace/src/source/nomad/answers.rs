//! What Nomad's HTTP API answers, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::source::services::{Instance, Node};

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

impl Registration {
    /// The instance, and the index of its last change. Nomad takes one that is unhealthy from its list itself, or
    /// leaves it: its own checks are not in it.
    pub(super) fn into_instance(self) -> (u64, Instance) {
        let instance = Instance {
            id: self.id,
            address: self.address,
            port: u16::try_from(self.port).ok().filter(|port| *port != 0),
            tags: self.tags.unwrap_or_default(),
            weight: 1,
            is_passing: true,
            meta: BTreeMap::new(),
            node: Some(Node {
                name: self.node_id,
                address: String::new(),
                datacenter: self.datacenter,
            }),
        };
        (self.modify_index, instance)
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
