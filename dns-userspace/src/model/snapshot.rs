//! What is served, at one moment: immutable, numbered, shared.
//!
//! ```text
//! Snapshot ─ zones: apex ─► Zone ─ nodes: owner ─► Node ─ rrsets
//!          ├ overlays: owner ─► Node                      (contract: records in no zone)
//!          └ views ─ own: owner ─► Node;  tree: Snapshot of the default with these in it
//! ```
//!
//! Maps are persistent: a new snapshot shares all that did not change, and taking one costs nothing. Empty
//! non-terminals have no node; they show as "no node here, some below" (RFC 4592 §2.2.2), which an ordered map of
//! [`NameKey`]s answers with one range look-up.

mod zones;

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use imbl::OrdMap;

pub use self::zones::{Zones, ZonesFrom};
use crate::model::access::{Access, AccessList};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{RecordType, RrSet, Wildcard};
use crate::model::views::{Clients, ViewName};

/// Everything that is served, at one version.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Raised by one with each change set.
    pub version: u64,
    /// Zones by apex.
    pub zones: Zones,
    /// Owner names outside every zone.
    pub overlays: OrdMap<NameKey, Arc<Node>>,
    /// Who may ask for the names of a zone, by apex; also of zones that are not served.
    pub access: OrdMap<NameKey, Arc<AccessList>>,
    /// What some clients get instead.
    pub views: Arc<Views>,
    /// Whether it is not known yet what there is: every question is answered SERVFAIL.
    pub is_withheld: bool,
    /// How often each zone has changed, by apex. The trees of views leave it to the default.
    pub versions: OrdMap<NameKey, ZoneVersion>,
}

/// What tells one content of a zone from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneVersion {
    /// The SOA serial that the zone is served with.
    pub serial: u32,
    /// The version at which the zone changed last.
    pub version: u64,
}

/// The views that are configured.
#[derive(Clone, Default)]
pub struct Views {
    /// By number, from 1.
    pub list: Vec<View>,
    /// Which client is in which.
    pub clients: Arc<Clients>,
}

/// One view.
#[derive(Clone)]
pub struct View {
    /// Its name.
    pub name: ViewName,
    /// The records that are this view's, as they are served: whole names, but for an apex.
    pub own: OrdMap<NameKey, Arc<Node>>,
    /// What its clients are answered from: the default with these records in it, of the same zones. It has no views.
    pub tree: Arc<Snapshot>,
}

/// One zone: configured, or made by an SOA record of `records` or the API.
#[derive(Clone)]
pub struct Zone {
    /// The name of the zone.
    pub apex: Name,
    /// A small number that stays this zone's for the life of the process: where planes keep its serial.
    pub index: u32,
    /// Why the zone cannot answer (its names get SERVFAIL), if it cannot.
    pub failed: Option<Arc<str>>,
    /// Whether names that it lacks are looked up elsewhere, for clients that may.
    pub falls_through: bool,
    /// Every owner name with data, the apex included, data below zone cuts included.
    pub nodes: OrdMap<NameKey, Arc<Node>>,
}

/// What is at one owner name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The owner where it was not given in lower case; else its key says it.
    cased: Option<Box<Name>>,
    /// By type, ascending; never empty.
    pub rrsets: RrSets,
}

/// The RRsets of a node. Most have one, and no list of it.
#[derive(Clone, PartialEq, Eq)]
pub struct RrSets(Few);

#[derive(Clone, PartialEq, Eq)]
enum Few {
    One(Arc<RrSet>),
    Several(Box<[Arc<RrSet>]>),
}

impl Snapshot {
    /// What is served as long as nobody knows what there is.
    pub fn withheld() -> Self {
        Self {
            is_withheld: true,
            ..Self::default()
        }
    }

    /// What the clients of a view are answered from; 0, and a number that no view has, is the default.
    pub fn for_view(&self, view: u16) -> &Snapshot {
        let view = usize::from(view).checked_sub(1).and_then(|at| self.views.list.get(at));
        view.map_or(self, |view| &view.tree)
    }

    /// What this client is answered from.
    pub fn for_client(&self, client: IpAddr) -> &Snapshot {
        self.for_view(self.views.clients.view_of(client))
    }

    /// The view of that name.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.list.iter().find(|view| *view.name == *name)
    }

    /// The SOA serial that a zone is served with.
    pub fn serial(&self, apex: &NameKey) -> Option<u32> {
        self.versions.get(apex).map(|of_zone| of_zone.serial)
    }

    /// The version at which a zone changed last.
    pub fn version_of_zone(&self, apex: &NameKey) -> Option<u64> {
        self.versions.get(apex).map(|of_zone| of_zone.version)
    }

    /// The version at which an RRset at `key` got what it says. That of its zone, where that is older: a zone that says
    /// after a restart what it said before has the versions that it had.
    pub fn version_of(&self, key: &NameKey, rrset: &RrSet) -> u64 {
        let version = rrset.origin.version();
        let zone = key.lineage().find(|apex| self.zones.contains_key(*apex));
        let of_zone = zone.and_then(|apex| self.versions.get(apex));
        of_zone.map_or(version, |of_zone| version.min(of_zone.version))
    }

    /// The zone that holds `key`: the deepest with an apex at or above it.
    pub fn zone_of(&self, key: &NameKey) -> Option<&Arc<Zone>> {
        key.lineage().find_map(|apex| self.zones.get(apex))
    }

    /// All nodes of zones and overlays; also those that a deeper zone hides.
    pub fn all_nodes(&self) -> impl Iterator<Item = (&NameKey, &Arc<Node>)> {
        let of_zones = self.zones.values().flat_map(|zone| zone.nodes.iter());
        of_zones.chain(self.overlays.iter())
    }

    /// The node that answers for `key`: that of the deepest zone above it, or the overlay.
    pub fn node(&self, key: &NameKey) -> Option<&Arc<Node>> {
        match self.zone_of(key) {
            Some(zone) => zone.nodes.get(key),
            None => self.overlays.get(key),
        }
    }
}

impl Snapshot {
    /// Whether the client may ask for this name and type, as far as the zone that answers says: for DS at an apex the
    /// zone above, where that is ours too (RFC 4035 §3.1.4.1).
    pub fn access(&self, name: &Name, qtype: RecordType, client: IpAddr) -> Access {
        if self.access.is_empty() {
            return Access::Allowed;
        }
        let zone = self.zone_asked(name, qtype);
        let list = zone.and_then(|zone| self.access.get(&zone.apex.key()));
        list.map_or(Access::Allowed, |list| list.of(client))
    }

    /// The zone that answers for this name and type.
    pub fn zone_asked(&self, name: &Name, qtype: RecordType) -> Option<&Arc<Zone>> {
        let key = name.key();
        let above = || self.zones.contains_key(&key).then(|| key.parent()).flatten();
        let parent = (qtype == RecordType::DS).then(above).flatten();
        parent
            .and_then(|parent| self.zone_of(&parent))
            .or_else(|| self.zone_of(&key))
    }
}

/// What the map has for `key` and for the names above it, from below, as far as their keys have `least` octets. It
/// looks up little more than what is there, however many labels there are.
pub(crate) fn at_or_above<'m, 'k, V>(
    map: &'m OrdMap<NameKey, V>,
    key: &'k [u8],
    least: usize,
) -> impl Iterator<Item = (&'k [u8], &'m V)> {
    let mut above = NameKey::lineage_of(key).take_while(move |at| at.len() >= least);
    let mut next = above.next();
    std::iter::from_fn(move || {
        while let Some(at) = next {
            // To look up what is there takes much less time than to look up what is next.
            let (found, value) = map.get_key_value(at).or_else(|| map.get_prev(at))?;
            if found.as_bytes() == at {
                next = above.next();
                return Some((at, value));
            }
            // A key above `at` is above this one too: nothing comes between them in the order of names.
            next = above.find(|at| found.as_bytes().starts_with(at));
        }
        None
    })
}

impl Zone {
    /// Whether `key` exists in the RFC 4592 §2.2 sense: it has data, or a name below it has.
    pub fn name_exists(&self, key: &NameKey) -> bool {
        self.nodes
            .get_next(key)
            .is_some_and(|(found, _)| found.is_at_or_below(key))
    }

    /// The RRset of `rtype` at `key`.
    pub fn rrset(&self, key: &NameKey, rtype: RecordType) -> Option<&Arc<RrSet>> {
        self.nodes.get(key)?.rrset(rtype)
    }
}

impl Zone {
    /// The serial in the zone's own SOA record.
    pub fn soa_serial(&self) -> Option<u32> {
        let soa = self.rrset(&self.apex.key(), RecordType::SOA)?;
        rdata::serial(soa.rdatas.first()?)
    }
}

impl Node {
    /// What is at `owner`. The RRsets are given by type, ascending.
    pub fn new(owner: &Name, rrsets: Vec<Arc<RrSet>>) -> Self {
        let is_lowercase = !owner.as_wire().iter().any(u8::is_ascii_uppercase);
        Self {
            cased: (!is_lowercase).then(|| Box::new(owner.clone())),
            rrsets: rrsets.into(),
        }
    }

    /// The owner in the case in which it was given; `key` is the one under which this node is held.
    pub fn owner(&self, key: &NameKey) -> Name {
        self.owner_at(key.as_bytes())
    }

    /// The same for the octets of a key.
    pub(crate) fn owner_at(&self, key: &[u8]) -> Name {
        self.cased.as_deref().cloned().unwrap_or_else(|| Name::from_key(key))
    }

    /// Whether the owners of both, if they have the same key, were given in the same case.
    pub fn has_owner_of(&self, other: &Node) -> bool {
        match (&self.cased, &other.cased) {
            (Some(one), Some(other)) => one.as_wire() == other.as_wire(),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// The RRset of `rtype`.
    pub fn rrset(&self, rtype: RecordType) -> Option<&Arc<RrSet>> {
        self.rrsets
            .binary_search_by_key(&rtype, |set| set.rtype)
            .ok()
            .map(|at| &self.rrsets[at])
    }

    /// The first RRset here that one of `rtype` cannot be beside, or that has its type.
    pub fn excluding(&self, rtype: RecordType) -> Option<&Arc<RrSet>> {
        self.rrset(rtype).or_else(|| self.clashing(rtype))
    }

    /// The first RRset of another type that one of `rtype` cannot be beside.
    pub fn clashing(&self, rtype: RecordType) -> Option<&Arc<RrSet>> {
        let types = self.rrsets.iter().map(|rrset| rrset.rtype);
        let (other, _) = rtype.first_clash(|other| self.rrset(other).is_some(), types)?;
        self.rrset(other)
    }

    /// Whether a wildcard stands for names of one label more alone: where all its RRsets say so.
    pub fn is_one_label(&self) -> bool {
        let mut rrsets = self.rrsets.iter();
        rrsets.all(|rrset| rrset.handling.wildcard() == Wildcard::OneLabel)
    }
}

impl Deref for RrSets {
    type Target = [Arc<RrSet>];

    fn deref(&self) -> &[Arc<RrSet>] {
        match &self.0 {
            Few::One(rrset) => std::slice::from_ref(rrset),
            Few::Several(rrsets) => rrsets,
        }
    }
}

impl From<Vec<Arc<RrSet>>> for RrSets {
    fn from(rrsets: Vec<Arc<RrSet>>) -> Self {
        Self(match <[_; 1]>::try_from(rrsets) {
            Ok([rrset]) => Few::One(rrset),
            Err(rrsets) => Few::Several(rrsets.into()),
        })
    }
}

impl<'a> IntoIterator for &'a RrSets {
    type Item = &'a Arc<RrSet>;
    type IntoIter = std::slice::Iter<'a, Arc<RrSet>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for RrSets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
