//! Writing everything anew: into an etcd that is empty, or in the place of what is doubted.
//!
//! It does not fit into one transaction. While it lasts `head` says that what is stored is incomplete, and the key
//! `filling`, on a lease, keeps other nodes from doing the same. The last transaction writes a `head` that says that
//! all is new, if nobody else has written one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{CallError, Client, Transacted, base64};
use super::layout::FORMAT;
use super::operations::Operations;
use super::{EtcdJournal, PATIENCE, WITHIN};
use crate::journal::WriteError;
use crate::journal::shared::{Mark, SharedChange, SharedZone};

/// Puts of one transaction.
const PIECE: usize = 100;
/// After this long without an end others may try.
const LEASE_SECS: u32 = 60;
const OF_PIECE: Duration = Duration::from_secs(10);

impl EtcdJournal {
    pub(super) fn write_anew(
        &self,
        rrsets: &[SharedChange],
        zones: &[SharedZone],
        version: u64,
    ) -> Result<Mark, WriteError> {
        let client = self.client(Instant::now() + PATIENCE)?;
        self.runtime
            .block_on(self.write_all(&client, rrsets, zones, version))
            .map_err(|error| match error {
                CallError::Compacted => WriteError::Behind,
                error => WriteError::Away(error.to_string()),
            })
    }

    async fn write_all(
        &self,
        client: &Client,
        rrsets: &[SharedChange],
        zones: &[SharedZone],
        version: u64,
    ) -> Result<Mark, CallError> {
        let layout = &self.line.layout;
        let (key, filling) = (base64(layout.head()), base64(layout.filling()));
        let known = client.range(layout.head().as_bytes(), None, (None, 1), WITHIN).await?;
        let known = known.kvs.first().map_or(0, |kv| kv.mod_revision);
        let lease: Value = client
            .call("lease/grant", &json!({"TTL": LEASE_SECS.to_string()}), WITHIN)
            .await?;
        let own = super::number();
        let mut head = self.head(version);
        head.incomplete = true;
        let begun: Transacted = client
            .call(
                "kv/txn",
                &json!({
                    "compare": [
                        {"target": "CREATE", "result": "EQUAL", "key": filling, "create_revision": "0"},
                        {"target": "MOD", "result": "EQUAL", "key": key, "mod_revision": known.to_string()},
                    ],
                    "success": [
                        {"request_put": {"key": filling, "value": base64(&own), "lease": lease["ID"]}},
                        {"request_put": {"key": key, "value": base64(text_of(&head))}},
                    ],
                }),
                WITHIN,
            )
            .await?;
        // Somebody else does it.
        if !begun.succeeded {
            return Err(CallError::Compacted);
        }
        let mine = json!({"target": "VALUE", "result": "EQUAL", "key": filling, "value": base64(&own)});
        let mut operations = Operations::default();
        rrsets.iter().for_each(|change| operations.put_rrset(layout, change));
        zones.iter().for_each(|zone| operations.put_zone(layout, zone));
        let clearing = ["rrsets/", "zones/"].map(|part| {
            let (start, end) = layout.part(part);
            json!({"request_delete_range": {"key": base64(start), "range_end": base64(end)}})
        });
        let pieces = std::iter::once(clearing.to_vec()).chain(operations.into_pieces(PIECE));
        for piece in pieces {
            let written: Transacted = client
                .call("kv/txn", &json!({"compare": [mine], "success": piece}), OF_PIECE)
                .await?;
            if !written.succeeded {
                return Err(CallError::Compacted);
            }
        }
        let mut head = self.head(version);
        (head.whole, head.format, head.needs) = (true, FORMAT, FORMAT);
        let text = text_of(&head);
        let ended: Transacted = client
            .call(
                "kv/txn",
                &json!({
                    "compare": [
                        mine,
                        {"target": "MOD", "result": "EQUAL", "key": key,
                            "mod_revision": begun.header.revision.to_string()},
                    ],
                    "success": [
                        {"request_put": {"key": key, "value": base64(&text)}},
                        {"request_delete_range": {"key": filling}},
                    ],
                }),
                WITHIN,
            )
            .await?;
        let _: Result<Value, _> = client.call("lease/revoke", &json!({"ID": lease["ID"]}), WITHIN).await;
        match ended.succeeded {
            true => Ok(Mark {
                revision: ended.header.revision,
                head: text,
                version,
            }),
            false => Err(CallError::Compacted),
        }
    }
}

fn text_of(head: &super::Head) -> String {
    serde_json::to_string(head).unwrap_or_default()
}
