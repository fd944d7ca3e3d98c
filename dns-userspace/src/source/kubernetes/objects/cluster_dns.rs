//! Names of Services inside their cluster: "Kubernetes DNS-Based Service Discovery", version 1.1.0.
//!
//! ```text
//! web.demo.svc.cluster.local.                  A      the cluster address; of a headless Service all ready endpoints
//! _http._tcp.web.demo.svc.cluster.local.       SRV    0 100 80 web.demo.svc.cluster.local.
//! db-0.db.demo.svc.cluster.local.              A      one endpoint of a headless Service
//! 1.0.96.10.in-addr.arpa.                      PTR    the name of an address
//! dns-version.cluster.local.                   TXT    "1.1.0"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::cluster::Cluster;
use super::super::settings::Target;
use super::service::Service;
use super::{Object, Wanted};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Handling, RecordType, Wildcard};
use crate::source::Claim;

/// The TTL of all these records, in seconds: they follow Pods.
pub(super) const TTL: u32 = 5;

/// The records of the domain itself, which make it a zone.
pub fn domain_claims(domain: &Name) -> Vec<Claim> {
    let claim = |owner: Name, rtype: RecordType, value: String| {
        Some(Claim {
            view: None,
            owner,
            rtype,
            ttl: TTL,
            rdatas: vec![rdata::parse_value(rtype, &value).ok()?],
            handling: Handling::default(),
        })
    };
    let soa = format!("ns.dns.{domain} hostmaster.{domain} 1 7200 1800 86400 {TTL}");
    let version = domain.child(b"dns-version");
    let version = version.and_then(|owner| claim(owner, RecordType::TXT, "1.1.0".to_owned()));
    claim(domain.clone(), RecordType::SOA, soa)
        .into_iter()
        .chain(version)
        .collect()
}

impl Service {
    /// The names of a Service inside its cluster.
    pub(super) fn publish_in_cluster(
        &self,
        object: &Object,
        cluster: &Cluster,
        domain: &Name,
        wanted: &mut Wanted<'_>,
    ) {
        let namespace = domain
            .child(b"svc")
            .and_then(|svc| svc.child(object.meta.namespace.as_bytes()));
        let Some(name) = namespace.and_then(|namespace| namespace.child(object.meta.name.as_bytes())) else {
            return wanted.note("its name inside the cluster would be too long");
        };
        if self.spec.service_type == "ExternalName" {
            let target = format!("{}.", self.spec.external_name.trim_end_matches('.'));
            return wanted.record(name, RecordType::CNAME, Some(TTL), &[&target], Wildcard::Rfc4592);
        }
        if self.spec.is_headless() {
            return self.publish_headless(object, cluster, &name, wanted);
        }
        let addresses: Vec<IpAddr> = self
            .spec
            .cluster_ips
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        wanted.addresses(name.clone(), &addresses, TTL);
        for address in &addresses {
            add(Name::of_address(*address), RecordType::PTR, &[name.to_string()], wanted);
        }
        for port in self.spec.ports.iter().filter(|port| !port.name.is_empty()) {
            if let Some(owner) = port_name(&name, &port.name, &port.protocol) {
                add(owner, RecordType::SRV, &[format!("0 100 {} {name}", port.port)], wanted);
            }
        }
    }

    fn publish_headless(&self, object: &Object, cluster: &Cluster, name: &Name, wanted: &mut Wanted<'_>) {
        let mut all: BTreeSet<IpAddr> = BTreeSet::new();
        let mut hosts: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut ports: BTreeMap<(String, String), BTreeSet<(u16, String)>> = BTreeMap::new();
        for slice in cluster.slices(&object.meta.namespace, &object.meta.name) {
            for endpoint in &slice.endpoints {
                if !endpoint.is_ready() && !self.spec.publish_not_ready_addresses {
                    continue;
                }
                for address in &endpoint.addresses {
                    let Target::Address(address) = Target::parse(address) else {
                        continue;
                    };
                    let host = endpoint.hostname.clone().unwrap_or_else(|| dashed(address));
                    all.insert(address);
                    for port in &slice.ports {
                        let Some((port_name, number)) = port.name.clone().zip(port.port) else {
                            continue;
                        };
                        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
                        let of_port = ports.entry((port_name, protocol)).or_default();
                        of_port.insert((number, host.clone()));
                    }
                    hosts.entry(host).or_default().insert(address);
                }
            }
        }
        let all: Vec<IpAddr> = all.into_iter().collect();
        wanted.addresses(name.clone(), &all, TTL);
        for (host, addresses) in &hosts {
            let Some(owner) = name.child(host.as_bytes()) else {
                continue;
            };
            let addresses: Vec<IpAddr> = addresses.iter().copied().collect();
            wanted.addresses(owner.clone(), &addresses, TTL);
            for address in addresses {
                add(Name::of_address(address), RecordType::PTR, &[owner.to_string()], wanted);
            }
        }
        for ((port, protocol), targets) in &ports {
            let values: Vec<String> = targets
                .iter()
                .map(|(port, host)| format!("0 100 {port} {host}.{name}"))
                .collect();
            if let Some(owner) = port_name(name, port, protocol).filter(|_| !port.is_empty()) {
                add(owner, RecordType::SRV, &values, wanted);
            }
        }
    }
}

/// `_http._tcp.web.demo.svc.cluster.local.`
pub(super) fn port_name(name: &Name, port: &str, protocol: &str) -> Option<Name> {
    let protocol = if protocol.is_empty() { "TCP" } else { protocol };
    let protocol = name.child(format!("_{}", protocol.to_ascii_lowercase()).as_bytes())?;
    protocol.child(format!("_{port}").as_bytes())
}

/// The name of an endpoint without one: its address, with dashes.
pub(super) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

fn add(owner: Name, rtype: RecordType, values: &[String], wanted: &mut Wanted<'_>) {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    wanted.record(owner, rtype, Some(TTL), &values, Wildcard::Rfc4592);
}
