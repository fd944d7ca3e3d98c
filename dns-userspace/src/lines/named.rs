//! Names that stand in an answer which many names share.
//!
//! ```text
//! example.        SOA ns1.dc.example. …     NXDOMAIN of all names of the zone
//! dc.example.     named                     its NODATA, and NXDOMAIN below it, point at `dc` in the question
//! ns1.dc.example. named                     likewise
//! ```
//!
//! A shared answer is compiled for the labels that all of its questions end in. For a question with more labels of a
//! name in it the reference answerer's is shorter. So each name on the way to such a name has a line, which lets what
//! is not there pass; names that exist below have a NODATA of their own, and those below cuts a referral.
//!
//! Shared answers are the negative ones of a zone, with the SOA's names in them, and referrals, with those of the NS.

use std::collections::BTreeSet;
use std::sync::Arc;

use dns_common::line::{REFERRAL, flag};

use super::body::body;
use super::compiler::Compiler;
use super::touched::Between;
use super::types::{PRIVATE_USE, absent_type};
use super::zone;
use crate::answer::End;
use crate::model::name::NameKey;
use crate::model::rdata::embedded_names;
use crate::model::record::RecordType;
use crate::model::snapshot::{Node, Snapshot, Zone};
use crate::store::Delta;
use crate::table::Entry;

/// The names that answers shared by many have in them, where these differ: another SOA or NS RRset, another zone.
pub(super) fn touches(between: Between<'_>, delta: &Delta, names: &mut BTreeSet<NameKey>) {
    let decides = |snapshot: &Snapshot, key: &NameKey| {
        let node = snapshot.zone_of(key).and_then(|zone| zone.nodes.get(key));
        node.is_some_and(|node| {
            let mut types = [RecordType::NS, RecordType::SOA].iter();
            types.any(|rtype| node.rrset(*rtype).is_some())
        })
    };
    let Between { old, new } = between;
    let apexes = delta.zones.iter().map(|zone| &zone.apex);
    let apexes = apexes.filter(|apex| between.differs(|snapshot| zone::state(snapshot, apex)));
    let deciding = delta.names.iter().filter(|key| decides(old, key) || decides(new, key));
    for key in apexes.chain(deciding) {
        names.extend(named_near(old, key));
        names.extend(named_near(new, key));
    }
}

impl Compiler<'_> {
    /// The referral of a name below a cut, which is not that of all names there.
    pub(super) fn own_referral(&mut self, zone: &Arc<Zone>) -> Option<Entry> {
        let name = self.key.to_name();
        let referral = self.resolve(&name, RecordType::A);
        let is_referral = referral.end == End::Final && referral.answer.is_empty() && !referral.authoritative;
        let body = is_referral.then(|| body(&referral, name.as_wire(), true)).flatten()?;
        let mut entry = Entry::bare(flag::CUT);
        entry.zone = zone.index;
        entry.flags |= zone::flags(self.snapshot, &zone.apex.key());
        entry.bodies.push((REFERRAL, body));
        Some(entry)
    }

    /// The name's NODATA, which is not that of all names of the zone.
    pub(super) fn own_nodata(&mut self, node: Option<&Node>, entry: &mut Entry) {
        let is_alias = node.is_some_and(|node| node.rrset(RecordType::CNAME).is_some());
        if is_alias || self.key.is_wildcard() {
            entry.flags |= flag::INCOMPLETE;
            return;
        }
        let (question, absent) = match node {
            Some(node) => (node.owner(self.key), absent_type(node)),
            None => (self.key.to_name(), RecordType(PRIVATE_USE)),
        };
        let nodata = self.resolve(&question, absent);
        match (nodata.end == End::Final)
            .then(|| body(&nodata, question.as_wire(), false))
            .flatten()
        {
            Some(body) => {
                entry.flags |= flag::CNAME;
                entry.bodies.push((0, body));
            }
            None => entry.flags |= flag::INCOMPLETE,
        }
    }
}

/// Whether a shared answer that `key`, in this zone, would get has a name at or below `key` in it.
pub(super) fn is_named(zone: &Zone, key: &NameKey) -> bool {
    let mut is_named = false;
    names_of_shared(zone, key, &mut |name| is_named |= name.is_at_or_below(key));
    is_named
}

/// Whether one of `names`, those of the negative answers of the zone at `apex`, has labels in common with `key`, which
/// is below the apex and not below a cut (there the referral is shared).
pub(super) fn differs_from_shared(apex: &NameKey, names: &[NameKey], key: &NameKey) -> bool {
    let apex = apex.as_bytes().len();
    let label = key.as_bytes()[apex..].iter().position(|&octet| octet == 0);
    label.is_some_and(|end| {
        let topmost = &key.as_bytes()[..=apex + end];
        names.iter().any(|name| name.as_bytes().starts_with(topmost))
    })
}

/// The names in the negative answers of a zone: those in its SOA.
pub(super) fn names_of_negatives(zone: &Zone, found: &mut dyn FnMut(&NameKey)) {
    if let Some(node) = zone.nodes.get(&zone.apex.key()) {
        names_in(node, RecordType::SOA, found);
    }
}

/// All names of the snapshot for which [`is_named`] holds, and perhaps some more; ascending, each once.
pub(crate) fn all_named(snapshot: &Snapshot) -> Vec<NameKey> {
    let mut names = named_below(snapshot, &NameKey::ROOT);
    names.sort_unstable();
    names.dedup();
    names
}

/// All names for which [`is_named`] may hold because of what is at `key` or below it.
pub(super) fn named_below(snapshot: &Snapshot, key: &NameKey) -> Vec<NameKey> {
    let mut names = Vec::new();
    let below = |found: &NameKey| found.is_at_or_below(key);
    let zones = snapshot.zones.range_from(key).take_while(|(apex, _)| below(apex));
    let above = key
        .lineage()
        .skip(1)
        .find_map(|apex| snapshot.zones.get_key_value(apex));
    for (apex, zone) in above.into_iter().chain(zones) {
        for (owner, node) in zone
            .nodes
            .range::<_, NameKey>(key..)
            .take_while(|(owner, _)| below(owner))
        {
            add_named_by(apex, owner, node, &mut names);
        }
    }
    names
}

/// All names for which [`is_named`] may hold because of what is at `key` or above it: an apex, a cut.
fn named_near(snapshot: &Snapshot, key: &NameKey) -> Vec<NameKey> {
    let mut names = Vec::new();
    for at in key.lineage() {
        let Some((apex, zone)) = snapshot.zones.get_key_value(at) else {
            continue;
        };
        // All that decides: the apex, and what is on the way to `key`.
        for at in key
            .lineage()
            .take_while(|at| at.len() > apex.as_bytes().len())
            .chain([at])
        {
            if let Some((owner, node)) = zone.nodes.get_key_value(at) {
                let from = names.len();
                add_named_by(apex, owner, node, &mut names);
                if owner == apex {
                    add_below_topmost(snapshot, zone, from, &mut names);
                }
            }
        }
    }
    names
}

/// The names that exist below the topmost ones of `names[from..]`: their NODATA differ. Some exist by a zone below
/// alone.
fn add_below_topmost(snapshot: &Snapshot, zone: &Zone, from: usize, names: &mut Vec<NameKey>) {
    let apex = zone.apex.label_count();
    let topmost: Vec<NameKey> = names[from..]
        .iter()
        .filter(|name| name.label_count() == apex + 1)
        .cloned()
        .collect();
    for top in &topmost {
        let below = |owner: &&NameKey| owner.is_at_or_below(top);
        let owners = zone.nodes.range::<_, NameKey>(top..).map(|(owner, _)| owner);
        let apexes = snapshot.zones.range_from(top).map(|(apex, _)| apex);
        for owner in owners.take_while(below).chain(apexes.take_while(below)) {
            let way = owner.lineage().take_while(|at| at.len() >= top.as_bytes().len());
            names.extend(way.map(NameKey::from_key_bytes));
        }
    }
}

/// The names from below `key` to each name of the answer that is shared there.
fn add_named_by(apex: &NameKey, key: &NameKey, node: &Node, names: &mut Vec<NameKey>) {
    let rtype = if key == apex { RecordType::SOA } else { RecordType::NS };
    names_in(node, rtype, &mut |name| {
        if name.is_at_or_below(key) {
            let below = name.lineage().take_while(|at| at.len() > key.as_bytes().len());
            names.extend(below.map(NameKey::from_key_bytes));
        }
    });
}

/// The names in the answer that `key` shares with others: a referral below the topmost cut, a negative one else.
fn names_of_shared(zone: &Zone, key: &NameKey, found: &mut dyn FnMut(&NameKey)) {
    let labels = zone.apex.label_count();
    if key.label_count() <= labels {
        return;
    }
    let within = |at: &&[u8]| NameKey::labels_of(at) > labels;
    let nodes = key
        .lineage()
        .skip(1)
        .take_while(within)
        .filter_map(|at| zone.nodes.get(at));
    // From the name upwards: the last is the topmost.
    match nodes.filter(|node| node.rrset(RecordType::NS).is_some()).last() {
        Some(cut) => names_in(cut, RecordType::NS, found),
        None => names_of_negatives(zone, found),
    }
}

fn names_in(node: &Node, rtype: RecordType, found: &mut dyn FnMut(&NameKey)) {
    let Some(rrset) = node.rrset(rtype) else { return };
    for rdata in &rrset.rdatas {
        for name in embedded_names(rtype, rdata) {
            found(&NameKey::from_wire(&rdata[name.offset..name.offset + name.length]));
        }
    }
}
