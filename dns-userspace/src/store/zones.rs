//! Zones that are made and deleted by edits. Such a zone is one because its source has an SOA record at its apex.

use std::sync::Arc;

use super::Refusal;
use super::draft::{At, Draft, Written};
use super::edit::{EditRules, Edited, ZoneRecord};
use super::layers::keys_below;
use super::merge::{home_given, is_zone};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::source::{Origin, SourceId};
use crate::model::views::ViewName;

impl Draft<'_> {
    /// Makes a zone with these records, of which one is its SOA.
    pub(super) fn create_zone(
        &mut self,
        source: &SourceId,
        apex: Name,
        records: Vec<ZoneRecord>,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let key = apex.key();
        if is_zone(&self.layers, key.as_bytes()) {
            return Err(match self.zone_origin(&apex) {
                Some(origin) if origin.source() != source => Refusal::ZoneOwnedBy { apex, origin },
                _ => Refusal::ZoneExists(apex),
            });
        }
        let mut soa = None;
        for record in records {
            if !record.owner.is_at_or_below(&apex) {
                return Err(Refusal::OutOfZone {
                    owner: record.owner,
                    apex,
                });
            }
            let is_soa = record.rtype == RecordType::SOA && record.owner.key() == key;
            let written = self.put_record(source, record, rules, edited)?;
            if is_soa {
                soa = written.rrset;
            }
        }
        if soa.is_none() {
            return Err(Refusal::NoSoa(apex));
        }
        Ok(Written {
            owner: apex,
            rrset: soa,
            created: true,
            changed: true,
        })
    }

    /// Deletes a zone with all that the source has in it, in the default and in views.
    pub(super) fn delete_zone(
        &mut self,
        source: &SourceId,
        apex: Name,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let key = apex.key();
        if !is_zone(&self.layers, key.as_bytes()) {
            return Err(Refusal::NotFound(format!("there is no zone {apex}")));
        }
        if let Some(origin) = self.zone_origin(&apex).filter(|origin| origin.source() != source) {
            return Err(Refusal::ZoneOwnedBy { apex, origin });
        }
        let mut found: Vec<(Option<ViewName>, Name, RecordType)> = Vec::new();
        if let Some(layer) = self.layers.by_source.get(source) {
            let of_default = std::iter::once((None, &layer.records));
            let of_views = layer.of_views.iter().map(|(view, nodes)| (Some(view.clone()), nodes));
            let is_zone = |apex: &[u8]| is_zone(&self.layers, apex);
            for (view, nodes) in of_default.chain(of_views) {
                for at in keys_below(nodes, &key) {
                    let node = &nodes[at];
                    let here = node.rrsets.iter().filter(|rrset| {
                        let home = home_given(&is_zone, at, rrset.rtype);
                        // The DS records of the zone itself are in the zone above, where that is ours.
                        home == Some(key.as_bytes())
                    });
                    found.extend(here.map(|rrset| (view.clone(), node.owner(at), rrset.rtype)));
                }
            }
        }
        for (view, owner, rtype) in found {
            let at = At { view, key: owner.key() };
            if let Some(held) = self.own(source, &at, rtype) {
                super::edit::is_unlocked(&owner, &Arc::clone(held))?;
            }
            self.take_away(source, at, owner, rtype, edited);
        }
        self.deleted.insert(key);
        Ok(Written {
            owner: apex,
            rrset: None,
            created: false,
            changed: true,
        })
    }

    /// Whose the zone is: the source that declares it, or that has its SOA record.
    fn zone_origin(&self, apex: &Name) -> Option<Origin> {
        let key = apex.key();
        let soa = self.soa_at(&key).map(|soa| soa.origin.clone());
        let mut layers = self.layers.in_order();
        let declared = layers.find(|(_, layer)| layer.zones.contains_key(&key));
        match declared {
            Some((source, _)) => Some(
                soa.filter(|soa| soa.source() == source)
                    .unwrap_or(Origin::of(source.clone())),
            ),
            None => soa,
        }
    }
}
