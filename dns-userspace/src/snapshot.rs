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

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

use crate::name::{Name, NameKey, wire_name_length};
use crate::record::{RecordType, RrSet};
use crate::views::{Clients, ViewName};

/// Everything that is served, at one version.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Raised by one with each change set.
    pub version: u64,
    /// Zones by apex.
    pub zones: OrdMap<NameKey, Arc<Zone>>,
    /// Owner names outside every zone.
    pub overlays: OrdMap<NameKey, Arc<Node>>,
    /// What some clients get instead.
    pub views: Arc<Views>,
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
    /// Why the zone cannot answer (its names get SERVFAIL with this text as EDE), if it cannot.
    pub failed: Option<Arc<str>>,
    /// Every owner name with data, the apex included, data below zone cuts included.
    pub nodes: OrdMap<NameKey, Arc<Node>>,
}

/// One owner name and its RRsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The owner in the case in which it was given.
    pub owner: Name,
    /// By type, ascending; never empty.
    pub rrsets: Vec<Arc<RrSet>>,
}

impl Snapshot {
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

    /// The zone that holds `key`: the deepest with an apex at or above it.
    pub fn zone_of(&self, key: &NameKey) -> Option<&Arc<Zone>> {
        let mut at = Some(key.clone());
        while let Some(apex) = at {
            if let Some(zone) = self.zones.get(&apex) {
                return Some(zone);
            }
            at = apex.parent();
        }
        None
    }

    /// The node that answers for `key`: that of the deepest zone above it, or the overlay.
    pub fn node(&self, key: &NameKey) -> Option<&Arc<Node>> {
        match self.zone_of(key) {
            Some(zone) => zone.nodes.get(key),
            None => self.overlays.get(key),
        }
    }
}

impl Zone {
    /// Whether `key` exists in the RFC 4592 §2.2 sense: it has data, or a name below it has.
    pub fn name_exists(&self, key: &NameKey) -> bool {
        self.nodes
            .range::<_, NameKey>(key..)
            .next()
            .is_some_and(|(found, _)| found.is_at_or_below(key))
    }

    /// The RRset of `rtype` at `key`.
    pub fn rrset(&self, key: &NameKey, rtype: RecordType) -> Option<&Arc<RrSet>> {
        self.nodes.get(key)?.rrset(rtype)
    }
}

impl Zone {
    /// The serial in the zone's own SOA record (RFC 1035 §3.3.13: behind two names).
    pub fn soa_serial(&self) -> Option<u32> {
        let soa = self.rrset(&self.apex.key(), RecordType::SOA)?;
        let rdata = soa.rdatas.first()?;
        let mname = wire_name_length(rdata)?;
        let rname = wire_name_length(&rdata[mname..])?;
        let octets = rdata.get(mname + rname..mname + rname + 4)?;
        Some(u32::from_be_bytes(octets.try_into().ok()?))
    }
}

impl Node {
    /// The RRset of `rtype`.
    pub fn rrset(&self, rtype: RecordType) -> Option<&Arc<RrSet>> {
        self.rrsets
            .binary_search_by_key(&rtype, |set| set.rtype)
            .ok()
            .map(|at| &self.rrsets[at])
    }
}
