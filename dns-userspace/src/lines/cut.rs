//! Cuts: names at and below a delegation get its referral.
//!
//! ```text
//! example.          SOA …
//! sub.example.      NS ns.sub.example.   its line is a referral, which serves all that is below too
//! ns.sub.example.   A 192.0.2.1          glue: no answer of its own, and no line
//! ```
//!
//! When the NS RRset comes or goes, all lines at and below it differ: `below.rs`.

use dns_common::line::{REFERRAL, flag};

use super::body::{body, own_by_name};
use super::compiler::Compiler;
use crate::answer::End;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::snapshot::Node;
use crate::table::Entry;

/// Whether what is below a node is delegated (RFC 1034 §4.2.1: at an apex, NS says which servers are the zone's own).
pub(super) fn is_cut(node: &Node, is_apex: bool) -> bool {
    !is_apex && node.rrset(RecordType::NS).is_some()
}

impl Compiler<'_> {
    /// Makes `entry` that of a cut, which is at `owner`.
    pub(super) fn referral(&mut self, entry: &mut Entry, owner: &Name) {
        entry.flags = entry.flags & !flag::CNAME | flag::CUT;
        entry.bodies.clear();
        let mut referral = self.resolve(owner, RecordType::A);
        own_by_name(&mut referral, owner);
        let is_final = referral.end == End::Final;
        match is_final.then(|| body(&referral, owner.as_wire(), true)).flatten() {
            Some(body) => entry.bodies.push((REFERRAL, body)),
            None => entry.flags |= flag::PASS_SELF | flag::PASS_BELOW,
        }
    }
}
