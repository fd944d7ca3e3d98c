//! Overlays: single names that are ours outside of all zones.
//!
//! ```text
//! over.lay.net.  A 192.0.2.1     answered; names below it are not ours
//! lay.net.       (nothing)       a line that says "not ours"
//! *.lay.net.     A 192.0.2.1     a wildcard overlay: the line of lay.net. passes what is below
//! ```
//!
//! An overlay has no SOA, so other types at it are NODATA without one. When one comes or goes, what is below it differs
//! (`below.rs`), and so do its ancestors (`ancestors.rs`).

use dns_common::line::flag;

use super::compiler::Compiler;
use crate::model::name::NameKey;
use crate::model::snapshot::Snapshot;
use crate::table::Entry;

/// Whether there is an overlay at `key`.
pub(super) fn is_overlay(snapshot: &Snapshot, key: &NameKey) -> bool {
    snapshot.overlays.contains_key(key)
}

impl Compiler<'_> {
    /// The line of a name that is in no zone.
    pub(super) fn outside_zones(&mut self) -> Entry {
        let Some(node) = self.snapshot.overlays.get(self.key) else {
            let has_wildcard = is_overlay(self.snapshot, &self.key.wildcard_child());
            let below = if has_wildcard { flag::PASS_BELOW } else { 0 };
            return Entry::bare(flag::NOT_OURS | below);
        };
        self.answers = Some((node, None));
        let mut entry = Entry::bare(flag::PASS_BELOW);
        self.types(node, &mut entry, &node.owner(self.key), false);
        entry
    }
}
