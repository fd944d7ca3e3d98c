//! Zones: which zone a line is of, its access list, its negative answers, and what a broken zone's lines say.
//!
//! ```text
//! example.      SOA …        its line: the apex; NODATA and NXDOMAIN of all names of the zone are in the zone's entry
//! www.example.  A …          its line has the number of the zone, and "guarded" where the zone has an access list
//! ```
//!
//! So all lines of a zone differ when the zone comes or goes, gets another number, fails or recovers, or gets another
//! access list. While a zone fails, it has a line at its apex alone, which passes all that is below.

use std::collections::BTreeSet;

use dns_common::line::flag;

use super::CompileOptions;
use super::below;
use super::body::{body, own_by_name};
use super::compiler::Compiler;
use super::touched::Between;
use super::types::absent_type;
use crate::answer::End;
use crate::model::name::NameKey;
use crate::model::snapshot::{Snapshot, Zone};
use crate::store::Delta;
use crate::table::ZoneNegatives;

/// The flags of all lines of the zone at `apex`.
pub(super) fn flags(snapshot: &Snapshot, apex: &NameKey) -> u32 {
    if snapshot.access.contains_key(apex) {
        flag::GUARDED
    } else {
        0
    }
}

/// All names of zones that come or go, or whose lines all differ.
pub(super) fn touches(between: Between<'_>, delta: &Delta, names: &mut BTreeSet<NameKey>) {
    let apexes = delta.zones.iter().map(|zone| &zone.apex);
    let apexes = apexes.filter(|apex| between.differs(|snapshot| state(snapshot, apex)));
    // Each line says whether its zone has a list; and none is asked while the lists change.
    for apex in apexes.chain(&delta.access) {
        names.insert(apex.clone());
        below::add_all(between.old, apex, names);
        below::add_all(between.new, apex, names);
    }
}

/// Whether there is a zone at `apex`, and what all of its lines depend on: whether it failed, its number, and whether
/// names that it lacks are looked up elsewhere.
pub(super) fn state(snapshot: &Snapshot, apex: &NameKey) -> Option<(bool, u32, bool)> {
    let zone = snapshot.zones.get(apex)?;
    Some((zone.failed.is_some(), zone.index, zone.falls_through))
}

/// Whether a zone begins at `key` or below it.
pub(super) fn is_at_or_below(snapshot: &Snapshot, key: &NameKey) -> bool {
    let next = snapshot.zones.get_next(key);
    next.is_some_and(|(apex, _)| apex.is_at_or_below(key))
}

/// Compiles a zone's NODATA and NXDOMAIN; `None` where they are userspace's.
pub fn negatives(snapshot: &Snapshot, zone: &Zone, options: &CompileOptions) -> Option<ZoneNegatives> {
    // What a zone lacks that falls through is for userspace to look up. Its NODATA are in the same entry.
    if zone.failed.is_some() || (zone.falls_through && options.has_upstream) {
        return None;
    }
    let key = zone.apex.key();
    let node = zone.nodes.get(&key)?;
    let mut compiler = Compiler::new(snapshot, options, &key);
    let mut nodata = compiler.resolve(&zone.apex, absent_type(node));
    if nodata.end != End::Final || !nodata.answer.is_empty() || nodata.authority.is_empty() {
        return None;
    }
    own_by_name(&mut nodata, &zone.apex);
    let mut nxdomain = nodata.clone();
    nxdomain.rcode = 3;
    if !options.return_soa_on_nxdomain {
        nxdomain.authority.clear();
    }
    let base = zone.apex.as_wire();
    Some(ZoneNegatives {
        nodata: body(&nodata, base, true)?,
        nxdomain: body(&nxdomain, base, true)?,
    })
}
