//! A journal that several nodes write to: what others have changed is served here, and a change that is made here is
//! made on top of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::ControlError;
use super::past::{Made, PastKind, encode};
use super::publication::Cause;
use super::writer::{Writer, entries_of};
use crate::journal::{
    Entry, Mark, News, SetNote, Shared, SharedChange, SharedZone, Step, Stored, Take, Whole, Why, WriteError,
};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::source::SourceId;
use crate::model::views::ViewName;
use crate::store::{Followed, Plan, next_shared};

/// How long a change waits for what other nodes have changed before it.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

impl Writer {
    pub(super) fn shared(&mut self) -> Option<&mut dyn Shared> {
        self.parts.journal.shared()
    }

    /// Serves what others have changed, as far as that is known.
    pub(super) fn take_news(&mut self) {
        while let Some(news) = self.shared().and_then(|shared| shared.news(Duration::ZERO)) {
            self.hear(news);
        }
    }

    /// Waits until something is known of what others have changed; false where nothing comes until then.
    pub(super) fn wait_for_news(&mut self, until: Instant) -> bool {
        let patience = until.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return false;
        }
        let Some(news) = self.shared().and_then(|shared| shared.news(patience)) else {
            return false;
        };
        self.hear(news);
        self.take_news();
        true
    }

    /// Whether what is known here is all there is: an error where it is not, or where nobody can say.
    pub(super) fn is_current(&mut self) -> Result<(), WriteError> {
        self.shared().map_or(Ok(()), |shared| shared.is_current())
    }

    /// What this node's own database holds, where it could not be read before: all but the API's records.
    pub(super) fn take_held(&mut self) {
        if self.awaiting.is_some() {
            return;
        }
        if let Some(held) = self.shared().and_then(|shared| shared.held()) {
            let api = self.store.records_of(&SourceId::api());
            let rrsets = api.flat_map(|(view, key, node)| {
                let one = move |rrset: &Arc<RrSet>| (view.cloned(), node.owner(key), RrSet::clone(rrset));
                node.rrsets.iter().map(one)
            });
            let rrsets = rrsets.collect();
            self.merge(Stored { rrsets, ..held });
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Resumed => {}
            News::Empty => self.hear_of_nothing(),
            News::Step(step) => self.hear_of_step(step),
            News::Whole(whole) => self.hear_of_whole(whole),
        }
        self.tell();
    }

    /// etcd is empty: what is served here is put into it, unless it was not empty before.
    fn hear_of_nothing(&mut self) {
        if let Some(initial) = self.awaiting.take() {
            let held = self.shared().and_then(|shared| shared.held());
            self.begin(initial, held.unwrap_or_default());
        }
        let records = self.store.records_of(&SourceId::api()).count();
        let Some(shared) = self.shared() else { return };
        if shared.was_in_step() && records > 0 && shared.said() != Some(Take::Node) {
            shared.doubt(format!(
                "it is empty, and {records} names were in it. Restore it, or run `hotdns nodes accept node` to write \
                 what this node has into it"
            ));
            return;
        }
        self.fill();
    }

    /// Writes what is served here in the place of all that etcd has.
    fn fill(&mut self) {
        let rrsets: Vec<SharedChange> = self
            .store
            .records_of(&SourceId::api())
            .flat_map(|(view, key, node)| {
                node.rrsets.iter().map(move |rrset| SharedChange {
                    view: view.cloned(),
                    owner: node.owner(key),
                    rtype: rrset.rtype,
                    rrset: Some(rrset.clone()),
                })
            })
            .collect();
        let snapshot = self.store.snapshot();
        let serials = snapshot.zones.iter().filter_map(|(key, zone)| {
            Some(SharedZone {
                apex: zone.apex.clone(),
                serial: snapshot.serial(key)?,
                version: snapshot.version_of_zone(key)?,
            })
        });
        let zones: Vec<SharedZone> = serials.collect();
        let version = next_shared(self.store.version());
        let Some(shared) = self.shared() else { return };
        match shared.fill(&rrsets, &zones, version) {
            Ok(()) => {
                self.store.go_on_from(version);
                if let Some(shared) = self.shared() {
                    shared.served();
                }
                info!("{} RRsets of this node were written into etcd", rrsets.len());
            }
            // What the other node writes comes as news.
            Err(WriteError::Behind) => info!("another node writes what it has into etcd"),
            Err(error) => warn!("what this node has could not be written into etcd: {error}"),
        }
    }

    /// Another node's transaction, or an own one that is known.
    fn hear_of_step(&mut self, step: Step) {
        let Step { sets, zones, mark } = step;
        let is_doubted = self.parts.journal.trouble().is_some_and(|trouble| trouble.is_doubt());
        if is_doubted || self.awaiting.is_some() || !self.shared().is_some_and(|shared| shared.is_new(&mark)) {
            return;
        }
        let source = SourceId::api();
        let mut draft = self.store.draft();
        let mut made = Vec::with_capacity(sets.len());
        for set in sets {
            draft.follow(&source, set.version, set.changes.into_iter().map(followed).collect());
            made.push(Made {
                cause: Cause {
                    source: source.clone(),
                    actor: set.actor,
                },
                version: draft.version(),
                comment: set.comment,
                kind: PastKind::Edits,
            });
        }
        let plan = draft.finish();
        self.serve_followed(plan, &made, zones, &mark, false);
        self.store.go_on_from(mark.version);
    }

    /// All that etcd has.
    fn hear_of_whole(&mut self, whole: Whole) {
        let Some(shared) = self.shared() else { return };
        let said = shared.said();
        let (is_new, is_known) = (shared.is_new(&whole.mark), shared.is_known(&whole.mark));
        let was_in_step = shared.was_in_step();
        if said == Some(Take::Node) {
            self.fill();
            return;
        }
        if let Some(initial) = self.awaiting.take() {
            // The first state has what etcd has, from its first query on.
            self.note_zones(&whole.zones);
            // Of this node's own database: its serials, and what watched sources said.
            let held = self.shared().and_then(|shared| shared.held()).unwrap_or_default();
            let stored = Stored {
                rrsets: whole.rrsets.iter().filter_map(as_stored).collect(),
                version: whole.mark.version.max(held.version),
                ..held
            };
            self.begin(initial, stored);
            self.serials.shared.clear();
            self.keep_whole(&whole);
            return;
        }
        // A list that was asked for may be older than a change that was made since.
        if is_known || (whole.why == Why::Again && !is_new) {
            return;
        }
        let may_be_another = !was_in_step || matches!(whole.why, Why::First | Why::Restored);
        let is_guarded = may_be_another && said != Some(Take::Etcd);
        let guard = self.parts.guard;
        let changes: Vec<Followed> = whole.rrsets.iter().cloned().map(followed).collect();
        let mut draft = self.store.draft();
        let followed = draft.follow_whole(
            &SourceId::api(),
            whole.mark.version,
            changes,
            is_guarded.then_some(&guard),
        );
        if let Err(removed) = followed {
            let reason = format!(
                "{} of the {} RRsets of this node are not in it. Restore it, or run `hotdns nodes accept etcd` to take \
                 what it holds, or `hotdns nodes accept node` to write what this node has in its place",
                removed.removed, removed.records
            );
            error!("etcd holds something else than this node: {reason}");
            if let Some(shared) = self.shared() {
                shared.doubt(reason);
            }
            return;
        }
        let comment = match whole.why {
            Why::First => "this node has joined",
            Why::Compacted => "what this node has missed was compacted",
            Why::Restored => "etcd was restored from another state",
            Why::Meant => "another node has written everything anew",
            Why::Again => "everything was read anew",
        };
        let made = Made {
            cause: Cause {
                source: SourceId::api(),
                actor: "etcd".into(),
            },
            version: draft.version(),
            comment: Some(comment.into()),
            kind: PastKind::Edits,
        };
        let known = self.store.version();
        let plan = draft.finish();
        let mark = whole.mark.clone();
        self.serve_followed(plan, &[made], whole.zones, &mark, true);
        self.store.go_on_from(mark.version);
        self.list_disabled();
        if whole.why == Why::Restored {
            error!("what etcd holds is served now: changes that were made after its backup are gone");
        }
        // No version is given twice.
        if was_in_step && known > mark.version {
            self.raise_versions(next_shared(known));
        }
    }

    fn raise_versions(&mut self, version: u64) {
        let raised = self.shared().map(|shared| shared.raise(version));
        match raised {
            Some(Ok(())) => {
                self.store.go_on_from(version);
                if let Some(shared) = self.shared() {
                    shared.served();
                }
            }
            // Whoever was faster has raised them.
            Some(Err(WriteError::Behind)) | None => {}
            Some(Err(error)) => warn!("etcd's versions could not be raised above {version}: {error}"),
        }
    }

    fn serve_followed(&mut self, mut plan: Plan, made: &[Made], zones: Vec<SharedZone>, mark: &Mark, is_whole: bool) {
        self.note_zones(&zones);
        let publication = self.prepare(&mut plan, made);
        self.serials.shared.clear();
        let mut entries = match is_whole {
            true => self.all_of(&plan),
            false => entries_of(&publication.edited),
        };
        entries.extend(encode(&publication.past).map(Entry::History));
        if let Some(shared) = self.shared() {
            shared.take(&entries, &publication.unsaved, mark);
        }
        let is_saved = self.parts.journal.unavailable().is_none();
        self.note_change(&SourceId::api(), None);
        self.publish(&plan, publication, is_saved);
    }

    /// Keeps here what the first state was made from.
    fn keep_whole(&mut self, whole: &Whole) {
        let api = SourceId::api();
        let mut entries = vec![Entry::Forget(api.key())];
        entries.extend(whole.rrsets.iter().filter_map(|change| {
            let rrset = change.rrset.clone()?;
            Some(Entry::Put(change.view.clone(), change.owner.clone(), rrset))
        }));
        if let Some(shared) = self.shared() {
            shared.take(&entries, &[], &whole.mark);
            shared.served();
        }
    }

    /// Everything that the API has with a plan.
    fn all_of(&self, plan: &Plan) -> Vec<Entry> {
        let api = SourceId::api();
        let mut all = vec![Entry::Forget(api.key())];
        let puts = plan.records_of(&api);
        all.extend(puts.map(|(view, owner, rrset)| Entry::Put(view, owner, rrset)));
        all
    }

    fn note_zones(&mut self, zones: &[SharedZone]) {
        self.serials.shared = zones.iter().map(|zone| (zone.apex.key(), zone.clone())).collect();
    }
}

fn as_stored(change: &SharedChange) -> Option<(Option<ViewName>, Name, RrSet)> {
    let rrset = change.rrset.as_ref()?;
    Some((change.view.clone(), change.owner.clone(), RrSet::clone(rrset)))
}

fn followed(change: SharedChange) -> Followed {
    Followed {
        view: change.view,
        owner: change.owner,
        rtype: change.rtype,
        rrset: change.rrset,
    }
}

/// What other nodes are told of the sets of a transaction.
pub(super) fn notes_of(made: &[Made], plan: &Plan) -> Vec<Entry> {
    let deletions = |version: u64| -> Vec<(Option<ViewName>, Name, RecordType)> {
        let applied = plan.applied.iter().filter(|applied| applied.version == version);
        let edited = applied
            .flat_map(|applied| &applied.edited)
            .filter(|edited| edited.after.is_none());
        edited
            .map(|edited| (edited.view.clone(), edited.owner.clone(), edited.rtype))
            .collect()
    };
    let last = made.last().map(|made| made.version);
    let notes = made.iter().map(|made| {
        Entry::Set(SetNote {
            version: made.version,
            actor: Arc::clone(&made.cause.actor),
            comment: made.comment.clone(),
            // Those of the last set need no list: they are all that no other set names.
            deleted: if Some(made.version) == last {
                Vec::new()
            } else {
                deletions(made.version)
            },
        })
    });
    notes.collect()
}

/// What a client is told of a write that was not made, or not surely.
pub(super) fn failure(error: WriteError) -> ControlError {
    match error {
        WriteError::Unavailable(reason) => ControlError::StorageLocked(reason),
        WriteError::Damaged(_) => ControlError::Internal(error.to_string()),
        WriteError::Away(reason) => ControlError::StorageUnavailable(reason),
        WriteError::Behind => ControlError::Overtaken,
        WriteError::TooLarge(reason) => ControlError::TooLarge(reason),
        WriteError::Unknown(reason) => ControlError::OutcomeUnknown(reason),
    }
}

/// Zones as other nodes serve them, by their apexes.
pub(super) type SharedZones = BTreeMap<NameKey, SharedZone>;
