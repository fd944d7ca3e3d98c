//! Wildcards: one line serves all names that a wildcard stands for (RFC 4592).
//!
//! ```text
//! x.example.    (nothing)        the encloser: its line says that `*` is below it
//! *.x.example.  A 192.0.2.1      its line serves a.x.example., b.c.x.example. and so on
//! ```
//!
//! The search ends at the closest encloser, and goes on at its `*`. So when a wildcard comes, goes or changes, the line
//! of its encloser differs too.

use std::collections::BTreeSet;

use dns_common::line::flag;

use super::compiler::Compiler;
use super::types::{PRIVATE_USE, targets};
use super::{cut, dname, zone};
use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;
use crate::model::snapshot::{Node, Snapshot, Zone};
use crate::table::Entry;

/// The flags of the line of `encloser`, in this zone.
pub(super) fn flags_of_encloser(snapshot: &Snapshot, zone: &Zone, encloser: &NameKey) -> u32 {
    let wildcard = encloser.wildcard_child();
    let mut flags = 0;
    if zone::is_at_or_below(snapshot, &wildcard) {
        // What is not there then has a wildcard that another zone holds, or that exists by that zone alone.
        flags |= flag::PASS_BELOW;
    }
    if !zone.name_exists(&wildcard) {
        return flags;
    }
    flags |= flag::WILDCARD_CHILD;
    if let Some(node) = zone.nodes.get(&wildcard) {
        if node.is_one_label() {
            flags |= flag::ONE_LABEL_WILDCARD;
        }
        if cut::is_cut(node, false) || dname::is_dname(node) {
            // RFC 4592 §4.2, §4.4: no defined meaning.
            flags |= flag::PASS_BELOW;
        }
    }
    flags
}

/// The enclosers of wildcards: of `key`, and of names above it.
pub(super) fn touches(key: &NameKey, names: &mut BTreeSet<NameKey>) {
    let with_parents = key.lineage().zip(key.lineage().skip(1));
    let enclosers = with_parents.filter(|(child, parent)| child[parent.len()..] == *b"*\0");
    names.extend(enclosers.map(|(_, encloser)| NameKey::from_key_bytes(encloser)));
}

impl<'a> Compiler<'a> {
    /// The line of a wildcard, begun as `entry`; `node` is at it.
    ///
    /// One line serves the names that the wildcard stands for and its own, `*` included, which is as long as the
    /// shortest of them: only where they get the same.
    pub(super) fn wildcard(&mut self, zone: &Zone, node: &'a Node, owner: &Name, mut entry: Entry) -> Entry {
        let Some(question) = self.wildcard_question(zone) else {
            entry.flags |= flag::PASS_SELF;
            return entry;
        };
        let mut own = entry.clone();
        self.types(node, &mut own, owner, true);
        self.types(node, &mut entry, &question, true);
        if own != entry || self.leads_back(zone, &question) {
            entry = Entry::bare(entry.flags | flag::PASS_SELF);
            entry.zone = zone.index;
        }
        entry
    }

    /// Whether a wildcard's chain leads to a name that the same wildcard answers for: asked for that name, the chain
    /// ends one alias earlier.
    fn leads_back(&mut self, zone: &Zone, question: &Name) -> bool {
        let Some(encloser) = self.key.parent() else {
            return false;
        };
        let chain = self.resolve(question, RecordType::CNAME);
        let whole = self.resolve(question, RecordType(PRIVATE_USE));
        targets(&chain).chain(targets(&whole)).any(|target| {
            let key = target.key();
            key.is_at_or_below(&encloser) && (!zone.name_exists(&key) || key.is_at_or_below(self.key))
        })
    }

    /// For a wildcard: a name of one octet below its encloser that the wildcard answers for.
    fn wildcard_question(&self, zone: &Zone) -> Option<Name> {
        let encloser = self.key.parent()?.to_name();
        (0..=255u8).find_map(|octet| {
            let name = encloser.child(&[octet])?;
            let key = name.key();
            (octet != b'*' && !zone.name_exists(&key) && !self.snapshot.zones.contains_key(&key)).then_some(name)
        })
    }
}
