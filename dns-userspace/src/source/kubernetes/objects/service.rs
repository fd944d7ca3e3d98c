//! Service v1: published by annotation alone.
//!
//! | type | annotation `hostname` leads to |
//! |---|---|
//! | LoadBalancer | the addresses of its status, and `externalIPs` |
//! | ClusterIP, NodePort | `externalIPs` |
//! | headless | the ready endpoints; each with a host name of its own at `POD.NAME` too |
//! | ExternalName | a CNAME to `externalName` |
//!
//! `internal-hostname` leads to the cluster addresses.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::super::settings::Target;
use super::ingress::LoadBalanced;
use super::wanted::wildcard_of;
use super::{Object, Wanted};

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
    /// The ports.
    pub ports: Vec<ServicePort>,
}

/// One port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    /// Its name; none where it is the only one.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: String,
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
                              `externalIPs` or the annotation `target`, or use `internal-hostname`"
                ),
            });
        }
        for host in hosts {
            wanted.point(host, wildcard, &targets);
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
