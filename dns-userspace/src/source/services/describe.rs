//! From the instances of a service to what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Instance;
use super::nearness::nearest_first;
use super::registry_names::of_registry;
use super::tags::Tags;
use crate::config::{Naming, is_within};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Handling, Order, Rdata, RecordType, Wildcard};
use crate::source::Claim;
use crate::traefik_rule;

/// What a service asks for, and its tags that are wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The RRsets.
    pub claims: Vec<Claim>,
    /// What is wrong, by the tag.
    pub problems: BTreeMap<String, String>,
}

/// An instance with what its tags say.
#[derive(Clone, Copy)]
pub(super) struct Tagged<'a> {
    pub(super) instance: &'a Instance,
    tags: &'a Tags,
}

impl Tagged<'_> {
    pub(super) fn weight(&self) -> u16 {
        self.tags.weight.unwrap_or(self.instance.weight).max(1)
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.tags.port.or(self.instance.port)
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.instance.address.parse().ok()
    }

    /// Its address, or those of its host as far as they are known.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.address();
        let of_host = self.instance.resolved.addresses.iter().filter(move |_| own.is_none());
        own.into_iter().chain(of_host.copied())
    }
}

/// What the served instances of a service ask for; `Err` where nothing can be made of its name.
pub fn describe(service: &str, instances: &[Instance], naming: &Naming) -> Result<Described, String> {
    let read: Vec<Tags> = instances
        .iter()
        .map(|instance| Tags::read(&instance.tags, naming.is_v2))
        .collect();
    let tagged: Vec<Tagged<'_>> = instances
        .iter()
        .zip(&read)
        .map(|(instance, tags)| Tagged { instance, tags })
        .collect();
    let mut described = claims_of(service, &tagged, naming)?;
    for claim in described.claims.iter_mut().filter(|claim| claim.rtype.is_address()) {
        match &naming.near {
            Some(near) => nearest_first(claim, &tagged, near),
            None if *claim.handling.order() == Order::Rotate => {
                claim.handling = Handling::new(naming.order.clone(), claim.handling.wildcard());
            }
            None => {}
        }
    }
    Ok(described)
}

/// The same, with the addresses in no order of their own.
fn claims_of(service: &str, tagged: &[Tagged<'_>], naming: &Naming) -> Result<Described, String> {
    let label = service.to_ascii_lowercase();
    let mut described = Described::default();
    for one in tagged {
        described.problems.append(&mut one.tags.problems.clone());
        if let Some(problem) = &one.instance.resolved.problem {
            described
                .problems
                .insert(format!("host {}", one.instance.address), not_resolved(one, problem));
        }
    }
    if let Some(domain) = &naming.domain {
        described
            .claims
            .append(&mut of_registry(&label, tagged, domain, naming.ttl)?);
    }
    let is_exposed = |one: &&Tagged<'_>| one.tags.are_exposed(naming.exposed_by_default);
    let exposed: Vec<Tagged<'_>> = tagged.iter().filter(is_exposed).copied().collect();
    if exposed.is_empty() {
        return Ok(described);
    }
    let own = below(&naming.suffix, label.as_bytes())
        .ok_or_else(|| format!("`{service}` cannot be a label: it has 1 to 63 octets, and no dot"))?;
    described
        .claims
        .append(&mut addresses(&own, &exposed, Wildcard::Rfc4592, naming.ttl));
    let targets = Targets {
        below: &naming.suffix,
        ttl: naming.ttl,
    };
    let service_label = format!("_{label}");
    let rfc2782 = below(&naming.suffix, b"_tcp").and_then(|protocol| below(&protocol, service_label.as_bytes()));
    let is_alias = described
        .claims
        .iter()
        .any(|claim| claim.owner == own && claim.rtype == RecordType::CNAME);
    // A CNAME has nothing beside it.
    let owners = [(!is_alias).then(|| own.clone()), rfc2782];
    for owner in owners.into_iter().flatten() {
        described.claims.append(&mut targets.srv(&owner, &exposed));
    }
    described.claims.append(&mut targets.addresses(&exposed));
    if naming.has_meta_txt && !is_alias {
        described.claims.extend(meta(&own, &exposed, naming.ttl));
    }
    routed(&exposed, naming, &mut described);
    Ok(described)
}

/// What is said of a host that cannot be looked up.
fn not_resolved(one: &Tagged<'_>, problem: &str) -> String {
    let what_is_served = match one.instance.resolved.addresses.is_empty() {
        true => "it has no address in the answers",
        false => "the addresses that were found last are served",
    };
    format!("it cannot be looked up: {problem}; {what_is_served}")
}

/// `label` below a name, where it is a label.
pub(super) fn below(base: &Name, label: &[u8]) -> Option<Name> {
    match label.contains(&b'.') {
        true => None,
        false => base.child(label),
    }
}

/// The names of rules and prefixes, each with the instances that have it.
fn routed(exposed: &[Tagged<'_>], naming: &Naming, described: &mut Described) {
    let mut routed: BTreeMap<(Name, bool), Vec<Tagged<'_>>> = BTreeMap::new();
    for one in exposed {
        let mut names: BTreeSet<(Name, bool)> = BTreeSet::new();
        for router in &one.tags.routers {
            let rule = match traefik_rule::parse(&router.rule, router.dialect) {
                Ok(rule) => traefik_rule::hosts(&rule),
                Err(error) => {
                    described
                        .problems
                        .insert(format!("tag {}", router.tag), error.to_string());
                    continue;
                }
            };
            for unknown in &rule.underivable {
                let reason = format!("no name can be derived from `{}`: {}", unknown.what, unknown.reason);
                described.problems.insert(format!("tag {}", router.tag), reason);
            }
            names.extend(rule.exact.into_iter().map(|name| (name, false)));
            names.extend(rule.any_depth.into_iter().map(|name| (name, false)));
            names.extend(rule.one_label.into_iter().map(|name| (name, true)));
        }
        for prefix in &one.tags.prefixes {
            match Name::parse_given(prefix) {
                Ok(name) => drop(names.insert((name, false))),
                Err(error) => drop(
                    described
                        .problems
                        .insert(format!("tag urlprefix-{prefix}"), error.to_string()),
                ),
            }
        }
        for name in names {
            routed.entry(name).or_default().push(*one);
        }
    }
    for ((owner, is_one_label), instances) in routed {
        if !is_within(&owner, &naming.zones) {
            let reason = "it is in none of the zones that this source may have names in (`zones`)";
            described.problems.insert(format!("name {owner}"), reason.to_owned());
            continue;
        }
        let wildcard = if is_one_label {
            Wildcard::OneLabel
        } else {
            Wildcard::Rfc4592
        };
        let mut claims = match naming.targets.is_empty() {
            true => addresses(&owner, &instances, wildcard, naming.ttl),
            false => {
                let targets = naming.targets.iter().map(|address| (*address, 1)).collect();
                of_targets(&owner, targets, wildcard, naming.ttl)
            }
        };
        described.claims.append(&mut claims);
    }
}

/// The addresses of instances and of their hosts; where there are none, or all are at one host, a CNAME to that.
pub(super) fn addresses(owner: &Name, instances: &[Tagged<'_>], wildcard: Wildcard, ttl: u32) -> Vec<Claim> {
    let mut weights: BTreeMap<IpAddr, u16> = BTreeMap::new();
    let first = instances.first().map(|one| &one.instance.address);
    let is_one_host = instances
        .iter()
        .all(|one| one.address().is_none() && Some(&one.instance.address) == first);
    for one in instances.iter().filter(|_| !is_one_host) {
        for address in one.addresses() {
            let weight = weights.entry(address).or_default();
            *weight = weight.saturating_add(one.weight());
        }
    }
    if !weights.is_empty() {
        return of_targets(owner, weights, wildcard, ttl);
    }
    let mut hosts: Vec<&str> = instances.iter().map(|one| one.instance.address.as_str()).collect();
    hosts.sort_unstable();
    let host = hosts
        .iter()
        .find_map(|host| rdata::parse_value(RecordType::CNAME, host).ok());
    let claim = host.map(|host| {
        claim(
            owner,
            RecordType::CNAME,
            vec![host],
            Handling::new(Order::Fixed, wildcard),
            ttl,
        )
    });
    claim.into_iter().collect()
}

/// A and AAAA of weighted addresses.
pub fn of_targets(owner: &Name, all: BTreeMap<IpAddr, u16>, wildcard: Wildcard, ttl: u32) -> Vec<Claim> {
    let (v4, v6): (Vec<_>, Vec<_>) = all.into_iter().partition(|(address, _)| address.is_ipv4());
    let families = [(RecordType::A, v4), (RecordType::AAAA, v6)].into_iter();
    let claims = families.filter(|(_, all)| !all.is_empty()).map(|(rtype, all)| {
        let (addresses, weights): (Vec<IpAddr>, Vec<u16>) = all.into_iter().unzip();
        let is_even = weights.iter().all(|weight| *weight == weights[0]);
        let order = if is_even {
            Order::Rotate
        } else {
            Order::Weighted(weights.into())
        };
        let rdatas = addresses.iter().map(|address| octets(*address)).collect();
        claim(owner, rtype, rdatas, Handling::new(order, wildcard), ttl)
    });
    claims.collect()
}

pub(super) fn octets(address: IpAddr) -> Rdata {
    match address {
        IpAddr::V4(address) => address.octets()[..].into(),
        IpAddr::V6(address) => address.octets()[..].into(),
    }
}

pub(super) fn claim(owner: &Name, rtype: RecordType, rdatas: Vec<Rdata>, handling: Handling, ttl: u32) -> Claim {
    Claim {
        view: None,
        owner: owner.clone(),
        rtype,
        ttl,
        rdatas,
        handling,
    }
}

/// `key=value` of every instance (RFC 1464's form).
fn meta(owner: &Name, instances: &[Tagged<'_>], ttl: u32) -> Option<Claim> {
    let all: BTreeSet<String> = instances
        .iter()
        .flat_map(|one| &one.instance.meta)
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let texts = all.iter().filter_map(|text| {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        rdata::parse_value(RecordType::TXT, if text.len() > 255 { text } else { &quoted }).ok()
    });
    let rdatas: Vec<Rdata> = texts.collect();
    (!rdatas.is_empty()).then(|| claim(owner, RecordType::TXT, rdatas, Handling::default(), ttl))
}

/// SRV records, and the names that they point to: `c0000201.addr.<base>` for 192.0.2.1.
pub(super) struct Targets<'a> {
    pub(super) below: &'a Name,
    pub(super) ttl: u32,
}

impl Targets<'_> {
    pub(super) fn srv(&self, owner: &Name, instances: &[Tagged<'_>]) -> Vec<Claim> {
        self.srv_to(owner, instances, |one| match one.address() {
            Some(address) => self.name_of(address),
            None => Name::parse_given(&one.instance.address).ok(),
        })
    }

    pub(super) fn srv_to(
        &self,
        owner: &Name,
        instances: &[Tagged<'_>],
        target: impl Fn(&Tagged<'_>) -> Option<Name>,
    ) -> Vec<Claim> {
        let rdatas: Vec<Rdata> = instances
            .iter()
            .filter_map(|one| Some(srv(one.weight(), one.port()?, &target(one)?)))
            .collect();
        let claim = claim(
            owner,
            RecordType::SRV,
            rdatas,
            Handling::new(Order::Rotate, Wildcard::Rfc4592),
            self.ttl,
        );
        if claim.rdatas.is_empty() {
            Vec::new()
        } else {
            vec![claim]
        }
    }

    /// The names of the addresses of instances that have a port.
    pub(super) fn addresses(&self, instances: &[Tagged<'_>]) -> Vec<Claim> {
        let with_port = instances.iter().filter(|one| one.port().is_some());
        let all: BTreeSet<IpAddr> = with_port.filter_map(Tagged::address).collect();
        let claims = all.into_iter().filter_map(|address| {
            let owner = self.name_of(address)?;
            Some(of_targets(
                &owner,
                BTreeMap::from([(address, 1)]),
                Wildcard::Rfc4592,
                self.ttl,
            ))
        });
        claims.flatten().collect()
    }

    pub(super) fn name_of(&self, address: IpAddr) -> Option<Name> {
        let label = data_encoding::HEXLOWER.encode(&octets(address));
        below(&below(self.below, b"addr")?, label.as_bytes())
    }
}

/// RFC 2782: priority, weight, port, target.
fn srv(weight: u16, port: u16, target: &Name) -> Rdata {
    let mut wire = vec![0, 1];
    wire.extend_from_slice(&weight.to_be_bytes());
    wire.extend_from_slice(&port.to_be_bytes());
    wire.extend_from_slice(target.as_wire());
    wire.as_slice().into()
}
