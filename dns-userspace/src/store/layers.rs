//! What the sources said, one layer each, as persistent maps. Applying a change tells at which names a layer differs.

use std::collections::{BTreeSet, HashSet};
use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use imbl::OrdMap;

use super::views::DirtyViews;
use super::{Change, ConfiguredView};
use crate::access::AccessList;
use crate::name::{Name, NameKey};
use crate::record::{Rdata, RdataList, RecordType, RrSet};
use crate::snapshot::Node;
use crate::views::ViewName;
use crate::work;

/// Owner names and their RRsets.
pub(super) type Nodes = OrdMap<NameKey, Arc<Node>>;

/// The layers of all sources.
#[derive(Clone, Default)]
pub(super) struct Layers {
    pub(super) files: OrdMap<NameKey, Arc<FileZone>>,
    pub(super) config: Nodes,
    pub(super) api: Nodes,
    /// Access lists of zones, by apex.
    pub(super) access: OrdMap<NameKey, Arc<AccessList>>,
    /// Of each view that has records, configured or not.
    pub(super) views: OrdMap<ViewName, Layer>,
}

/// The layers of one view.
#[derive(Clone, Default)]
pub(super) struct Layer {
    pub(super) config: Nodes,
    pub(super) api: Nodes,
}

impl Layer {
    pub(super) fn has(&self, key: &NameKey) -> bool {
        self.config.contains_key(key) || self.api.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &NameKey> {
        self.config.keys().chain(self.api.keys())
    }
}

/// A configured zone.
pub(super) struct FileZone {
    pub(super) apex: Name,
    /// What is in its file, or why nothing is.
    pub(super) content: Result<Nodes, Arc<str>>,
}

impl FileZone {
    pub(super) fn node(&self, key: &[u8]) -> Option<&Arc<Node>> {
        self.content.as_ref().ok()?.get(key)
    }
}

impl Layers {
    /// Applies one change and adds the names at which its layer may differ now to `dirty`, those of views to
    /// `of_views`.
    pub(super) fn apply(&mut self, change: Change, dirty: &mut Vec<NameKey>, of_views: &mut DirtyViews) {
        match change {
            Change::Zone { apex, file: _, content } => {
                let key = apex.key();
                let mut old = self.nodes_of_file(&key);
                let content = match content {
                    Ok(records) => {
                        let inside = records
                            .into_iter()
                            .filter(|(owner, _)| owner.is_at_or_below(&apex))
                            .collect();
                        replace(&mut old, inside, dirty);
                        Ok(old)
                    }
                    Err(reason) => {
                        dirty.extend(old.keys().cloned());
                        Err(reason)
                    }
                };
                dirty.push(key.clone());
                self.files.insert(key, Arc::new(FileZone { apex, content }));
            }
            Change::RemoveZone { apex } => {
                let key = apex.key();
                dirty.extend(self.nodes_of_file(&key).keys().cloned());
                self.files.remove(&key);
                dirty.push(key);
            }
            Change::Access(lists) => {
                self.access = lists.into_iter().map(|(apex, list)| (apex.key(), list)).collect();
            }
            Change::ConfigRecords(records) => replace(&mut self.config, records, dirty),
            Change::Views(views) => {
                let mut left: BTreeSet<ViewName> = self.views.keys().cloned().collect();
                for ConfiguredView { view, records } in views {
                    left.remove(&view.name);
                    let dirty = of_views.entry(view.name.clone()).or_default();
                    replace(&mut self.views.entry(view.name).or_default().config, records, dirty);
                }
                for name in left {
                    let dirty = of_views.entry(name.clone()).or_default();
                    replace(&mut self.views.entry(name).or_default().config, Vec::new(), dirty);
                }
            }
            Change::PutApi { view, owner, rrset } => {
                let (key, rtype) = (owner.key(), rrset.rtype);
                let rrset = (!rrset.rdatas.is_empty()).then(|| Arc::new(rrset));
                let (api, dirty) = self.api_of(view, dirty, of_views);
                put(api, &key, &owner, rtype, rrset);
                dirty.push(key);
            }
            Change::DeleteApi { view, owner, rtype } => {
                let key = owner.key();
                let (api, dirty) = self.api_of(view, dirty, of_views);
                put(api, &key, &owner, rtype, None);
                dirty.push(key);
            }
        }
    }

    /// What the API holds in a view, and where its dirty names are noted.
    fn api_of<'a>(
        &'a mut self,
        view: Option<ViewName>,
        dirty: &'a mut Vec<NameKey>,
        of_views: &'a mut DirtyViews,
    ) -> (&'a mut Nodes, &'a mut Vec<NameKey>) {
        match view {
            None => (&mut self.api, dirty),
            Some(view) => (
                &mut self.views.entry(view.clone()).or_default().api,
                of_views.entry(view).or_default(),
            ),
        }
    }

    /// All names at or below `key` that the configuration or the API has records for.
    pub(super) fn record_keys_below(&self, key: &NameKey, into: &mut Vec<NameKey>) {
        for layer in [&self.config, &self.api] {
            into.extend(keys_below(layer, key).cloned());
        }
    }

    fn nodes_of_file(&self, apex: &NameKey) -> Nodes {
        let zone = self.files.get(apex);
        zone.and_then(|zone| zone.content.as_ref().ok())
            .cloned()
            .unwrap_or_default()
    }
}

/// The keys in `nodes` at or below `key`.
pub(super) fn keys_below<'a>(nodes: &'a Nodes, key: &'a NameKey) -> impl Iterator<Item = &'a NameKey> {
    nodes
        .range::<_, NameKey>(key..)
        .map(|(found, _)| found)
        .take_while(|found| found.is_at_or_below(key))
}

/// Whether two nodes are served alike, and listed alike.
pub(super) fn is_same(one: &Node, other: &Node) -> bool {
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
fn replace(nodes: &mut Nodes, records: Vec<(Name, RrSet)>, dirty: &mut Vec<NameKey>) {
    let new = Grouped::new(records);
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
        if before.is_none_or(|(_, before)| !is_same(before, &node)) {
            dirty.push(key.clone());
            nodes.insert(key, Arc::new(node));
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
struct Grouped(Peekable<vec::IntoIter<(NameKey, Name, RrSet)>>);

impl Grouped {
    fn new(records: Vec<(Name, RrSet)>) -> Self {
        let mut records: Vec<_> = records
            .into_iter()
            .filter(|(_, rrset)| !rrset.rdatas.is_empty())
            .map(|(owner, rrset)| (owner.key(), owner, rrset))
            .collect();
        records.sort_by(|(one, _, a), (other, _, b)| one.cmp(other).then(a.rtype.cmp(&b.rtype)));
        Self(records.into_iter().peekable())
    }
}

impl Iterator for Grouped {
    type Item = (NameKey, Node);

    fn next(&mut self) -> Option<(NameKey, Node)> {
        let (key, owner, first) = self.0.next()?;
        let mut rrsets = Vec::new();
        let mut next = Some(first);
        while let Some(first) = next {
            let is_part = |(at, _, rrset): &(NameKey, Name, RrSet)| *at == key && rrset.rtype == first.rtype;
            let parts = std::iter::from_fn(|| Some(self.0.next_if(is_part)?.2)).collect();
            rrsets.push(Arc::new(put_together(first, parts)));
            next = self.0.next_if(|(at, ..)| *at == key).map(|(_, _, rrset)| rrset);
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
    use crate::record::{Handling, Source};

    #[test]
    fn parts_of_one_rrset_are_put_together_in_one_walk() {
        let part = |number: u32| {
            let rrset = RrSet {
                rtype: RecordType::A,
                ttl: 1000 - number % 7,
                rdatas: [(number / 2).to_be_bytes()].into(),
                source: Source::Config,
                handling: Handling::default(),
            };
            (Name::parse("a.x.").expect("a name"), rrset)
        };
        let parts: Vec<_> = (0..100_000).map(part).collect();
        let (nodes, steps) = work::steps(|| Grouped::new(parts).collect::<Vec<_>>());
        let [(_, node)] = &nodes[..] else { panic!("{nodes:?}") };
        assert_eq!((node.rrsets[0].ttl, node.rrsets[0].rdatas.len()), (994, 50_000));
        assert!(node.rrsets[0].rdatas.iter().is_sorted());
        assert!(steps <= 100_000, "{steps}");
    }
}
