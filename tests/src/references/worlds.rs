//! Zones at random that every server loads, dense with what is hard to answer.
//!
//! A world is a handful of zones below a top-level name of its own, so that one server serves many worlds. Few labels,
//! so that names meet: cuts in cuts, wildcards beside empty non-terminals, data above and below DNAMEs, aliases in
//! chains and circles and across zones, zones below zones with and without a delegation. Equal seeds give equal worlds.

mod rdata;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use dns_userspace::model::name::{Name, NameKey};
use dns_userspace::model::rdata::parse_value;
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::snapshot::Snapshot;
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::store::{Change, Store};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::zones::{deepest_below, longest_below};

/// Zones that a world may have, and how often; outermost first.
const APEXES: [(&str, f64); 6] = [
    ("example.", 1.0),
    ("sub.example.", 0.6),
    ("a.b.example.", 0.4),
    ("c.sub.example.", 0.4),
    ("test.", 0.8),
    ("ns.a.test.", 0.3),
];

/// Labels of nearly all names.
const LABELS: [&str; 9] = ["a", "b", "c", "*", "ns", "www", "_tcp", "ent", "we.ird"];

/// Zones that are served together.
pub struct World {
    /// The zones, outermost first.
    pub zones: Vec<Zone>,
    seed: u64,
}

/// A zone's content.
pub struct Zone {
    /// Its name.
    pub apex: Name,
    /// By owner and type: TTL, and RDATA in presentation format.
    pub names: BTreeMap<NameKey, Owner>,
    alone: OnceLock<Arc<Snapshot>>,
}

/// What a zone has at one name.
#[derive(Debug)]
pub struct Owner {
    /// The name, in the case of the file.
    pub name: Name,
    /// Its RRsets.
    pub rrsets: BTreeMap<RecordType, (u32, Vec<String>)>,
}

struct Generator {
    rng: StdRng,
    apexes: Vec<Name>,
    top: Name,
    is_lower_case: bool,
}

impl World {
    /// The world of a seed, below the top-level name `top`.
    pub fn new(seed: u64, top: &str) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let chosen = APEXES.iter().filter(|(_, share)| rng.random_bool(*share));
        let apexes: Vec<Name> = chosen.map(|(text, _)| name(&format!("{text}{top}"))).collect();
        let mut generator = Generator {
            rng,
            apexes: apexes.clone(),
            top: name(top),
            is_lower_case: seed.is_multiple_of(2),
        };
        let mut zones: Vec<Zone> = apexes.into_iter().map(|apex| generator.zone(apex)).collect();
        generator.delegate(&mut zones);
        let mut world = Self { zones, seed };
        if generator.rng.random_bool(0.9) {
            world.separate();
        }
        world
    }

    /// Whether a zone has data where another one begins or is, which only the other one answers for; or a DNAME above
    /// names of another one.
    pub fn has_mixed_zones(&self) -> bool {
        let mut zones = self.zones.iter();
        zones.any(|zone| zone.names.values().any(|owner| self.is_mixed(zone, owner)))
    }

    fn is_mixed(&self, zone: &Zone, owner: &Owner) -> bool {
        let mut others = self.zones.iter().filter(|other| other.apex != zone.apex);
        others.any(|other| {
            let is_inside = other.apex.label_count() > zone.apex.label_count()
                && owner.name.is_at_or_below(&other.apex)
                && !other.exists(&owner.name);
            let hides = owner.rrsets.contains_key(&RecordType::DNAME)
                && other
                    .names
                    .values()
                    .any(|below| below.name.is_at_or_below(&owner.name) && below.name != owner.name);
            is_inside || hides
        })
    }

    /// Removes what mixes zones.
    fn separate(&mut self) {
        for at in 0..self.zones.len() {
            let mixed = |owner: &Owner| self.is_mixed(&self.zones[at], owner);
            let names = self.zones[at].names.iter();
            let keys: Vec<NameKey> = names
                .filter(|(_, owner)| mixed(owner))
                .map(|(key, _)| key.clone())
                .collect();
            for key in keys {
                match self.zones[at].names.get_mut(&key) {
                    // The SOA has to stay.
                    Some(owner) if owner.rrsets.contains_key(&RecordType::SOA) => {
                        _ = owner.rrsets.remove(&RecordType::DNAME)
                    }
                    _ => _ = self.zones[at].names.remove(&key),
                }
            }
        }
    }

    /// The deepest zone at or above a name.
    pub fn zone_of(&self, name: &Name) -> Option<&Zone> {
        let above = self.zones.iter().filter(|zone| name.is_at_or_below(&zone.apex));
        above.max_by_key(|zone| zone.apex.label_count())
    }

    /// The zone that answers for a name: the zone above for DS at an apex (RFC 4035 §3.1.4.1).
    pub fn zone_for(&self, name: &Name, qtype: RecordType) -> Option<&Zone> {
        let zone = self.zone_of(name)?;
        let above = (qtype == RecordType::DS && zone.apex == *name).then(|| self.zone_of(&name.parent()?));
        above.flatten().or(Some(zone))
    }

    /// Whether a zone holds these addresses at a name.
    pub fn has_address(&self, owner: &Name, rtype: u16, ttl: u32, rdata: &[u8]) -> bool {
        let rtype = RecordType(rtype);
        let rrsets = self.zones.iter().filter_map(|zone| zone.rrset(owner, rtype));
        rrsets
            .filter(|(own_ttl, _)| *own_ttl == ttl)
            .flat_map(|(_, values)| values)
            .any(|value| parse_value(rtype, value).is_ok_and(|wire| *wire == *rdata))
    }

    /// Whether all names are in lower case.
    pub fn is_lower_case(&self) -> bool {
        self.seed.is_multiple_of(2)
    }

    /// Every name that an answer may depend on, and names around them.
    pub fn questions(&self) -> Vec<Name> {
        let mut names = BTreeSet::new();
        for zone in &self.zones {
            for owner in zone.names.values() {
                add_around(&owner.name, &mut names);
                for (rtype, (_, values)) in &owner.rrsets {
                    for target in values.iter().filter_map(|value| rdata::target(*rtype, value)) {
                        add_around(&target, &mut names);
                    }
                }
            }
        }
        names.into_iter().map(|key| key.to_name()).collect()
    }

    /// The random numbers for the questions to this world.
    pub fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ 0x5EED)
    }
}

/// Adds a name, its ancestors, what is below it and beside it.
fn add_around(name: &Name, names: &mut BTreeSet<NameKey>) {
    for label in [&b"*"[..], b"x", b"a"] {
        names.extend(name.child(label).map(|child| child.key()));
    }
    names.extend(
        name.child(b"x")
            .and_then(|child| child.child(b"y"))
            .map(|child| child.key()),
    );
    let mut at = Some(name.clone());
    while let Some(name) = at {
        at = name.parent();
        // Long lineages say the same again and again.
        if name.label_count() < 12 || name.label_count() % 16 == 0 {
            names.insert(name.key());
        }
    }
}

impl Zone {
    fn new(apex: Name) -> Self {
        Self {
            apex,
            names: BTreeMap::new(),
            alone: OnceLock::new(),
        }
    }

    /// What is served where this is the only zone.
    pub fn alone(&self) -> &Snapshot {
        self.alone.get_or_init(|| {
            let rrsets = self.names.values().flat_map(|owner| {
                owner.rrsets.iter().map(|(rtype, (ttl, values))| {
                    let rdatas = values.iter().map(|value| parse_value(*rtype, value).expect("a value"));
                    let rrset = RrSet {
                        rtype: *rtype,
                        ttl: *ttl,
                        rdatas: rdatas.collect(),
                        origin: Origin::config(),
                        handling: Handling::default(),
                    };
                    (owner.name.clone(), rrset)
                })
            });
            let zone = Change::PutZone {
                source: SourceId::zone_files(),
                apex: self.apex.clone(),
                content: Ok(rrsets.collect()),
            };
            Store::new().plan(vec![zone]).snapshot
        })
    }

    /// The RRset of a name.
    pub fn rrset(&self, owner: &Name, rtype: RecordType) -> Option<&(u32, Vec<String>)> {
        self.names.get(&owner.key())?.rrsets.get(&rtype)
    }

    /// Whether a name has data of this type.
    pub fn has(&self, owner: &Name, rtype: RecordType) -> bool {
        self.rrset(owner, rtype).is_some()
    }

    /// Whether the name, or one below it, has data in this zone.
    pub fn exists(&self, name: &Name) -> bool {
        self.names.values().any(|owner| owner.name.is_at_or_below(name))
    }

    /// The cut at or above a name: the one nearest to the apex.
    pub fn cut_above(&self, name: &Name) -> Option<Name> {
        let apex_labels = self.apex.label_count();
        let mut suffixes = (apex_labels + 1..=name.label_count()).map(|labels| name.suffix(labels));
        suffixes.find(|suffix| self.has(suffix, RecordType::NS))
    }

    /// Adds an RRset where it may stand.
    fn add(&mut self, name: &Name, rtype: RecordType, ttl: u32, values: Vec<String>) {
        let owner = self.names.entry(name.key()).or_insert_with(|| Owner {
            name: name.clone(),
            rrsets: BTreeMap::new(),
        });
        let is_apex = *name == self.apex;
        let fits = |one: RecordType, other: RecordType| match one {
            RecordType::CNAME => false,
            // RFC 6672 §2.3: NS beside a DNAME at the apex alone.
            RecordType::DNAME => other != RecordType::NS || is_apex,
            _ => true,
        };
        let may_stand = owner
            .rrsets
            .keys()
            .all(|&other| fits(rtype, other) && fits(other, rtype));
        if may_stand && !owner.rrsets.contains_key(&rtype) {
            owner.rrsets.insert(rtype, (ttl, values));
        }
        if self.names.get(&name.key()).is_some_and(|owner| owner.rrsets.is_empty()) {
            self.names.remove(&name.key());
        }
    }

    /// The DNAME above a name: the one nearest to the apex.
    pub fn dname_above(&self, name: &Name) -> Option<Name> {
        let mut suffixes = (self.apex.label_count()..name.label_count()).map(|labels| name.suffix(labels));
        suffixes.find(|suffix| self.has(suffix, RecordType::DNAME))
    }

    /// The zone as a master file; with `without_hidden`, without what lies below a DNAME.
    pub fn text(&self, without_hidden: bool) -> String {
        let mut text = String::new();
        // The SOA first: some loaders want it.
        let apex = self.names.get(&self.apex.key()).into_iter();
        let others = self
            .names
            .values()
            .filter(|owner| owner.name != self.apex && !(without_hidden && self.dname_above(&owner.name).is_some()));
        for owner in apex.chain(others) {
            let soa = owner.rrsets.get_key_value(&RecordType::SOA).into_iter();
            let rest = owner.rrsets.iter().filter(|(rtype, _)| **rtype != RecordType::SOA);
            for (rtype, (ttl, values)) in soa.chain(rest) {
                for value in values {
                    let _ = writeln!(text, "{} {ttl} IN {rtype} {value}", owner.name);
                }
            }
        }
        text
    }
}

impl Generator {
    fn zone(&mut self, apex: Name) -> Zone {
        let mut zone = Zone::new(apex.clone());
        let apex_in_case = self.in_some_case(&apex);
        let (mname, rname) = (self.any_name(), self.any_name());
        let minimum = self.pick(&[0u32, 60, 300, 86400]);
        let serial: u32 = self.rng.random();
        let soa = format!("{mname} {rname} {serial} 3600 600 86400 {minimum}");
        let ttl = self.ttl();
        zone.add(&apex_in_case, RecordType::SOA, ttl, vec![soa]);
        let mut servers = Vec::new();
        // BIND refuses servers of the zone below a DNAME.
        let has_dname = self.rng.random_bool(0.1);
        let own_servers = if has_dname { 0 } else { self.rng.random_range(1..=2) };
        for label in &[&b"ns"[..], b"ns2"][..own_servers] {
            let Some(host) = apex.child(label) else { continue };
            servers.push(host.to_string());
            let ttl = self.ttl();
            let addresses = self.values(RecordType::A);
            zone.add(&host, RecordType::A, ttl, addresses);
        }
        if has_dname || self.rng.random_bool(0.2) {
            servers.push("ns.elsewhere.invalid.".to_owned());
        }
        let ttl = self.ttl();
        zone.add(&apex_in_case, RecordType::NS, ttl, servers);
        if self.rng.random_bool(0.5) {
            for rtype in [
                RecordType::A,
                RecordType::AAAA,
                RecordType::MX,
                RecordType::TXT,
                RecordType::CAA,
            ] {
                self.add(&mut zone, &apex_in_case, rtype);
            }
        }
        if has_dname {
            self.add(&mut zone, &apex_in_case, RecordType::DNAME);
        }
        for _ in 0..*[3, 10, 25].choose(&mut self.rng).expect("not empty") {
            let owner = self.owner_below(&apex);
            self.shape(&mut zone, owner);
        }
        zone
    }

    /// Delegates most of the zones that lie below another one.
    fn delegate(&mut self, zones: &mut [Zone]) {
        for at in (1..zones.len()).rev() {
            let (above, rest) = zones.split_at_mut(at);
            let child = &rest[0];
            let parent = above
                .iter_mut()
                .filter(|zone| child.apex.is_at_or_below(&zone.apex))
                .max_by_key(|zone| zone.apex.label_count());
            let Some(parent) = parent.filter(|_| self.rng.random_bool(0.85)) else {
                continue;
            };
            let Some((ttl, servers)) = child.rrset(&child.apex, RecordType::NS) else {
                continue;
            };
            parent.names.remove(&child.apex.key());
            parent.add(&child.apex, RecordType::NS, *ttl, servers.clone());
            for server in servers {
                let host = name(server);
                if let Some((ttl, addresses)) = child.rrset(&host, RecordType::A) {
                    parent.names.remove(&host.key());
                    parent.add(&host, RecordType::A, *ttl, addresses.clone());
                }
            }
            if self.rng.random_bool(0.5) {
                let apex = child.apex.clone();
                self.add(parent, &apex, RecordType::DS);
            }
        }
    }

    fn add(&mut self, zone: &mut Zone, owner: &Name, rtype: RecordType) {
        let ttl = self.ttl();
        let values = self.values(rtype);
        zone.add(owner, rtype, ttl, values);
    }

    /// Gives a name what one kind of name has.
    fn shape(&mut self, zone: &mut Zone, owner: Name) {
        match self.rng.random_range(0..100) {
            0..22 => {
                self.add(zone, &owner, RecordType::A);
                if self.rng.random_bool(0.4) {
                    self.add(zone, &owner, RecordType::AAAA);
                }
            }
            22..44 => self.add(zone, &owner, RecordType::CNAME),
            44..56 => self.cut(zone, owner),
            56..61 if !owner.is_wildcard() => {
                self.add(zone, &owner, RecordType::DNAME);
                if self.rng.random_bool(0.3) {
                    self.add(zone, &owner, RecordType::TXT);
                }
            }
            61..69 => {
                for rtype in rdata::MANY {
                    if self.rng.random_bool(0.5) {
                        self.add(zone, &owner, rtype);
                    }
                }
            }
            69..80 => self.add(zone, &owner, RecordType::TXT),
            80..90 => {
                let rtype = self.pick(&[RecordType::MX, RecordType::SRV, RecordType::HTTPS, RecordType::PTR]);
                self.add(zone, &owner, rtype);
            }
            _ => {
                let rtype = self.pick(&rdata::MANY);
                self.add(zone, &owner, rtype);
            }
        }
    }

    /// A delegation: with glue below it, below other cuts, in other zones, or without.
    fn cut(&mut self, zone: &mut Zone, owner: Name) {
        // RFC 4592 §4.2 leaves NS at a wildcard undefined, and BIND refuses it.
        if owner.is_wildcard() || owner == zone.apex {
            return;
        }
        let mut servers = BTreeSet::new();
        for _ in 0..self.rng.random_range(1..4) {
            let target = match self.rng.random_range(0..4) {
                0 => owner.child(b"ns").unwrap_or_else(|| owner.clone()),
                1 => self.owner_below(&owner),
                2 => owner.clone(),
                _ => self.any_name(),
            };
            if target.is_wildcard() || target.is_root() {
                continue;
            }
            if target.is_at_or_below(&zone.apex) && self.rng.random_bool(0.7) {
                self.add(zone, &target, RecordType::A);
                if self.rng.random_bool(0.5) {
                    self.add(zone, &target, RecordType::AAAA);
                }
            }
            servers.insert(target);
        }
        if servers.is_empty() {
            return;
        }
        let ttl = self.ttl();
        zone.add(
            &owner,
            RecordType::NS,
            ttl,
            servers.iter().map(ToString::to_string).collect(),
        );
        if zone.has(&owner, RecordType::NS) && self.rng.random_bool(0.3) {
            self.add(zone, &owner, RecordType::DS);
        }
    }

    /// Any name that a target may be: mostly ours.
    fn any_name(&mut self) -> Name {
        match self.rng.random_range(0..20) {
            0 => name("elsewhere.invalid."),
            1 => name("www.elsewhere.invalid."),
            2 => self.top.clone(),
            3 => self.pick(&self.apexes.clone()),
            _ => {
                let apex = self.pick(&self.apexes.clone());
                self.owner_below(&apex)
            }
        }
    }

    fn owner_below(&mut self, apex: &Name) -> Name {
        let mut owner = apex.clone();
        match self.rng.random_range(0..80) {
            0 => owner = deepest_below(owner),
            1 => owner = longest_below(owner),
            _ => {
                for _ in 0..self.pick(&[1, 1, 1, 2, 2, 3, 4]) {
                    let label = self.pick(&LABELS);
                    owner = owner.child(label.as_bytes()).unwrap_or(owner);
                }
            }
        }
        self.in_some_case(&owner)
    }

    fn in_some_case(&mut self, name: &Name) -> Name {
        if self.is_lower_case || self.rng.random_bool(0.7) {
            return name.clone();
        }
        in_case(name, &mut self.rng)
    }

    fn ttl(&mut self) -> u32 {
        self.pick(&[0, 60, 300, 300, 300, 3600, 0x7FFF_FFFF])
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among.choose(&mut self.rng).expect("not empty").clone()
    }
}

/// The name with each letter in a random case.
pub fn in_case(name: &Name, rng: &mut StdRng) -> Name {
    let flip = |octet: &u8| match octet.is_ascii_alphabetic() && rng.random() {
        true => octet ^ 0x20,
        false => *octet,
    };
    let wire: Vec<u8> = name.as_wire().iter().map(flip).collect();
    Name::from_wire(&wire).expect("letters are no lengths")
}

/// A name that this module wrote down.
fn name(text: &str) -> Name {
    text.parse().expect("a name that is written down here")
}
