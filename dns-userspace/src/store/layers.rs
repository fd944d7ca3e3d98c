//! What the sources said, one layer each, as persistent maps. Applying a change tells at which names a layer differs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use imbl::{OrdMap, OrdSet};

use super::{Change, ConfiguredView};
use crate::model::access::AccessList;
use crate::model::name::{Name, NameKey};
use crate::model::record::{Rdata, RdataList, RecordType, RrSet};
use crate::model::snapshot::Node;
use crate::model::source::SourceId;
use crate::model::views::ViewName;
use crate::model::work;

/// Owner names and their RRsets.
pub(super) type Nodes = OrdMap<NameKey, Arc<Node>>;

/// The layers of all sources.
#[derive(Clone, Default)]
pub(super) struct Layers {
    /// In the order of precedence: the first source is served where RRsets exclude each other.
    pub(super) by_source: OrdMap<SourceId, Layer>,
    /// Access lists of zones, by apex.
    pub(super) access: OrdMap<NameKey, Arc<AccessList>>,
    /// Apexes of zones whose missing names are looked up elsewhere.
    pub(super) fallthrough: OrdSet<NameKey>,
    /// Zones whose files edits change, by apex: whether it is in the folder of zones.
    pub(super) stored: OrdMap<NameKey, bool>,
    /// Whether zones that edits make become files of that folder.
    pub(super) makes_files: bool,
}

/// What one source says.
#[derive(Clone, Default)]
pub(super) struct Layer {
    /// Zones that the source declares, with their content, by apex.
    pub(super) zones: OrdMap<NameKey, Arc<DeclaredZone>>,
    /// Records that are in whatever zone there is, or are overlays.
    pub(super) records: Nodes,
    /// The same for each view that has records, configured or not.
    pub(super) of_views: OrdMap<ViewName, Nodes>,
}

/// A zone that a source declares, such as a configured one.
pub(super) struct DeclaredZone {
    pub(super) apex: Name,
    /// What is in it, or why nothing is.
    pub(super) content: Result<Nodes, Arc<str>>,
}

impl DeclaredZone {
    pub(super) fn node(&self, key: &[u8]) -> Option<&Arc<Node>> {
        self.content.as_ref().ok()?.get(key)
    }
}

impl Layer {
    /// Its records in a view; `None` is the default.
    pub(super) fn records_in(&self, view: Option<&ViewName>) -> Option<&Nodes> {
        match view {
            None => Some(&self.records),
            Some(view) => self.of_views.get(view),
        }
    }

    fn records_in_mut(&mut self, view: Option<&ViewName>) -> &mut Nodes {
        match view {
            None => &mut self.records,
            Some(view) => self.of_views.entry(view.clone()).or_default(),
        }
    }

    fn nodes_of_zone(&self, apex: &NameKey) -> Nodes {
        let zone = self.zones.get(apex);
        let content = zone.and_then(|zone| zone.content.as_ref().ok());
        content.cloned().unwrap_or_default()
    }
}

/// The names at which layers differ now.
#[derive(Default)]
pub(super) struct Dirty {
    pub(super) default: Vec<NameKey>,
    pub(super) of_views: BTreeMap<ViewName, Vec<NameKey>>,
    /// Whether access lists differ.
    pub(super) access: bool,
}

impl Dirty {
    fn of(&mut self, view: Option<&ViewName>) -> &mut Vec<NameKey> {
        match view {
            None => &mut self.default,
            Some(view) => self.of_views.entry(view.clone()).or_default(),
        }
    }
}

impl Layers {
    /// Applies one change and adds the names at which its layer may differ now to `dirty`. RRsets that differ and have
    /// no version get this one.
    pub(super) fn apply(&mut self, change: Change, version: u64, dirty: &mut Dirty) {
        match change {
            Change::PutZone { source, apex, content } => {
                let key = apex.key();
                let layer = self.by_source.entry(source).or_default();
                let mut old = layer.nodes_of_zone(&key);
                let content = match content {
                    Ok(records) => {
                        let inside = records
                            .into_iter()
                            .filter(|(owner, _)| owner.is_at_or_below(&apex))
                            .collect();
                        replace(&mut old, inside, version, &mut dirty.default);
                        Ok(old)
                    }
                    Err(reason) => {
                        dirty.default.extend(old.keys().cloned());
                        Err(reason)
                    }
                };
                dirty.default.push(key.clone());
                layer.zones.insert(key, Arc::new(DeclaredZone { apex, content }));
            }
            Change::DropZone { source, apex } => {
                let key = apex.key();
                let layer = self.by_source.entry(source).or_default();
                dirty.default.extend(layer.nodes_of_zone(&key).keys().cloned());
                layer.zones.remove(&key);
                dirty.default.push(key);
            }
            Change::Access(lists) => {
                self.access = lists.into_iter().map(|(apex, list)| (apex.key(), list)).collect();
                dirty.access = true;
            }
            Change::Fallthrough(apexes) => {
                let new: OrdSet<NameKey> = apexes.iter().map(Name::key).collect();
                let differing = self.fallthrough.clone().symmetric_difference(new.clone());
                dirty.default.extend(differing);
                self.fallthrough = new;
            }
            Change::Stored { zones, makes_files } => {
                self.store_in_files(zones);
                self.makes_files = makes_files;
            }
            Change::Reset { source, view, records } => {
                let layer = self.by_source.entry(source).or_default();
                replace(
                    layer.records_in_mut(view.as_ref()),
                    records,
                    version,
                    dirty.of(view.as_ref()),
                );
            }
            Change::Views(views) => {
                let layer = self.by_source.entry(SourceId::config()).or_default();
                let mut left: BTreeSet<ViewName> = layer.of_views.keys().cloned().collect();
                for ConfiguredView { view, records } in views {
                    left.remove(&view.name);
                    let dirty = dirty.of(Some(&view.name));
                    replace(layer.records_in_mut(Some(&view.name)), records, version, dirty);
                }
                for name in left {
                    let dirty = dirty.of(Some(&name));
                    replace(layer.records_in_mut(Some(&name)), Vec::new(), version, dirty);
                }
            }
            Change::Put {
                source,
                view,
                owner,
                rrset,
            } => {
                let (key, rtype) = (owner.key(), rrset.rtype);
                let rrset = (!rrset.rdatas.is_empty()).then_some(rrset);
                self.put(source, view.as_ref(), &owner, rtype, rrset);
                dirty.of(view.as_ref()).push(key);
            }
            Change::Delete {
                source,
                view,
                owner,
                rtype,
            } => {
                let key = owner.key();
                self.put(source, view.as_ref(), &owner, rtype, None);
                dirty.of(view.as_ref()).push(key);
            }
        }
    }

    fn put(
        &mut self,
        source: SourceId,
        view: Option<&ViewName>,
        owner: &Name,
        rtype: RecordType,
        rrset: Option<Arc<RrSet>>,
    ) {
        let key = owner.key();
        match self.file_for(&source, view, &key, rtype) {
            Some(apex) => self.put_in_file(&apex, |nodes| put(nodes, &key, owner, rtype, rrset)),
            None => {
                let layer = self.by_source.entry(source).or_default();
                put(layer.records_in_mut(view), &key, owner, rtype, rrset);
            }
        }
    }

    /// The layers, highest precedence first.
    pub(super) fn in_order(&self) -> impl DoubleEndedIterator<Item = (&SourceId, &Layer)> {
        self.by_source.iter()
    }

    /// What each source has at a name in a view or the default, highest precedence first.
    pub(super) fn records_at(
        &self,
        view: Option<&ViewName>,
        key: &NameKey,
    ) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        self.in_order()
            .filter_map(move |(_, layer)| layer.records_in(view)?.get(key))
    }

    /// All names at or below `key` for which there are records in a view or the default.
    pub(super) fn record_keys_below(&self, view: Option<&ViewName>, key: &NameKey, into: &mut Vec<NameKey>) {
        for (_, layer) in self.in_order() {
            let records = layer.records_in(view);
            into.extend(
                records
                    .into_iter()
                    .flat_map(|records| keys_below(records, key))
                    .cloned(),
            );
        }
    }

    /// The zones of that name that sources declare, highest precedence first.
    pub(super) fn declared(&self, apex: &[u8]) -> impl Iterator<Item = &Arc<DeclaredZone>> {
        self.in_order().filter_map(move |(_, layer)| layer.zones.get(apex))
    }
}

/// The keys in `nodes` at or below `key`.
pub(super) fn keys_below<'a>(nodes: &'a Nodes, key: &'a NameKey) -> impl Iterator<Item = &'a NameKey> {
    nodes
        .range::<_, NameKey>(key..)
        .map(|(found, _)| found)
        .take_while(|found| found.is_at_or_below(key))
}

/// Whether two nodes are served alike, and listed alike, their versions included.
pub(super) fn is_same(one: &Node, other: &Node) -> bool {
    let mut pairs = one.rrsets.iter().zip(&other.rrsets);
    says_the_same(one, other) && pairs.all(|(one, other)| one.origin.version() == other.origin.version())
}

/// Whether two nodes say the same, whenever they came to.
fn says_the_same(one: &Node, other: &Node) -> bool {
    one.has_owner_of(other) && one.rrsets == other.rrsets
}

/// Sets or removes one RRset.
fn put(nodes: &mut Nodes, key: &NameKey, owner: &Name, rtype: RecordType, rrset: Option<Arc<RrSet>>) {
    let old = nodes.get(key);
    let mut rrsets = old.map(|node| node.rrsets.to_vec()).unwrap_or_default();
    match (rrsets.binary_search_by_key(&rtype, |set| set.rtype), rrset) {
        (Ok(at), Some(rrset)) => rrsets[at] = rrset,
        (Ok(at), None) => drop(rrsets.remove(at)),
        (Err(at), Some(rrset)) => rrsets.insert(at, rrset),
        (Err(_), None) => return,
    }
    if rrsets.is_empty() {
        nodes.remove(key);
    } else {
        let node = match old {
            Some(node) => Node::new(&node.owner(key), rrsets),
            None => Node::new(owner, rrsets),
        };
        nodes.insert(key.clone(), Arc::new(node));
    }
}

/// Makes `records` the content of `nodes`. Nodes that stay the same stay the very same.
fn replace(nodes: &mut Nodes, records: Vec<(Name, RrSet)>, version: u64, dirty: &mut Vec<NameKey>) {
    let new = Grouped::new(records, version);
    if nodes.is_empty() {
        let new: Vec<_> = new.map(|(key, node)| (key, Arc::new(node))).collect();
        dirty.extend(new.iter().map(|(key, _)| key.clone()));
        fill(nodes, new);
        return;
    }
    let old = nodes.clone();
    let mut old = old.iter().peekable();
    for (key, node) in new {
        while let Some((gone, _)) = old.next_if(|(at, _)| **at < key) {
            nodes.remove(gone);
            dirty.push(gone.clone());
        }
        let before = old.next_if(|(at, _)| **at == key);
        match before {
            Some((_, before)) if says_the_same(before, &node) => {}
            Some((_, before)) => {
                let rrsets = node.rrsets.iter().map(|rrset| {
                    let known = before.rrset(rrset.rtype).filter(|known| *known == rrset);
                    Arc::clone(known.unwrap_or(rrset))
                });
                let node = Node::new(&node.owner(&key), rrsets.collect());
                dirty.push(key.clone());
                nodes.insert(key, Arc::new(node));
            }
            None => {
                dirty.push(key.clone());
                nodes.insert(key, Arc::new(node));
            }
        }
    }
    for (gone, _) in old {
        nodes.remove(gone);
        dirty.push(gone.clone());
    }
}

/// Fills an empty map. Keys that come in order leave each leaf of it half empty; those that come between them later
/// fill it.
fn fill(nodes: &mut Nodes, new: Vec<(NameKey, Arc<Node>)>) {
    let mut between = Vec::with_capacity(new.len() / 2);
    for (at, (key, node)) in new.into_iter().enumerate() {
        if at % 2 == 0 {
            nodes.insert(key, node);
        } else {
            between.push((key, node));
        }
    }
    nodes.extend(between);
}

/// RRsets as nodes in canonical order. An RRset that comes in parts is put together, its TTL the smallest.
struct Grouped {
    records: Peekable<vec::IntoIter<(NameKey, Name, RrSet)>>,
    /// What RRsets without a version get.
    version: u64,
}

impl Grouped {
    fn new(records: Vec<(Name, RrSet)>, version: u64) -> Self {
        let mut records: Vec<_> = records
            .into_iter()
            .filter(|(_, rrset)| !rrset.rdatas.is_empty())
            .map(|(owner, rrset)| (owner.key(), owner, rrset))
            .collect();
        records.sort_by(|(one, _, a), (other, _, b)| one.cmp(other).then(a.rtype.cmp(&b.rtype)));
        Self {
            records: records.into_iter().peekable(),
            version,
        }
    }
}

impl Iterator for Grouped {
    type Item = (NameKey, Node);

    fn next(&mut self) -> Option<(NameKey, Node)> {
        let (key, owner, first) = self.records.next()?;
        let mut rrsets = Vec::new();
        let mut next = Some(first);
        while let Some(first) = next {
            let is_part = |(at, _, rrset): &(NameKey, Name, RrSet)| *at == key && rrset.rtype == first.rtype;
            let parts = std::iter::from_fn(|| Some(self.records.next_if(is_part)?.2)).collect();
            let mut whole = put_together(first, parts);
            if whole.origin.version() == 0 {
                whole.origin = whole.origin.at_version(self.version);
            }
            rrsets.push(Arc::new(whole));
            next = self.records.next_if(|(at, ..)| *at == key).map(|(_, _, rrset)| rrset);
        }
        Some((key, Node::new(&owner, rrsets)))
    }
}

/// One RRset from its parts: the smallest TTL, and each value once.
fn put_together(mut whole: RrSet, parts: Vec<RrSet>) -> RrSet {
    if parts.is_empty() {
        return whole;
    }
    let mut seen: HashSet<Rdata> = whole.rdatas.iter().map(Rdata::from).collect();
    let mut rdatas = RdataList::from(&whole.rdatas);
    for part in parts {
        whole.ttl = whole.ttl.min(part.ttl);
        for rdata in &part.rdatas {
            work::step();
            if seen.insert(rdata.into()) {
                rdatas.push(rdata);
            }
        }
    }
    whole.rdatas = rdatas.into();
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Handling;
    use crate::model::source::Origin;

    #[test]
    fn parts_of_one_rrset_are_put_together_in_one_walk() {
        let part = |number: u32| {
            let rrset = RrSet {
                rtype: RecordType::A,
                ttl: 1000 - number % 7,
                rdatas: [(number / 2).to_be_bytes()].into(),
                origin: Origin::config(),
                handling: Handling::default(),
            };
            (Name::parse("a.x.").expect("a name"), rrset)
        };
        let parts: Vec<_> = (0..100_000).map(part).collect();
        let (nodes, steps) = work::steps(|| Grouped::new(parts, 1).collect::<Vec<_>>());
        let [(_, node)] = &nodes[..] else { panic!("{nodes:?}") };
        assert_eq!((node.rrsets[0].ttl, node.rrsets[0].rdatas.len()), (994, 50_000));
        assert!(node.rrsets[0].rdatas.iter().is_sorted());
        assert!(steps <= 100_000, "{steps}");
    }
}
