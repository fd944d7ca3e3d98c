//! The store: sources in, snapshots and deltas out.
//!
//! A stand-in that rebuilds everything with each change; for the control plane's tests alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::name::{Name, NameKey};
use crate::record::{RecordType, RrSet, Source};
use crate::snapshot::{Node, Snapshot, Zone};

/// One change of what a source brings.
#[derive(Debug, Clone)]
pub enum Change {
    /// A configured zone appears or gets new content.
    Zone {
        /// The zone.
        apex: Name,
        /// Its file as the configuration gives it.
        file: Arc<str>,
        /// The content, or why there is none.
        content: Result<Vec<(Name, RrSet)>, Arc<str>>,
    },
    /// A configured zone goes.
    RemoveZone {
        /// The zone.
        apex: Name,
    },
    /// Replaces all of `records:`.
    ConfigRecords(Vec<(Name, RrSet)>),
    /// An RRset of the API.
    PutApi {
        /// The owner.
        owner: Name,
        /// The RRset.
        rrset: RrSet,
    },
    /// An RRset of the API goes.
    DeleteApi {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
    },
}

type Content = Result<Vec<(Name, RrSet)>, Arc<str>>;

#[derive(Clone, Default)]
struct Sources {
    zones: BTreeMap<NameKey, (Name, Content)>,
    config: Vec<(Name, RrSet)>,
    api: BTreeMap<NameKey, Arc<Node>>,
    indexes: BTreeMap<NameKey, u32>,
}

/// The store.
#[derive(Default)]
pub struct Store {
    sources: Sources,
    snapshot: Arc<Snapshot>,
}

/// The state after some changes.
pub struct Plan {
    /// What will be served.
    pub snapshot: Arc<Snapshot>,
    /// What differs.
    pub delta: Delta,
    /// All conflicts then in force.
    pub conflicts: Vec<Conflict>,
    next: Sources,
}

/// What differs between two states.
#[derive(Debug, Default)]
pub struct Delta {
    /// Owners whose data differ.
    pub names: Vec<NameKey>,
    /// Zones that differ.
    pub zones: Vec<ZoneDelta>,
}

/// One zone that differs.
#[derive(Debug)]
pub struct ZoneDelta {
    /// The zone.
    pub apex: NameKey,
    /// Its index.
    pub index: u32,
    /// How.
    pub change: ZoneChange,
}

/// How a zone differs.
#[derive(Debug, PartialEq, Eq)]
pub enum ZoneChange {
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Other content.
    Changed,
}

/// An RRset of a file that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner.
    pub owner: Name,
    /// The type left out.
    pub rtype: RecordType,
    /// Whose it is.
    pub left_out: Source,
    /// Whose is served.
    pub served: Source,
    /// The type served.
    pub served_type: RecordType,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is served.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// The state after `changes`.
    pub fn plan(&self, changes: Vec<Change>) -> Plan {
        let mut next = self.sources.clone();
        for change in changes {
            next.apply(change);
        }
        let (snapshot, conflicts) = next.build(self.snapshot.version + 1);
        let delta = difference(&self.snapshot, &snapshot);
        Plan {
            snapshot: Arc::new(snapshot),
            delta,
            conflicts,
            next,
        }
    }

    /// Makes a plan the state.
    pub fn commit(&mut self, plan: &Plan) {
        self.sources = plan.next.clone();
        self.snapshot = plan.snapshot.clone();
    }

    /// The API's RRset.
    pub fn api_rrset(&self, key: &NameKey, rtype: RecordType) -> Option<&Arc<RrSet>> {
        self.sources.api.get(key)?.rrset(rtype)
    }

    /// All of the API's.
    pub fn api_records(&self) -> impl Iterator<Item = (&NameKey, &Arc<Node>)> {
        self.sources.api.iter()
    }
}

impl Sources {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Zone { apex, content, .. } => {
                let index = self.indexes.len() as u32;
                self.indexes.entry(apex.key()).or_insert(index);
                self.zones.insert(apex.key(), (apex, content));
            }
            Change::RemoveZone { apex } => {
                self.zones.remove(&apex.key());
            }
            Change::ConfigRecords(records) => self.config = records,
            Change::PutApi { owner, rrset } => {
                let node = self.api.entry(owner.key()).or_insert_with(|| {
                    Arc::new(Node {
                        owner,
                        rrsets: Vec::new(),
                    })
                });
                put(Arc::make_mut(node), rrset);
            }
            Change::DeleteApi { owner, rtype } => {
                let key = owner.key();
                if let Some(node) = self.api.get_mut(&key) {
                    Arc::make_mut(node).rrsets.retain(|rrset| rrset.rtype != rtype);
                    if node.rrsets.is_empty() {
                        self.api.remove(&key);
                    }
                }
            }
        }
    }

    fn build(&mut self, version: u64) -> (Snapshot, Vec<Conflict>) {
        let mut snapshot = Snapshot {
            version,
            ..Snapshot::default()
        };
        let mut conflicts = Vec::new();
        let api = self
            .api
            .values()
            .flat_map(|node| node.rrsets.iter().map(|rrset| (node.owner.clone(), (**rrset).clone())));
        let mut all: Vec<(Name, RrSet)> = api.collect();
        all.extend(
            self.zones
                .values()
                .flat_map(|(_, content)| content.iter().flatten().cloned()),
        );
        all.extend(self.config.iter().cloned());
        let mut apexes: Vec<(Name, Option<Arc<str>>)> = self
            .zones
            .values()
            .map(|(apex, content)| (apex.clone(), content.as_ref().err().cloned()))
            .collect();
        apexes.extend(
            all.iter()
                .filter(|(_, rrset)| rrset.rtype == RecordType::SOA)
                .map(|(owner, _)| (owner.clone(), None)),
        );
        for (apex, failed) in apexes {
            let index = self.indexes.len() as u32;
            let index = *self.indexes.entry(apex.key()).or_insert(index);
            snapshot.zones.entry(apex.key()).or_insert_with(|| {
                Arc::new(Zone {
                    apex,
                    index,
                    failed,
                    nodes: imbl::OrdMap::new(),
                })
            });
        }
        for (owner, rrset) in all {
            let key = owner.key();
            let zone = snapshot.zone_of(&key).map(|zone| zone.apex.key());
            let nodes = match &zone {
                Some(apex) => &mut Arc::make_mut(snapshot.zones.get_mut(apex).expect("found above")).nodes,
                None => &mut snapshot.overlays,
            };
            let node = nodes.entry(key).or_insert_with(|| {
                Arc::new(Node {
                    owner: owner.clone(),
                    rrsets: Vec::new(),
                })
            });
            let clash = node.rrsets.iter().find(|held| {
                held.rtype == rrset.rtype
                    || held.rtype == RecordType::CNAME && !rrset.rtype.may_stand_beside_cname()
                    || rrset.rtype == RecordType::CNAME && !held.rtype.may_stand_beside_cname()
            });
            match clash {
                Some(held) => conflicts.push(Conflict {
                    owner,
                    rtype: rrset.rtype,
                    left_out: rrset.source,
                    served: held.source.clone(),
                    served_type: held.rtype,
                }),
                None => put(Arc::make_mut(node), rrset),
            }
        }
        (snapshot, conflicts)
    }
}

fn put(node: &mut Node, rrset: RrSet) {
    match node.rrsets.binary_search_by_key(&rrset.rtype, |held| held.rtype) {
        Ok(at) => node.rrsets[at] = Arc::new(rrset),
        Err(at) => node.rrsets.insert(at, Arc::new(rrset)),
    }
}

fn difference(old: &Snapshot, new: &Snapshot) -> Delta {
    let all = |snapshot: &Snapshot| {
        let mut nodes: BTreeMap<(NameKey, Option<u32>), Arc<Node>> = BTreeMap::new();
        for (key, node) in &snapshot.overlays {
            nodes.insert((key.clone(), None), node.clone());
        }
        for zone in snapshot.zones.values() {
            for (key, node) in &zone.nodes {
                nodes.insert((key.clone(), Some(zone.index)), node.clone());
            }
        }
        nodes
    };
    let (before, after) = (all(old), all(new));
    let mut delta = Delta::default();
    let mut touched = std::collections::BTreeSet::new();
    for at in before.keys().chain(after.keys()) {
        let rrsets = |nodes: &BTreeMap<_, Arc<Node>>| nodes.get(at).map(|node| node.rrsets.clone());
        if rrsets(&before) != rrsets(&after) {
            delta.names.push(at.0.clone());
            touched.extend(at.1);
        }
    }
    delta.names.sort();
    delta.names.dedup();
    let mut apexes: Vec<&NameKey> = old.zones.keys().chain(new.zones.keys()).collect();
    apexes.sort();
    apexes.dedup();
    for apex in apexes {
        let (change, zone) = match (old.zones.get(apex), new.zones.get(apex)) {
            (None, Some(zone)) => (ZoneChange::Added, zone),
            (Some(zone), None) => (ZoneChange::Removed, zone),
            (Some(was), Some(zone)) if was.failed != zone.failed || touched.contains(&zone.index) => {
                (ZoneChange::Changed, zone)
            }
            _ => continue,
        };
        delta.zones.push(ZoneDelta {
            apex: apex.clone(),
            index: zone.index,
            change,
        });
    }
    delta
}
