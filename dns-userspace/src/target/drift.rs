//! What differs between a target and what we wrote there, though we did not make it so. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::plan::{Held, RecordId, Wish};

/// A kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DriftKind {
    /// Another value at a name and type of ours.
    UnexpectedIp,
    /// A record with our mark that nothing asks for.
    UnexpectedRecord,
    /// A record of ours is gone.
    MissingRecord,
}

/// A difference that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drift {
    pub(super) kind: DriftKind,
    pub(super) since: SystemTime,
    /// What was wanted when it was found.
    wish: Option<Wish>,
}

impl DriftKind {
    /// The value of the metric's label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::UnexpectedIp => "unexpected_ip",
            Self::UnexpectedRecord => "unexpected_record",
            Self::MissingRecord => "missing_record",
        }
    }
}

/// Differences that are new. `before`: what the zones had by our knowledge; `held`: what they have.
pub(super) fn find(
    before: &BTreeMap<RecordId, Held>,
    held: &BTreeMap<RecordId, Held>,
    wishes: &BTreeMap<RecordId, Wish>,
    mark: &str,
) -> BTreeMap<RecordId, Drift> {
    let mut found = BTreeMap::new();
    let mut note = |id: &RecordId, kind| {
        let drift = Drift {
            kind,
            since: SystemTime::now(),
            wish: wishes.get(id).cloned(),
        };
        found.insert(id.clone(), drift);
    };
    let is_ours = |held: &Held| held.comment.starts_with(mark);
    for id in wishes.keys() {
        if !held.contains_key(id) && before.get(id).is_some_and(is_ours) {
            note(id, DriftKind::MissingRecord);
        }
    }
    let wanted: BTreeSet<_> = wishes.keys().map(|id| (&id.owner, id.rtype)).collect();
    for (id, record) in held {
        if wishes.contains_key(id) || before.contains_key(id) || record.is_adopted {
            continue;
        }
        match wanted.contains(&(&id.owner, id.rtype)) {
            true => note(id, DriftKind::UnexpectedIp),
            false if is_ours(record) => note(id, DriftKind::UnexpectedRecord),
            false => {}
        }
    }
    found
}

/// Forgets differences that are none any more: made good by somebody, or what is wanted is something else now.
pub(super) fn forget(
    drift: &mut BTreeMap<RecordId, Drift>,
    held: &BTreeMap<RecordId, Held>,
    wishes: &BTreeMap<RecordId, Wish>,
) {
    drift.retain(|id, drift| match drift.kind {
        DriftKind::MissingRecord => !held.contains_key(id) && wishes.get(id) == drift.wish.as_ref(),
        DriftKind::UnexpectedIp | DriftKind::UnexpectedRecord => held.contains_key(id) && !wishes.contains_key(id),
    });
}
