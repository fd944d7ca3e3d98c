//! Zones whose records are in a file that edits change (`store: file`): the file is the truth, and the API a way to it.
//!
//! Such a zone is declared by the zone files like every other one. An edit of the API at a name in it is one of the
//! zone file's layer. What the API had there before is the API's still, until it is deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::{At, Draft, Written};
use super::edit::{Edit, EditRules, Edited, ZoneRecord};
use super::layers::{DeclaredZone, Layers, Nodes, keys_below};
use super::merge::{home_given, is_zone};
use super::{Change, EditedRrset, Refusal, StoredZone, ZoneOfFile};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Rdata, RecordType, RrSet};
use crate::model::source::{Origin, SourceId};
use crate::model::views::ViewName;

impl Layers {
    /// Whether edits may change zone files.
    pub(super) fn writes_files(&self) -> bool {
        self.makes_files || !self.stored.is_empty()
    }

    /// These are the zones whose files edits change.
    pub(super) fn store_in_files(&mut self, zones: Vec<StoredZone>) {
        // One that was made since the files were looked at is not in their list yet.
        let declared = self
            .by_source
            .get(&SourceId::zone_files())
            .map(|layer| layer.zones.clone());
        let declared = declared.unwrap_or_default();
        let made = self
            .stored
            .iter()
            .filter(|(apex, in_folder)| **in_folder && declared.contains_key(*apex));
        let made: Vec<(NameKey, bool)> = made.map(|(apex, in_folder)| (apex.clone(), *in_folder)).collect();
        let zones = zones.into_iter().map(|zone| (zone.apex.key(), zone.is_in_folder));
        self.stored = made.into_iter().chain(zones).collect();
    }

    /// The zone in whose file an edit of this source is.
    pub(super) fn file_for(
        &self,
        source: &SourceId,
        view: Option<&ViewName>,
        key: &NameKey,
        rtype: RecordType,
    ) -> Option<NameKey> {
        let is_of_files = *source == SourceId::zone_files() && view.is_none();
        is_of_files.then(|| self.stored_home(key, rtype)).flatten()
    }

    /// The zone that a name is in, where edits change its file.
    pub(super) fn stored_home(&self, key: &NameKey, rtype: RecordType) -> Option<NameKey> {
        if self.stored.is_empty() {
            return None;
        }
        let apex = home_given(&|apex: &[u8]| is_zone(self, apex), key, rtype)?;
        let (apex, _) = self.stored.get_key_value(apex)?;
        let layer = self.by_source.get(&SourceId::zone_files())?;
        layer.zones.contains_key(apex).then(|| apex.clone())
    }

    /// Changes the content of a zone.
    pub(super) fn put_in_file(&mut self, apex: &NameKey, change: impl FnOnce(&mut Nodes)) {
        let Some(layer) = self.by_source.get_mut(&SourceId::zone_files()) else {
            return;
        };
        let Some(zone) = layer.zones.get(apex) else { return };
        let Ok(mut nodes) = zone.content.clone() else { return };
        change(&mut nodes);
        let zone = DeclaredZone {
            apex: zone.apex.clone(),
            content: Ok(nodes),
        };
        layer.zones.insert(apex.clone(), Arc::new(zone));
    }

    /// What a source has at a name: among its records, or in the file of a zone.
    pub(super) fn own_nodes(
        &self,
        source: &SourceId,
        view: Option<&ViewName>,
        key: &NameKey,
        rtype: RecordType,
    ) -> Option<&Nodes> {
        let layer = self.by_source.get(source)?;
        match self.file_for(source, view, key, rtype) {
            Some(apex) => layer.zones.get(&apex)?.content.as_ref().ok(),
            None => layer.records_in(view),
        }
    }
}

impl Draft<'_> {
    /// Whose layer an edit of `source` changes.
    pub(super) fn holder(&self, source: &SourceId, edit: &Edit) -> Result<SourceId, Refusal> {
        if *source != SourceId::api() {
            return Ok(source.clone());
        }
        let (at, rtype) = match edit {
            Edit::CreateZone { apex, .. } => {
                let is_zone = is_zone(&self.layers, apex.key().as_bytes());
                return Ok(self.file_or(source, self.layers.makes_files && !is_zone));
            }
            Edit::DeleteZone { apex } => return Ok(self.file_or(source, self.is_of_file(&apex.key()))),
            Edit::AddValues { rtype, .. }
            | Edit::Put { rtype, .. }
            | Edit::Upsert { rtype, .. }
            | Edit::RemoveValues { rtype, .. } => (edit.at(), Some(*rtype)),
            Edit::Delete { rtype, .. } => (edit.at(), *rtype),
            Edit::Set { .. } | Edit::Unset { .. } | Edit::SetAll(_) | Edit::Apply(_) => return Ok(source.clone()),
        };
        let Some(at) = at.filter(|at| at.view.is_none()) else {
            return Ok(source.clone());
        };
        let Some(apex) = self.layers.stored_home(&at.key, rtype.unwrap_or(RecordType::A)) else {
            return Ok(source.clone());
        };
        let is_the_apis = match rtype {
            Some(rtype) => self.own(source, &at, rtype).is_some(),
            None => !self.all_own(source, &at).is_empty(),
        };
        if is_the_apis {
            return Ok(source.clone());
        }
        let layer = self.layers.by_source.get(&SourceId::zone_files());
        let zone = layer.and_then(|layer| layer.zones.get(&apex));
        if let Some(zone) = zone
            && let Err(reason) = &zone.content
        {
            return Err(Refusal::ZoneFileBroken {
                apex: zone.apex.clone(),
                error: reason.to_string(),
            });
        }
        Ok(SourceId::zone_files())
    }

    /// Whether an edit of this set changes a zone file.
    pub fn touches_files(&self, set: &super::ChangeSet) -> bool {
        let mut edits = set.edits.iter();
        edits.any(|edit| {
            self.holder(&set.source, edit)
                .is_ok_and(|holder| holder == SourceId::zone_files())
        })
    }

    fn file_or(&self, source: &SourceId, is_of_file: bool) -> SourceId {
        match is_of_file {
            true => SourceId::zone_files(),
            false => source.clone(),
        }
    }

    fn is_of_file(&self, apex: &NameKey) -> bool {
        let layer = self.layers.by_source.get(&SourceId::zone_files());
        self.layers.stored.get(apex) == Some(&true) && layer.is_some_and(|layer| layer.zones.contains_key(apex))
    }

    /// Makes a zone that becomes a file. Its records are put one by one, by the rules of all edits.
    pub(super) fn create_zone_in_file(
        &mut self,
        apex: Name,
        records: Vec<ZoneRecord>,
        rules: &EditRules,
        edited: &mut Edited,
    ) -> Result<Written, Refusal> {
        let source = SourceId::zone_files();
        let key = apex.key();
        self.layers.stored.insert(key.clone(), true);
        self.change(Change::PutZone {
            source: source.clone(),
            apex: apex.clone(),
            content: Ok(Vec::new()),
        });
        for record in records {
            if !record.owner.is_at_or_below(&apex) {
                return Err(Refusal::OutOfZone {
                    owner: record.owner,
                    apex,
                });
            }
            self.put_record(&source, record, rules, edited)?;
        }
        let at = At { view: None, key };
        let soa = self.own(&source, &at, RecordType::SOA).cloned();
        Ok(Written {
            owner: apex.clone(),
            rrset: Some(soa.ok_or(Refusal::NoSoa(apex))?),
            created: true,
            changed: true,
        })
    }

    /// Deletes a zone of the folder of zones, with what the API has in it.
    pub(super) fn delete_zone_of_file(&mut self, apex: Name, edited: &mut Edited) -> Written {
        let (source, key) = (SourceId::zone_files(), apex.key());
        let mut gone = Vec::new();
        if let Some(layer) = self.layers.by_source.get(&source)
            && let Some(zone) = layer.zones.get(&key)
            && let Ok(nodes) = &zone.content
        {
            gone.extend(rrsets_at(nodes, &key, &source));
        }
        if let Some(layer) = self.layers.by_source.get(&SourceId::api()) {
            let is_here = |at: &NameKey, rtype| {
                home_given(&|apex: &[u8]| is_zone(&self.layers, apex), at, rtype) == Some(key.as_bytes())
            };
            let of_api = rrsets_at(&layer.records, &key, &SourceId::api());
            gone.extend(of_api.into_iter().filter(|(_, at, rtype, _)| is_here(&at.key, *rtype)));
        }
        for (source, at, rtype, owner) in gone {
            self.take_away(&source, at, owner, rtype, edited);
        }
        self.change(Change::DropZone {
            source,
            apex: apex.clone(),
        });
        self.layers.stored.remove(&key);
        self.deleted.insert(key);
        Written {
            owner: apex,
            rrset: None,
            created: false,
            changed: true,
        }
    }

    /// An error where a set changes more than one file, or something else besides: they could not be written as one.
    /// Zones that it changed get another serial, so that other servers of the file see the change.
    pub(super) fn finish_files(&mut self, edited: &Edited) -> Result<(), Refusal> {
        let files = SourceId::zone_files();
        let of_files = edited.iter().filter(|(source, ..)| *source == files);
        let apexes: BTreeSet<NameKey> = of_files
            .clone()
            .filter_map(|(_, at, rtype, _)| {
                let now = self.layers.stored_home(&at.key, *rtype);
                now.or_else(|| self.deleted.iter().find(|apex| at.key.is_at_or_below(apex)).cloned())
            })
            .collect();
        let Some(apex) = apexes.first() else { return Ok(()) };
        let has_others = edited
            .iter()
            .any(|(source, at, ..)| *source != files && !self.is_deleted(&at.key));
        if apexes.len() > 1 || has_others {
            return Err(Refusal::OneZoneFile(apex.to_name()));
        }
        let is_soa =
            |(_, at, rtype, _): &&(SourceId, At, RecordType, Name)| *rtype == RecordType::SOA && at.key == *apex;
        if of_files.clone().any(|edited| is_soa(&edited)) {
            return Ok(());
        }
        let at = At {
            view: None,
            key: apex.clone(),
        };
        if let Some(soa) = self.own(&files, &at, RecordType::SOA).cloned() {
            let rrset = self.with_next_serial(apex, &soa);
            self.change(Change::Put {
                source: files,
                view: None,
                owner: apex.to_name(),
                rrset: Arc::new(rrset),
            });
        }
        Ok(())
    }

    fn is_deleted(&self, key: &NameKey) -> bool {
        self.deleted.iter().any(|apex| key.is_at_or_below(apex))
    }

    fn with_next_serial(&self, apex: &NameKey, soa: &RrSet) -> RrSet {
        let own = soa.rdatas.first().and_then(rdata::serial).unwrap_or_default();
        let served = self.served_serial(apex).unwrap_or(own);
        // RFC 1982 §3.2.
        let is_later = (1..1 << 31).contains(&served.wrapping_sub(own));
        let next = if is_later { served } else { own }.wrapping_add(1);
        let values = soa.rdatas.iter().map(|value| {
            let mut value = value.to_vec();
            rdata::set_serial(&mut value, next);
            Rdata::from(&value[..])
        });
        self.stamped(RrSet {
            rdatas: values.collect(),
            ..soa.clone()
        })
    }

    /// The origin of an RRset that comes into a zone file: that of its SOA record.
    pub(super) fn origin_in_file(&self, key: &NameKey, rtype: RecordType) -> Origin {
        let files = SourceId::zone_files();
        let soa = self.layers.stored_home(key, rtype).and_then(|apex| {
            let at = At { view: None, key: apex };
            Some(self.own(&files, &at, RecordType::SOA)?.origin.clone())
        });
        soa.unwrap_or_else(|| Origin::of(files))
    }
}

/// The RRsets of these nodes at or below `key`.
fn rrsets_at(nodes: &Nodes, key: &NameKey, source: &SourceId) -> Vec<(SourceId, At, RecordType, Name)> {
    let keys = keys_below(nodes, key);
    let each = keys.flat_map(|at| {
        let node = &nodes[at];
        node.rrsets.iter().map(move |rrset| {
            let here = At {
                view: None,
                key: at.clone(),
            };
            (source.clone(), here, rrset.rtype, node.owner(at))
        })
    });
    each.collect()
}

/// The zones of files that differ between two states of the layers, where these RRsets were edited.
pub(super) fn zones_of_files(before: &Layers, after: &Layers, edited: &[EditedRrset]) -> Vec<ZoneOfFile> {
    let files = SourceId::zone_files();
    let of_files = edited.iter().filter(|edited| edited.source == files);
    let apexes: BTreeSet<NameKey> = of_files
        .filter_map(|edited| {
            let home = |layers: &Layers| layers.stored_home(&edited.owner.key(), edited.rtype);
            home(after).or_else(|| home(before))
        })
        .collect();
    let zone = |layers: &Layers, apex: &NameKey| layers.by_source.get(&files)?.zones.get(apex).cloned();
    let rrsets = |zone: &DeclaredZone| {
        let nodes = zone.content.as_ref().ok()?.iter();
        let each = nodes.flat_map(|(key, node)| node.rrsets.iter().map(|rrset| (node.owner(key), Arc::clone(rrset))));
        Some(each.collect::<Vec<_>>())
    };
    let zones = apexes.iter().filter_map(|key| {
        let (old, new) = (zone(before, key), zone(after, key));
        Some(ZoneOfFile {
            apex: new.as_ref().or(old.as_ref())?.apex.clone(),
            before: old.and_then(|zone| rrsets(&zone)),
            after: new.and_then(|zone| rrsets(&zone)),
        })
    });
    zones.collect()
}
