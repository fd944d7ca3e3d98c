//! Every name that needs a line, in canonical order, without a list of them.
//!
//! ```text
//! nodes of zone A ─┐
//! nodes of zone B ─┼─ merged by key ─► owners ─► each behind its ancestors that were not given yet
//! overlays ────────┤
//! named ───────────┘     (`named.rs`)
//! ```
//!
//! In canonical order an ancestor comes before all that is below it, and nothing else comes between: an ancestor was
//! given before if and only if the name before is at or below it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::sparse;
use crate::model::name::NameKey;
use crate::model::snapshot::Snapshot;

/// The root, every owner, every apex, these named ones, and all names above them, but for those within sparse areas.
pub(crate) fn all_names<'a>(snapshot: &'a Snapshot, named: &'a [NameKey]) -> impl Iterator<Item = NameKey> + 'a {
    let mut owners = Owners::new(snapshot, named);
    let mut next = None;
    let mut before: Option<NameKey> = None;
    // The sparse area of the names before; no name is below the name that is none.
    let mut area = vec![0];
    std::iter::from_fn(move || {
        let Some(last) = &before else {
            before = Some(NameKey::ROOT);
            return before.clone();
        };
        let owner: &NameKey = match next {
            Some(owner) => owner,
            None => owners.find(|owner| *owner != last)?,
        };
        let name = if owner.as_bytes().starts_with(&area) {
            owner.clone()
        } else {
            let missing = owner.lineage().take_while(|above| !last.as_bytes().starts_with(above));
            NameKey::from_key_bytes(missing.last()?)
        };
        next = (name != *owner).then_some(owner);
        if next.is_some() && sparse::is_top(snapshot, name.as_bytes()) == Some(true) {
            area = name.as_bytes().to_vec();
        }
        before = Some(name);
        before.clone()
    })
}

/// The owners and apexes, ascending; one may come more than once.
struct Owners<'a> {
    /// The next key of each list, and the rest of that list.
    lists: Vec<Box<dyn Iterator<Item = &'a NameKey> + 'a>>,
    heads: BinaryHeap<Reverse<(&'a NameKey, usize)>>,
}

impl<'a> Owners<'a> {
    fn new(snapshot: &'a Snapshot, named: &'a [NameKey]) -> Self {
        let mut lists: Vec<Box<dyn Iterator<Item = &'a NameKey> + 'a>> = vec![
            Box::new(snapshot.zones.keys()),
            Box::new(snapshot.overlays.keys()),
            Box::new(named.iter()),
        ];
        for zone in snapshot.zones.values() {
            lists.push(Box::new(zone.nodes.keys()));
        }
        let firsts = lists.iter_mut().enumerate();
        let heads = firsts.filter_map(|(list, keys)| Some(Reverse((keys.next()?, list))));
        Self {
            heads: heads.collect(),
            lists,
        }
    }
}

impl<'a> Iterator for Owners<'a> {
    type Item = &'a NameKey;

    fn next(&mut self) -> Option<&'a NameKey> {
        let mut head = self.heads.peek_mut()?;
        let Reverse((key, list)) = *head;
        match self.lists[list].next() {
            Some(next) => *head = Reverse((next, list)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::Name;
    use crate::model::record::{Handling, RecordType, RrSet};
    use crate::model::source::Origin;
    use crate::store::{Change, Store};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn each_name_comes_once_and_behind_its_ancestors() {
        let rrset = |rtype: RecordType| RrSet {
            rtype,
            ttl: 1,
            rdatas: [[1, 2, 3, 4]].into(),
            origin: Origin::config(),
            handling: Handling::default(),
        };
        let owners = ["a.b.c.x.", "c.x.", "x.", "y.sub.x.", "sub.x.", "over.lay.", "z.x."];
        let mut records: Vec<_> = owners.map(|owner| (name(owner), rrset(RecordType::A))).into();
        for apex in ["x.", "sub.x."] {
            records.push((name(apex), rrset(RecordType::SOA)));
        }
        let snapshot = Store::new().plan(vec![Change::config_records(records)]).snapshot;
        let names: Vec<String> = all_names(&snapshot, &[]).map(|key| key.to_name().to_string()).collect();
        let expected = [
            ".",
            "lay.",
            "over.lay.",
            "x.",
            "c.x.",
            "b.c.x.",
            "a.b.c.x.",
            "sub.x.",
            "y.sub.x.",
            "z.x.",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            all_names(&Snapshot::default(), &[]).collect::<Vec<_>>(),
            [NameKey::ROOT]
        );
    }
}
