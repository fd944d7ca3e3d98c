//! The writer's thread: groups of commands in, one transaction and one publication out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tracing::{Span, error, info, info_span, warn};

use super::files::FileBatch;
use super::history::History;
use super::past::{Made, Past, PastKind, Seen, compare_with_served, encode};
use super::publication::{Cause, Publication};
use super::record_counts::RecordCounts;
use super::serial::ServedSerials;
use super::shared;
use super::stage::Stage;
use super::{Command, ControlError, Kept, Observer, Outcome, Planes, Trial, differences, reload};
use crate::journal::{
    Entry, HistoryLimits, Journal, KeptLayer, KnownZoneFiles, NotWritten, Progress, StorageState, StorageStatus,
    Stored, WriteError, ZoneFiles, awaited,
};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::source::{Origin, SourceId};
use crate::model::views::ViewName;
use crate::store::{
    self, ChangeSet, ConflictChange, EditRules, EditedRrset, Guard, Plan, Refusal, Refused, Store, Terms, TtlRules,
    Written,
};

/// Commands in one transaction at most.
const GROUP: usize = 4096;
/// Conflicts of one change that are logged one by one.
const LOGGED_CONFLICTS: usize = 100;
/// After this long without a command the planes may clean up.
const QUIET: Duration = Duration::from_millis(200);
/// How often the database is looked at: whether it is still there, and where it cannot be used, whether it can be
/// again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this long the log says in its new words what is wrong with the database.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// RRsets of a change without edits, such as a reload, above which the history says only that it was made.
const MOST_DIFFERENCES: usize = 20_000;
/// How often the history is looked through for what is over its limits.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// What a writer works with.
pub(super) struct Parts {
    pub(super) observer: Arc<dyn Observer>,
    /// Whether nothing is served until the records in the database are read.
    pub(super) storage_required: bool,
    pub(super) journal: Box<dyn Journal>,
    /// How much history is kept.
    pub(super) limits: HistoryLimits,
    /// How much one change may remove.
    pub(super) guard: Guard,
    /// The watched sources that are configured.
    pub(super) sources: Vec<SourceId>,
    pub(super) planes: Box<dyn Planes>,
    /// What is done to each publication once its serials are decided.
    pub(super) stages: Vec<Box<dyn Stage>>,
    /// Told of the zone files that edits change.
    pub(super) zone_files: Arc<KnownZoneFiles>,
}

pub(super) struct Writer {
    pub(super) parts: Parts,
    pub(super) store: Store,
    pub(super) rules: TtlRules,
    pub(super) serials: ServedSerials,
    counts: RecordCounts,
    /// The zone files that edits change.
    pub(super) zone_files: ZoneFiles,
    /// How far the watches of sources are.
    progress: BTreeMap<SourceId, Progress>,
    /// Watched sources whose records the journal does not have as they are.
    unsaved: BTreeSet<SourceId>,
    /// Sources, by key, of which the journal has records and which are not configured.
    gone: Vec<String>,
    history: Arc<History>,
    /// How the database was when it was said last.
    told: Option<StorageStatus>,
    /// When the log said last how the database is.
    told_at: Instant,
    /// When the database was looked at last.
    last_look: Instant,
    /// What the files say, where that is not served before the records in the database are read.
    pub(super) awaiting: Option<FileBatch>,
    /// If no command comes until then the planes may clean up; `None`: they need not.
    rests_at: Option<Instant>,
    /// When the history is looked through next.
    prunes_at: Instant,
}

/// What to do where a write to the database fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Refuse the change.
    Required,
    /// Refuse the change, but go on without where there has been no database since start-up.
    WhereOpen,
}

type Reply = super::Reply<Result<Outcome, ControlError>>;

/// A command's result, to be sent once the group is through.
struct Verdict {
    reply: Reply,
    result: Result<Outcome, ControlError>,
    /// Whose change it is, for the metrics.
    source: SourceId,
    /// Whether it stands even if the group's transaction fails.
    stands: bool,
    /// What was asked, where it may have to be made again.
    kept: Option<(ChangeSet, Terms)>,
}

/// What became of change sets that were to be made together.
enum Attempt {
    /// Each client is told.
    Done,
    /// Another node has written meanwhile.
    Behind(Vec<(ChangeSet, Terms, Reply)>),
    /// Together they are more than can be written at once.
    TooLarge(Vec<(ChangeSet, Terms, Reply)>),
}

/// The span of one transaction: a part of the first one's who asked, which follows from all others'.
fn transaction<'a>(mut askers: impl Iterator<Item = &'a Span>) -> Span {
    let Some(first) = askers.next() else {
        return Span::none();
    };
    let span = info_span!(target: "otel", parent: first, "transaction");
    for other in askers {
        span.follows_from(other);
    }
    span
}

/// The sets of a group, to be made again.
fn again(verdicts: Vec<Verdict>) -> Vec<(ChangeSet, Terms, Reply)> {
    let sets = verdicts.into_iter().filter_map(|verdict| {
        let (set, terms) = verdict.kept?;
        Some((set, terms, verdict.reply))
    });
    sets.collect()
}

impl Writer {
    /// Publishes the first state, unless what the database holds has to be known first: `stored` is `None` where it
    /// could not be read.
    pub(super) fn start(parts: Parts, stored: Option<Stored>, initial: FileBatch) -> Self {
        let zone_files = ZoneFiles::new(Arc::clone(&parts.zone_files));
        let mut writer = Self {
            parts,
            store: Store::new(),
            rules: initial.rules,
            serials: ServedSerials::default(),
            counts: RecordCounts::default(),
            zone_files,
            progress: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            gone: Vec::new(),
            history: Arc::default(),
            told: None,
            told_at: Instant::now(),
            last_look: Instant::now(),
            awaiting: None,
            rests_at: None,
            prunes_at: Instant::now(),
        };
        if writer.shared().is_some() {
            writer.store.share();
        }
        match stored {
            Some(stored) => writer.begin(initial, stored),
            None if writer.parts.storage_required => {
                writer.parts.planes.withhold();
                writer.awaiting = Some(initial);
            }
            None => writer.begin(initial, Stored::default()),
        }
        writer.tell();
        writer
    }

    /// Serves the first state.
    pub(super) fn begin(&mut self, initial: FileBatch, stored: Stored) {
        self.take_settings(initial.rules, initial.guard, initial.history);
        self.store.go_on_from(stored.version);
        self.serials.begin(stored.serials);
        let mut changes = self.zone_files.take(initial.stored, initial.changes);
        changes.extend(self.reset_of_api(stored.rrsets));
        changes.extend(self.take_watched(stored.watched));
        self.serve_regardless(self.store.plan(changes), Cause::start(), PastKind::Start);
        self.list_disabled();
        self.warn_of_views();
        self.keep_unsaved();
        // What the files were read into is gone now.
        self.rest();
    }

    /// Keeps what the files say for later.
    pub(super) fn postpone(&mut self, batch: FileBatch) {
        self.awaiting = Some(match self.awaiting.take() {
            Some(before) => before.followed_by(batch),
            None => batch,
        });
    }

    fn rest(&mut self) {
        self.rests_at = self.parts.planes.rest().map(|time| Instant::now() + time);
    }

    /// What was published lately.
    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    /// Serves commands until there can be no more. `clock` is for waiting alone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>, clock: &Runtime) {
        loop {
            let look_at = self.last_look + LOOK_EVERY;
            let wake_at = self.rests_at.map_or(look_at, |rest_at| rest_at.min(look_at));
            let next = clock.block_on(async { tokio::time::timeout_at(wake_at.into(), queue.recv()).await });
            let first = match next {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) => {
                    if self.rests_at.is_some_and(|at| at <= Instant::now()) {
                        self.rest();
                    }
                    self.look_at_storage();
                    continue;
                }
            };
            self.rests_at = Some(Instant::now() + QUIET);
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            if let Some(stopped) = self.process(group) {
                queue.close();
                drop(self);
                stopped.send(());
                return;
            }
        }
    }

    /// Commands in order; the reply to a stop, if there was one.
    fn process(&mut self, group: Vec<Command>) -> Option<super::Reply<()>> {
        self.look_at_storage();
        self.take_news();
        let stopped = self.obey(group);
        self.tell();
        stopped
    }

    fn obey(&mut self, group: Vec<Command>) -> Option<super::Reply<()>> {
        let mut changes = Vec::new();
        for command in group {
            match command {
                Command::Apply(set, terms, reply) => changes.push((set, terms, reply)),
                Command::Try(set, terms, reply) => {
                    self.change(std::mem::take(&mut changes));
                    reply.send(self.try_out(set, &terms));
                }
                Command::Past(query, reply) => {
                    self.change(std::mem::take(&mut changes));
                    let rows = self.parts.journal.history(query);
                    reply.send(rows.map_err(|error| ControlError::StorageLocked(error.to_string())));
                }
                Command::Backup(path, reply) => {
                    self.change(std::mem::take(&mut changes));
                    let copied = self.parts.journal.backup(path.as_deref());
                    reply.send(copied.map_err(|error| ControlError::StorageLocked(error.to_string())));
                }
                Command::Files(batch, reply) => {
                    self.change(std::mem::take(&mut changes));
                    let installed = reply.span.in_scope(|| self.install(batch));
                    reply.send(installed);
                }
                Command::Watched(set, terms, progress, reply) => {
                    self.change(std::mem::take(&mut changes));
                    let watched = reply.span.in_scope(|| self.watched(set, &terms, progress));
                    reply.send(watched);
                }
                Command::Kept(source, reply) => {
                    self.change(std::mem::take(&mut changes));
                    reply.send(self.kept(&source));
                }
                Command::Reconfigure(reply) => {
                    self.change(std::mem::take(&mut changes));
                    reply.send(self.parts.planes.reconfigure());
                }
                Command::Sources(sources) => self.parts.sources = sources,
                Command::Retire(source, force, reply) => {
                    self.change(std::mem::take(&mut changes));
                    reply.send(self.retire(&source, force));
                }
                Command::Wake => {}
                Command::Stop(reply) => {
                    self.change(changes);
                    return Some(reply);
                }
            }
        }
        self.change(changes);
        None
    }

    /// Applies change sets, each on top of those before it. One that changes a zone file is alone: the file is written
    /// before the transaction, and a fault of it is nobody else's.
    fn change(&mut self, sets: Vec<(ChangeSet, Terms, Reply)>) {
        if !self.store.writes_files() {
            return self.change_together(sets);
        }
        let mut together = Vec::with_capacity(sets.len());
        for set in sets {
            if self.store.draft().touches_files(&set.0) {
                self.change_together(std::mem::take(&mut together));
                self.change_together(vec![set]);
            } else {
                together.push(set);
            }
        }
        self.change_together(together);
    }

    /// One transaction and one publication for all.
    fn change_together(&mut self, sets: Vec<(ChangeSet, Terms, Reply)>) {
        if sets.is_empty() {
            return;
        }
        if let Some(refusal) = self.not_ready() {
            for (.., reply) in sets {
                reply.send(Err(refusal.clone()));
            }
            return;
        }
        let until = Instant::now() + shared::PATIENCE;
        let mut groups = vec![sets];
        while let Some(sets) = groups.pop() {
            match self.attempt(sets, Instant::now() < until) {
                Attempt::Done => {}
                Attempt::Behind(sets) => {
                    self.wait_for_news(until);
                    groups.push(sets);
                }
                Attempt::TooLarge(sets) => groups.extend(sets.into_iter().rev().map(|set| vec![set])),
            }
        }
    }

    /// Makes change sets together. Where several nodes write, they may have to be made again, on top of what another
    /// one has written.
    fn attempt(&mut self, sets: Vec<(ChangeSet, Terms, Reply)>, may_wait: bool) -> Attempt {
        let _span = transaction(sets.iter().map(|(.., reply)| &reply.span)).entered();
        let is_shared = self.shared().is_some();
        let rules = EditRules { ttl: self.rules };
        let mut draft = self.store.draft();
        let mut verdicts = Vec::with_capacity(sets.len());
        let mut made: Vec<Made> = Vec::new();
        for (set, terms, reply) in sets {
            let source = set.source.clone();
            let cause = Cause {
                source: source.clone(),
                actor: set.actor.clone(),
            };
            let depends = draft.touches(&set);
            let version = draft.version();
            let kept = is_shared.then(|| (set.clone(), terms.clone()));
            let result = draft
                .apply_on(set, &terms, &rules, &self.parts.guard)
                .map_err(ControlError::from);
            let stands = result.is_err() && !depends;
            let result = result.map(|written| Outcome {
                written,
                version: draft.version(),
                diff: draft.changed_since(version).cloned().collect(),
                trial: None,
            });
            if draft.version() > version {
                made.push(Made {
                    cause,
                    version: draft.version(),
                    comment: terms.comment,
                    kind: PastKind::Edits,
                });
            }
            verdicts.push(Verdict {
                reply,
                result,
                source,
                stands,
                kept,
            });
        }
        let outcome = if is_shared && made.is_empty() {
            // Refused, or as it is already: by all that is known here, which may not be all there is.
            drop(draft);
            self.is_current().map_err(shared::failure)
        } else if draft.is_empty() {
            Ok(())
        } else {
            let plan = draft.finish();
            self.serve_with_files(plan, made)
        };
        match &outcome {
            Err(ControlError::Overtaken) if may_wait => return Attempt::Behind(again(verdicts)),
            Err(ControlError::TooLarge(_)) if verdicts.len() > 1 => return Attempt::TooLarge(again(verdicts)),
            _ => {}
        }
        // Who is told that the database cannot be written finds the metrics saying so.
        self.tell();
        for verdict in verdicts {
            let Verdict {
                reply,
                result,
                source,
                stands,
                ..
            } = verdict;
            let result = match &outcome {
                Err(error) if !stands => Err(error.clone()),
                _ => result,
            };
            let word = match &result {
                Ok(outcome) if outcome.diff.is_empty() => "unchanged",
                Ok(_) => "applied",
                Err(ControlError::Refused(_)) => "refused",
                Err(_) => "failed",
            };
            self.parts.observer.change(source.kind(), word);
            reply.send(result);
        }
        Attempt::Done
    }

    /// What a change set would do.
    fn try_out(&mut self, set: ChangeSet, terms: &Terms) -> Result<Outcome, ControlError> {
        if let Some(refusal) = self.not_ready() {
            return Err(refusal);
        }
        let mut draft = self.store.draft();
        let before = draft.version();
        let cause = Cause {
            source: set.source.clone(),
            actor: set.actor.clone(),
        };
        let written = draft.apply_on(set, terms, &EditRules { ttl: self.rules }, &self.parts.guard)?;
        let diff = draft.changed_since(before).cloned().collect();
        let made = Made {
            cause,
            version: draft.version(),
            comment: None,
            kind: PastKind::Edits,
        };
        // A plan that is not committed costs nothing but its making.
        let mut plan = draft.finish();
        let publication = self.prepare(&mut plan, &[made]);
        Ok(Outcome {
            written,
            version: before,
            diff,
            trial: Some(Trial {
                before: Arc::clone(&publication.old),
                after: Arc::clone(&publication.new),
                also: publication.past.iter().flat_map(|past| past.also.clone()).collect(),
            }),
        })
    }

    /// Makes what a watched source says what is served, whether or not it can be kept: its world says it again.
    fn watched(
        &mut self,
        set: ChangeSet,
        terms: &Terms,
        progress: Option<Progress>,
    ) -> Result<Vec<Written>, ControlError> {
        if let Some(refusal) = self.not_ready() {
            return Err(refusal);
        }
        let source = set.source.clone();
        let cause = Cause {
            source: source.clone(),
            actor: set.actor.clone(),
        };
        let mut draft = self.store.draft();
        let rules = EditRules { ttl: self.rules };
        let written = draft.apply_on(set, terms, &rules, &self.parts.guard).inspect_err(|_| {
            self.parts.observer.change(source.kind(), "refused");
        })?;
        let has_changes = !draft.is_empty();
        let mut entries: Vec<Entry> = Vec::new();
        if let Some(progress) = progress {
            entries.push(Entry::Progress(source.clone(), progress.clone()));
            self.progress.insert(source.clone(), progress);
        }
        if !has_changes {
            self.keep(&source, &entries);
            return Ok(written);
        }
        let made = Made {
            cause,
            version: draft.version(),
            comment: terms.comment.clone(),
            kind: PastKind::Edits,
        };
        let mut plan = draft.finish();
        let publication = self.prepare(&mut plan, &[made]);
        entries.extend(entries_of(&publication.edited));
        entries.extend(encode(&publication.past).map(Entry::History));
        // What was not kept before is kept whole by and by, and this with it.
        let is_kept = !self.unsaved.contains(&source);
        let saved = is_kept && self.parts.journal.append(&entries, &publication.unsaved).is_ok();
        if !saved {
            self.unsaved.insert(source.clone());
        }
        self.note_change(&source, None);
        self.publish(&plan, publication, saved);
        Ok(written)
    }

    /// Takes all records of a source out, which is not configured any more.
    fn retire(&mut self, source: &SourceId, force: bool) -> Result<(), ControlError> {
        if let Some(refusal) = self.not_ready() {
            return Err(refusal);
        }
        let mut views: BTreeSet<Option<ViewName>> = BTreeSet::from([None]);
        views.extend(self.store.records_of(source).map(|(view, ..)| view.cloned()));
        let mut draft = self.store.draft();
        for view in views {
            let nothing = store::Change::Reset {
                source: source.clone(),
                view,
                records: Vec::new(),
            };
            if force {
                draft.change(nothing);
            } else if let Err(removed) = draft.change_guarded(nothing, &self.parts.guard) {
                self.note_change(source, Some("refused"));
                return Err(Refused {
                    edit: Refused::ALL,
                    refusal: Refusal::TooManyRemoved(removed),
                }
                .into());
            }
        }
        draft.count();
        let plan = draft.finish();
        let made = Made {
            cause: Cause::reload(),
            version: plan.version(),
            comment: None,
            kind: PastKind::Reload,
        };
        self.serve(plan, vec![made], Durability::WhereOpen)?;
        self.unsaved.remove(source);
        self.progress.remove(source);
        self.gone.push(source.key());
        self.keep_unsaved();
        Ok(())
    }

    fn keep(&mut self, source: &SourceId, entries: &[Entry]) {
        if entries.is_empty() || self.unsaved.contains(source) {
            return;
        }
        if self.parts.journal.append(entries, &[]).is_err() {
            self.unsaved.insert(source.clone());
        }
    }

    fn kept(&self, source: &SourceId) -> Result<Kept, ControlError> {
        match self.not_ready() {
            Some(refusal) => Err(refusal),
            None => Ok(Kept {
                rrsets: self.store.records_of(source).map(|(.., node)| node.rrsets.len()).sum(),
                progress: self.progress.get(source).cloned(),
            }),
        }
    }

    /// Keeps whole what could not be kept as it came, and drops what the journal has of sources that are gone.
    fn keep_unsaved(&mut self) {
        if self.parts.journal.trouble().is_some() || (self.unsaved.is_empty() && self.gone.is_empty()) {
            return;
        }
        let mut entries: Vec<Entry> = self.gone.iter().cloned().map(Entry::Forget).collect();
        for source in &self.unsaved {
            entries.push(Entry::Forget(source.key()));
            for (view, key, node) in self.store.records_of(source) {
                let put = |rrset: &Arc<RrSet>| Entry::Put(view.cloned(), node.owner(key), rrset.clone());
                entries.extend(node.rrsets.iter().map(put));
            }
            let progress = self.progress.get(source).cloned();
            entries.extend(progress.map(|progress| Entry::Progress(source.clone(), progress)));
        }
        if self.parts.journal.append(&entries, &[]).is_ok() {
            self.unsaved.clear();
            self.gone.clear();
        }
    }

    /// The layers of watched sources as they were kept; those that have said something since stay as they are.
    fn take_watched(&mut self, kept: BTreeMap<String, KeptLayer>) -> Vec<store::Change> {
        let mut changes = Vec::new();
        for (key, layer) in kept {
            let Some(source) = self.parts.sources.iter().find(|source| source.key() == key).cloned() else {
                info!("the records of the source {key}, which is not configured any more, are not served");
                self.gone.push(key);
                continue;
            };
            if self.progress.contains_key(&source) || self.store.records_of(&source).next().is_some() {
                self.unsaved.insert(source);
                continue;
            }
            if let Some(progress) = layer.progress {
                self.progress.insert(source.clone(), progress);
            }
            changes.extend(layer.rrsets.into_iter().map(|kept| {
                let origin = match kept.object {
                    Some(object) => Origin::of_object(source.clone(), object, kept.since),
                    None => Origin::of(source.clone()),
                };
                store::Change::Put {
                    source: source.clone(),
                    view: kept.view,
                    owner: kept.owner,
                    rrset: Arc::new(RrSet { origin, ..kept.rrset }),
                }
            }));
        }
        changes
    }

    /// The life of a change: stages, save, publish, commit. On an error nothing has changed.
    pub(super) fn serve(
        &mut self,
        mut plan: Plan,
        made: Vec<Made>,
        durability: Durability,
    ) -> Result<Plan, ControlError> {
        let publication = self.prepare(&mut plan, &made);
        let mut entries = entries_of(&publication.edited);
        entries.extend(encode(&publication.past).map(Entry::History));
        if durability == Durability::Required && self.shared().is_some() {
            entries.extend(shared::notes_of(&made, &plan));
        }
        let span = info_span!(target: "otel", "journal", entries = entries.len());
        let saved = match span.in_scope(|| self.parts.journal.append(&entries, &publication.unsaved)) {
            Ok(()) => true,
            Err(_) if durability == Durability::WhereOpen && self.parts.journal.unavailable().is_some() => false,
            Err(error) => {
                if let WriteError::Damaged(_) = error {
                    error!("{error}");
                }
                return Err(shared::failure(error));
            }
        };
        self.publish(&plan, publication, saved);
        Ok(plan)
    }

    /// The same, where zone files may have to be written first.
    fn serve_with_files(&mut self, plan: Plan, made: Vec<Made>) -> Result<(), ControlError> {
        let zones = self.store.zones_of_files(&plan);
        let written = self.zone_files.write(zones).map_err(|error| match error {
            NotWritten::Refused(refusal) => ControlError::Refused(Refused {
                edit: Refused::ALL,
                refusal,
            }),
            NotWritten::Io(reason) => ControlError::StorageLocked(reason),
        })?;
        let served = self.serve(plan, made, Durability::Required);
        if served.is_err() {
            written.take_back(&mut self.zone_files);
        }
        served.map(drop)
    }

    /// Serves what is on disk, or in files, already: a failed write of serials is made up for with the next one.
    fn serve_regardless(&mut self, mut plan: Plan, cause: Cause, kind: PastKind) {
        let made = Made {
            cause,
            version: plan.version(),
            comment: None,
            kind,
        };
        let publication = self.prepare(&mut plan, &[made]);
        let entries: Vec<Entry> = encode(&publication.past).map(Entry::History).into_iter().collect();
        let saved = self.parts.journal.append(&entries, &publication.unsaved).is_ok();
        self.publish(&plan, publication, saved);
    }

    /// What a plan is served as, once all stages have taken it.
    pub(super) fn prepare(&mut self, plan: &mut Plan, made: &[Made]) -> Publication {
        let is_start = made.iter().any(|made| made.kind == PastKind::Start);
        let mut causes: Vec<Cause> = Vec::new();
        for made in made {
            if !causes.contains(&made.cause) {
                causes.push(made.cause.clone());
            }
        }
        let mut publication = Publication::new(self.store.snapshot(), plan, causes, is_start);
        self.serials.apply(&mut publication);
        for stage in &mut self.parts.stages {
            stage.apply(&mut publication);
        }
        plan.serve(Arc::clone(&publication.new));
        publication.past = past_of(plan, &publication, made).into();
        publication
    }

    pub(super) fn publish(&mut self, plan: &Plan, publication: Publication, saved: bool) {
        let publication = Arc::new(publication);
        let names = publication.edited.len();
        info_span!(target: "otel", "publish", version = publication.version, names)
            .in_scope(|| self.parts.planes.publish(&publication));
        self.store.commit(plan);
        self.serials.commit(saved);
        for stage in &mut self.parts.stages {
            stage.commit(saved);
        }
        self.counts.follow(&publication);
        self.parts.observer.records(&self.counts.by_kind());
        self.parts.observer.version(publication.version);
        self.note_conflicts(plan);
        self.note_disabled(&publication);
        self.history.push(publication);
        if let Some(shared) = self.shared() {
            shared.served();
        }
    }

    /// Keeps the list of what is disabled in step.
    fn note_disabled(&self, publication: &Publication) {
        let is_disabled =
            |rrset: &Option<Arc<RrSet>>| rrset.as_ref().is_some_and(|one| one.handling.keeping().disabled);
        let place = |edited: &EditedRrset| (edited.view.clone(), edited.owner.key(), edited.rtype);
        let edited = publication.edited.iter();
        let touched = edited.filter(|edited| is_disabled(&edited.before) || is_disabled(&edited.after));
        for edited in touched {
            self.history.change_disabled(
                |all| match edited.after.as_ref().filter(|_| is_disabled(&edited.after)) {
                    Some(rrset) => drop(all.insert(place(edited), (edited.owner.clone(), rrset.clone()))),
                    None => drop(all.remove(&place(edited))),
                },
            );
        }
    }

    /// The list of what is disabled, made anew from what was read.
    pub(super) fn list_disabled(&self) {
        self.history.change_disabled(|all| {
            all.clear();
            for (view, key, node) in self.store.records_of(&SourceId::api()) {
                for rrset in node.rrsets.iter().filter(|rrset| rrset.handling.keeping().disabled) {
                    all.insert(
                        (view.cloned(), key.clone(), rrset.rtype),
                        (node.owner(key), rrset.clone()),
                    );
                }
            }
        });
    }

    /// Counts a change: one that was applied, where nothing else is said.
    pub(super) fn note_change(&self, source: &SourceId, result: Option<&'static str>) {
        self.parts.observer.change(source.kind(), result.unwrap_or("applied"));
    }

    /// What the configuration says of changes is this from now on.
    pub(super) fn take_settings(&mut self, rules: TtlRules, guard: Guard, limits: HistoryLimits) {
        self.rules = rules;
        (self.parts.guard, self.parts.limits) = (guard, limits);
    }

    /// Logs conflicts that are new, and says all of them in the metrics.
    fn note_conflicts(&mut self, plan: &Plan) {
        if plan.conflict_changes.is_empty() {
            return;
        }
        let new = plan.conflict_changes.iter().flat_map(ConflictChange::came);
        let mut count = 0;
        for conflict in new {
            count += 1;
            if count <= LOGGED_CONFLICTS {
                warn!("{}", reload::describe(conflict));
            }
        }
        if count > LOGGED_CONFLICTS {
            warn!("{} more RRsets of files are left out", count - LOGGED_CONFLICTS);
        }
        self.parts.observer.conflicts(&plan.conflicts);
    }

    /// Names the views that the database has records of and the configuration does not have.
    pub(super) fn warn_of_views(&self) {
        let snapshot = self.store.snapshot();
        let mut unserved: BTreeMap<&ViewName, usize> = BTreeMap::new();
        for (view, _, node) in self.store.records_of(&SourceId::api()) {
            if let Some(view) = view
                && snapshot.view(view).is_none()
            {
                *unserved.entry(view).or_default() += node.rrsets.len();
            }
        }
        for (view, rrsets) in unserved {
            warn!(
                "{rrsets} RRsets that were added over HTTP are in the view `{view}`, which is not configured: they are \
                 kept, and served once it is"
            );
        }
    }

    /// Why no command is taken, if none is.
    pub(super) fn not_ready(&self) -> Option<ControlError> {
        self.awaiting.as_ref()?;
        let reason = self.parts.journal.trouble().map(|trouble| trouble.reason.as_str());
        Some(ControlError::NotReady(awaited(reason)))
    }

    /// Looks whether the database is still there; where it cannot be used, whether it can be now, and serves what it
    /// holds.
    fn look_at_storage(&mut self) {
        if self.last_look.elapsed() < LOOK_EVERY {
            return;
        }
        let store = &self.store;
        if let Some(stored) = self.parts.journal.look(&|stored| is_served(store, stored)) {
            match self.awaiting.take() {
                None => self.merge(stored),
                Some(initial) => self.begin(initial, stored),
            }
        }
        self.take_held();
        self.keep_unsaved();
        self.prune();
        self.tell();
        // It may have taken a while.
        self.last_look = Instant::now();
    }

    /// Forgets the history that is over its limits, a part at a time.
    fn prune(&mut self) {
        if self.prunes_at <= Instant::now() {
            let has_more = self.parts.journal.prune(self.parts.limits, unix_millis());
            self.prunes_at = Instant::now() + if has_more { LOOK_EVERY } else { PRUNE_EVERY };
        }
    }

    /// Takes in what a database holds that could not be read, or not be written, before.
    pub(super) fn merge(&mut self, stored: Stored) {
        self.store.go_on_from(stored.version);
        let mut changes = self.reset_of_api(stored.rrsets);
        changes.extend(self.take_watched(stored.watched));
        self.serials.merge(stored.serials, self.store.snapshot().version);
        self.serve_regardless(self.store.plan(changes), Cause::storage(), PastKind::Reload);
        self.list_disabled();
    }

    /// Says how the database is: in the metrics, to `/ready` and, where that has changed, in the log.
    pub(super) fn tell(&mut self) {
        let trouble = self.parts.journal.trouble();
        let status = StorageStatus {
            state: trouble.map_or(StorageState::Open, |trouble| trouble.state),
            reason: trouble.map(|trouble| trouble.reason.as_str().into()),
            is_awaited: self.awaiting.is_some(),
        };
        let before = self.told.replace(status.clone());
        if before.as_ref() == Some(&status) {
            return;
        }
        self.parts.observer.storage(status.clone());
        // The same in other words, such as how little room there is, is said now and then.
        let is_known = before
            .as_ref()
            .is_some_and(|before| before.state == status.state && before.is_awaited == status.is_awaited);
        if is_known && self.told_at.elapsed() < TELL_AGAIN {
            return;
        }
        self.told_at = Instant::now();
        if status.state == StorageState::Starting {
            return;
        }
        let place = self.parts.journal.place();
        match &status.reason {
            None if before.is_none() => {}
            None => info!("{place} is read and written"),
            Some(reason) if status.is_awaited => {
                warn!("{}; it is tried again every second", awaited(Some(reason)));
            }
            Some(reason) if matches!(status.state, StorageState::Away | StorageState::Doubted) => {
                warn!("no change over HTTP can be made until this is put right: {reason}");
            }
            Some(reason) => warn!(
                "no change over HTTP can be made, and SOA serials are kept for the life of this process only, until \
                 this is put right: {reason}"
            ),
        }
    }

    /// Makes these all the records of the API.
    fn reset_of_api(&self, rrsets: Vec<(Option<ViewName>, Name, RrSet)>) -> Vec<store::Change> {
        let mut by_view: BTreeMap<Option<ViewName>, Vec<(Name, RrSet)>> = BTreeMap::new();
        for (view, _, _) in self.store.records_of(&SourceId::api()) {
            by_view.entry(view.cloned()).or_default();
        }
        for (view, owner, rrset) in rrsets {
            by_view.entry(view).or_default().push((owner, rrset));
        }
        let resets = by_view.into_iter().map(|(view, records)| store::Change::Reset {
            source: SourceId::api(),
            view,
            records,
        });
        resets.collect()
    }
}

/// What the history keeps of a plan; nothing where it changes nothing.
fn past_of(plan: &Plan, publication: &Publication, made: &[Made]) -> Vec<Past> {
    if plan.version() == publication.old.version && plan.applied.is_empty() {
        return Vec::new();
    }
    let time = unix_millis();
    let is_of_edits = made.iter().all(|made| made.kind == PastKind::Edits) && !plan.applied.is_empty();
    let needs_served = !is_of_edits && made.iter().any(|made| made.kind != PastKind::Start);
    let served = (needs_served && publication.delta.names.len() <= MOST_DIFFERENCES)
        .then(|| differences::between(&publication.old, &publication.new, &publication.delta));
    let past = made.iter().map(|made| {
        let applied = plan.applied.iter().find(|applied| applied.version == made.version);
        made.past(time, applied, served.as_deref())
    });
    let mut past: Vec<Past> = past.collect();
    if is_of_edits {
        let seen = Seen {
            old: &publication.old,
            new: &publication.new,
            delta: &publication.delta,
            has_conflicts_changed: !plan.conflict_changes.is_empty(),
        };
        compare_with_served(&mut past, &plan.edited, &seen);
    }
    past
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Edited RRsets as the journal takes them. Those of zone files are in these.
pub(super) fn entries_of(edited: &[EditedRrset]) -> Vec<Entry> {
    let kept = edited.iter().filter(|edited| edited.source != SourceId::zone_files());
    let entries = kept.map(|edited| match &edited.after {
        Some(rrset) => Entry::Put(edited.view.clone(), edited.owner.clone(), rrset.clone()),
        None => Entry::Delete(
            edited.source.clone(),
            edited.view.clone(),
            edited.owner.key(),
            edited.rtype,
        ),
    });
    entries.collect()
}

/// Whether a journal holds the records of the API that are served, and no others.
fn is_served(store: &Store, stored: &Stored) -> bool {
    let place = |view: Option<&ViewName>, key: NameKey, rtype: RecordType| (view.cloned(), key, rtype);
    let held: BTreeMap<_, _> = stored
        .rrsets
        .iter()
        .map(|(view, owner, rrset)| (place(view.as_ref(), owner.key(), rrset.rtype), rrset))
        .collect();
    let mut served = 0;
    let is_same = store.records_of(&SourceId::api()).all(|(view, key, node)| {
        node.rrsets.iter().all(|rrset| {
            served += 1;
            held.get(&place(view, key.clone(), rrset.rtype)) == Some(&&**rrset)
        })
    });
    is_same && served == held.len()
}
