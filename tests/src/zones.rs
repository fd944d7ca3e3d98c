//! Configurations at random, dense with what is hard: few labels, so that names meet everywhere.
//!
//! ```text
//!  seed ─► Universe (zones, names) ─► Generator ─┬─► first changes: zones, `records`, API
//!                                                └─► one random change after the other
//! ```
//!
//! Zones nest; names are cuts, wildcards, empty non-terminals, aliases in chains and circles, DNAMEs, as long and as
//! deep as names can be; RRsets are of every size class. Some have views, with records anywhere. Equal seeds give equal
//! configurations.

mod content;
mod rdata;

pub use self::rdata::names_in;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use dns_common::order::Prefixes;
use dns_userspace::answer::{Admission, CookieSource, Environment, Identity};
use dns_userspace::message::Limit;
use dns_userspace::model::name::{Name, NameKey};
use dns_userspace::model::rdata::format_value;
use dns_userspace::model::record::{Handling, Order, RecordType, RrSet, Wildcard};
use dns_userspace::model::snapshot::Node;
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::model::views::{ViewClients, ViewName};
use dns_userspace::store::{Change, ConfiguredView, Store};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use self::content::Content;

/// Zones that a configuration may have, outermost first. The last ones are rare in the wild, and easy to get wrong.
const APEXES: [&str; 11] = [
    "example.",
    "sub.example.",
    "a.b.example.",
    "test.",
    "c.a.test.",
    "*.test.",
    "b.*.example.",
    "ns.a.example.",
    ".",
    "x.y.z.w.v.far.",
    "in-addr.arpa.",
];

/// Where `records` and the API put names that no zone holds.
const OUTSIDE: [&str; 5] = ["overlay.", "a.overlay.", "b.a.overlay.", "wild.", "made.overlay."];

/// Views that a configuration may have.
const VIEWS: [&str; 3] = ["inside", "office", "lab"];

/// Labels of nearly all names.
const LABELS: [&str; 7] = ["a", "b", "c", "*", "ns", "www", "_tcp"];

/// What some servers say of themselves.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity {
    nsid: Some("ns1.example".into()),
    ..Identity::default()
});

/// A configuration to begin with, and all random changes to it.
pub struct Generator {
    rng: StdRng,
    apexes: Vec<Name>,
    environment: Environment<'static>,
    has_upstream: bool,
    has_sparse_areas: bool,
    /// Names of the views, in their order.
    views: Vec<ViewName>,
}

impl Generator {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut apexes: Vec<Name> = Vec::new();
        for (position, text) in APEXES.iter().enumerate() {
            let share = [1.0, 0.6, 0.5, 0.8, 0.4, 0.2, 0.2, 0.3, 0.12, 0.5, 0.3][position];
            if rng.random_bool(share) {
                apexes.push(name(text));
            }
        }
        let environment = Environment {
            udp_payload: *[512, 1232, 1232, 1452, 4096].choose(&mut rng).expect("not empty"),
            recursion_available: rng.random_bool(0.3),
            limit: Limit::Datagram,
            is_proven: false,
            max_cname_depth: *[1, 3, 10, 10].choose(&mut rng).expect("not empty"),
            resolve_cname_chain: rng.random_bool(0.85),
            return_soa_on_nxdomain: rng.random_bool(0.85),
            // Of the seed itself, so that it gives what it always gave beside.
            hash_prefixes: match seed % 4 {
                0 => Prefixes::of(9, 33),
                1 => Prefixes::of(32, 64),
                _ => Prefixes::DEFAULT,
            },
            cookies: CookieSource {
                secret: rng.random(),
                seconds: rng.random(),
                client: match rng.random() {
                    true => Ipv6Addr::from_bits(rng.random()).into(),
                    false => Ipv4Addr::from_bits(rng.random()).into(),
                },
            },
            identity: rng.random_bool(0.2).then_some(&IDENTITY),
            admission: Admission::Admitted,
            random: u64::from(rng.random::<u32>()),
        };
        // Of a generator of its own: without views a seed gives what it always gave.
        let mut of_views = StdRng::seed_from_u64(!seed);
        let views = match of_views.random_bool(0.4) {
            true => VIEWS
                .iter()
                .filter(|_| of_views.random_bool(0.6))
                .map(|&name| name.into())
                .collect(),
            false => Vec::new(),
        };
        Self {
            views,
            has_upstream: environment.recursion_available || rng.random_bool(0.1),
            // Each brings many names that userspace answers alone.
            has_sparse_areas: seed.is_multiple_of(4),
            rng,
            apexes,
            environment,
        }
    }

    /// The environment of every query to this configuration.
    pub fn environment(&self) -> Environment<'static> {
        self.environment
    }

    /// Whether this configuration has an upstream, for whatever clients.
    pub fn has_upstream(&self) -> bool {
        self.has_upstream
    }

    /// The random numbers, for those who go on with this seed.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// The zones, `records` and API records to begin with.
    pub fn first(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for apex in self.apexes.clone() {
            changes.push(self.zone(apex));
        }
        changes.push(self.config_records());
        if !self.views.is_empty() {
            changes.push(self.configured_views());
        }
        changes
    }

    /// The address of a client: in no view, or in one of them.
    pub fn client(&mut self) -> IpAddr {
        let own = self.environment.cookies.client;
        self.client_in_view().unwrap_or(own)
    }

    /// The address of a client in a view, where there are views; not always.
    pub fn client_in_view(&mut self) -> Option<IpAddr> {
        if self.views.is_empty() || self.rng.random_bool(0.35) {
            return None;
        }
        let number = VIEWS
            .iter()
            .position(|name| **name == **self.views.choose(&mut self.rng).expect("not empty"));
        let number = number.unwrap_or(0) as u8;
        Some(match self.rng.random() {
            true => Ipv4Addr::new(10, number, 1, 2).into(),
            false => Ipv6Addr::new(0x2001, 0xDB8, u16::from(number), 0, 0, 0, 0, 0x99).into(),
        })
    }

    /// The views, each with records of the configuration.
    fn configured_views(&mut self) -> Change {
        let mut all = Vec::new();
        for (number, view) in VIEWS.iter().enumerate() {
            let Some(name) = self.views.iter().find(|name| ***name == **view).cloned() else {
                continue;
            };
            let mut content = Content::default();
            for _ in 0..self.rng.random_range(0..8) {
                let owner = match self.rng.random_range(0..10) {
                    0 => self.owner_outside(),
                    1 => self.any_apex(),
                    _ => self.any_owner(),
                };
                self.shape(owner, &mut content);
            }
            let mut records = content.into_records(&Origin::config());
            records.retain(|(_, rrset)| rrset.rtype != RecordType::SOA);
            let clients = [format!("10.{number}.0.0/16"), format!("2001:db8:{number}::/48")];
            all.push(ConfiguredView {
                view: ViewClients {
                    name,
                    clients: clients.iter().map(|text| text.parse().expect("a prefix")).collect(),
                },
                records,
            });
        }
        Change::Views(all)
    }

    /// An RRset of the API comes into a view or goes.
    fn change_view(&mut self, store: &Store) -> Vec<Change> {
        let Some(view) = self.views.choose(&mut self.rng).cloned() else {
            return self.put_api(store);
        };
        let of_view = of_api(store).filter(|(name, ..)| *name == Some(&view));
        let held: Vec<(Name, RecordType)> = of_view
            .flat_map(|(_, key, node)| node.rrsets.iter().map(|rrset| (node.owner(key), rrset.rtype)))
            .collect();
        let delete = |owner: &Name, rtype| Change::Delete {
            source: SourceId::api(),
            view: Some(view.clone()),
            owner: owner.clone(),
            rtype,
        };
        if self.rng.random_bool(0.4)
            && let Some((owner, rtype)) = held.choose(&mut self.rng)
        {
            return vec![delete(owner, *rtype)];
        }
        let mut content = Content::default();
        let owner = match self.rng.random_range(0..10) {
            0 => self.owner_outside(),
            1..5 => self.existing(store).unwrap_or_else(|| name("a.example.")),
            _ => self.any_owner(),
        };
        self.shape(owner, &mut content);
        let mut changes = Vec::new();
        for (owner, rrset) in content.into_records(&Origin::api()) {
            for (other, rtype) in &held {
                if *other == owner && !content::may_stand_beside(*rtype, rrset.rtype) {
                    changes.push(delete(other, *rtype));
                }
            }
            let view = Some(view.clone());
            changes.push(Change::Put {
                source: SourceId::api(),
                view,
                owner,
                rrset: rrset.into(),
            });
        }
        changes
    }

    /// One change set, as a source would bring it.
    pub fn next(&mut self, store: &Store) -> Vec<Change> {
        if !self.views.is_empty() && self.rng.random_bool(0.4) {
            return match self.rng.random_range(0..12) {
                0 => vec![self.configured_views()],
                1 => {
                    self.views.rotate_left(1);
                    if self.views.len() > 1 && self.rng.random() {
                        self.views.pop();
                    }
                    vec![self.configured_views()]
                }
                _ => self.change_view(store),
            };
        }
        match self.rng.random_range(0..100) {
            0..45 => self.put_api(store),
            45..70 => self.delete_api(store),
            70..80 => {
                let apex = self.any_apex();
                vec![self.changed_zone(apex, store)]
            }
            80..84 => {
                let apex = self.any_apex();
                vec![self.zone(apex)]
            }
            84..89 => vec![Change::DropZone {
                source: SourceId::zone_files(),
                apex: self.any_apex(),
            }],
            89..94 => vec![self.config_records()],
            _ => (0..self.rng.random_range(2..6))
                .flat_map(|_| self.put_api(store))
                .collect(),
        }
    }

    fn any_apex(&mut self) -> Name {
        match self.rng.random_bool(0.9) {
            true => self.apexes.choose(&mut self.rng).expect("`example.` at least").clone(),
            false => name(APEXES.choose(&mut self.rng).expect("not empty")),
        }
    }

    fn zone(&mut self, apex: Name) -> Change {
        let file: Arc<str> = format!("{apex}zone").into();
        let content = match self.rng.random_bool(0.04) {
            true => Err("the file has an error".into()),
            false => {
                let names = *[3, 10, 25].choose(&mut self.rng).expect("not empty");
                Ok(self
                    .content(&apex, names)
                    .into_records(&Origin::zone_file(file.clone())))
            }
        };
        Change::PutZone {
            source: SourceId::zone_files(),
            apex,
            content,
        }
    }

    /// The zone as it is served now, with a few names more and a few fewer.
    fn changed_zone(&mut self, apex: Name, store: &Store) -> Change {
        let snapshot = store.snapshot();
        let zone = snapshot.zones.get(&apex.key()).filter(|zone| zone.failed.is_none());
        let Some(zone) = zone else { return self.zone(apex) };
        let mut content = self.content(&apex, 2);
        for (key, node) in &zone.nodes {
            let owner = node.owner(key);
            let is_kept = owner == apex || self.rng.random_bool(0.95);
            for rrset in node.rrsets.iter().filter(|_| is_kept) {
                content.add(&owner, (**rrset).clone());
            }
        }
        let file: Arc<str> = format!("{apex}zone").into();
        let content = Ok(content.into_records(&Origin::zone_file(file.clone())));
        Change::PutZone {
            source: SourceId::zone_files(),
            apex,
            content,
        }
    }

    fn content(&mut self, apex: &Name, names: usize) -> Content {
        let mut content = Content::default();
        let apex_in_case = self.in_some_case(apex);
        content.add(&apex_in_case, self.soa());
        content.add(&apex_in_case, self.ns());
        if self.rng.random_bool(0.2) {
            content.add(&apex_in_case, self.rrset(RecordType::ALIAS));
        }
        if self.rng.random_bool(0.4) {
            for rtype in [
                RecordType::A,
                RecordType::AAAA,
                RecordType::MX,
                RecordType::TXT,
                RecordType::CAA,
            ] {
                content.add(&apex_in_case, self.rrset(rtype));
            }
        }
        if self.rng.random_bool(0.1) {
            self.shape(apex_in_case.clone(), &mut content);
        }
        for _ in 0..names {
            let owner = self.owner_below(apex);
            self.shape(owner, &mut content);
        }
        content
    }

    fn config_records(&mut self) -> Change {
        let mut content = Content::default();
        for _ in 0..self.rng.random_range(0..14) {
            let owner = self.owner_outside();
            self.shape(owner, &mut content);
        }
        if self.rng.random_bool(0.5) {
            content.add(&name("made.overlay."), self.soa());
        }
        Change::config_records(content.into_records(&Origin::config()))
    }

    /// An RRset from the API, without those that cannot stand beside it.
    fn put_api(&mut self, store: &Store) -> Vec<Change> {
        let mut content = Content::default();
        let owner = match self.rng.random_range(0..10) {
            0..2 => self.owner_outside(),
            2..6 => self.existing(store).unwrap_or_else(|| name("a.example.")),
            _ => self.any_owner(),
        };
        match self.rng.random_range(0..40) {
            0 => content.add(&owner, self.soa()),
            1..4 => content.add(&owner, self.ns()),
            _ => self.shape(owner, &mut content),
        }
        let mut changes = Vec::new();
        for (owner, rrset) in content.into_records(&Origin::api()) {
            let held = of_api(store).find(|(view, key, _)| view.is_none() && **key == owner.key());
            for old in held.into_iter().flat_map(|(_, _, node)| &node.rrsets) {
                if !content::may_stand_beside(old.rtype, rrset.rtype) {
                    changes.push(Change::Delete {
                        source: SourceId::api(),
                        view: None,
                        owner: owner.clone(),
                        rtype: old.rtype,
                    });
                }
            }
            changes.push(Change::Put {
                source: SourceId::api(),
                view: None,
                owner,
                rrset: rrset.into(),
            });
        }
        changes
    }

    fn delete_api(&mut self, store: &Store) -> Vec<Change> {
        let held: Vec<(Name, RecordType)> = of_api(store)
            .filter(|(view, ..)| view.is_none())
            .flat_map(|(_, key, node)| node.rrsets.iter().map(|rrset| (node.owner(key), rrset.rtype)))
            .collect();
        match held.choose(&mut self.rng) {
            Some((owner, rtype)) => vec![Change::Delete {
                source: SourceId::api(),
                view: None,
                owner: owner.clone(),
                rtype: *rtype,
            }],
            None => self.put_api(store),
        }
    }

    fn existing(&mut self, store: &Store) -> Option<Name> {
        let snapshot = store.snapshot();
        let zones: Vec<_> = snapshot.zones.values().collect();
        let nodes: Vec<_> = zones.choose(&mut self.rng)?.nodes.iter().collect();
        let (key, node) = nodes.choose(&mut self.rng)?;
        Some(node.owner(key))
    }

    /// Gives a name what one kind of name has.
    fn shape(&mut self, owner: Name, content: &mut Content) {
        match self.rng.random_range(0..100) {
            0..22 => {
                content.add(&owner, self.rrset(RecordType::A));
                if self.rng.random_bool(0.4) {
                    content.add(&owner, self.rrset(RecordType::AAAA));
                }
            }
            22..27 => {
                content.add(&owner, self.rrset(RecordType::ALIAS));
                if self.rng.random_bool(0.3) {
                    content.add(&owner, self.rrset(RecordType::MX));
                }
            }
            27..44 => {
                content.add(&owner, self.rrset(RecordType::CNAME));
                if self.rng.random_bool(0.15) {
                    content.add(&owner, self.rrset(RecordType::KEY));
                }
            }
            44..54 => {
                let ns = self.ns();
                for target in names_in(&ns).collect::<Vec<_>>() {
                    // Where the target is elsewhere, the loader would not take it: `into_records` of a zone filters.
                    if target.is_at_or_below(&owner) || self.rng.random_bool(0.2) {
                        content.add_glue(&target, self.rrset(RecordType::A));
                        if self.rng.random_bool(0.5) {
                            content.add_glue(&target, self.rrset(RecordType::AAAA));
                        }
                    }
                }
                if self.rng.random_bool(0.3)
                    && let Some(own) = owner.child(b"ns")
                {
                    content.add(&owner, self.rrset_of(RecordType::NS, vec![own.as_wire().into()]));
                    content.add_glue(&own, self.rrset(RecordType::A));
                }
                content.add(&owner, ns);
                if self.rng.random_bool(0.3) {
                    content.add(&owner, self.rrset(RecordType::DS));
                }
            }
            54..58 => {
                content.add(&owner, self.rrset(RecordType::DNAME));
                if self.rng.random_bool(0.3) {
                    content.add(&owner, self.rrset(RecordType::TXT));
                }
            }
            58..66 => {
                for rtype in rdata::MANY {
                    if self.rng.random_bool(0.6) {
                        content.add(&owner, self.rrset(rtype));
                    }
                }
            }
            66..80 => content.add(&owner, self.rrset(RecordType::TXT)),
            80..90 => {
                let rtype = *[RecordType::MX, RecordType::SRV, RecordType::HTTPS, RecordType::PTR]
                    .choose(&mut self.rng)
                    .expect("not empty");
                content.add(&owner, self.rrset(rtype));
            }
            _ => {
                let rtype = *rdata::MANY.choose(&mut self.rng).expect("not empty");
                content.add(&owner, self.rrset(rtype));
            }
        }
    }

    /// Any name that a target or a question may be: mostly ours.
    pub fn any_name(&mut self) -> Name {
        match self.rng.random_range(0..20) {
            0 => name("elsewhere."),
            1 => name("www.elsewhere.invalid."),
            2..4 => self.owner_outside(),
            4 => self.any_apex(),
            _ => self.any_owner(),
        }
    }

    fn any_owner(&mut self) -> Name {
        let apex = self.any_apex();
        self.owner_below(&apex)
    }

    fn owner_outside(&mut self) -> Name {
        let above = name(OUTSIDE.choose(&mut self.rng).expect("not empty"));
        match self.rng.random_bool(0.5) {
            true => self.in_some_case(&above),
            false => self.owner_below(&above),
        }
    }

    fn owner_below(&mut self, apex: &Name) -> Name {
        let mut owner = apex.clone();
        match self.rng.random_range(0..60) {
            0 => owner = deepest_below(owner),
            1 => owner = longest_below(owner),
            2..8 if self.has_sparse_areas => owner = self.sparse_below(owner),
            _ => {
                for _ in 0..*[1, 1, 1, 2, 2, 3, 4].choose(&mut self.rng).expect("not empty") {
                    let label = LABELS.choose(&mut self.rng).expect("not empty").as_bytes();
                    owner = owner.child(label).unwrap_or(owner);
                }
            }
        }
        self.in_some_case(&owner)
    }

    /// One of a few names far below one of a few empty non-terminals.
    fn sparse_below(&mut self, apex: Name) -> Name {
        let mut owner = apex;
        for labels in [1, 1, 5, 1, 1] {
            let label = *[b"0", b"1"].choose(&mut self.rng).expect("not empty");
            let label = if labels == 5 { b"0" } else { label };
            for _ in 0..labels {
                owner = owner.child(label).unwrap_or(owner);
            }
        }
        owner
    }

    /// The name, sometimes with letters in another case.
    pub fn in_some_case(&mut self, name: &Name) -> Name {
        if self.rng.random_bool(0.7) {
            return name.clone();
        }
        let wire: Vec<u8> = name
            .as_wire()
            .iter()
            .map(|&octet| {
                if octet.is_ascii_alphabetic() && self.rng.random() {
                    octet ^ 0x20
                } else {
                    octet
                }
            })
            .collect();
        Name::from_wire(&wire).expect("letters are no lengths")
    }

    fn rrset_of(&mut self, rtype: RecordType, rdatas: Vec<Box<[u8]>>) -> RrSet {
        let ttl = *[0, 60, 300, 300, 300, 3600, 0x7FFF_FFFF]
            .choose(&mut self.rng)
            .expect("not empty");
        let weights = (0..rdatas.len()).map(|_| self.rng.random_range(0..3) * 100).collect();
        let order = match *["fixed", "fixed", "rotate", "random", "weighted"]
            .choose(&mut self.rng)
            .expect("not empty")
        {
            // Without another draw, so that seeds stay what they were.
            "rotate" if matches!(ttl, 60 | 3600) => "hash",
            order => order,
        };
        let handling = Handling::new(
            Order::from_word(order, weights).expect("a known word"),
            match self.rng.random_bool(0.3) {
                true => Wildcard::OneLabel,
                false => Wildcard::Rfc4592,
            },
        );
        RrSet {
            rtype,
            ttl,
            rdatas: rdatas.into(),
            origin: Origin::config(),
            handling,
        }
    }
}

/// Changes for a person: what is where, one RRset a line.
pub fn describe(changes: &[Change]) -> String {
    let list = |records: &[(Name, RrSet)]| -> String {
        let line = |(owner, rrset): &(Name, RrSet)| {
            let values = rrset
                .rdatas
                .iter()
                .map(|rdata| format_value(rrset.rtype, rdata).chars().take(60).collect());
            let values: Vec<String> = values.collect();
            let (order, wildcard) = (rrset.handling.order(), rrset.handling.wildcard().word());
            let values = values.join(" | ");
            format!(
                "\n  {owner} {} {} {values} {order:?} {wildcard}",
                rrset.ttl, rrset.rtype
            )
        };
        records.iter().map(line).collect()
    };
    let one = |change: &Change| match change {
        Change::PutZone {
            apex,
            content: Ok(records),
            ..
        } => format!("zone {apex}{}", list(records)),
        Change::PutZone {
            apex,
            content: Err(reason),
            ..
        } => format!("zone {apex} failed: {reason}"),
        Change::DropZone { apex, .. } => format!("no zone {apex}"),
        Change::Reset { records, .. } => format!("records{}", list(records)),
        Change::Access(lists) => format!("access {lists:?}"),
        Change::Fallthrough(apexes) => format!("fallthrough {apexes:?}"),
        Change::Stored { zones, makes_files } => format!("stored {zones:?} {makes_files}"),
        Change::Views(views) => {
            let one = |view: &ConfiguredView| format!("\nview {:?}{}", view.view, list(&view.records));
            format!("views{}", views.iter().map(one).collect::<String>())
        }
        Change::Put { view, owner, rrset, .. } => {
            format!("put {view:?}{}", list(&[(owner.clone(), RrSet::clone(rrset))]))
        }
        Change::Delete { view, owner, rtype, .. } => format!("delete {view:?} {owner} {rtype}"),
    };
    changes.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// A name that this module wrote down.
pub fn name(text: &str) -> Name {
    text.parse().expect("a name that is written down here")
}

/// A name below this one with as many labels as a name can have.
pub(crate) fn deepest_below(mut owner: Name) -> Name {
    while let Some(next) = owner.child(b"a") {
        owner = next;
    }
    owner
}

/// A name below this one with as many octets as a name can have.
pub(crate) fn longest_below(mut owner: Name) -> Name {
    let mut label = 63;
    while label > 0 {
        match owner.child(&[b'l'; 63][..label]) {
            Some(next) => owner = next,
            None => label -= 1,
        }
    }
    owner
}

/// All records of the API, each with its view.
fn of_api(store: &Store) -> impl Iterator<Item = (Option<&ViewName>, &NameKey, &Arc<Node>)> {
    store.records_of(&SourceId::api())
}
