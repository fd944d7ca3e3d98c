//! What an object asks for, while it is put together: names and where they lead, filtered by the zones.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::cluster::Cluster;
use super::super::kinds::Kind;
use super::super::settings::{Publishing, Target};
use super::{Meta, Object};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Handling, Keeping, Order, Rdata, RecordType, Wildcard};
use crate::model::views::ViewName;
use crate::source::Claim;

/// The TTL of names in preview environments, in seconds.
const PREVIEW_TTL: u32 = 60;

/// What an object asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// RRsets, or what is wrong with the object as a whole.
    pub claims: Result<Vec<Claim>, String>,
    /// What of it is not published, and why.
    pub notes: Vec<String>,
}

/// An [`Outcome`] while it is put together.
pub struct Wanted<'a> {
    publishing: &'a Publishing,
    meta: &'a Meta,
    /// The preview environment that the object is in: the name of it.
    preview: Option<String>,
    is_gone: bool,
    ttl: u32,
    weight: Option<u16>,
    view: Option<ViewName>,
    about: Option<Box<str>>,
    zone: Option<Name>,
    claims: Vec<Claim>,
    seen: BTreeSet<(Option<ViewName>, NameKey)>,
    notes: Vec<String>,
    error: Option<String>,
}

impl<'a> Wanted<'a> {
    /// Nothing yet.
    pub fn new(object: &'a Object, cluster: &'a Cluster) -> Self {
        let (publishing, meta) = (cluster.publishing(), &object.meta);
        let annotations = meta.annotations();
        let namespace = cluster.namespace(&meta.namespace);
        let is_preview = namespace.is_some_and(|namespace| namespace.is_preview);
        let base = namespace.and_then(|namespace| namespace.base_hostname.as_deref());
        let preview = (base.filter(|_| is_preview)).zip(meta.labels.get("preview"));
        let mut wanted = Self {
            publishing,
            meta,
            preview: preview.map(|(base, label)| format!("{label}.{base}")),
            is_gone: meta.deletion_timestamp.is_some() || namespace.is_some_and(|namespace| namespace.is_ending),
            ttl: if is_preview { PREVIEW_TTL } else { publishing.ttl },
            weight: None,
            view: annotations
                .get("view")
                .map(Into::into)
                .or_else(|| publishing.view.clone()),
            about: annotations.about(),
            zone: None,
            claims: Vec::new(),
            seen: BTreeSet::new(),
            notes: Vec::new(),
            error: None,
        };
        match annotations.ttl() {
            Ok(ttl) => wanted.ttl = ttl.unwrap_or(wanted.ttl),
            Err(note) => wanted.note(format!("{note}; {} s is used", wanted.ttl)),
        }
        match annotations.weight() {
            Ok(weight) => wanted.weight = weight,
            Err(note) => wanted.note(note),
        }
        if let Some(zone) = annotations.get("zone") {
            match Name::parse_given(zone) {
                Ok(zone) => wanted.zone = Some(zone),
                Err(error) => wanted.fail(format!("annotation `zone`: {error}")),
            }
        }
        wanted
    }

    /// Whether nothing of the object is to be published: it says so, or it is about to go.
    pub fn is_excluded(&self) -> bool {
        self.is_gone || self.meta.annotations().is_excluded()
    }

    /// The view of its class, or the source's, where the object does not name one.
    pub fn set_view_of_class(&mut self, class: &str) {
        if self.meta.annotations().get("view").is_some() {
            return;
        }
        let of_class = self.publishing.class_views.iter().find(|(of, _)| of == class);
        self.view = of_class
            .map(|(_, view)| view)
            .or(self.publishing.view.as_ref())
            .cloned();
    }

    /// Says what is not published, and why.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The object as a whole cannot be understood: what it asked for before stays.
    pub fn fail(&mut self, error: impl Into<String>) {
        self.error.get_or_insert(error.into());
    }

    /// The targets that its annotation names, else `own`, else the configured ones.
    pub fn targets(&self, own: Vec<Target>) -> Vec<Target> {
        let annotated = self.meta.annotations().list("target");
        let given = |texts: &[&str]| texts.iter().map(|text| Target::parse(text)).collect::<Vec<_>>();
        if !annotated.is_empty() {
            return given(&annotated);
        }
        if !own.is_empty() {
            return own;
        }
        given(&self.publishing.targets.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Each of the object's names leads to `targets`; beside `hosts` there is the name in its preview environment.
    pub fn point_all(&mut self, hosts: &[(String, Wildcard)], targets: &[Target]) {
        if let Some(preview) = self.preview.take() {
            self.point_preview(&preview, targets);
        }
        if hosts.is_empty() && self.seen.is_empty() {
            return self.note("it names no host");
        }
        for (host, wildcard) in hosts {
            self.point(host, *wildcard, targets);
        }
    }

    /// `pr-123.myapp` in the first zone, unless it is in one already.
    fn point_preview(&mut self, name: &str, targets: &[Target]) {
        let is_whole = Name::parse_given(name).is_ok_and(|name| self.publishing.zone_of(&name).is_some());
        let zone = self.zone.as_ref().or_else(|| self.publishing.zones.first());
        let name = match zone {
            Some(zone) if !is_whole => format!("{name}.{zone}"),
            _ => name.to_owned(),
        };
        self.point(&name, Wildcard::Rfc4592, targets);
    }

    /// One name leads to `targets`.
    pub fn point(&mut self, host: &str, wildcard: Wildcard, targets: &[Target]) {
        let Some(owner) = self.owner(host) else {
            return;
        };
        if !self.seen.insert((self.view.clone(), owner.key())) {
            return;
        }
        let (targets, others): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(|target| match target {
            Target::Address(address) => self.publishing.may_lead_to(self.view.as_ref(), *address),
            Target::Host(_) => true,
        });
        if !others.is_empty() {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            let view = self
                .view
                .as_deref()
                .map_or("default view".to_owned(), |view| format!("view `{view}`"));
            let others = others.join(", ");
            self.note(format!(
                "{owner} does not lead to {others}: `addresses` does not allow it in the {view}"
            ));
            if targets.is_empty() {
                return;
            }
        }
        let of_family = |is_ipv4: bool| {
            let addresses = targets.iter().filter_map(move |target| match target {
                Target::Address(address) if address.is_ipv4() == is_ipv4 => Some(address.to_string()),
                _ => None,
            });
            addresses.collect::<Vec<_>>()
        };
        let hosts: Vec<&str> = targets
            .iter()
            .filter_map(|target| match target {
                Target::Host(host) => Some(&**host),
                Target::Address(_) => None,
            })
            .collect();
        let (ipv4, ipv6) = (of_family(true), of_family(false));
        if ipv4.is_empty() && ipv6.is_empty() {
            let Some((first, others)) = hosts.split_first() else {
                return self.note(format!(
                    "{owner} has no address: the object's status has none, and no `targets` are configured"
                ));
            };
            if !others.is_empty() {
                self.note(format!("{owner} leads to {first} alone: an alias has one target"));
            }
            // A CNAME cannot stand beside the SOA of a zone (RFC 1034 §3.6.2).
            let is_apex = self.publishing.zones.contains(&owner);
            let rtype = if is_apex { RecordType::ALIAS } else { RecordType::CNAME };
            return self.record(owner, rtype, None, &[first], wildcard);
        }
        if let Some(host) = hosts.first() {
            self.note(format!("{owner} has addresses: the host name {host} is left out"));
        }
        for (rtype, values) in [(RecordType::A, ipv4), (RecordType::AAAA, ipv6)] {
            if !values.is_empty() {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                self.record(owner.clone(), rtype, None, &values, wildcard);
            }
        }
    }

    /// An RRset as it is given; a value that cannot be read is an error of the object.
    pub fn record(&mut self, owner: Name, rtype: RecordType, ttl: Option<u32>, values: &[&str], wildcard: Wildcard) {
        let mut rdatas: Vec<Rdata> = Vec::with_capacity(values.len());
        for value in values {
            match rdata::parse_value(rtype, value) {
                Ok(rdata) => rdatas.push(rdata),
                Err(error) => return self.fail(format!("{owner} {rtype}: {error}")),
            }
        }
        self.claim(owner, rtype, ttl, rdatas, wildcard);
    }

    /// An RRset of these RDATA.
    pub fn claim(&mut self, owner: Name, rtype: RecordType, ttl: Option<u32>, rdatas: Vec<Rdata>, wildcard: Wildcard) {
        if rdatas.is_empty() {
            return;
        }
        let order = self.weight.map_or(Order::Fixed, |weight| {
            Order::Weighted(vec![weight; rdatas.len()].into())
        });
        self.claims.push(Claim {
            view: self.view.clone(),
            owner,
            rtype,
            ttl: ttl.unwrap_or(self.ttl),
            rdatas,
            handling: Handling::new(order, wildcard).kept(Keeping {
                note: self.about.clone(),
                ..Keeping::default()
            }),
        });
    }

    /// A name has these addresses.
    pub fn addresses(&mut self, owner: Name, addresses: &[IpAddr], ttl: u32) {
        let mut ipv4: Vec<Rdata> = Vec::new();
        let mut ipv6: Vec<Rdata> = Vec::new();
        for address in addresses {
            match address {
                IpAddr::V4(address) => ipv4.push(address.octets().as_slice().into()),
                IpAddr::V6(address) => ipv6.push(address.octets().as_slice().into()),
            }
        }
        self.claim(owner.clone(), RecordType::A, Some(ttl), ipv4, Wildcard::Rfc4592);
        self.claim(owner, RecordType::AAAA, Some(ttl), ipv6, Wildcard::Rfc4592);
    }

    /// The view that its records are in.
    pub fn set_view(&mut self, view: Option<ViewName>) {
        self.view = view;
    }

    /// A host name as an owner; `None`, with a note, where it is not published.
    pub fn owner(&mut self, host: &str) -> Option<Name> {
        let owner = match Name::parse_given(host) {
            Ok(owner) => owner,
            Err(error) => {
                self.note(error.to_string());
                return None;
            }
        };
        let is_in_zone = self.zone.as_ref().is_none_or(|zone| owner.is_at_or_below(zone));
        if !is_in_zone || !self.publishing.is_published(&owner) {
            self.note(format!("{owner} is in none of the source's zones"));
            return None;
        }
        Some(owner)
    }

    /// All of it.
    pub fn finish(self) -> Outcome {
        Outcome {
            claims: match self.error {
                None => Ok(self.claims),
                Some(error) => Err(error),
            },
            notes: self.notes,
        }
    }
}

/// What a wildcard stands for in names of a kind.
pub(super) const fn wildcard_of(kind: Kind) -> Wildcard {
    match kind {
        Kind::Ingress => Wildcard::OneLabel,
        _ => Wildcard::Rfc4592,
    }
}
