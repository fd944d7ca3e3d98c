//! The algorithm of RFC 1034 §4.3.2 over a snapshot.
//!
//! ```text
//!  name ─► step: zone, cut, DNAME, exact, wildcard ─┬─► data ───────────────► answer
//!    ▲                                              ├─► negative, referral ─► authority
//!    └────────────── target ◄───────────────────────┴─► alias (CNAME, DNAME)
//! ```
//!
//! One *step* looks up one name; a chain of aliases is several. The deepest zone at or above a name answers for it,
//! whatever a zone above it holds there, DS at its apex alone excepted (RFC 4035 §3.1.4.1). A name exists if it has
//! data, or a name below it has, or a zone of ours begins at or below it: the same for zones and overlays.
//!
//! An ALIAS is no alias in an answer: it is looked up when A or AAAA is asked, through our zones and overlays, and its
//! owner has what is found as its own.
//!
//! RFCs: 1034 §4.3.2, 2308, 4592, 6604, 6672, 8020, 8482.

use std::sync::{Arc, LazyLock};

use super::{AliasFault, Consulted, End, Owner, Resolution, ResolveOptions, Section, rcode};
use crate::message::embedded::alias_target;
use crate::model::name::{Name, NameKey};
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot, Zone, at_or_above};
use crate::model::source::Origin;

/// The sections for one question of class IN. `qtype` is a data type or ANY; `consulted` hears, at least once each,
/// of every name that the answer depends on.
pub fn resolve(
    snapshot: &Snapshot,
    qname: &Name,
    qtype: RecordType,
    options: &ResolveOptions,
    consulted: &mut dyn FnMut(Consulted),
) -> Resolution {
    Search {
        consulted: Some(consulted),
        ..Search::unheard(snapshot, qtype, options)
    }
    .run(qname)
}

/// The same for a caller that does not ask what was consulted, and does not pay for it.
pub(super) fn resolve_unheard(
    snapshot: &Snapshot,
    qname: &Name,
    qtype: RecordType,
    options: &ResolveOptions,
) -> Resolution {
    Search::unheard(snapshot, qtype, options).run(qname)
}

/// The same again, where it is known that the name's own node answers: nothing above it in its zone takes its place,
/// and no NS at it. `None` where that has nothing for this type. `apex_of`: the number of the zone whose apex the name
/// is.
pub(crate) fn resolve_at(
    snapshot: &Snapshot,
    node: &Node,
    apex_of: Option<u32>,
    qname: &Name,
    qtype: RecordType,
    options: &ResolveOptions,
) -> Option<Resolution> {
    let mut search = Search::unheard(snapshot, qtype, options);
    let step = search.step_at_node(node, Owner::Question, apex_of)?;
    let first = Found {
        step,
        suffix_labels: qname.label_count(),
    };
    Some(search.run_from(qname, first))
}

/// RFC 8482 §4.2: what ANY gets over UDP. CPU is "RFC8482", OS is empty.
static ANY_HINFO: LazyLock<Arc<RrSet>> = LazyLock::new(|| {
    Arc::new(RrSet {
        rtype: RecordType::HINFO,
        ttl: 3789,
        rdatas: [b"\x07RFC8482\0"].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    })
});

pub(super) struct Search<'s, 'c> {
    pub(super) snapshot: &'s Snapshot,
    qtype: RecordType,
    options: &'c ResolveOptions,
    consulted: Option<&'c mut dyn FnMut(Consulted)>,
    /// While what an ALIAS leads to is looked up.
    is_flattening: bool,
    /// Whether that was done at all.
    has_flattened: bool,
}

/// What one name leads to.
enum Step<'s> {
    NotOurs,
    Failed,
    /// An ALIAS that leads to no answer of ours.
    AliasFailed(AliasFault),
    Answer(Vec<Section>),
    Alias {
        /// The DNAME RRset that the CNAME comes from.
        dname: Option<Section>,
        cname: Section,
        target: Name,
    },
    /// A DNAME whose substitution gives too long a name.
    Overflow(Section),
    /// An SOA where there is one to give.
    Negative {
        name_error: bool,
        soa: Option<Section>,
        falls_through: bool,
    },
    Referral {
        zone: &'s Zone,
        owner: Name,
        cut: &'s Arc<Node>,
    },
}

/// A step, and how many labels of its name the text of its answer may depend on.
struct Found<'s> {
    step: Step<'s>,
    suffix_labels: usize,
}

impl<'s, 'c> Search<'s, 'c> {
    fn unheard(snapshot: &'s Snapshot, qtype: RecordType, options: &'c ResolveOptions) -> Self {
        Self {
            snapshot,
            qtype,
            options,
            consulted: None,
            is_flattening: false,
            has_flattened: false,
        }
    }

    fn run(mut self, qname: &Name) -> Resolution {
        let first = self.step(qname, Owner::Question);
        self.run_from(qname, first)
    }

    fn run_from(mut self, qname: &Name, first: Found<'s>) -> Resolution {
        let mut resolution = Resolution {
            suffix_labels: first.suffix_labels,
            authoritative: true,
            ..Resolution::empty(rcode::NOERROR)
        };
        let mut seen: Vec<Name> = Vec::new();
        let mut glue_zone = None;
        let mut step = first.step;
        loop {
            match step {
                Step::NotOurs => match seen.pop() {
                    Some(target) => resolution.end = End::ChainLeaves(target),
                    None => {
                        resolution = Resolution {
                            end: End::NotOurs,
                            ..Resolution::empty(rcode::REFUSED)
                        };
                    }
                },
                Step::Failed => {
                    resolution = Resolution {
                        end: End::ZoneFailed,
                        ..Resolution::empty(rcode::SERVFAIL)
                    };
                }
                Step::AliasFailed(fault) => {
                    resolution = Resolution {
                        end: End::AliasFailed(fault),
                        ..Resolution::empty(rcode::SERVFAIL)
                    };
                }
                Step::Answer(sections) => resolution.answer.extend(sections),
                // RFC 6604 §3: the RCODE is that of the last name of the chain.
                Step::Negative {
                    name_error,
                    soa,
                    falls_through,
                } => {
                    if name_error {
                        resolution.rcode = rcode::NXDOMAIN;
                    }
                    if falls_through {
                        resolution.end = End::FallsThrough(seen.last().cloned());
                    }
                    if !name_error || self.options.return_soa_on_nxdomain {
                        resolution.authority.extend(soa);
                    }
                }
                Step::Referral { zone, owner, cut } => {
                    // RFC 1035 §4.1.1: AA stands for the first owner in the answer, so a chain keeps it.
                    resolution.authoritative = !seen.is_empty();
                    let ns = cut.rrset(RecordType::NS).into_iter();
                    resolution
                        .authority
                        .extend(ns.map(|ns| section(Owner::Name(owner.clone()), ns)));
                    glue_zone = Some(zone);
                }
                // RFC 6672 §3.2: YXDOMAIN, with the DNAME that did it.
                Step::Overflow(dname) => {
                    resolution.rcode = rcode::YXDOMAIN;
                    push_once(&mut resolution.answer, dname);
                }
                Step::Alias { dname, cname, target } => {
                    // Each step so far was an alias. A longer chain ends at its last permitted one.
                    if seen.len() >= usize::from(self.options.max_cname_depth.max(1)) {
                        break;
                    }
                    if let Some(dname) = dname {
                        push_once(&mut resolution.answer, dname);
                    }
                    resolution.answer.push(cname);
                    let is_wanted = matches!(self.qtype, RecordType::CNAME | RecordType::ANY);
                    if !is_wanted && self.options.resolve_cname_chain && target != *qname && !seen.contains(&target) {
                        step = self.step(&target, Owner::Name(target.clone())).step;
                        seen.push(target);
                        continue;
                    }
                }
            }
            break;
        }
        self.add_addresses(&mut resolution, qname, glue_zone);
        resolution.is_flattened = self.has_flattened;
        resolution
    }

    fn step(&mut self, name: &Name, owner: Owner) -> Found<'s> {
        let mut key = Vec::new();
        NameKey::write(name.as_wire(), &mut key);
        match self.zone_at_or_above(&key, key.len()) {
            Some((zone, apex_end)) => {
                // RFC 4035 §3.1.4.1: DS belongs to the parent's side of the cut, where the parent is ours.
                if self.qtype == RecordType::DS
                    && apex_end == key.len()
                    && let Some(parent_end) = parent_end(&key, apex_end)
                    && let Some((parent, parent_apex_end)) = self.zone_at_or_above(&key, parent_end)
                {
                    return self.step_in_zone(name, owner, &key, parent, parent_apex_end);
                }
                self.step_in_zone(name, owner, &key, zone, apex_end)
            }
            None => self.step_in_overlays(name, owner, &key),
        }
    }

    fn step_in_zone(&mut self, name: &Name, owner: Owner, key: &[u8], zone: &'s Zone, apex_end: usize) -> Found<'s> {
        if zone.failed.is_some() {
            self.data(key);
            return Found {
                step: Step::Failed,
                suffix_labels: 0,
            };
        }
        let apex = &key[..apex_end];
        if let Some(node) = zone.nodes.get(key) {
            return self.step_at_owner(name, owner, key, zone, apex_end, node);
        }
        let mut end = apex_end;
        let mut encloser_end = apex_end;
        loop {
            let at = &key[..end];
            self.data(at);
            let node = if end < key.len() { zone.nodes.get(at) } else { None };
            match node {
                Some(node) => {
                    if let Some(step) = step_below(zone, end > apex_end, at, node, name, &owner) {
                        return Found {
                            step,
                            suffix_labels: labels(key),
                        };
                    }
                }
                None if end > apex_end && !self.exists(zone, at) => break,
                None => {}
            }
            if end == key.len() {
                return negative(zone, apex, key, false);
            }
            encloser_end = end;
            end = child_end(key, end);
        }
        // RFC 4592 §3.3.1: `end` is the next closer name, which does not exist; its parent is the closest encloser.
        self.existence(&key[..end]);
        let wildcard = wildcard_of(&key[..encloser_end]);
        self.data(&wildcard);
        match zone.nodes.get(&wildcard[..]) {
            // `wildcard: one_label`: for a deeper name it is as if there were none.
            Some(node) if end < key.len() && node.is_one_label() => negative(zone, apex, key, true),
            Some(node) => match self.step_at_node(node, owner, None) {
                Some(step) => Found {
                    step,
                    suffix_labels: labels(&key[..encloser_end]),
                },
                None => negative(zone, apex, key, false),
            },
            None => negative(zone, apex, key, !self.exists(zone, &wildcard)),
        }
    }

    /// The step for a name with data: then all that is above it exists, and only owners there can take its place.
    fn step_at_owner(
        &mut self,
        name: &Name,
        owner: Owner,
        key: &[u8],
        zone: &'s Zone,
        apex_end: usize,
        node: &'s Arc<Node>,
    ) -> Found<'s> {
        let parent = parent_end(key, key.len()).filter(|_| key.len() > apex_end);
        let above = parent
            .into_iter()
            .flat_map(|end| at_or_above(&zone.nodes, &key[..end], apex_end));
        let takes_place = above.filter_map(|(at, node)| {
            let step = step_below(zone, at.len() > apex_end, at, node, name, &owner)?;
            Some((at.len(), step))
        });
        // They come from below.
        let topmost = takes_place.last();
        let end = topmost.as_ref().map_or(key.len(), |(end, _)| *end);
        self.data(&key[..apex_end]);
        let mut at = apex_end;
        while at < end {
            at = child_end(key, at);
            self.data(&key[..at]);
        }
        let is_apex = key.len() == apex_end;
        let step = match topmost {
            Some((_, step)) => Some(step),
            None if !is_apex && self.qtype != RecordType::DS && node.rrset(RecordType::NS).is_some() => {
                Some(refer(zone, key, node))
            }
            None => self.step_at_node(node, owner, is_apex.then_some(zone.index)),
        };
        match step {
            Some(step) => Found {
                step,
                suffix_labels: labels(key),
            },
            None => negative(zone, &key[..apex_end], key, false),
        }
    }

    /// The contract's "Overlays": an owner alone is ours, a wildcard covers what is below its parent. What exists
    /// between stops the wildcard, as in a zone (RFC 4592 §3.3.1).
    fn step_in_overlays(&mut self, name: &Name, owner: Owner, key: &[u8]) -> Found<'s> {
        let nodata = || Found {
            step: Step::Negative {
                name_error: false,
                soa: None,
                falls_through: false,
            },
            suffix_labels: 0,
        };
        let not_ours = Found {
            step: Step::NotOurs,
            suffix_labels: 0,
        };
        let snapshot = self.snapshot;
        if let Some(node) = snapshot.overlays.get(key) {
            return match self.step_at_node(node, owner, None) {
                Some(step) => Found {
                    step,
                    suffix_labels: name.label_count(),
                },
                None => nodata(),
            };
        }
        if snapshot.overlays.is_empty() || self.exists_outside(key) {
            return not_ours;
        }
        let mut end = key.len();
        while let Some(above) = parent_end(key, end) {
            end = above;
            if self.exists_outside(&key[..end]) {
                break;
            }
        }
        let wildcard = wildcard_of(&key[..end]);
        self.data(&wildcard);
        match snapshot.overlays.get(&wildcard[..]) {
            Some(node) if labels(key) > labels(&key[..end]) + 1 && node.is_one_label() => not_ours,
            Some(node) => match self.step_at_node(node, owner, None) {
                Some(step) => Found {
                    step,
                    suffix_labels: labels(&key[..end]),
                },
                None => nodata(),
            },
            None => not_ours,
        }
    }

    /// What the node that was found says to the question's type; `None`: nothing.
    fn step_at_node(&mut self, node: &Node, owner: Owner, soa_zone: Option<u32>) -> Option<Step<'s>> {
        let own = |rrset: &Arc<RrSet>| Section {
            soa_zone: soa_zone.filter(|_| rrset.rtype == RecordType::SOA),
            ..section(owner.clone(), rrset)
        };
        let cname = node.rrset(RecordType::CNAME);
        let alias = node.rrset(RecordType::ALIAS);
        if self.qtype == RecordType::ANY {
            let sections = match (self.options.is_proven, cname) {
                (true, _) => {
                    let mut sections: Vec<Section> = node.rrsets.iter().map(own).collect();
                    for rtype in [RecordType::A, RecordType::AAAA] {
                        let alias = alias.filter(|_| node.rrset(rtype).is_none());
                        if let Some(Step::Answer(addresses)) =
                            alias.and_then(|alias| self.flatten(&owner, alias, rtype))
                        {
                            sections.extend(addresses);
                        }
                    }
                    sections
                }
                // RFC 8482 §4.2: where there is a CNAME, it is the answer.
                (false, Some(cname)) => vec![own(cname)],
                (false, None) => vec![section(owner, &ANY_HINFO)],
            };
            return Some(Step::Answer(sections));
        }
        if let Some(rrset) = node.rrset(self.qtype) {
            return Some(Step::Answer(vec![own(rrset)]));
        }
        let alias = alias.filter(|_| self.qtype.is_address());
        if let Some(alias) = alias.filter(|_| !self.is_flattening) {
            return self.flatten(&owner, alias, self.qtype);
        }
        let cname = cname.or(alias)?;
        Some(Step::Alias {
            dname: None,
            target: target_of(cname)?,
            cname: own(cname),
        })
    }

    /// The addresses that an ALIAS stands for, as its owner's own, with the least TTL on the way; `None`: its target
    /// has none.
    fn flatten(&mut self, owner: &Owner, alias: &RrSet, rtype: RecordType) -> Option<Step<'s>> {
        let qtype = std::mem::replace(&mut self.qtype, rtype);
        self.is_flattening = true;
        self.has_flattened = true;
        let found = self.follow(owner, alias);
        self.is_flattening = false;
        self.qtype = qtype;
        found
    }

    fn follow(&mut self, owner: &Owner, alias: &RrSet) -> Option<Step<'s>> {
        let mut ttl = alias.ttl;
        let mut at = target_of(alias)?;
        for _ in 0..self.options.max_cname_depth.max(1) {
            match self.step(&at, Owner::Question).step {
                Step::Alias { cname, target, .. } => {
                    ttl = ttl.min(cname.rrset.ttl);
                    at = target;
                }
                Step::Answer(sections) => {
                    let rrset = &sections.first()?.rrset;
                    let own = RrSet {
                        ttl: ttl.min(rrset.ttl),
                        ..(**rrset).clone()
                    };
                    return Some(Step::Answer(vec![section(owner.clone(), &Arc::new(own))]));
                }
                Step::Negative { .. } => return None,
                Step::Failed => return Some(Step::Failed),
                Step::NotOurs | Step::Referral { .. } => return Some(Step::AliasFailed(AliasFault::NotOurs)),
                Step::Overflow(_) | Step::AliasFailed(_) => break,
            }
        }
        Some(Step::AliasFailed(AliasFault::Endless))
    }

    /// The deepest zone whose apex is `key[..end]` or above, and the length of its apex's key. All names looked at
    /// are consulted: a zone may begin there.
    pub(super) fn zone_at_or_above(&mut self, key: &[u8], end: usize) -> Option<(&'s Zone, usize)> {
        let mut end = Some(end);
        while let Some(at) = end {
            // The apex too: the zone may go, or fail, or be loaded again.
            self.data(&key[..at]);
            if let Some(zone) = self.snapshot.zones.get(&key[..at]) {
                return Some((zone, at));
            }
            end = parent_end(key, at);
        }
        None
    }

    /// Whether `key`, below the zone's apex, exists in this zone (RFC 4592 §2.2.2), or has a zone of ours at or below
    /// it. It would be wrong to deny what leads to an answer (RFC 8020).
    fn exists(&self, zone: &Zone, key: &[u8]) -> bool {
        zone.nodes
            .get_next(key)
            .is_some_and(|(next, _)| next.as_bytes().starts_with(key))
            || self.has_zone_below(key)
    }

    fn exists_outside(&self, key: &[u8]) -> bool {
        let next = self.snapshot.overlays.get_next(key);
        next.is_some_and(|(next, _)| next.as_bytes().starts_with(key)) || self.has_zone_below(key)
    }

    fn has_zone_below(&self, key: &[u8]) -> bool {
        self.snapshot
            .zones
            .get_next(key)
            .is_some_and(|(next, _)| next.as_bytes().starts_with(key))
    }

    pub(super) fn data(&mut self, key: &[u8]) {
        if let Some(consulted) = &mut self.consulted {
            consulted(Consulted::Data(NameKey::from_key_bytes(key)));
        }
    }

    fn existence(&mut self, key: &[u8]) {
        if let Some(consulted) = &mut self.consulted {
            consulted(Consulted::Existence(NameKey::from_key_bytes(key)));
        }
    }
}

/// What the owner at `at` gives instead of all that is below it: a cut its referral, a DNAME its substitution. NS at an
/// apex make no cut.
fn step_below<'s>(
    zone: &'s Zone,
    may_be_cut: bool,
    at: &[u8],
    node: &'s Arc<Node>,
    name: &Name,
    owner: &Owner,
) -> Option<Step<'s>> {
    if may_be_cut && node.rrset(RecordType::NS).is_some() {
        return Some(refer(zone, at, node));
    }
    let dname = node.rrset(RecordType::DNAME)?;
    Some(substitute(name, owner.clone(), &node.owner_at(at), dname))
}

fn refer<'s>(zone: &'s Zone, at: &[u8], cut: &'s Arc<Node>) -> Step<'s> {
    Step::Referral {
        zone,
        owner: cut.owner_at(at),
        cut,
    }
}

/// Where a CNAME or an ALIAS leads.
fn target_of(alias: &RrSet) -> Option<Name> {
    Name::from_wire(alias_target(alias.rdatas.first()?)?).ok()
}

/// NODATA or NXDOMAIN in a zone. RFC 2308 §3 and §5: with the SOA, its TTL the lesser of its own and MINIMUM.
fn negative<'s>(zone: &Zone, apex: &[u8], key: &[u8], name_error: bool) -> Found<'s> {
    let soa = zone.nodes.get(apex).and_then(|node| node.rrset(RecordType::SOA));
    let soa = soa.map(|soa| Section {
        ttl_override: soa
            .rdatas
            .first()
            .and_then(|rdata| rdata.last_chunk())
            .map(|minimum| soa.ttl.min(u32::from_be_bytes(*minimum))),
        soa_zone: Some(zone.index),
        ..section(Owner::Name(zone.apex.clone()), soa)
    });
    Found {
        step: Step::Negative {
            name_error,
            soa,
            falls_through: name_error && zone.falls_through,
        },
        suffix_labels: labels(key),
    }
}

/// RFC 6672 §2.2 and §3.1: the labels of `name` before the DNAME's owner, in front of its target, as a CNAME with the
/// DNAME's TTL.
fn substitute<'s>(name: &Name, owner: Owner, at: &Name, dname: &Arc<RrSet>) -> Step<'s> {
    let dname_section = section(Owner::Name(at.clone()), dname);
    let target = dname
        .rdatas
        .first()
        .and_then(|rdata| alias_target(rdata))
        .unwrap_or(&[0]);
    let prefix = &name.as_wire()[..name.as_wire().len() - at.as_wire().len()];
    match Name::from_wire(&[prefix, target].concat()) {
        Ok(target) => {
            let cname = RrSet {
                rtype: RecordType::CNAME,
                ttl: dname.ttl,
                rdatas: [target.as_wire()].into(),
                origin: dname.origin.clone(),
                handling: Handling::default(),
            };
            Step::Alias {
                dname: Some(dname_section),
                cname: section(owner, &Arc::new(cname)),
                target,
            }
        }
        Err(_) => Step::Overflow(dname_section),
    }
}

pub(super) fn section(owner: Owner, rrset: &Arc<RrSet>) -> Section {
    Section {
        owner,
        rrset: rrset.clone(),
        ttl_override: None,
        soa_zone: None,
    }
}

/// A DNAME that a chain passes twice is given once.
fn push_once(sections: &mut Vec<Section>, dname: Section) {
    if !sections.contains(&dname) {
        sections.push(dname);
    }
}

/// Where the key of the parent of `key[..end]` ends; `None` at the root.
pub(super) fn parent_end(key: &[u8], end: usize) -> Option<usize> {
    let body = &key[..end.checked_sub(1)?];
    Some(body.iter().rposition(|&octet| octet == 0).map_or(0, |at| at + 1))
}

/// Where the key of the next name below `key[..end]` on the way to `key` ends.
pub(super) fn child_end(key: &[u8], end: usize) -> usize {
    key[end..]
        .iter()
        .position(|&octet| octet == 0)
        .map_or(key.len(), |at| end + at + 1)
}

fn wildcard_of(key: &[u8]) -> Vec<u8> {
    [key, b"*\0"].concat()
}

fn labels(key: &[u8]) -> usize {
    key.iter().filter(|&&octet| octet == 0).count()
}
