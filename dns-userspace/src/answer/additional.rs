//! The additional section: addresses of the names that NS, MX, SRV and SVCB records lead to.
//!
//! Required are those without which a referral leads nowhere: the delegating zone's own data below one of its cuts,
//! for the delegation itself and for its siblings (RFC 9471). All else is optional: authoritative addresses in our
//! zones, of exactly that name, never from a wildcard, an alias, or below a cut.

use super::resolve::{Search, child_end, section};
use super::{Owner, Resolution};
use crate::model::name::{Name, NameKey};
use crate::model::rdata::{additional_target, is_own_target};
use crate::model::record::RecordType;
use crate::model::snapshot::{Node, Zone};

impl<'s> Search<'s, '_> {
    /// Fills the additional section of a resolution that is otherwise done. `delegating` is the zone of its referral.
    pub(super) fn add_addresses(&mut self, resolution: &mut Resolution, qname: &Name, delegating: Option<&'s Zone>) {
        let mut targets: Vec<Name> = Vec::new();
        for section in resolution.answer.iter().chain(&resolution.authority) {
            let rtype = section.rrset.rtype;
            let owner = section.owner.name(qname);
            targets.extend(section.rrset.rdatas.iter().filter_map(|rdata| {
                if is_own_target(rtype, rdata) {
                    return (!owner.is_wildcard()).then(|| owner.clone());
                }
                Name::from_wire(additional_target(rtype, rdata)?).ok()
            }));
        }
        if let Some(zone) = delegating {
            for target in &targets {
                if let Some(node) = self.glue(zone, target) {
                    add_node(resolution, qname, target, node);
                }
            }
            resolution.required_additional = resolution.additional.len();
        }
        for target in &targets {
            if let Some(node) = self.authoritative_node(target) {
                add_node(resolution, qname, target, node);
            }
        }
    }

    /// The node of `target` in `zone`, if that is below one of its cuts.
    fn glue(&mut self, zone: &'s Zone, target: &Name) -> Option<&'s Node> {
        if !target.is_at_or_below(&zone.apex) {
            return None;
        }
        let key = key_of(target);
        let apex_end = zone.apex.key().as_bytes().len();
        if self.is_authoritative(zone, apex_end, &key) {
            return None;
        }
        zone.nodes.get(&key[..]).map(|node| &**node)
    }

    fn authoritative_node(&mut self, target: &Name) -> Option<&'s Node> {
        let key = key_of(target);
        let (zone, apex_end) = self.zone_at_or_above(&key, key.len())?;
        if zone.failed.is_some() || !self.is_authoritative(zone, apex_end, &key) {
            return None;
        }
        zone.nodes.get(&key[..]).map(|node| &**node)
    }

    /// Whether no cut stands at or above `key` in the zone, and no DNAME above it.
    fn is_authoritative(&mut self, zone: &Zone, apex_end: usize, key: &[u8]) -> bool {
        let mut end = apex_end;
        loop {
            self.data(&key[..end]);
            if let Some(node) = zone.nodes.get(&key[..end]) {
                let is_cut = end > apex_end && node.rrset(RecordType::NS).is_some();
                if is_cut || (end < key.len() && node.rrset(RecordType::DNAME).is_some()) {
                    return false;
                }
            }
            if end == key.len() {
                return true;
            }
            end = child_end(key, end);
        }
    }
}

/// Adds what the message does not have yet, A before AAAA.
fn add_node(resolution: &mut Resolution, qname: &Name, target: &Name, node: &Node) {
    for rtype in [RecordType::A, RecordType::AAAA] {
        let Some(rrset) = node.rrset(rtype) else {
            continue;
        };
        let is_there = resolution
            .answer
            .iter()
            .chain(&resolution.additional)
            .any(|section| section.rrset.rtype == rtype && section.owner.name(qname) == target);
        if !is_there {
            resolution.additional.push(section(Owner::Name(target.clone()), rrset));
        }
    }
}

fn key_of(name: &Name) -> Vec<u8> {
    let mut key = Vec::new();
    NameKey::write(name.as_wire(), &mut key);
    key
}
