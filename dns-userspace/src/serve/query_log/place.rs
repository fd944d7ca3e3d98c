//! Where an answer is from, in what is served now: looked up once for each name, as long as that stays.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::name::{MAX_NAME_BYTES, Name, NameKey};
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;

/// How many names are remembered: each has one place by its hash, and the latest there is the one that is.
const SLOTS: usize = 1 << 15;

/// The looking up.
pub(super) struct Places {
    snapshot: Arc<Snapshot>,
    /// Of the snapshot: what was found in another one is not looked at.
    generation: u64,
    slots: Vec<Option<Slot>>,
    hasher: RandomState,
}

struct Slot {
    generation: u64,
    /// In lower case.
    name: Name,
    qtype: RecordType,
    view: u16,
    place: Place,
}

/// What was found.
pub(super) struct Place {
    pub(super) zone: Option<Name>,
    pub(super) source: Option<SourceId>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            snapshot: Arc::default(),
            generation: 0,
            slots: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    /// From now on this is what is served.
    pub(super) fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        if !Arc::ptr_eq(&self.snapshot, snapshot) {
            self.snapshot = Arc::clone(snapshot);
            self.generation += 1;
        }
    }

    /// The number of the client's view; 0 for none.
    pub(super) fn view_of(&self, client: IpAddr) -> u16 {
        let clients = &self.snapshot.views.clients;
        if clients.is_empty() { 0 } else { clients.view_of(client) }
    }

    /// The name of a view.
    pub(super) fn view_name(&self, view: u16) -> Option<&str> {
        let view = usize::from(view).checked_sub(1)?;
        self.snapshot.views.list.get(view).map(|view| &*view.name)
    }

    /// Where the answer to this question is from. The name is an uncompressed, valid one.
    pub(super) fn of(&mut self, name: &[u8], qtype: RecordType, view: u16) -> &Place {
        static NOWHERE: Place = Place {
            zone: None,
            source: None,
        };
        let mut octets = [0; MAX_NAME_BYTES];
        let Some(folded) = octets.get_mut(..name.len()) else {
            return &NOWHERE;
        };
        folded.copy_from_slice(name);
        folded.make_ascii_lowercase();
        let folded = &*folded;
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let hash = self.hasher.hash_one((folded, qtype.0, view));
        let slot = &mut self.slots[hash as usize % SLOTS];
        let is_it = |slot: &Slot| {
            slot.generation == self.generation
                && slot.qtype == qtype
                && slot.view == view
                && slot.name.as_wire() == folded
        };
        if !slot.as_ref().is_some_and(is_it) {
            let Ok(name) = Name::from_wire(folded) else {
                return &NOWHERE;
            };
            let place = look_up(self.snapshot.for_view(view), &name, qtype);
            *slot = Some(Slot {
                generation: self.generation,
                name,
                qtype,
                view,
                place,
            });
        }
        slot.as_ref().map_or(&NOWHERE, |slot| &slot.place)
    }
}

fn look_up(tree: &Snapshot, name: &Name, qtype: RecordType) -> Place {
    let (key, zone) = (name.key(), tree.zone_asked(name, qtype));
    let node = tree.node(&key).or_else(|| {
        // RFC 4592 §3.3.1: the wildcard at the closest encloser, which is the first that is there.
        let is_there = |name: &NameKey| zone.is_some_and(|zone| zone.name_exists(name));
        let mut above = key.parent();
        while let Some(encloser) = above {
            if let Some(node) = tree.node(&encloser.wildcard_child()) {
                return Some(node);
            }
            above = encloser.parent().filter(|_| !is_there(&encloser));
        }
        None
    });
    let rrset = node.and_then(|node| node.rrset(qtype).or_else(|| node.rrset(RecordType::CNAME)));
    Place {
        zone: zone.map(|zone| zone.apex.clone()),
        source: rrset.map(|rrset| rrset.origin.source().clone()),
    }
}
