//! The algorithm of RFC 1034 §4.3.2.
use super::{Consulted, Resolution, ResolveOptions};
use crate::name::Name;
use crate::record::RecordType;
use crate::snapshot::Snapshot;

/// The sections for one question of class IN. `qtype` is a data type or ANY; `consulted` hears, at least once each,
/// of every name that the answer depends on.
pub fn resolve(
    snapshot: &Snapshot,
    qname: &Name,
    qtype: RecordType,
    options: &ResolveOptions,
    consulted: &mut dyn FnMut(Consulted),
) -> Resolution {
    let _ = (snapshot, qname, qtype, options, consulted);
    unimplemented!()
}
