//! The names that Consul's own DNS server has, so that its clients can move: `web.service.consul` and its like.
//!
//! ```text
//! web.service.consul          web.service.dc1.consul         A, AAAA, SRV of every instance
//! v1.web.service.consul       v1.web.service.dc1.consul      of those with the tag `v1`
//! _web._tcp.service.consul    _web._v1.service.consul        SRV (RFC 2782), of all and of those with the tag
//! vm.node.consul              vm.node.dc1.consul             a machine
//! c0000201.addr.dc1.consul                                   an address, for SRV
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Node;
use super::describe::{Tagged, Targets, addresses, below, of_targets};
use crate::model::name::Name;
use crate::model::record::Wildcard;
use crate::source::Claim;

/// The names of one service below `domain`. Tags do not say whether it has these: its registry has them for all.
pub(super) fn of_registry(
    service: &str,
    instances: &[Tagged<'_>],
    domain: &Name,
    ttl: u32,
) -> Result<Vec<Claim>, String> {
    let mut claims = Vec::new();
    for base in bases(instances, domain) {
        let place = below(&base, b"service").ok_or("the domain is too long")?;
        let own = below(&place, service.as_bytes())
            .ok_or_else(|| format!("`{service}` cannot be a label: it has 1 to 63 octets, and no dot"))?;
        let targets = Targets { below: &base, ttl };
        let target = |one: &Tagged<'_>| match (&one.instance.node, one.address()) {
            (Some(node), Some(_)) if node.address == one.instance.address => node_name(&base, &node.name),
            (_, Some(address)) => targets.name_of(address),
            (_, None) => Name::parse_given(&one.instance.address).ok(),
        };
        let rfc2782 = |label: &str| below(&below(&place, label.as_bytes())?, format!("_{service}").as_bytes());
        let mut add = |owner: Option<Name>, srv: Option<Name>, instances: &[Tagged<'_>]| {
            if let Some(owner) = owner {
                let mut of_owner = addresses(&owner, instances, Wildcard::Rfc4592, ttl);
                if of_owner.iter().all(|claim| claim.rtype.is_address()) {
                    of_owner.append(&mut targets.srv_to(&owner, instances, target));
                }
                claims.append(&mut of_owner);
            }
            if let Some(owner) = srv {
                claims.append(&mut targets.srv_to(&owner, instances, target));
            }
        };
        add(Some(own.clone()), rfc2782("_tcp"), instances);
        let tags: BTreeSet<&String> = instances.iter().flat_map(|one| &one.instance.tags).collect();
        for tag in tags.into_iter().filter(|tag| is_label(tag)) {
            let tagged: Vec<Tagged<'_>> = instances
                .iter()
                .filter(|one| one.instance.tags.contains(tag))
                .copied()
                .collect();
            let lower = tag.to_ascii_lowercase();
            add(below(&own, lower.as_bytes()), rfc2782(&format!("_{lower}")), &tagged);
        }
        claims.append(&mut targets.addresses(instances));
    }
    Ok(claims)
}

/// The names of a machine below `domain`.
pub fn node(node: &Node, domain: &Name, ttl: u32) -> Vec<Claim> {
    let Ok(address) = node.address.parse::<IpAddr>() else {
        return Vec::new();
    };
    let datacenter = below(domain, node.datacenter.to_ascii_lowercase().as_bytes());
    let bases = [Some(domain.clone()), datacenter];
    let owners = bases.iter().flatten().filter_map(|base| node_name(base, &node.name));
    let all = owners.flat_map(|owner| of_targets(&owner, BTreeMap::from([(address, 1)]), Wildcard::Rfc4592, ttl));
    all.collect()
}

fn node_name(base: &Name, node: &str) -> Option<Name> {
    below(&below(base, b"node")?, node.to_ascii_lowercase().as_bytes())
}

/// The domain, and the datacenters in it.
fn bases(instances: &[Tagged<'_>], domain: &Name) -> Vec<Name> {
    let nodes = instances.iter().filter_map(|one| one.instance.node.as_ref());
    let datacenters: BTreeSet<String> = nodes.map(|node| node.datacenter.to_ascii_lowercase()).collect();
    let datacenters = datacenters.iter().filter_map(|label| below(domain, label.as_bytes()));
    std::iter::once(domain.clone()).chain(datacenters).collect()
}

/// Whether a tag can be asked for: Consul's server has names for no others.
fn is_label(tag: &str) -> bool {
    let is_of_label = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    !tag.is_empty() && tag.len() <= 62 && tag.bytes().all(is_of_label)
}
