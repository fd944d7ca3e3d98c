//! The records of watched sources that are served, as publications tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::Event;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot};
use crate::model::source::precedence;

/// What is to be written: RRsets of watched sources, in canonical order.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    rrsets: BTreeMap<(NameKey, RecordType), (Name, Arc<RrSet>)>,
    is_withheld: bool,
}

impl Wanted {
    /// Takes what is served now; whether anything differs.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Reset(snapshot) => self.reset(snapshot),
            Event::Published(publication) if self.is_withheld || publication.delta.moves_zones() => {
                self.reset(&publication.new)
            }
            Event::Published(publication) => {
                let mut differs = false;
                for key in &publication.delta.names {
                    differs |= self.set(key, publication.new.node(key).map(|node| &**node));
                }
                differs
            }
        }
    }

    /// Whether the records could not be read yet.
    pub(super) fn is_withheld(&self) -> bool {
        self.is_withheld
    }

    /// The RRsets, in canonical order of their owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<RrSet>)> {
        self.rrsets.values().map(|(owner, rrset)| (owner, rrset))
    }

    fn reset(&mut self, snapshot: &Snapshot) -> bool {
        self.is_withheld = snapshot.is_withheld;
        if self.is_withheld {
            return false;
        }
        let before = std::mem::take(&mut self.rrsets);
        for (key, node) in snapshot.all_nodes() {
            self.set(key, Some(node));
        }
        before.len() != self.rrsets.len() || before.iter().ne(self.rrsets.iter())
    }

    /// What is at a name now; whether that differs.
    fn set(&mut self, key: &NameKey, node: Option<&Node>) -> bool {
        let first = (key.clone(), RecordType(0));
        let last = (key.clone(), RecordType(u16::MAX));
        let known: Vec<RecordType> = self.rrsets.range(first..=last).map(|((_, rtype), _)| *rtype).collect();
        let watched = node.into_iter().flat_map(|node| {
            let rrsets = node.rrsets.iter();
            let watched = rrsets.filter(|rrset| rrset.origin.source().info().precedence >= precedence::WATCHED);
            watched.map(|rrset| (node.owner(key), Arc::clone(rrset)))
        });
        let mut differs = false;
        let mut kept = Vec::new();
        for (owner, rrset) in watched {
            kept.push(rrset.rtype);
            let before = self
                .rrsets
                .insert((key.clone(), rrset.rtype), (owner, Arc::clone(&rrset)));
            differs |= before.is_none_or(|(_, before)| before != rrset);
        }
        for rtype in known.into_iter().filter(|rtype| !kept.contains(rtype)) {
            self.rrsets.remove(&(key.clone(), rtype));
            differs = true;
        }
        differs
    }
}
