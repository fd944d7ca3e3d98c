//! What a dry run shows: a target's records as they are, and as they would be, as a unified diff.

use std::collections::BTreeMap;

use similar::TextDiff;

use super::plan::{Change, Held, RecordId};

/// The diff of a target's records. Each line is `owner TTL type value`, in canonical order.
pub(super) fn diff(key: &str, held: &BTreeMap<RecordId, Held>, changes: &[(RecordId, Change)]) -> String {
    let before: BTreeMap<&RecordId, u32> = held.iter().map(|(id, held)| (id, held.ttl)).collect();
    let mut after = before.clone();
    for (id, change) in changes {
        match change {
            Change::Add(wish) | Change::Update(wish) => drop(after.insert(id, wish.ttl)),
            Change::Delete(_) => drop(after.remove(id)),
        }
    }
    texts(key, &text(&before), &text(&after))
}

/// The diff of two texts.
pub(super) fn texts(key: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut diff = diff.unified_diff();
    diff.context_radius(3)
        .header(key, &format!("{key} (wanted)"))
        .to_string()
}

fn text(records: &BTreeMap<&RecordId, u32>) -> String {
    let lines = records.iter().map(|(id, ttl)| {
        let RecordId { rtype, value, .. } = id;
        format!("{} {ttl} {rtype} {value}\n", id.hostname())
    });
    lines.collect()
}
