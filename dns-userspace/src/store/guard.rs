//! The deletion guard: a change that removes much of a zone or of a source is refused, unless it is forced.
//!
//! A list that came back empty, a file that was cut off, a script with a wrong filter: each removes much at once. What
//! the guard costs is in proportion to what a change removes: records are counted only where that may be too many.

use std::collections::{BTreeMap, BTreeSet};

use imbl::ordmap::DiffItem;

use super::layers::{Layer, Nodes};
use super::{Change, Draft, EditedRrset, Guard, TooManyRemoved};
use crate::model::name::NameKey;
use crate::model::snapshot::Node;
use crate::model::source::SourceId;

/// How many records an edit removes, and adds.
fn removed(edited: &EditedRrset) -> usize {
    let count = |rrset: &Option<_>| rrset.as_ref().map_or(0, |rrset: &std::sync::Arc<_>| records_of(rrset));
    count(&edited.before).saturating_sub(count(&edited.after))
}

fn records_of(rrset: &crate::model::record::RrSet) -> usize {
    rrset.rdatas.len()
}

fn records_at(node: &Node) -> usize {
    node.rrsets.iter().map(|rrset| rrset.rdatas.len()).sum()
}

/// Records that are in `old` and not in `new`.
fn removed_between(old: &Nodes, new: &Nodes) -> usize {
    let lost = |old: &Node, new: Option<&Node>| -> usize {
        let lost = old.rrsets.iter().map(|rrset| {
            let left = new.and_then(|node| node.rrset(rrset.rtype));
            rrset
                .rdatas
                .len()
                .saturating_sub(left.map_or(0, |left| left.rdatas.len()))
        });
        lost.sum()
    };
    let differing = old.diff(new).map(|item| match item {
        DiffItem::Add(..) => 0,
        DiffItem::Remove(_, node) => lost(node, None),
        DiffItem::Update { old, new } => lost(old.1, Some(new.1)),
    });
    differing.sum()
}

impl Guard {
    /// An error where `removed` of the records in `nodes` may not go. Each name has a record at least, so these are
    /// counted only where there are few names.
    fn check(&self, what: impl FnOnce() -> String, removed: usize, nodes: &Nodes) -> Result<(), TooManyRemoved> {
        if removed == 0 || !self.refuses(removed, nodes.len().max(self.min_records)) {
            return Ok(());
        }
        let records = nodes.values().map(|node| records_at(node)).sum();
        if !self.refuses(removed, records) {
            return Ok(());
        }
        Err(TooManyRemoved {
            what: what(),
            removed,
            records,
            max_delete_ratio: self.max_delete_ratio,
        })
    }
}

impl Draft<'_> {
    /// An error where what a set has edited removes too much of a zone, or of its source where that is a watched one.
    /// Zones in `deleted` are meant to go.
    pub(super) fn check_removals(
        &self,
        guard: &Guard,
        source: &SourceId,
        edited: &[EditedRrset],
        deleted: &BTreeSet<NameKey>,
    ) -> Result<(), TooManyRemoved> {
        let mut of_zones: BTreeMap<NameKey, usize> = BTreeMap::new();
        let mut of_source = 0;
        for edited in edited.iter().filter(|edited| edited.view.is_none()) {
            let removed = removed(edited);
            of_source += removed;
            let zone = self.base.snapshot.zone_of(&edited.owner.key());
            if let Some(zone) = zone.filter(|_| removed > 0) {
                *of_zones.entry(zone.apex.key()).or_default() += removed;
            }
        }
        for (apex, removed) in of_zones.into_iter().filter(|(apex, _)| !deleted.contains(apex)) {
            if let Some(zone) = self.base.snapshot.zones.get(&apex) {
                guard.check(|| format!("the zone {}", zone.apex), removed, &zone.nodes)?;
            }
        }
        let layer = self.base.layers.by_source.get(source);
        match layer.filter(|_| !source.info().is_editable) {
            Some(Layer { records, .. }) => guard.check(|| format!("the source {source}"), of_source, records),
            None => Ok(()),
        }
    }

    /// Applies one change to a layer, unless it removes too much of what the layer has there.
    pub fn change_guarded(&mut self, change: Change, guard: &Guard) -> Result<(), TooManyRemoved> {
        let (source, apex) = match &change {
            Change::PutZone {
                source,
                apex,
                content: Ok(_),
            } => (source.clone(), Some(apex.clone())),
            Change::DropZone { source, apex } => (source.clone(), Some(apex.clone())),
            Change::Reset { source, view: None, .. } => (source.clone(), None),
            _ => {
                self.change(change);
                return Ok(());
            }
        };
        let content = |layer: Option<&Layer>| -> Nodes {
            let of_zone = |layer: &Layer, apex: &NameKey| {
                let zone = layer.zones.get(apex)?;
                zone.content.as_ref().ok().cloned()
            };
            let found = layer.and_then(|layer| match &apex {
                Some(apex) => of_zone(layer, &apex.key()),
                None => Some(layer.records.clone()),
            });
            found.unwrap_or_default()
        };
        let saved = self.layers.clone();
        let before = content(self.layers.by_source.get(&source));
        self.change(change);
        let after = content(self.layers.by_source.get(&source));
        let what = || match &apex {
            Some(apex) => format!("the zone {apex}"),
            None if source == SourceId::config() => "`records` of the configuration".to_owned(),
            None => format!("the source {}", source.key()),
        };
        let checked = guard.check(what, removed_between(&before, &after), &before);
        if checked.is_err() {
            self.layers = saved;
        }
        checked
    }
}
