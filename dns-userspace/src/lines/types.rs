//! What the line of a name says of each of its types.
//!
//! ```text
//! www.example.  A 192.0.2.1, TXT "x"     A in the line, a body for TXT; all other types: the zone's NODATA
//! m.example.    CNAME www.example.       bodies for CNAME, A, TXT and DS, and one for all other types
//! a.example.    ALIAS cdn.example.net.   A and AAAA as the target's
//! ```

use dns_common::line::flag;

use super::body::body;
use super::compiler::Compiler;
use super::inline::{inline, make_room};
use crate::answer::{End, Resolution};
use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;
use crate::model::snapshot::Node;
use crate::table::Entry;

/// The most asked types, first; all others follow by number.
const MOST_ASKED: [RecordType; 8] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::HTTPS,
    RecordType::NS,
    RecordType::SOA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SRV,
];

/// First of the types for private use (RFC 6895 §3.1): one that a name does not have shows its NODATA.
pub(super) const PRIVATE_USE: u16 = 65280;

impl Compiler<'_> {
    /// Fills in what the node's types answer. `moves`: for every name that is longer than `question` too.
    pub(super) fn types(&mut self, node: &Node, entry: &mut Entry, question: &Name, moves: bool) {
        let mut types = types_at(node);
        let mut absent = RecordType(PRIVATE_USE);
        let mut others = None;
        if node.rrset(RecordType::CNAME).is_some() {
            entry.flags |= flag::CNAME;
            (types, absent) = self.types_of_chain(node, question);
            others = Some(self.resolve(question, absent));
        }
        types.retain(|rtype| rtype.is_data() || rtype.0 == 0);
        types.sort_by_key(|rtype| {
            MOST_ASKED
                .iter()
                .position(|most| most == rtype)
                .unwrap_or(MOST_ASKED.len())
        });
        let mut inline_ttl = None;
        for rtype in types {
            let asked = if rtype.0 == 0 { absent } else { rtype };
            let resolution = self.resolve(question, asked);
            let is_final = match resolution.end {
                End::Final => true,
                End::ChainLeaves(_) | End::FallsThrough(_) => !self.options.has_upstream,
                End::NotOurs | End::ZoneFailed | End::AliasFailed(_) => false,
            };
            if !is_final && others.is_none() {
                // An ALIAS: the name's other types are as good as ever.
                entry.flags |= flag::INCOMPLETE;
                continue;
            }
            if !is_final {
                entry.flags |= flag::PASS_SELF;
                return;
            }
            if others.is_none() && resolution.answer.is_empty() {
                // An ALIAS to a name without addresses of this type: the zone's NODATA, as for types that are not
                // there.
                continue;
            }
            if rtype.0 != 0 && others.as_ref() == Some(&resolution) {
                continue;
            }
            if inline(&resolution, rtype, entry, &mut inline_ttl) {
                continue;
            }
            match body(&resolution, question.as_wire(), moves) {
                Some(body) => entry.bodies.push((rtype.0, body)),
                None => entry.flags |= flag::INCOMPLETE,
            }
        }
        entry.ttl = inline_ttl.unwrap_or(0);
        make_room(entry, self, question, moves);
    }

    /// CNAME, every type at any name of the chain, DS, and 0 for all others; and one of those others.
    fn types_of_chain(&mut self, node: &Node, question: &Name) -> (Vec<RecordType>, RecordType) {
        let mut absent = PRIVATE_USE;
        loop {
            // A chain ends at the first name that has the type, so this one follows it as far as it goes.
            let whole = self.resolve(question, RecordType(absent));
            let mut types = types_at(node);
            for target in targets(&whole) {
                self.types_for(&target.key(), &mut types);
            }
            if types.contains(&RecordType(absent)) && absent < u16::MAX {
                absent += 1;
                continue;
            }
            // RFC 4035 §3.1.4.1: where the chain leads to a cut or an apex, DS is another zone's than the rest.
            types.extend([RecordType(0), RecordType::DS]);
            types.sort_unstable();
            types.dedup();
            return (types, RecordType(absent));
        }
    }

    /// Adds the types of all nodes that may answer for a name: its own, and every wildcard above it. Too many are no
    /// harm: each is asked for.
    fn types_for(&self, key: &NameKey, types: &mut Vec<RecordType>) {
        let mut add = |key: &NameKey| {
            let zones = key.lineage().filter_map(|above| self.snapshot.zones.get(above));
            let nodes = zones.filter_map(|zone| zone.nodes.get(key));
            for node in nodes.chain(self.snapshot.overlays.get(key)) {
                types.extend(types_at(node));
            }
        };
        add(key);
        let mut above = key.parent();
        while let Some(encloser) = above {
            add(&encloser.wildcard_child());
            above = encloser.parent();
        }
    }
}

/// The types that a node may answer, those that its ALIAS stands for included.
fn types_at(node: &Node) -> Vec<RecordType> {
    let mut types: Vec<RecordType> = node.rrsets.iter().map(|rrset| rrset.rtype).collect();
    if node.rrset(RecordType::ALIAS).is_some() {
        let addresses = [RecordType::A, RecordType::AAAA];
        types.extend(addresses.into_iter().filter(|rtype| node.rrset(*rtype).is_none()));
    }
    types
}

/// The targets of the aliases in an answer, in order.
pub(super) fn targets(resolution: &Resolution) -> impl Iterator<Item = Name> {
    let aliases = resolution
        .answer
        .iter()
        .filter(|section| section.rrset.rtype == RecordType::CNAME);
    aliases.filter_map(|section| Name::from_wire(section.rrset.rdatas.first()?).ok())
}

/// A type that the node does not have.
pub(super) fn absent_type(node: &Node) -> RecordType {
    let absent = (PRIVATE_USE..u16::MAX)
        .map(RecordType)
        .find(|&rtype| node.rrset(rtype).is_none());
    absent.unwrap_or(RecordType(PRIVATE_USE))
}
