//! DNAME: names below it are renamed, and userspace answers for them (RFC 6672 §2).
//!
//! `old.example. DNAME new.example.`: the line of `old.example.` has the flag, by which `www.old.example.` passes.
//! Names below it that have data are hidden, and have no lines. When the DNAME comes or goes, all lines below it
//! differ: `below.rs`.

use dns_common::line::flag;

use crate::model::record::RecordType;
use crate::model::snapshot::Node;

/// Whether what is below a node is renamed.
pub(super) fn is_dname(node: &Node) -> bool {
    node.rrset(RecordType::DNAME).is_some()
}

/// The flags of the line of a node.
pub(super) fn flags(node: &Node) -> u32 {
    if is_dname(node) { flag::DNAME } else { 0 }
}
