//! What Consul's HTTP API answers, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::source::services::{Instance, Node, Resolved};

/// An entry of `/v1/health/service/NAME`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthEntry {
    node: CatalogNode,
    service: CatalogService,
    #[serde(default)]
    checks: Option<Vec<Check>>,
}

/// An entry of `/v1/catalog/nodes`, and the node of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogNode {
    node: String,
    address: String,
    #[serde(default)]
    datacenter: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogService {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    port: i64,
    #[serde(default)]
    weights: Option<Weights>,
    #[serde(default)]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    status: String,
}

/// `/v1/agent/self`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AgentSelf {
    config: AgentConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    #[serde(default)]
    datacenter: String,
    #[serde(default)]
    node_name: String,
}

impl From<AgentSelf> for Node {
    fn from(agent: AgentSelf) -> Self {
        Self {
            name: agent.config.node_name,
            address: String::new(),
            datacenter: agent.config.datacenter,
        }
    }
}

/// An entry of `/v1/health/state/any`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateCheck {
    node: String,
    #[serde(rename = "CheckID")]
    check_id: String,
    #[serde(default)]
    service_name: String,
    status: String,
}

impl StateCheck {
    /// Its node and ID; the service, and the status.
    pub(super) fn into_status(self) -> ((String, String), (String, String)) {
        ((self.node, self.check_id), (self.service_name, self.status))
    }
}

impl HealthEntry {
    /// The instance; none of proxies and gateways of a mesh, which nobody asks for by name.
    pub(super) fn into_instance(self) -> Option<Instance> {
        let Self { node, service, checks } = self;
        if service.kind.is_some_and(|kind| !kind.is_empty()) {
            return None;
        }
        let checks = checks.unwrap_or_default();
        Some(Instance {
            // An ID is unique on its node.
            id: format!("{}/{}", node.node, service.id),
            address: match service.address.is_empty() {
                true => node.address.clone(),
                false => service.address,
            },
            port: u16::try_from(service.port).ok().filter(|port| *port != 0),
            tags: service.tags.unwrap_or_default(),
            weight: service
                .weights
                .and_then(|weights| u16::try_from(weights.passing).ok())
                .unwrap_or(1),
            is_passing: checks.iter().all(|check| check.status == "passing"),
            meta: service.meta.unwrap_or_default(),
            node: Some(node.into()),
            resolved: Resolved::default(),
        })
    }
}

impl From<CatalogNode> for Node {
    fn from(node: CatalogNode) -> Self {
        Self {
            name: node.node,
            address: node.address,
            datacenter: node.datacenter,
        }
    }
}
