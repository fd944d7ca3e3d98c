//! One name of a snapshot, compiled: which rules apply to it, in their order.

use std::sync::Arc;

use dns_common::line::flag;

use super::above::Above;
use super::ancestors::is_in_use;
use super::{CompileOptions, cut, dname, named, sparse, wildcard, zone};
use crate::answer::Consulted;
use crate::model::name::NameKey;
use crate::model::snapshot::{Node, Snapshot, Zone};
use crate::table::Entry;

/// Compiles one name.
pub(super) struct Compiler<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) options: CompileOptions,
    pub(super) key: &'a NameKey,
    /// What is at `key`, once it is known that nothing above it and no cut there takes its place; and the number of the
    /// zone whose apex it is.
    pub(super) answers: Option<(&'a Node, Option<u32>)>,
    pub(super) consulted: Vec<Consulted>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, options: &CompileOptions, key: &'a NameKey) -> Self {
        Self {
            snapshot,
            options: *options,
            key,
            answers: None,
            consulted: Vec::new(),
        }
    }

    /// What the line of the name says; `None`: it needs none.
    pub(super) fn entry(&mut self, above: &Above<'a>) -> Option<Entry> {
        let snapshot = self.snapshot;
        let is_root = self.key.as_bytes().is_empty();
        let own_zone = snapshot.zones.get(self.key);
        let zone = own_zone.or(above.zone());
        // In a large zone each look-up takes time, and most names have data: then they exist, and have a line.
        let node = zone.and_then(|zone| zone.nodes.get(self.key)).map(|node| &**node);
        if node.is_none() && !is_root && !is_in_use(snapshot, self.key) {
            return None;
        }
        let Some(zone) = zone else {
            return Some(self.outside_zones());
        };
        let has_zone = || zone::is_at_or_below(snapshot, self.key);
        let all_passes = Entry::bare(flag::PASS_SELF | flag::PASS_BELOW);
        if zone.failed.is_some() {
            return (own_zone.is_some() || has_zone()).then_some(all_passes);
        }
        if own_zone.is_none() && above.is_occluded() {
            if has_zone() {
                return Some(all_passes);
            }
            let is_named = named::is_named(zone, self.key);
            return is_named.then(|| self.own_referral(zone).unwrap_or(all_passes));
        }
        if node.is_none() && !zone.name_exists(self.key) && !has_zone() {
            return named::is_named(zone, self.key).then_some(all_passes);
        }
        if node.is_none() && sparse::is_in_sparse_area(snapshot, self.key) {
            return None;
        }
        Some(self.in_zone(zone, node, above))
    }

    fn in_zone(&mut self, zone: &Arc<Zone>, node: Option<&'a Node>, above: &Above<'_>) -> Entry {
        let apex = zone.apex.key();
        let is_apex = apex == *self.key;
        let mut entry = Entry::bare(zone::flags(self.snapshot, &apex));
        entry.zone = zone.index;
        if is_apex {
            entry.flags |= flag::APEX;
        }
        entry.flags |= wildcard::flags_of_encloser(self.snapshot, zone, self.key);
        if !is_apex && named::differs_from_shared(&apex, above.named(), self.key) {
            entry.flags |= flag::PASS_BELOW;
            self.own_nodata(node, &mut entry);
        }
        let Some(node) = node else {
            entry.flags |= sparse::flags(self.snapshot, self.key);
            return entry;
        };
        let owner = node.owner(self.key);
        if cut::is_cut(node, is_apex) {
            self.referral(&mut entry, &owner);
            return entry;
        }
        self.answers = Some((node, is_apex.then_some(zone.index)));
        entry.flags |= dname::flags(node);
        if !is_apex && self.key.is_wildcard() {
            return self.wildcard(zone, node, &owner, entry);
        }
        self.types(node, &mut entry, &owner, false);
        entry
    }
}
