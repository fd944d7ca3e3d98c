//! The API's records, as publications tell them, and the edits that make them others.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{KubernetesSource, RecordSets, is_same};
use crate::control::{Disabled, Event, Subscription};
use crate::model::name::{Name, NameKey};
use crate::model::record::{Handling, RecordType, RrSet};
use crate::model::snapshot::{Node, Snapshot};
use crate::model::source::{Origin, SourceId};
use crate::store::{Condition, Edit, Expected, Subject};

/// The API's side.
pub struct ApiSide {
    settings: Arc<KubernetesSource>,
    served: Subscription,
    /// But for those in views, disabled ones, and those outside of the zones.
    records: BTreeMap<(NameKey, RecordType), (Name, Arc<RrSet>)>,
    /// What is served now.
    present: Arc<Snapshot>,
}

/// An RRset that would have to change, and is locked.
pub struct Locked(pub String);

impl ApiSide {
    /// Of what is published.
    pub fn new(served: Subscription, settings: Arc<KubernetesSource>) -> Self {
        Self {
            settings,
            served,
            records: BTreeMap::new(),
            present: Arc::new(Snapshot::withheld()),
        }
    }

    /// Waits for the next publication: whether the API's records may differ. `None` once there is no other one.
    pub async fn next(&mut self) -> Option<bool> {
        let event = self.served.next().await?;
        Some(self.take(event))
    }

    /// Takes what was published meanwhile; whether the API's records may differ.
    pub fn catch_up(&mut self) -> bool {
        let mut differs = false;
        while let Some(event) = self.served.poll() {
            differs |= self.take(event);
        }
        differs
    }

    /// Whether the records could not be read yet.
    pub fn is_withheld(&self) -> bool {
        self.present.is_withheld
    }

    /// The API's records.
    pub fn records(&self) -> RecordSets {
        let sets = self
            .records
            .iter()
            .map(|(key, (owner, rrset))| (key.clone(), (owner.clone(), (**rrset).clone())));
        sets.collect()
    }

    /// What makes the API's records `wanted`, which were `present`, if nobody has changed them since.
    pub fn edits(
        &self,
        disabled: &Disabled,
        present: &RecordSets,
        wanted: &RecordSets,
    ) -> Result<(Vec<Edit>, Vec<Expected>), Locked> {
        let mut edits = Vec::new();
        let mut expects = Vec::new();
        let mut add = |key: &(NameKey, RecordType), owner: &Name, edit: Edit| {
            let served = self.present.node(&key.0).and_then(|node| node.rrset(key.1));
            let kept = || disabled.get(&(None, key.0.clone(), key.1)).map(|(_, rrset)| &**rrset);
            let own = present.get(key).map(|(_, rrset)| rrset);
            let held = own.or_else(|| served.map(|rrset| &**rrset)).or_else(kept);
            expects.push(Expected {
                edit: edits.len(),
                subject: Subject::Rrset {
                    view: None,
                    owner: owner.clone(),
                    rtype: key.1,
                },
                condition: match held {
                    Some(rrset) => Condition::OneOf(vec![self.present.version_of(&key.0, rrset)]),
                    None => Condition::Absent,
                },
            });
            edits.push(edit);
        };
        for (key, (owner, rrset)) in wanted {
            let before = present.get(key).map(|(_, rrset)| rrset);
            if before.is_some_and(|before| is_same(before, rrset)) {
                continue;
            }
            if before.is_some_and(|before| before.handling.keeping().locked) {
                return Err(Locked(format!("{owner} {}", key.1)));
            }
            let keeping = before
                .map(|before| before.handling.keeping().clone())
                .unwrap_or_default();
            let handling = Handling::new(rrset.handling.order().clone(), rrset.handling.wildcard()).kept(keeping);
            let rrset = Arc::new(RrSet {
                origin: Origin::api(),
                handling,
                ..rrset.clone()
            });
            let edit = Edit::Set {
                view: None,
                owner: owner.clone(),
                rrset,
            };
            add(key, owner, edit);
        }
        for (key, (owner, rrset)) in present.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
            if rrset.handling.keeping().locked {
                return Err(Locked(format!("{owner} {}", key.1)));
            }
            let edit = Edit::Unset {
                view: None,
                owner: owner.clone(),
                rtype: key.1,
            };
            add(key, owner, edit);
        }
        Ok((edits, expects))
    }

    /// Takes what is served now; whether the API's records may differ.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Reset(snapshot) => self.reset(&snapshot),
            Event::Published(publication) if self.present.is_withheld || publication.delta.moves_zones() => {
                self.reset(&publication.new)
            }
            Event::Published(publication) => {
                self.present = Arc::clone(&publication.new);
                let mut differs = false;
                for key in &publication.delta.names {
                    differs |= self.look_at(key);
                }
                differs
            }
        }
    }

    fn reset(&mut self, snapshot: &Arc<Snapshot>) -> bool {
        self.present = Arc::clone(snapshot);
        self.records.clear();
        for (key, node) in snapshot.all_nodes() {
            self.add(key, node);
        }
        true
    }

    /// What is at a name now; whether the API's records there differ.
    fn look_at(&mut self, key: &NameKey) -> bool {
        let types = (key.clone(), RecordType(0))..=(key.clone(), RecordType(u16::MAX));
        let known: Vec<_> = self.records.range(types.clone()).map(|(at, _)| at.clone()).collect();
        let before: Vec<_> = known.iter().filter_map(|at| self.records.remove(at)).collect();
        let present = Arc::clone(&self.present);
        // DS at an apex is in the zone above.
        let zones = key.lineage().filter_map(|apex| present.zones.get(apex));
        let nodes = zones
            .filter_map(|zone| zone.nodes.get(key))
            .chain(present.overlays.get(key));
        for node in nodes {
            self.add(key, node);
        }
        before.iter().ne(self.records.range(types).map(|(_, record)| record))
    }

    fn add(&mut self, key: &NameKey, node: &Node) {
        for rrset in &node.rrsets {
            let owner = node.owner(key);
            if *rrset.origin.source() == SourceId::api() && self.settings.is_published(&owner) {
                self.records
                    .insert((key.clone(), rrset.rtype), (owner, Arc::clone(rrset)));
            }
        }
    }
}
