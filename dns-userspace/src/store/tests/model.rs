//! Random changes: what the store plans step by step equals what follows from the layers from scratch.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::model::source::SourceId;
use crate::store::layers::is_same;

pub(super) const OWNERS: [&str; 9] = [
    "e.",
    "sub.e.",
    "www.e.",
    "x.sub.e.",
    "deep.x.sub.e.",
    "*.e.",
    "o.",
    "a.o.",
    "f.",
];
const APEXES: [&str; 4] = ["e.", "sub.e.", "o.", "."];
pub(super) const TYPES: [RecordType; 7] = [
    RecordType::A,
    RecordType::CNAME,
    RecordType::SOA,
    RecordType::DS,
    RecordType::NS,
    RecordType::TXT,
    RecordType::RRSIG,
];

pub(super) type Records = BTreeMap<(NameKey, RecordType), (Name, RrSet)>;
type Served = BTreeMap<(NameKey, Option<NameKey>), BTreeMap<RecordType, RrSet>>;

/// The layers as plain lists.
#[derive(Default)]
pub(super) struct Model {
    files: BTreeMap<NameKey, Option<Records>>,
    config: Records,
    api: Records,
    /// The configuration's and the API's, by view.
    pub(super) views: BTreeMap<ViewName, (Records, Records)>,
    pub(super) configured: Vec<ViewClients>,
}

fn excludes(one: RecordType, two: RecordType) -> bool {
    one == two || one.clash(two).is_some()
}

impl Model {
    fn api_excludes(&self, key: &NameKey, rtype: RecordType) -> bool {
        self.api.keys().any(|(at, other)| at == key && excludes(*other, rtype))
    }

    fn makes_zone(&self, key: &NameKey) -> bool {
        let soa = (key.clone(), RecordType::SOA);
        let cname = (key.clone(), RecordType::CNAME);
        let hidden_by_file = || {
            self.files.iter().any(|(apex, content)| {
                apex != key
                    && key.is_at_or_below(apex)
                    && content.as_ref().is_some_and(|content| content.contains_key(&cname))
                    && !self.api_excludes(key, RecordType::CNAME)
            })
        };
        self.files.contains_key(key)
            || self.api.contains_key(&soa)
            || (self.config.contains_key(&soa) && !self.api.contains_key(&cname) && !hidden_by_file())
    }

    fn zones(&self) -> BTreeSet<NameKey> {
        let names = self.config.keys().chain(self.api.keys()).map(|(key, _)| key);
        names
            .chain(self.files.keys())
            .filter(|key| self.makes_zone(key))
            .cloned()
            .collect()
    }

    /// All that is served, and how many RRsets are left out.
    fn served(&self) -> (Served, usize) {
        let zones = self.zones();
        let home = |key: &NameKey, rtype: RecordType| {
            let above = zones.iter().filter(|apex| key.is_at_or_below(apex));
            let deepest = above.clone().max_by_key(|apex| apex.as_bytes().len());
            let parent = above
                .filter(|apex| *apex != key)
                .max_by_key(|apex| apex.as_bytes().len());
            if rtype == RecordType::DS {
                parent.or(deepest).cloned()
            } else {
                deepest.cloned()
            }
        };
        let mut served = Served::new();
        let mut left_out = 0;
        for ((key, rtype), (_, rrset)) in &self.api {
            served
                .entry((key.clone(), home(key, *rtype)))
                .or_default()
                .insert(*rtype, rrset.clone());
        }
        for (apex, content) in &self.files {
            for ((key, rtype), (_, rrset)) in content.iter().flatten() {
                if self.api_excludes(key, *rtype) {
                    left_out += 1;
                } else {
                    let place = (key.clone(), Some(apex.clone()));
                    served.entry(place).or_default().insert(*rtype, rrset.clone());
                }
            }
        }
        for ((key, rtype), (_, rrset)) in &self.config {
            let at = served.entry((key.clone(), home(key, *rtype))).or_default();
            let is_from_config = |other: &RrSet| other.origin == Origin::config();
            let blocked = at
                .values()
                .any(|other| !is_from_config(other) && excludes(other.rtype, *rtype));
            let no_zone = *rtype == RecordType::SOA && !zones.contains(key);
            if blocked || no_zone || self.api_excludes(key, *rtype) {
                left_out += 1;
            } else {
                at.insert(*rtype, rrset.clone());
            }
        }
        served.retain(|_, rrsets| !rrsets.is_empty());
        (served, left_out)
    }

    fn api_of(&mut self, view: &Option<ViewName>) -> &mut Records {
        match view {
            None => &mut self.api,
            Some(view) => &mut self.views.entry(view.clone()).or_default().1,
        }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let records = |list: &Vec<(Name, RrSet)>| {
            list.iter()
                .map(|(owner, set)| ((owner.key(), set.rtype), (owner.clone(), set.clone())))
                .collect()
        };
        match change {
            Change::PutZone { apex, content, .. } => {
                self.files.insert(apex.key(), content.as_ref().ok().map(records));
            }
            Change::DropZone { apex, .. } => drop(self.files.remove(&apex.key())),
            // Who may ask changes no record.
            Change::Access(_) | Change::Fallthrough(_) | Change::Stored { .. } => {}
            Change::Reset { records: list, .. } => self.config = records(list),
            Change::Views(views) => {
                for layer in self.views.values_mut() {
                    layer.0.clear();
                }
                for ConfiguredView { view, records: list } in views {
                    self.views.entry(view.name.clone()).or_default().0 = records(list);
                }
                self.configured = views.iter().map(|view| view.view.clone()).collect();
            }
            Change::Put { view, owner, rrset, .. } => {
                self.api_of(view)
                    .insert((owner.key(), rrset.rtype), (owner.clone(), RrSet::clone(rrset)));
            }
            Change::Delete { view, owner, rtype, .. } => drop(self.api_of(view).remove(&(owner.key(), *rtype))),
        }
    }
}

/// RRsets of one source, none of which excludes another.
pub(super) fn random_records(rng: &mut StdRng, below: &str, source: &Origin) -> Vec<(Name, RrSet)> {
    let mut records: Vec<(Name, RrSet)> = Vec::new();
    for _ in 0..rng.random_range(0..8) {
        let owner = OWNERS[rng.random_range(0..OWNERS.len())];
        let rtype = TYPES[rng.random_range(0..TYPES.len())];
        let is_soa_inside = rtype == RecordType::SOA && *source.source() == SourceId::zone_files() && owner != below;
        let fits = |(other, set): &(Name, RrSet)| *other != name(owner) || !excludes(set.rtype, rtype);
        if name(owner).is_at_or_below(&name(below)) && !is_soa_inside && records.iter().all(fits) {
            records.push(rrset(owner, rtype, rng.random_range(0..2), source.clone()));
        }
    }
    records
}

pub(super) fn random_change(rng: &mut StdRng, model: &Model) -> Change {
    let apex = APEXES[rng.random_range(0..APEXES.len())];
    let owner = OWNERS[rng.random_range(0..OWNERS.len())];
    let rtype = TYPES[rng.random_range(0..TYPES.len())];
    match rng.random_range(0..10) {
        0 => Change::PutZone {
            source: SourceId::zone_files(),
            apex: name(apex),
            content: Err("broken".into()),
        },
        1 | 2 => zone(apex, random_records(rng, apex, &Origin::zone_file("z"))),
        3 => Change::DropZone {
            source: SourceId::zone_files(),
            apex: name(apex),
        },
        4 => Change::config_records(random_records(rng, ".", &Origin::config())),
        5 | 6 => delete(owner, rtype),
        // The API refuses what cannot stand beside its own.
        _ if model
            .api
            .keys()
            .any(|(at, other)| *at == key(owner) && *other != rtype && excludes(*other, rtype)) =>
        {
            delete(owner, rtype)
        }
        _ => put(owner, rtype, rng.random_range(0..2)),
    }
}

pub(super) fn places(snapshot: &Snapshot) -> BTreeMap<(NameKey, Option<NameKey>), Arc<Node>> {
    let overlays = snapshot
        .overlays
        .iter()
        .map(|(key, node)| ((key.clone(), None), node.clone()));
    let zones = snapshot.zones.iter().flat_map(|(apex, zone)| {
        zone.nodes
            .iter()
            .map(move |(key, node)| ((key.clone(), Some(apex.clone())), node.clone()))
    });
    overlays.chain(zones).collect()
}

#[test]
fn plans_equal_a_recomputation_from_scratch() {
    let mut changes_seen = 0;
    let mut conflicts_seen = 0;
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut store = Store::new();
        let mut model = Model::default();
        for step in 0..40 {
            let before = store.snapshot();
            let mut changes = Vec::new();
            for _ in 0..rng.random_range(1..4) {
                let change = random_change(&mut rng, &model);
                model.apply(&change);
                changes.push(change);
            }
            let context = format!("seed {seed} step {step}: {changes:?}");
            let plan = apply(&mut store, changes);
            check_snapshot(&model, &plan, &context);
            check_delta(&before, &plan, &context);
            changes_seen += plan.delta.names.len();
            conflicts_seen += plan.conflicts.len();
        }
    }
    assert!(
        changes_seen > 10_000 && conflicts_seen > 1_000,
        "{changes_seen} {conflicts_seen}"
    );
}

fn check_snapshot(model: &Model, plan: &Plan, context: &str) {
    let (expected, left_out) = model.served();
    let found: Served = places(&plan.snapshot)
        .into_iter()
        .map(|(place, node)| {
            (
                place,
                node.rrsets.iter().map(|set| (set.rtype, RrSet::clone(set))).collect(),
            )
        })
        .collect();
    assert_eq!(found, expected, "{context}");
    assert_eq!(plan.conflicts.len(), left_out, "{context}");
    let zones: BTreeSet<_> = plan.snapshot.zones.keys().cloned().collect();
    assert_eq!(zones, model.zones(), "{context}");
    let indexes: BTreeSet<_> = plan.snapshot.zones.values().map(|zone| zone.index).collect();
    assert_eq!(indexes.len(), zones.len(), "{context}");
    for (apex, zone) in &plan.snapshot.zones {
        let is_broken = model.files.get(apex).is_some_and(|content| content.is_none());
        assert_eq!(zone.failed.is_some(), is_broken, "{context}");
    }
}

fn check_delta(before: &Snapshot, plan: &Plan, context: &str) {
    let (old, new) = (places(before), places(&plan.snapshot));
    let differing = old
        .keys()
        .chain(new.keys())
        .filter(|place| match (old.get(place), new.get(place)) {
            (Some(one), Some(other)) => !is_same(one, other),
            _ => true,
        });
    let mut names: BTreeSet<NameKey> = differing.clone().map(|(key, _)| key.clone()).collect();
    let touched: BTreeSet<&NameKey> = differing.filter_map(|(_, apex)| apex.as_ref()).collect();
    let mut zones = Vec::new();
    let apexes: BTreeSet<&NameKey> = before.zones.keys().chain(plan.snapshot.zones.keys()).collect();
    for apex in apexes {
        let (index, change) = match (before.zones.get(apex), plan.snapshot.zones.get(apex)) {
            (None, Some(zone)) => (zone.index, ZoneChange::Added),
            (Some(zone), None) => (zone.index, ZoneChange::Removed),
            (Some(one), Some(other)) => {
                assert_eq!(one.index, other.index, "{context}");
                let is_renamed = one.failed != other.failed || one.apex.as_wire() != other.apex.as_wire();
                if is_renamed {
                    names.insert(apex.clone());
                } else if !touched.contains(apex) {
                    continue;
                }
                (one.index, ZoneChange::Changed)
            }
            (None, None) => continue,
        };
        if change != ZoneChange::Changed {
            // Everything at or below the apex has another zone than before.
            names.insert(apex.clone());
            names.extend(
                old.keys()
                    .chain(new.keys())
                    .map(|(key, _)| key)
                    .filter(|key| key.is_at_or_below(apex))
                    .cloned(),
            );
        }
        zones.push(ZoneDelta {
            apex: apex.clone(),
            index,
            change,
        });
    }
    assert_eq!(plan.delta.zones, zones, "{context}");
    let found: BTreeSet<NameKey> = plan.delta.names.iter().cloned().collect();
    // A name deeper than a deeper zone may be in the set above without being told.
    assert!(found.is_subset(&names), "{context}: {found:?} {names:?}");
    let must: BTreeSet<NameKey> = names
        .iter()
        .filter(|key| is_served_differently(before, &plan.snapshot, key))
        .cloned()
        .collect();
    assert!(must.is_subset(&found), "{context}: {must:?} {found:?}");
    assert_eq!(
        plan.snapshot.version,
        before.version + u64::from(!plan.delta.names.is_empty() || !zones_empty(plan))
    );
}

fn zones_empty(plan: &Plan) -> bool {
    plan.delta.zones.is_empty()
}

fn is_served_differently(before: &Snapshot, after: &Snapshot, key: &NameKey) -> bool {
    let view = |snapshot: &Snapshot| {
        let zone = snapshot.zone_of(key);
        let node = match zone {
            Some(zone) => zone.nodes.get(key).cloned(),
            None => snapshot.overlays.get(key).cloned(),
        };
        (zone.map(|zone| (zone.apex.clone(), zone.failed.clone())), node)
    };
    let ((zone, node), (other_zone, other)) = (view(before), view(after));
    let is_same_node = match (&node, &other) {
        (Some(one), Some(two)) => is_same(one, two),
        (None, None) => true,
        _ => false,
    };
    !is_same_node || ((node.is_some() || other.is_some()) && zone.map(|zone| zone.0) != other_zone.map(|zone| zone.0))
}
