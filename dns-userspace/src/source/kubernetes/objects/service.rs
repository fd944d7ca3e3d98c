//! Service v1: published by annotation alone.
//!
//! | type | annotation `hostname` leads to |
//! |---|---|
//! | LoadBalancer | the addresses of its status, and `externalIPs` |
//! | ClusterIP | `externalIPs` |
//! | NodePort | with the annotation `access` the nodes, and SRV records of the ports; else `externalIPs` |
//! | headless | the ready endpoints; each with a host name of its own at `POD.NAME` too |
//! | ExternalName | a CNAME to `externalName` |
//!
//! `internal-hostname` leads to the cluster addresses.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::super::settings::Target;
use super::cluster_dns::port_name;
use super::ingress::LoadBalanced;
use super::wanted::wildcard_of;
use super::{Access, Object, Wanted};
use crate::model::record::{RecordType, Wildcard};

/// What is read of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// The specification.
    pub spec: ServiceSpec,
    status: LoadBalanced,
}

/// What is read of the specification.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[serde(rename = "type")]
    pub service_type: String,
    /// Addresses in the cluster; `None` as the only one: headless.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// Addresses that lead to the cluster.
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<String>,
    /// The name that an ExternalName stands for.
    pub external_name: String,
    /// Whether endpoints that are not ready count, too.
    pub publish_not_ready_addresses: bool,
    /// Local: only nodes with an endpoint take traffic from outside.
    pub external_traffic_policy: String,
    /// The ports.
    pub ports: Vec<ServicePort>,
}

/// One port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; none where it is the only one.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The port on each node; 0: none.
    pub node_port: u16,
}

impl ServiceSpec {
    /// Whether it has no address of its own.
    pub fn is_headless(&self) -> bool {
        self.service_type != "ExternalName" && self.cluster_ips.first().is_some_and(|first| first == "None")
    }
}

impl Service {
    pub(super) fn addresses(&self) -> Vec<Target> {
        let external = self.spec.external_ips.iter().map(|text| Target::parse(text));
        match self.spec.service_type.as_str() {
            "LoadBalancer" => self.status.addresses().into_iter().chain(external).collect(),
            _ => external.collect(),
        }
    }

    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        if let Some(domain) = &cluster.publishing().cluster_domain {
            self.publish_in_cluster(object, cluster, domain, wanted);
        }
        let annotations = object.meta.annotations();
        let wildcard = wildcard_of(object.kind);
        for host in annotations.list("internal-hostname") {
            let own = self.spec.cluster_ips.iter().filter(|text| *text != "None");
            let own: Vec<_> = own.map(|text| Target::parse(text)).collect();
            wanted.point(host, wildcard, &own);
        }
        let hosts = annotations.list("hostname");
        if hosts.is_empty() {
            return;
        }
        let annotated: Vec<_> = annotations.list("target").into_iter().map(Target::parse).collect();
        if annotated.is_empty() && self.spec.is_headless() {
            return self.publish_endpoints(object, cluster, &hosts, wanted);
        }
        if let Some(access) = annotations
            .get("access")
            .filter(|_| annotated.is_empty() && self.is_node_port())
        {
            return match Access::parse(access) {
                Ok(access) => self.publish_nodes(access, object, cluster, &hosts, wanted),
                Err(note) => wanted.note(note),
            };
        }
        let targets = match self.spec.service_type.as_str() {
            _ if !annotated.is_empty() => annotated,
            "ExternalName" => vec![Target::parse(&self.spec.external_name)],
            _ => cluster.addresses(object),
        };
        if targets.is_empty() {
            let service_type = &self.spec.service_type;
            return wanted.note(match service_type.as_str() {
                "LoadBalancer" => "its load balancer has no address yet".to_owned(),
                _ => format!(
                    "a Service of type {service_type} has no address outside of its cluster; name one in \
                     `externalIPs` or the annotation `target`, or use `internal-hostname`, or `access` of a NodePort"
                ),
            });
        }
        for host in hosts {
            wanted.point(host, wildcard, &targets);
        }
    }

    /// Whether its ports are on the nodes.
    pub fn is_node_port(&self) -> bool {
        self.spec.service_type == "NodePort"
    }

    /// The nodes that lead to it, and where its ports are on them.
    fn publish_nodes(
        &self,
        access: Access,
        object: &Object,
        cluster: &Cluster,
        hosts: &[&str],
        wanted: &mut Wanted<'_>,
    ) {
        let is_local = self.spec.external_traffic_policy == "Local";
        let slices = cluster.slices(&object.meta.namespace, &object.meta.name);
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.is_ready());
        let with_endpoint: BTreeSet<&str> = ready.filter_map(|endpoint| endpoint.node_name.as_deref()).collect();
        let nodes = cluster
            .nodes()
            .filter(|(name, _)| !is_local || with_endpoint.contains(*name));
        let targets: BTreeSet<Target> = nodes.flat_map(|(_, node)| node.addresses(access)).collect();
        let targets: Vec<Target> = targets.into_iter().collect();
        if targets.is_empty() {
            return wanted.note("it has no node with such an address; `watch` has to name `node`");
        }
        for host in hosts {
            wanted.point(host, wildcard_of(object.kind), &targets);
            let Some(owner) = wanted.owner(host).filter(|owner| !owner.is_wildcard()) else {
                continue;
            };
            for port in self.spec.ports.iter().filter(|port| port.node_port != 0) {
                let name = if port.name.is_empty() {
                    &*object.meta.name
                } else {
                    &*port.name
                };
                let value = format!("0 50 {} {owner}", port.node_port);
                if let Some(of_port) = port_name(&owner, name, &port.protocol) {
                    wanted.record(of_port, RecordType::SRV, None, &[&value], Wildcard::Rfc4592);
                }
            }
        }
    }

    fn publish_endpoints(&self, object: &Object, cluster: &Cluster, hosts: &[&str], wanted: &mut Wanted<'_>) {
        let mut all = Vec::new();
        let mut named: BTreeMap<&str, Vec<Target>> = BTreeMap::new();
        for slice in cluster.slices(&object.meta.namespace, &object.meta.name) {
            for endpoint in &slice.endpoints {
                if !endpoint.is_ready() && !self.spec.publish_not_ready_addresses {
                    continue;
                }
                let addresses = endpoint.addresses.iter().map(|text| Target::parse(text));
                for address in addresses {
                    if let Some(hostname) = &endpoint.hostname {
                        named.entry(hostname).or_default().push(address.clone());
                    }
                    all.push(address);
                }
            }
        }
        all.sort();
        all.dedup();
        if all.is_empty() {
            return wanted.note("none of its endpoints is ready");
        }
        let wildcard = wildcard_of(object.kind);
        for host in hosts {
            wanted.point(host, wildcard, &all);
            for (name, targets) in &named {
                if !host.starts_with("*.") {
                    wanted.point(&format!("{name}.{host}"), wildcard, targets);
                }
            }
        }
    }
}
