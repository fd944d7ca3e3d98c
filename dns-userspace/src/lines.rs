//! From a snapshot to ready answers: what the table is to say of one name.
//!
//! ```text
//!  snapshot, name ─ where it stands (zone, cut, occluded, overlay, above) ─► flags
//!                 └ resolve + encode for each type ─► bodies ─► Entry, and what it was made from
//! ```
//!
//! A body is the reference answerer's own answer without header and question, so there is one place that knows what
//! is right. What this module adds is where an answer may be used: exactly for its owner, or for every name below a
//! wildcard's encloser, a cut or an apex, with the pointers that move listed.

mod above;
pub(crate) mod named;
pub(crate) mod sparse;

use std::sync::Arc;

use dns_common::line::{CELLS, REFERRAL, flag};
use dns_common::order::{MOST, WEIGHT_NUMBERS};
use dns_common::slot::RR_HEAD_BYTES;
use dns_common::wire::{HEADER_BYTES, QUESTION_TAIL_BYTES, flags};

use self::above::Above;
use crate::answer::{
    Consulted, End, Environment, Framing, Marks, Owner, Resolution, ResolveOptions, encode, resolve, resolve_at,
};
use crate::message::Question;
use crate::model::name::{Name, NameKey};
use crate::model::rdata::additional_target;
use crate::model::record::{Order, RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot, Zone};
use crate::table::{Body, BodyOrder, Entry, ZoneNegatives};

/// The most asked types, first; all others follow by number.
const MOST_ASKED: [RecordType; 8] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::HTTPS,
    RecordType::NS,
    RecordType::SOA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SRV,
];

/// First of the types for private use (RFC 6895 §3.1): one that a name does not have shows its NODATA.
const PRIVATE_USE: u16 = 65280;

/// The parts of the configuration on which compiled answers depend.
#[derive(Debug, Clone, Copy)]
pub struct CompileOptions {
    /// Whether chains that leave our zones are completed upstream: then they are userspace's.
    pub has_upstream: bool,
    /// As [`Environment::max_cname_depth`].
    pub max_cname_depth: u8,
    /// As [`Environment::resolve_cname_chain`].
    pub resolve_cname_chain: bool,
    /// As [`Environment::return_soa_on_nxdomain`].
    pub return_soa_on_nxdomain: bool,
}

impl CompileOptions {
    /// The options that give what `environment` gives over UDP.
    pub fn of(environment: &Environment<'_>, has_upstream: bool) -> Self {
        Self {
            has_upstream,
            max_cname_depth: environment.max_cname_depth,
            resolve_cname_chain: environment.resolve_cname_chain,
            return_soa_on_nxdomain: environment.return_soa_on_nxdomain,
        }
    }

    fn resolve_options(&self) -> ResolveOptions {
        ResolveOptions {
            max_cname_depth: self.max_cname_depth,
            resolve_cname_chain: self.resolve_cname_chain,
            return_soa_on_nxdomain: self.return_soa_on_nxdomain,
            is_proven: false,
        }
    }
}

/// What the table is to say of a name, and what that was made from.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// `None`: the name needs no line.
    pub entry: Option<Entry>,
    /// Other names on which the entry depends.
    pub consulted: Vec<Consulted>,
}

/// Whether something of ours is at `key` or below it, or an answer that its name would share has it in it: then it has
/// a line.
pub fn is_in_use(snapshot: &Snapshot, key: &NameKey) -> bool {
    snapshot
        .zone_of(key)
        .is_some_and(|zone| zone.name_exists(key) || named::is_named(zone, key))
        || has_zone_at_or_below(snapshot, key)
        || snapshot
            .overlays
            .get_next(key)
            .is_some_and(|(owner, _)| owner.is_at_or_below(key))
}

/// Whether `key` has a line: all that is in use, but for what is between the top of a sparse area and its names.
pub fn needs_line(snapshot: &Snapshot, key: &NameKey) -> bool {
    is_in_use(snapshot, key) && !is_in_sparse_area(snapshot, key)
}

/// Whether `key` has no data, and is below the top of a sparse area.
pub fn is_in_sparse_area(snapshot: &Snapshot, key: &NameKey) -> bool {
    let is_inside = |zone: &Arc<Zone>| !zone.nodes.contains_key(key) && sparse::is_inside(snapshot, zone, key);
    snapshot.zone_of(key).is_some_and(is_inside)
}

fn has_zone_at_or_below(snapshot: &Snapshot, key: &NameKey) -> bool {
    let next = snapshot.zones.get_next(key);
    next.is_some_and(|(apex, _)| apex.is_at_or_below(key))
}

/// Compiles one name.
pub fn compile(snapshot: &Snapshot, key: &NameKey, options: &CompileOptions) -> Compiled {
    Compiling::new(snapshot, options).next(key)
}

/// Compiles names one after the other. In canonical order that takes less time than each on its own.
pub struct Compiling<'a> {
    snapshot: &'a Snapshot,
    options: CompileOptions,
    above: Option<Above<'a>>,
}

impl<'a> Compiling<'a> {
    /// Compiles names of this snapshot.
    pub fn new(snapshot: &'a Snapshot, options: &CompileOptions) -> Self {
        Self {
            snapshot,
            options: *options,
            above: None,
        }
    }

    /// Compiles one more.
    pub fn next(&mut self, key: &NameKey) -> Compiled {
        let above = match self.above.take() {
            Some(above) if above.is_of(key) => above,
            before => Above::new(self.snapshot, key.parent().unwrap_or(NameKey::ROOT), before.as_ref()),
        };
        let mut compiler = Compiler {
            snapshot: self.snapshot,
            options: self.options,
            key,
            answers: None,
            consulted: Vec::new(),
        };
        let entry = compiler.entry(&above);
        self.above = Some(above);
        Compiled {
            entry,
            consulted: compiler.consulted,
        }
    }
}

/// Compiles a zone's NODATA and NXDOMAIN; `None` where they are userspace's.
pub fn negatives(snapshot: &Snapshot, zone: &Zone, options: &CompileOptions) -> Option<ZoneNegatives> {
    if zone.failed.is_some() {
        return None;
    }
    let key = zone.apex.key();
    let node = zone.nodes.get(&key)?;
    let mut compiler = Compiler {
        snapshot,
        options: *options,
        key: &key,
        answers: None,
        consulted: Vec::new(),
    };
    let mut nodata = compiler.resolve(&zone.apex, absent_type(node));
    if nodata.end != End::Final || !nodata.answer.is_empty() || nodata.authority.is_empty() {
        return None;
    }
    own_by_name(&mut nodata, &zone.apex);
    let mut nxdomain = nodata.clone();
    nxdomain.rcode = 3;
    if !options.return_soa_on_nxdomain {
        nxdomain.authority.clear();
    }
    let base = zone.apex.as_wire();
    Some(ZoneNegatives {
        nodata: body(&nodata, base, true)?,
        nxdomain: body(&nxdomain, base, true)?,
    })
}

struct Compiler<'a> {
    snapshot: &'a Snapshot,
    options: CompileOptions,
    key: &'a NameKey,
    /// What is at `key`, once it is known that nothing above it and no cut there takes its place; and the number of the
    /// zone whose apex it is.
    answers: Option<(&'a Node, Option<u32>)>,
    consulted: Vec<Consulted>,
}

impl<'a> Compiler<'a> {
    fn entry(&mut self, above: &Above<'a>) -> Option<Entry> {
        let snapshot = self.snapshot;
        let is_root = self.key.as_bytes().is_empty();
        let own_zone = snapshot.zones.get(self.key);
        let zone = own_zone.or(above.zone());
        // In a large zone each look-up takes time, and most names have data: then they exist, and have a line.
        let node = zone.and_then(|zone| zone.nodes.get(self.key)).map(|node| &**node);
        if node.is_none() && !is_root && !is_in_use(snapshot, self.key) {
            return None;
        }
        let Some(zone) = zone else {
            return Some(match snapshot.overlays.get(self.key) {
                Some(node) => self.overlay(node),
                // What is below may be a wildcard overlay's.
                None if snapshot.overlays.contains_key(&self.key.wildcard_child()) => {
                    Entry::bare(flag::NOT_OURS | flag::PASS_BELOW)
                }
                None => Entry::bare(flag::NOT_OURS),
            });
        };
        let all_passes = Entry::bare(flag::PASS_SELF | flag::PASS_BELOW);
        if zone.failed.is_some() {
            return (own_zone.is_some() || has_zone_at_or_below(snapshot, self.key)).then_some(all_passes);
        }
        if own_zone.is_none() && above.is_occluded() {
            if !has_zone_at_or_below(snapshot, self.key) {
                return named::is_named(zone, self.key).then(|| self.own_referral(zone).unwrap_or(all_passes));
            }
            return Some(all_passes);
        }
        if node.is_none() && !zone.name_exists(self.key) && !has_zone_at_or_below(snapshot, self.key) {
            return named::is_named(zone, self.key).then_some(all_passes);
        }
        if node.is_none() && is_in_sparse_area(snapshot, self.key) {
            return None;
        }
        Some(self.in_zone(zone, node, above))
    }

    /// An overlay: its own types; no SOA for other types, and names below are not ours.
    fn overlay(&mut self, node: &'a Node) -> Entry {
        self.answers = Some((node, None));
        let mut entry = Entry::bare(flag::PASS_BELOW);
        self.types(node, &mut entry, &node.owner(self.key), false);
        entry
    }

    fn in_zone(&mut self, zone: &Arc<Zone>, node: Option<&'a Node>, above: &Above<'_>) -> Entry {
        let mut entry = Entry::bare(0);
        entry.zone = zone.index;
        let apex = zone.apex.key();
        let is_apex = apex == *self.key;
        if self.snapshot.access.contains_key(&apex) {
            entry.flags |= flag::GUARDED;
        }
        if is_apex {
            entry.flags |= flag::APEX;
        }
        let wildcard = self.key.wildcard_child();
        if has_zone_at_or_below(self.snapshot, &wildcard) {
            // What is not there then has a wildcard that another zone holds, or that exists by that zone alone.
            entry.flags |= flag::PASS_BELOW;
        }
        if zone.name_exists(&wildcard) {
            entry.flags |= flag::WILDCARD_CHILD;
            if zone.nodes.get(&wildcard).is_some_and(|node| node.is_one_label()) {
                entry.flags |= flag::ONE_LABEL_WILDCARD;
            }
            let special = zone
                .nodes
                .get(&wildcard)
                .is_some_and(|node| node.rrset(RecordType::NS).is_some() || node.rrset(RecordType::DNAME).is_some());
            if special {
                // RFC 4592 §4.2, §4.4: no defined meaning.
                entry.flags |= flag::PASS_BELOW;
            }
        }
        let own_negatives = !is_apex && named::differs_from_shared(&apex, above.named(), self.key);
        if own_negatives {
            entry.flags |= flag::PASS_BELOW;
            self.own_nodata(node, &mut entry);
        }
        let Some(node) = node else {
            if sparse::is_top(self.snapshot, self.key.as_bytes()) == Some(true) {
                entry.flags |= flag::PASS_BELOW | flag::SPARSE;
            }
            return entry;
        };
        let owner = node.owner(self.key);
        if !is_apex && node.rrset(RecordType::NS).is_some() {
            entry.flags = entry.flags & !flag::CNAME | flag::CUT;
            entry.bodies.clear();
            let mut referral = self.resolve(&owner, RecordType::A);
            own_by_name(&mut referral, &owner);
            match (referral.end == End::Final)
                .then(|| body(&referral, owner.as_wire(), true))
                .flatten()
            {
                Some(body) => entry.bodies.push((REFERRAL, body)),
                None => entry.flags |= flag::PASS_SELF | flag::PASS_BELOW,
            }
            return entry;
        }
        self.answers = Some((node, is_apex.then_some(zone.index)));
        if node.rrset(RecordType::DNAME).is_some() {
            entry.flags |= flag::DNAME;
        }
        if is_apex || !self.key.is_wildcard() {
            self.types(node, &mut entry, &owner, false);
            return entry;
        }
        let Some(question) = self.wildcard_question(zone) else {
            entry.flags |= flag::PASS_SELF;
            return entry;
        };
        // One line serves the names that the wildcard stands for and its own, `*` included, which is as long as the
        // shortest of them: only where they get the same.
        let mut own = entry.clone();
        self.types(node, &mut own, &owner, true);
        self.types(node, &mut entry, &question, true);
        if own != entry || self.leads_back(zone, &question) {
            entry = Entry::bare(entry.flags | flag::PASS_SELF);
            entry.zone = zone.index;
        }
        entry
    }

    /// The referral of a name below a cut, which is not that of all names there.
    fn own_referral(&mut self, zone: &Arc<Zone>) -> Option<Entry> {
        let name = self.key.to_name();
        let referral = self.resolve(&name, RecordType::A);
        let is_referral = referral.end == End::Final && referral.answer.is_empty() && !referral.authoritative;
        let body = is_referral.then(|| body(&referral, name.as_wire(), true)).flatten()?;
        let mut entry = Entry::bare(flag::CUT);
        entry.zone = zone.index;
        if self.snapshot.access.contains_key(&zone.apex.key()) {
            entry.flags |= flag::GUARDED;
        }
        entry.bodies.push((REFERRAL, body));
        Some(entry)
    }

    /// The name's NODATA, which is not that of all names of the zone.
    fn own_nodata(&mut self, node: Option<&Node>, entry: &mut Entry) {
        let is_alias = node.is_some_and(|node| node.rrset(RecordType::CNAME).is_some());
        if is_alias || self.key.is_wildcard() {
            entry.flags |= flag::INCOMPLETE;
            return;
        }
        let (question, absent) = match node {
            Some(node) => (node.owner(self.key), absent_type(node)),
            None => (self.key.to_name(), RecordType(PRIVATE_USE)),
        };
        let nodata = self.resolve(&question, absent);
        match (nodata.end == End::Final)
            .then(|| body(&nodata, question.as_wire(), false))
            .flatten()
        {
            Some(body) => {
                entry.flags |= flag::CNAME;
                entry.bodies.push((0, body));
            }
            None => entry.flags |= flag::INCOMPLETE,
        }
    }

    /// Whether a wildcard's chain leads to a name that the same wildcard answers for: asked for that name, the chain
    /// ends one alias earlier.
    fn leads_back(&mut self, zone: &Zone, question: &Name) -> bool {
        let Some(encloser) = self.key.parent() else {
            return false;
        };
        let chain = self.resolve(question, RecordType::CNAME);
        let whole = self.resolve(question, RecordType(PRIVATE_USE));
        targets(&chain).chain(targets(&whole)).any(|target| {
            let key = target.key();
            key.is_at_or_below(&encloser) && (!zone.name_exists(&key) || key.is_at_or_below(self.key))
        })
    }

    /// For a wildcard: a name of one octet below its encloser that the wildcard answers for.
    fn wildcard_question(&self, zone: &Zone) -> Option<Name> {
        let encloser = self.key.parent()?.to_name();
        (0..=255u8).find_map(|octet| {
            let name = encloser.child(&[octet])?;
            let key = name.key();
            (octet != b'*' && !zone.name_exists(&key) && !self.snapshot.zones.contains_key(&key)).then_some(name)
        })
    }

    /// Fills in what the node's types answer. `moves`: for every name that is longer than `question` too.
    fn types(&mut self, node: &Node, entry: &mut Entry, question: &Name, moves: bool) {
        let mut types = types_at(node);
        let mut absent = RecordType(PRIVATE_USE);
        let mut others = None;
        if node.rrset(RecordType::CNAME).is_some() {
            entry.flags |= flag::CNAME;
            (types, absent) = self.types_of_chain(node, question);
            others = Some(self.resolve(question, absent));
        }
        types.retain(|rtype| rtype.is_data() || rtype.0 == 0);
        types.sort_by_key(|rtype| {
            MOST_ASKED
                .iter()
                .position(|most| most == rtype)
                .unwrap_or(MOST_ASKED.len())
        });
        let mut inline_ttl = None;
        for rtype in types {
            let asked = if rtype.0 == 0 { absent } else { rtype };
            let resolution = self.resolve(question, asked);
            let is_final = match resolution.end {
                End::Final => true,
                End::ChainLeaves(_) => !self.options.has_upstream,
                End::NotOurs | End::ZoneFailed | End::AliasFailed(_) => false,
            };
            if !is_final && others.is_none() {
                // An ALIAS: the name's other types are as good as ever.
                entry.flags |= flag::INCOMPLETE;
                continue;
            }
            if !is_final {
                entry.flags |= flag::PASS_SELF;
                return;
            }
            if others.is_none() && resolution.answer.is_empty() {
                // An ALIAS to a name without addresses of this type: the zone's NODATA, as for types that are not
                // there.
                continue;
            }
            if rtype.0 != 0 && others.as_ref() == Some(&resolution) {
                continue;
            }
            if inline(&resolution, rtype, entry, &mut inline_ttl) {
                continue;
            }
            match body(&resolution, question.as_wire(), moves) {
                Some(body) => entry.bodies.push((rtype.0, body)),
                None => entry.flags |= flag::INCOMPLETE,
            }
        }
        entry.ttl = inline_ttl.unwrap_or(0);
        make_room(entry, self, question, moves);
    }

    /// CNAME, every type at any name of the chain, DS, and 0 for all others; and one of those others.
    fn types_of_chain(&mut self, node: &Node, question: &Name) -> (Vec<RecordType>, RecordType) {
        let mut absent = PRIVATE_USE;
        loop {
            // A chain ends at the first name that has the type, so this one follows it as far as it goes.
            let whole = self.resolve(question, RecordType(absent));
            let mut types = types_at(node);
            for target in targets(&whole) {
                self.types_for(&target.key(), &mut types);
            }
            if types.contains(&RecordType(absent)) && absent < u16::MAX {
                absent += 1;
                continue;
            }
            // RFC 4035 §3.1.4.1: where the chain leads to a cut or an apex, DS is another zone's than the rest.
            types.extend([RecordType(0), RecordType::DS]);
            types.sort_unstable();
            types.dedup();
            return (types, RecordType(absent));
        }
    }

    /// Adds the types of all nodes that may answer for a name: its own, and every wildcard above it. Too many are no
    /// harm: each is asked for.
    fn types_for(&self, key: &NameKey, types: &mut Vec<RecordType>) {
        let mut add = |key: &NameKey| {
            let zones = key.lineage().filter_map(|above| self.snapshot.zones.get(above));
            let nodes = zones.filter_map(|zone| zone.nodes.get(key));
            for node in nodes.chain(self.snapshot.overlays.get(key)) {
                types.extend(types_at(node));
            }
        };
        add(key);
        let mut above = key.parent();
        while let Some(encloser) = above {
            add(&encloser.wildcard_child());
            above = encloser.parent();
        }
    }

    fn resolve(&mut self, question: &Name, rtype: RecordType) -> Resolution {
        let options = self.options.resolve_options();
        if let Some((node, apex_of)) = self.answers
            && self.is_plain_type(node, rtype)
            && let Some(resolution) = resolve_at(self.snapshot, node, apex_of, question, rtype, &options)
        {
            // Made from the name's own data. What is above it does not show: where that comes to cover it (a cut, a
            // DNAME, a zone), all that is below differs anyway.
            return resolution;
        }
        let mut heard = Vec::new();
        let resolution = resolve(self.snapshot, question, rtype, &options, &mut |name| heard.push(name));
        for name in heard {
            let name = match name {
                // All that is in a zone depends on its apex, but little on the apex's own data, which change often.
                Consulted::Data(key) if self.is_unused_apex(&key, question, &resolution) => Consulted::Existence(key),
                name => name,
            };
            let (Consulted::Data(key) | Consulted::Existence(key)) = &name;
            if key != self.key && !self.consulted.contains(&name) {
                self.consulted.push(name);
            }
        }
        resolution
    }

    /// Whether the name has this type itself, and its RDATA ask for no other names: then what the name has is all of
    /// the answer, unless something takes the place of the name.
    fn is_plain_type(&self, node: &Node, rtype: RecordType) -> bool {
        let rrset = node.rrset(rtype);
        // RFC 4035 §3.1.4.1: DS may be another zone's.
        rtype != RecordType::DS
            && !self.key.is_wildcard()
            && rrset.is_some_and(|rrset| {
                rrset
                    .rdatas
                    .iter()
                    .all(|rdata| additional_target(rtype, rdata).is_none())
            })
    }

    /// Whether `key` is the apex of a zone, and nothing in the answer is its data, or would be if it had them.
    fn is_unused_apex(&self, key: &NameKey, question: &Name, resolution: &Resolution) -> bool {
        let Some(zone) = self.snapshot.zones.get(key) else {
            return false;
        };
        if resolution.is_flattened {
            // What an ALIAS went through does not show.
            return false;
        }
        if zone.rrset(key, RecordType::SOA).is_none() {
            // Left out for another source's CNAME. A negative answer will have it once it is back.
            return false;
        }
        let is_apex = |wire: &[u8]| wire.eq_ignore_ascii_case(zone.apex.as_wire());
        let mut sections = resolution
            .answer
            .iter()
            .chain(&resolution.authority)
            .chain(&resolution.additional);
        let is_used = sections.any(|section| {
            let owner = section.owner.name(question);
            let rrset = &section.rrset;
            is_apex(owner.as_wire())
                || rrset.rdatas.iter().any(|rdata| match rrset.rtype {
                    RecordType::CNAME => is_apex(rdata),
                    rtype => additional_target(rtype, rdata).is_some_and(is_apex),
                })
        });
        !is_used && !is_apex(question.as_wire())
    }
}

/// The types that a node may answer, those that its ALIAS stands for included.
fn types_at(node: &Node) -> Vec<RecordType> {
    let mut types: Vec<RecordType> = node.rrsets.iter().map(|rrset| rrset.rtype).collect();
    if node.rrset(RecordType::ALIAS).is_some() {
        let addresses = [RecordType::A, RecordType::AAAA];
        types.extend(addresses.into_iter().filter(|rtype| node.rrset(*rtype).is_none()));
    }
    types
}

/// The targets of the aliases in an answer, in order.
fn targets(resolution: &Resolution) -> impl Iterator<Item = Name> {
    let aliases = resolution
        .answer
        .iter()
        .filter(|section| section.rrset.rtype == RecordType::CNAME);
    aliases.filter_map(|section| Name::from_wire(section.rrset.rdatas.first()?).ok())
}

/// Takes an answer of nothing but addresses into the line itself.
fn inline(resolution: &Resolution, rtype: RecordType, entry: &mut Entry, ttl: &mut Option<u32>) -> bool {
    let [section] = &resolution.answer[..] else {
        return false;
    };
    let is_plain = section.owner == Owner::Question
        && section.rrset.rtype == rtype
        && resolution.authority.is_empty()
        && resolution.additional.is_empty()
        && resolution.authoritative
        && ttl.is_none_or(|ttl| ttl == section.rrset.ttl);
    if !is_plain {
        return false;
    }
    let taken = match rtype {
        RecordType::A => inline_a(&section.rrset, entry),
        RecordType::AAAA => inline_aaaa(&section.rrset, entry),
        _ => false,
    };
    if taken {
        *ttl = Some(section.rrset.ttl);
    }
    taken
}

fn inline_a(rrset: &RrSet, entry: &mut Entry) -> bool {
    let addresses: Option<Vec<[u8; 4]>> = rrset.rdatas.iter().map(|rdata| rdata.try_into().ok()).collect();
    let order = rrset.handling.order();
    // A line has no room for weights.
    let is_weighted = matches!(order, Order::Weighted(_));
    match addresses {
        Some(addresses) if addresses.len() <= 4 && !is_weighted => {
            if addresses.len() > 1 {
                entry.flags |= u32::from(order.kind()) << flag::ORDER_SHIFT;
            }
            entry.inline_a = addresses;
            true
        }
        _ => false,
    }
}

fn inline_aaaa(rrset: &RrSet, entry: &mut Entry) -> bool {
    let mut rdatas = rrset.rdatas.iter();
    match (rdatas.next(), rdatas.next()) {
        (Some(rdata), None) => {
            entry.inline_aaaa = rdata.try_into().ok();
            entry.inline_aaaa.is_some()
        }
        _ => false,
    }
}

/// Where inline addresses leave too little room for references, they become bodies.
fn make_room(entry: &mut Entry, compiler: &mut Compiler<'_>, question: &Name, moves: bool) {
    // One cell is enough for all bodies: then it leads to a list of them.
    let cells = |entry: &Entry| {
        entry.bodies.len().min(1) + entry.inline_a.len().div_ceil(2) + 2 * usize::from(entry.inline_aaaa.is_some())
    };
    if cells(entry) > CELLS && entry.inline_aaaa.take().is_some() {
        let resolution = compiler.resolve(question, RecordType::AAAA);
        let at = entry.bodies.len().min(1);
        entry
            .bodies
            .extend(body(&resolution, question.as_wire(), moves).map(|body| (RecordType::AAAA.0, body)));
        entry.bodies[at..].rotate_right(1);
    }
    if cells(entry) > CELLS && entry.inline_a.len() > 2 {
        entry.inline_a.clear();
        entry.flags &= !flag::ORDERED;
        let resolution = compiler.resolve(question, RecordType::A);
        entry
            .bodies
            .extend(body(&resolution, question.as_wire(), moves).map(|body| (RecordType::A.0, body)));
        entry.bodies.rotate_right(1);
    }
}

/// Makes the sections of an answer independent of whether its owner is the question.
fn own_by_name(resolution: &mut Resolution, owner: &Name) {
    let sections = resolution
        .answer
        .iter_mut()
        .chain(&mut resolution.authority)
        .chain(&mut resolution.additional);
    for section in sections {
        if section.owner == Owner::Question {
            section.owner = Owner::Name(owner.clone());
        }
    }
}

/// A type that the node does not have.
fn absent_type(node: &Node) -> RecordType {
    let absent = (PRIVATE_USE..u16::MAX)
        .map(RecordType)
        .find(|&rtype| node.rrset(rtype).is_none());
    absent.unwrap_or(RecordType(PRIVATE_USE))
}

/// The answer behind the question, compiled for `base`. `None` where only userspace can send it.
fn body(resolution: &Resolution, base: &[u8], moves: bool) -> Option<Body> {
    let question = Question {
        name: base,
        qtype: RecordType::A,
        qclass: 1,
    };
    let framing = Framing {
        id: 0,
        opcode: 0,
        recursion_desired: false,
        recursion_available: false,
        edns: None,
        limit: usize::from(u16::MAX),
        random: None,
    };
    let mut message = Vec::with_capacity(512);
    let mut marks = Marks::default();
    let encoded = encode(resolution, &question, &framing, &(), &mut message, Some(&mut marks));
    let start = HEADER_BYTES + base.len() + QUESTION_TAIL_BYTES;
    if encoded.truncated || marks.serials.len() > 1 || message.len() > usize::from(u16::MAX) {
        return None;
    }
    let mut octets = message.split_off(start);
    let serial = marks
        .serials
        .first()
        .map(|mark| (mark.offset - start as u16, mark.zone_index));
    if let Some((at, _)) = serial {
        octets[usize::from(at)..usize::from(at) + 4].fill(0);
    }
    let order = match &marks.ordered[..] {
        [] => None,
        places => Some(body_order(resolution, places, start)?),
    };
    let pointers = if moves {
        marks
            .pointers
            .iter()
            .map(|pointer| pointer.offset - start as u16)
            .collect()
    } else {
        Vec::new()
    };
    let authoritative = if resolution.authoritative { flags::AA } else { 0 };
    let [_, answers, authorities, additionals] = encoded.counts;
    Some(Body {
        octets,
        counts: [answers, authorities, additionals],
        flags: authoritative | u16::from(resolution.rcode),
        pointers,
        serial,
        order,
        base_bytes: base.len() as u32,
    })
}

/// How the RRs of an answer are ordered, whose RDATA begin at `places` of the message; `None` where they are too many,
/// or no addresses (names in RDATA would be compressed anew), or owned by the root, which is shorter than a pointer.
fn body_order(resolution: &Resolution, places: &[u16], start: usize) -> Option<BodyOrder> {
    let rrset = &resolution.answer.last()?.rrset;
    let order = rrset.handling.order();
    let [first, _, ..] = places else { return None };
    let step = (RR_HEAD_BYTES + rrset.rdatas.first()?.len()) as u16;
    let is_even = places.windows(2).all(|pair| pair[1] - pair[0] == step);
    let is_simple = rrset.rtype.is_address() && is_even && places.len() == rrset.rdatas.len();
    let mut weights = Vec::new();
    if let Order::Weighted(own) = order {
        let total: u32 = own.iter().map(|&weight| u32::from(weight)).sum();
        weights.extend([total as u16, (total >> 16) as u16]);
        weights.extend(own.iter());
        weights.resize(WEIGHT_NUMBERS, 0);
    }
    (is_simple && places.len() <= MOST as usize).then_some(BodyOrder {
        kind: order.kind(),
        count: places.len() as u8,
        at: first - start as u16,
        step,
        weights,
    })
}
