//! Pod v1: the name of its address inside the cluster, where `pods: verified` says so.
//!
//! ```text
//! 10-0-0-1.demo.pod.cluster.local.  A  10.0.0.1
//! ```

use std::net::IpAddr;

use serde::Deserialize;

use super::super::cluster::Cluster;
use super::cluster_dns::{TTL, dashed};
use super::{Object, Wanted};
use crate::config::PodNames;

/// What is read of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    host_network: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
    #[serde(rename = "podIPs")]
    ips: Vec<PodIp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

impl Pod {
    /// Its own addresses, while it runs.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let is_over = matches!(self.status.phase.as_str(), "Succeeded" | "Failed");
        let ips = self
            .status
            .ips
            .iter()
            .filter(move |_| !self.spec.host_network && !is_over);
        ips.filter_map(|PodIp { ip }| ip.parse().ok())
    }

    pub(super) fn publish(&self, object: &Object, cluster: &Cluster, wanted: &mut Wanted<'_>) {
        let publishing = cluster.publishing();
        let is_verified = publishing.pods == PodNames::Verified;
        let Some(domain) = publishing.cluster_domain.as_ref().filter(|_| is_verified) else {
            return;
        };
        let namespace = domain
            .child(b"pod")
            .and_then(|pod| pod.child(object.meta.namespace.as_bytes()));
        for address in self.addresses() {
            let owner = namespace
                .as_ref()
                .and_then(|namespace| namespace.child(dashed(address).as_bytes()));
            if let Some(owner) = owner {
                wanted.addresses(owner, &[address], TTL);
            }
        }
    }
}
