//! Which lines of the table differ between two snapshots: what each rule touches, in the order in which they build on
//! one another.
//!
//! ```text
//! names with other data ─ below ─ zone ─ named ─► for each: sparse, ancestors, wildcard ─► dependents
//! ```

use std::collections::{BTreeSet, HashSet};

use super::dependents::{self, Dependents};
use super::{ancestors, below, named, sparse, wildcard, zone};
use crate::model::name::NameKey;
use crate::model::snapshot::Snapshot;
use crate::store::Delta;

/// What was served, and what is to be served.
#[derive(Clone, Copy)]
pub(super) struct Between<'a> {
    pub(super) old: &'a Snapshot,
    pub(super) new: &'a Snapshot,
}

impl Between<'_> {
    /// Whether something is another in the one than in the other.
    pub(super) fn differs<T: PartialEq>(&self, of: impl Fn(&Snapshot) -> T) -> bool {
        of(self.old) != of(self.new)
    }
}

/// Every name whose line may differ; always all that do. `dependents` are those of the old lines.
pub(super) fn touched(old: &Snapshot, new: &Snapshot, delta: &Delta, dependents: &[&Dependents]) -> BTreeSet<NameKey> {
    let between = Between { old, new };
    let mut names: BTreeSet<NameKey> = BTreeSet::new();
    for key in &delta.names {
        if names.insert(key.clone()) {
            below::touches(between, key, &mut names);
        }
    }
    zone::touches(between, delta, &mut names);
    named::touches(between, delta, &mut names);
    let (mut sparse_areas, mut settled) = (HashSet::new(), None);
    for key in names.clone() {
        sparse::touches(between, &key, &mut names, &mut sparse_areas);
        ancestors::touches(between, &key, &mut names, &mut settled);
        wildcard::touches(&key, &mut names);
    }
    dependents::touches(between, &mut names, dependents);
    names
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lines::ancestors::needs_line;
    use crate::model::name::Name;
    use crate::model::record::{Handling, RecordType, RrSet};
    use crate::model::source::Origin;
    use crate::store::{Change, Store};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    /// The zone `x.` with addresses of its serial at these names.
    fn zone(serial: u8, owners: &[&str]) -> Vec<Change> {
        let rrset = |rtype| RrSet {
            rtype,
            ttl: 1,
            rdatas: [[serial; 4]].into(),
            origin: Origin::config(),
            handling: Handling::default(),
        };
        let mut records = vec![(name("x."), rrset(RecordType::SOA))];
        records.extend(owners.iter().map(|owner| (name(owner), rrset(RecordType::A))));
        vec![Change::config_records(records)]
    }

    #[test]
    fn all_that_is_in_a_sparse_area_differs_when_it_comes_or_goes() {
        const HOST: &str = "1.2.3.4.5.6.7.8.x.";
        let mut store = Store::new();
        for (serial, owners) in [
            // Not prefix-free: no sparse area. Then one, since the name below the host goes while that changes too.
            &[HOST, "ns.1.2.3.4.5.6.7.8.x."][..],
            &[HOST],
            // Five names are too many, and four are not.
            &[
                HOST,
                "a.2.3.4.5.6.7.8.x.",
                "b.2.3.4.5.6.7.8.x.",
                "c.2.3.4.5.6.7.8.x.",
                "d.2.3.4.5.6.7.8.x.",
            ],
            &[
                "a.2.3.4.5.6.7.8.x.",
                "b.2.3.4.5.6.7.8.x.",
                "c.2.3.4.5.6.7.8.x.",
                "d.2.3.4.5.6.7.8.x.",
            ],
            &[HOST, "5.6.7.8.x."],
            &[],
            &[HOST],
        ]
        .iter()
        .enumerate()
        {
            let old = store.snapshot();
            let plan = store.plan(zone(serial as u8, owners));
            let new = Arc::clone(&plan.snapshot);
            let found = touched(&old, &new, &plan.delta, &[&Dependents::default()]);
            for at in name(HOST).key().lineage() {
                let key = NameKey::from_key_bytes(at);
                let line = |snapshot| {
                    let is_top = sparse::is_top(snapshot, at) == Some(true);
                    (needs_line(snapshot, &key), is_top)
                };
                assert!(
                    line(&old) == line(&new) || found.contains(&key),
                    "{key:?} at step {serial}"
                );
            }
            store.commit(&plan);
        }
    }
}
