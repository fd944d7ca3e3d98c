//! What a transaction does, within etcd's limits on its shape.

use serde_json::{Value, json};

use super::client::base64;
use super::layout::{Layout, StoredZone, end_of_rrset, write_rrset};
use crate::journal::shared::{Mark, SharedChange, SharedZone};
use crate::journal::{Entry, ServedSerial};
use crate::model::name::Name;
use crate::model::source::SourceId;

/// Operations of one level of a transaction. etcd takes 128 (`--max-txn-ops`) by default, and takes those of each
/// level from what the levels below it may have.
const FLAT: usize = 120;
const OF_TWO_LEVELS: usize = 60;
const OF_THREE_LEVELS: usize = 40;

/// Puts and deletes.
#[derive(Debug, Default)]
pub(super) struct Operations(Vec<Value>);

impl Operations {
    pub(super) fn put(&mut self, key: &str, value: &str) {
        self.0
            .push(json!({"request_put": {"key": base64(key), "value": base64(value)}}));
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.0.push(json!({"request_delete_range": {"key": base64(key)}}));
    }

    pub(super) fn put_rrset(&mut self, layout: &Layout, change: &SharedChange) {
        let key = layout.rrset(&end_of_rrset(change.view.as_ref(), &change.owner, change.rtype));
        match &change.rrset {
            Some(rrset) => self.put(&key, &write_rrset(&change.owner, rrset)),
            None => self.delete(&key),
        }
    }

    pub(super) fn put_zone(&mut self, layout: &Layout, zone: &SharedZone) {
        let stored = StoredZone {
            serial: zone.serial,
            version: zone.version,
        };
        let value = serde_json::to_string(&stored).unwrap_or_default();
        self.put(&layout.zone(&zone.apex), &value);
    }

    /// In pieces of so many.
    pub(super) fn into_pieces(self, size: usize) -> Vec<Vec<Value>> {
        self.0.chunks(size).map(<[Value]>::to_vec).collect()
    }

    /// The request that makes all of them and writes `head`, if that is as it is known.
    pub(super) fn transaction(&self, layout: &Layout, known: &Mark, head: &str) -> Value {
        let key = base64(layout.head());
        let mut success = nested(self.0.clone());
        success.push(json!({"request_put": {"key": key, "value": base64(head)}}));
        json!({
            "compare": [
                {"target": "MOD", "result": "EQUAL", "key": key, "mod_revision": known.revision.to_string()},
                {"target": "VALUE", "result": "EQUAL", "key": key, "value": base64(&known.head)},
            ],
            "success": success,
        })
    }
}

/// The operations of a change that is kept.
pub(super) fn of_entries(layout: &Layout, entries: &[Entry], serials: &[ServedSerial]) -> Operations {
    let mut operations = Operations::default();
    let api = SourceId::api();
    for entry in entries {
        match entry {
            Entry::Put(view, owner, rrset) if *rrset.origin.source() == api => {
                let change = SharedChange {
                    view: view.clone(),
                    owner: owner.clone(),
                    rtype: rrset.rtype,
                    rrset: Some(rrset.clone()),
                };
                operations.put_rrset(layout, &change);
            }
            Entry::Delete(source, view, key, rtype) if *source == api => {
                let owner = Name::from_key(key.as_bytes());
                operations.delete(&layout.rrset(&end_of_rrset(view.as_ref(), &owner, *rtype)));
            }
            _ => {}
        }
    }
    for served in serials {
        let zone = SharedZone {
            apex: served.apex.clone(),
            serial: served.serial,
            version: served.version,
        };
        operations.put_zone(layout, &zone);
    }
    operations
}

/// Operations in transactions within transactions, where they are too many for one.
fn nested(operations: Vec<Value>) -> Vec<Value> {
    let within = |operations: Vec<Value>, size: usize| -> Vec<Value> {
        let pieces = operations.chunks(size);
        pieces.map(|piece| json!({"request_txn": {"success": piece}})).collect()
    };
    match operations.len() {
        0..=FLAT => operations,
        count if count <= OF_TWO_LEVELS * OF_TWO_LEVELS => within(operations, OF_TWO_LEVELS),
        _ => within(within(operations, OF_THREE_LEVELS), OF_THREE_LEVELS),
    }
}
