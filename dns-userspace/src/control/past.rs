//! What change sets have changed, as the history keeps it and shows it.
//!
//! ```text
//! Applied, Made ─► Past, one for each set ─ encode ─► HistoryRow, one for each transaction ─ decode ─► Past
//! ```
//!
//! Sets that are made together are one row of the journal: a history costs one statement for each transaction, and
//! none for each change.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::differences;
use super::publication::Cause;
use crate::journal::HistoryRow;
use crate::model::name::{Name, NameKey};
use crate::model::record::{Handling, Keeping, Order, Rdatas, RecordType, RrSet, Wildcard};
use crate::model::snapshot::Snapshot;
use crate::model::source::Origin;
use crate::model::views::ViewName;
use crate::store::{Applied, Delta, EditedRrset};

/// What one change set has changed.
#[derive(Debug, Clone)]
pub struct Past {
    /// The version that it made.
    pub version: u64,
    /// When, in milliseconds of Unix time.
    pub time: u64,
    /// Who asked.
    pub actor: Arc<str>,
    /// Whose layer changed, by the key of the source.
    pub source: Arc<str>,
    /// The object of the source that asked for it, such as a file, where all is of one.
    pub object: Option<Arc<str>>,
    /// Why, in the words of who asked.
    pub comment: Option<Arc<str>>,
    /// What kind of change it was.
    pub kind: PastKind,
    /// The RRsets that differ, in the layer of the source; for a reload, in what is served.
    pub diff: Vec<Difference>,
    /// RRsets that are served differently because of that, and are not in `diff`: those of other sources, say, that are
    /// hidden now, or seen again.
    pub also: Vec<Difference>,
    /// Whether all of them are in `diff`: a change of very many RRsets says only that it was.
    pub is_whole: bool,
}

/// What kind of change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PastKind {
    /// Edits of RRsets.
    Edits,
    /// Files were read again.
    Reload,
    /// The server started.
    Start,
}

/// An RRset that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The view it is in; `None` is the default.
    pub view: Option<ViewName>,
    /// Its owner.
    pub owner: Name,
    /// Its type.
    pub rtype: RecordType,
    /// As it was, if it was.
    pub old: Option<Arc<RrSet>>,
    /// As it is, if it is.
    pub new: Option<Arc<RrSet>>,
    /// Whether it is served so. An RRset that another source hides, or that is disabled, is not.
    pub is_seen: bool,
}

impl From<&EditedRrset> for Difference {
    fn from(edited: &EditedRrset) -> Self {
        Self {
            view: edited.view.clone(),
            owner: edited.owner.clone(),
            rtype: edited.rtype,
            old: edited.before.clone(),
            new: edited.after.clone(),
            is_seen: true,
        }
    }
}

/// A set that was made, as the writer knows it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) cause: Cause,
    pub(super) version: u64,
    pub(super) comment: Option<Arc<str>>,
    pub(super) kind: PastKind,
}

impl Made {
    /// What the set has changed. `served` are the RRsets that are served differently, for a change that has no edits;
    /// `None` where these are too many.
    pub(super) fn past(&self, time: u64, applied: Option<&Applied>, served: Option<&[Difference]>) -> Past {
        let diff: Option<Vec<Difference>> = match (self.kind, applied) {
            (PastKind::Start, _) => Some(Vec::new()),
            (PastKind::Edits, Some(applied)) => Some(applied.edited.iter().map(Difference::from).collect()),
            _ => served.map(<[Difference]>::to_vec),
        };
        let is_whole = diff.is_some() && self.kind != PastKind::Start;
        let diff = diff.unwrap_or_default();
        let objects = diff
            .iter()
            .filter_map(|difference| difference.new.as_ref().or(difference.old.as_ref()));
        let mut objects = objects.map(|rrset| rrset.origin.object());
        let first = objects.next().flatten();
        let object = first.filter(|first| objects.all(|object| object == Some(first)));
        Past {
            version: self.version,
            time,
            actor: Arc::clone(&self.cause.actor),
            source: self.cause.source.key().into(),
            object: object.map(Into::into),
            comment: self.comment.clone(),
            kind: self.kind,
            diff,
            also: Vec::new(),
            is_whole,
        }
    }
}

/// Says of the RRsets that sets have edited whether they are served so, and what else is served differently. Where
/// nothing hides anything, as is usual, that costs one look-up for each.
pub(super) fn compare_with_served(past: &mut [Past], edited: &[EditedRrset], publication: &Seen<'_>) {
    let served = |snapshot: &Snapshot, view: Option<&ViewName>, key: &NameKey, rtype: RecordType| {
        let node = match view {
            None => snapshot.node(key),
            Some(view) => snapshot.view(view).and_then(|view| view.own.get(key)),
        };
        node.and_then(|node| node.rrset(rtype).cloned())
    };
    let hidden: HashSet<(Option<&ViewName>, NameKey, RecordType)> = edited
        .iter()
        .filter_map(|edited| {
            let (view, key) = (edited.view.as_ref(), edited.owner.key());
            let seen = |snapshot| served(snapshot, view, &key, edited.rtype);
            let is_seen = seen(publication.old) == edited.before && seen(publication.new) == edited.after;
            (!is_seen).then_some((view, key, edited.rtype))
        })
        .collect();
    if hidden.is_empty() && !publication.has_conflicts_changed {
        return;
    }
    for difference in past.iter_mut().flat_map(|past| &mut past.diff) {
        let place = (difference.view.as_ref(), difference.owner.key(), difference.rtype);
        difference.is_seen = !hidden.contains(&place);
    }
    let mut also = differences::between(publication.old, publication.new, publication.delta);
    let told: HashSet<(Option<ViewName>, NameKey, RecordType)> = past
        .iter()
        .flat_map(|past| &past.diff)
        .filter(|difference| difference.is_seen)
        .map(|difference| (difference.view.clone(), difference.owner.key(), difference.rtype))
        .collect();
    also.retain(|one| !told.contains(&(one.view.clone(), one.owner.key(), one.rtype)));
    if let Some(last) = past.last_mut() {
        last.also = also;
    }
}

/// What is served before and after.
pub(super) struct Seen<'a> {
    pub(super) old: &'a Snapshot,
    pub(super) new: &'a Snapshot,
    pub(super) delta: &'a Delta,
    pub(super) has_conflicts_changed: bool,
}

/// The sets of one transaction as a row; `None` where there is none.
pub(super) fn encode(past: &[Past]) -> Option<HistoryRow> {
    let (first, last) = (past.first()?, past.last()?);
    let kept: Vec<KeptPast<'_>> = past.iter().map(KeptPast::of).collect();
    Some(HistoryRow {
        first: first.version,
        last: last.version,
        time: last.time,
        changes: postcard::to_stdvec(&kept).expect("memory is all that it needs"),
    })
}

/// The sets of a row, in their order; nothing where it is not understood.
pub fn decode(row: &HistoryRow) -> Vec<Past> {
    let kept: Vec<KeptPast<'_>> = postcard::from_bytes(&row.changes).unwrap_or_default();
    kept.into_iter().filter_map(|kept| kept.read(row.time)).collect()
}

#[derive(Serialize, Deserialize)]
struct KeptPast<'a> {
    version: u64,
    actor: &'a str,
    source: &'a str,
    object: Option<&'a str>,
    comment: Option<&'a str>,
    kind: PastKind,
    is_whole: bool,
    #[serde(borrow)]
    diff: Vec<KeptDifference<'a>>,
    #[serde(borrow)]
    also: Vec<KeptDifference<'a>>,
}

#[derive(Serialize, Deserialize)]
struct KeptDifference<'a> {
    view: Option<&'a str>,
    owner: &'a [u8],
    rtype: u16,
    #[serde(borrow)]
    old: Option<KeptRrset<'a>>,
    #[serde(borrow)]
    new: Option<KeptRrset<'a>>,
    is_seen: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptRrset<'a> {
    ttl: u32,
    rdatas: &'a [u8],
    order: u8,
    weights: Vec<u16>,
    one_label: bool,
    locked: bool,
    disabled: bool,
    note: Option<&'a str>,
}

impl<'a> KeptPast<'a> {
    fn of(past: &'a Past) -> Self {
        Self {
            version: past.version,
            actor: &past.actor,
            source: &past.source,
            object: past.object.as_deref(),
            comment: past.comment.as_deref(),
            kind: past.kind,
            is_whole: past.is_whole,
            diff: past.diff.iter().map(KeptDifference::of).collect(),
            also: past.also.iter().map(KeptDifference::of).collect(),
        }
    }

    fn read(self, time: u64) -> Option<Past> {
        let diff = self.diff.into_iter().map(KeptDifference::read);
        let also = self.also.into_iter().map(KeptDifference::read);
        Some(Past {
            version: self.version,
            time,
            actor: self.actor.into(),
            source: self.source.into(),
            object: self.object.map(Into::into),
            comment: self.comment.map(Into::into),
            kind: self.kind,
            is_whole: self.is_whole,
            diff: diff.collect::<Option<_>>()?,
            also: also.collect::<Option<_>>()?,
        })
    }
}

impl<'a> KeptDifference<'a> {
    fn of(difference: &'a Difference) -> Self {
        Self {
            view: difference.view.as_deref(),
            owner: difference.owner.as_wire(),
            rtype: difference.rtype.0,
            old: difference.old.as_deref().map(KeptRrset::of),
            new: difference.new.as_deref().map(KeptRrset::of),
            is_seen: difference.is_seen,
        }
    }

    fn read(self) -> Option<Difference> {
        let rtype = RecordType(self.rtype);
        let read = |kept: Option<KeptRrset<'_>>| match kept {
            None => Some(None),
            Some(kept) => kept.read(rtype).map(|rrset| Some(Arc::new(rrset))),
        };
        Some(Difference {
            view: self.view.map(Into::into),
            owner: Name::from_wire(self.owner).ok()?,
            rtype,
            old: read(self.old)?,
            new: read(self.new)?,
            is_seen: self.is_seen,
        })
    }
}

impl<'a> KeptRrset<'a> {
    fn of(rrset: &'a RrSet) -> Self {
        let keeping = rrset.handling.keeping();
        Self {
            ttl: rrset.ttl,
            rdatas: rrset.rdatas.as_octets(),
            order: rrset.handling.order().kind(),
            weights: rrset.handling.order().weights().to_vec(),
            one_label: rrset.handling.wildcard() == Wildcard::OneLabel,
            locked: keeping.locked,
            disabled: keeping.disabled,
            note: keeping.note.as_deref(),
        }
    }

    fn read(self, rtype: RecordType) -> Option<RrSet> {
        let order = Order::from_word(Order::WORDS.get(usize::from(self.order))?, self.weights.into())?;
        let wildcard = if self.one_label {
            Wildcard::OneLabel
        } else {
            Wildcard::Rfc4592
        };
        let keeping = Keeping {
            locked: self.locked,
            disabled: self.disabled,
            note: self.note.map(Into::into),
        };
        Some(RrSet {
            rtype,
            ttl: self.ttl,
            rdatas: Rdatas::from_octets(self.rdatas)?,
            origin: Origin::api(),
            handling: Handling::new(order, wildcard).kept(keeping),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::SourceId;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let rrset = |last: u8, handling: Handling| {
            Arc::new(RrSet {
                rtype: RecordType::A,
                ttl: 60,
                rdatas: [[192, 0, 2, last], [192, 0, 2, 1]].into(),
                origin: Origin::api(),
                handling,
            })
        };
        let kept = Handling::new(Order::Weighted([7, 8].into()), Wildcard::OneLabel).kept(Keeping {
            locked: true,
            disabled: false,
            note: Some("as agreed".into()),
        });
        let difference = Difference {
            view: Some("office".into()),
            owner: "*.X.".parse().expect("a name"),
            rtype: RecordType::A,
            old: Some(rrset(2, Handling::default())),
            new: Some(rrset(3, kept)),
            is_seen: true,
        };
        let made = |version: u64, kind| Made {
            cause: Cause {
                source: SourceId::api(),
                actor: "somebody".into(),
            },
            version,
            comment: Some("for a test".into()),
            kind,
        };
        let served = std::slice::from_ref(&difference);
        let past = [
            made(7, PastKind::Reload).past(5, None, Some(served)),
            made(8, PastKind::Start).past(5, None, None),
        ];
        let row = encode(&past).expect("a row");
        assert_eq!((row.first, row.last, row.time), (7, 8, 5));
        let read = decode(&row);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].diff, [difference]);
        assert_eq!(
            (&*read[0].actor, read[0].comment.as_deref()),
            ("somebody", Some("for a test"))
        );
        assert!(read[0].is_whole && !read[1].is_whole && read[1].diff.is_empty());
        assert_eq!(read[0].source.as_ref(), "api");
        assert!(encode(&[]).is_none());
    }
}
