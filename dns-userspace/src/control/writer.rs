//! The writer's thread: groups of commands in, one transaction and one publication out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::census::Census;
use super::files::FileBatch;
use super::history::History;
use super::publication::{Cause, Publication};
use super::reload;
use super::serial::{Book, Turn};
use super::{Command, ControlError, Observer, Planes};
use crate::journal::{ApiChange, Storage, StorageState, StorageStatus, Stored, WriteError, awaited};
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::source::SourceId;
use crate::model::views::ViewName;
use crate::store::{self, ChangeSet, ConflictChange, EditRules, EditedRrset, Plan, Store, TtlRules, Written};

/// Commands in one transaction at most.
const GROUP: usize = 4096;
/// Conflicts of one change that are logged one by one.
const LOGGED_CONFLICTS: usize = 100;
/// After this long without a command the planes may clean up.
const QUIET: Duration = Duration::from_millis(200);
/// How often the database is looked at: whether it is still there, and where it cannot be used, whether it can be again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this long the log says in its new words what is wrong with the database.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// What a writer works with.
pub(super) struct Parts {
    pub(super) observer: Arc<dyn Observer>,
    /// Whether nothing is served until the records in the database are read.
    pub(super) storage_required: bool,
    pub(super) storage: Storage,
    pub(super) planes: Box<dyn Planes>,
}

pub(super) struct Writer {
    parts: Parts,
    pub(super) store: Store,
    pub(super) rules: TtlRules,
    book: Book,
    census: Census,
    history: Arc<History>,
    /// How the database was when it was said last.
    told: Option<StorageStatus>,
    /// When the log said last how the database is.
    told_at: Instant,
    /// When the database was looked at last.
    last_look: Instant,
    /// What the files say, where that is not served before the records in the database are read.
    awaiting: Option<FileBatch>,
    /// If no command comes until then the planes may clean up; `None`: they need not.
    rests_at: Option<Instant>,
}

/// What to do where a write to the database fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Refuse the change.
    Required,
    /// Refuse the change, but go on without where there has been no database since start-up.
    WhereOpen,
}

type Reply = oneshot::Sender<Result<Vec<Written>, ControlError>>;

/// A command's result, to be sent once the group is through.
struct Verdict {
    reply: Reply,
    result: Result<Vec<Written>, ControlError>,
    /// Whether it stands even if the group's transaction fails.
    stands: bool,
}

impl Writer {
    /// Publishes the first state, unless what the database holds has to be known first: `stored` is `None` where it
    /// could not be read.
    pub(super) fn start(parts: Parts, stored: Option<Stored>, initial: FileBatch) -> Self {
        let mut writer = Self {
            parts,
            store: Store::new(),
            rules: initial.rules,
            book: Book::default(),
            census: Census::default(),
            history: Arc::default(),
            told: None,
            told_at: Instant::now(),
            last_look: Instant::now(),
            awaiting: None,
            rests_at: None,
        };
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
    fn begin(&mut self, initial: FileBatch, stored: Stored) {
        self.rules = initial.rules;
        self.book = Book::new(stored.serials);
        let mut changes = initial.changes;
        changes.extend(self.reset_of_api(stored.rrsets));
        self.serve_regardless(self.store.plan(changes), Cause::start());
        self.warn_of_views();
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
                let _ = stopped.send(());
                return;
            }
        }
    }

    /// Commands in order; the reply to a stop, if there was one.
    fn process(&mut self, group: Vec<Command>) -> Option<oneshot::Sender<()>> {
        self.look_at_storage();
        let stopped = self.obey(group);
        self.tell();
        stopped
    }

    fn obey(&mut self, group: Vec<Command>) -> Option<oneshot::Sender<()>> {
        let mut changes = Vec::new();
        for command in group {
            match command {
                Command::Apply(set, reply) => changes.push((set, reply)),
                Command::Files(batch, reply) => {
                    self.change(std::mem::take(&mut changes));
                    let _ = reply.send(self.install(batch));
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

    /// Applies change sets, each on top of those before it: one transaction and one publication for all.
    fn change(&mut self, sets: Vec<(ChangeSet, Reply)>) {
        if sets.is_empty() {
            return;
        }
        if let Some(refusal) = self.not_ready() {
            for (_, reply) in sets {
                let _ = reply.send(Err(refusal.clone()));
            }
            return;
        }
        let rules = EditRules { ttl: self.rules };
        let mut draft = self.store.draft();
        let mut verdicts = Vec::with_capacity(sets.len());
        let mut causes: Vec<Cause> = Vec::new();
        for (set, reply) in sets {
            let cause = Cause {
                source: set.source.clone(),
                actor: set.actor.clone(),
            };
            let depends = draft.touches(&set);
            let result = draft.apply(set, &rules).map_err(ControlError::from);
            let stands = result.is_err() && !depends;
            if result.is_ok() && !causes.contains(&cause) {
                causes.push(cause);
            }
            verdicts.push(Verdict { reply, result, stands });
        }
        let outcome = match draft.is_empty() {
            true => Ok(()),
            false => {
                let plan = draft.finish();
                self.serve(plan, causes, Durability::Required).map(drop)
            }
        };
        for Verdict { reply, result, stands } in verdicts {
            let result = match &outcome {
                Err(error) if !stands => Err(error.clone()),
                _ => result,
            };
            let _ = reply.send(result);
        }
    }

    /// The life of a change: decide serials, save, publish, commit. On an error nothing has changed.
    pub(super) fn serve(
        &mut self,
        mut plan: Plan,
        causes: Vec<Cause>,
        durability: Durability,
    ) -> Result<Plan, ControlError> {
        let (publication, turn) = self.prepare(&mut plan, causes);
        let saved = match self.parts.storage.write(&of_api(&publication.edited), &turn.save) {
            Ok(()) => true,
            Err(_) if durability == Durability::WhereOpen && self.parts.storage.unavailable().is_some() => false,
            Err(WriteError::Unavailable(reason)) => return Err(ControlError::StorageLocked(reason)),
            Err(error @ WriteError::Damaged(_)) => {
                error!("{error}");
                return Err(ControlError::Internal(error.to_string()));
            }
        };
        self.publish(&plan, publication, turn, saved);
        Ok(plan)
    }

    /// Serves what is on disk, or in files, already: a failed write of serials is made up for with the next one.
    fn serve_regardless(&mut self, mut plan: Plan, cause: Cause) {
        let (publication, turn) = self.prepare(&mut plan, vec![cause]);
        let saved = self.parts.storage.write(&[], &turn.save).is_ok();
        self.publish(&plan, publication, turn, saved);
    }

    /// Decides which serials a plan is served with.
    fn prepare(&self, plan: &mut Plan, causes: Vec<Cause>) -> (Publication, Turn) {
        let old = self.store.snapshot();
        let mut turn = self.book.turn(&old, plan);
        let serials = std::mem::take(&mut turn.publish);
        (Publication::new(old, plan, serials, causes), turn)
    }

    fn publish(&mut self, plan: &Plan, publication: Publication, turn: Turn, saved: bool) {
        let publication = Arc::new(publication);
        self.parts.planes.publish(&publication);
        self.store.commit(plan);
        self.book.commit(turn, saved);
        self.census.follow(&publication.old, plan);
        self.parts.observer.records(&self.census.by_kind());
        self.note_conflicts(plan);
        self.history.push(publication);
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
        let reason = self.parts.storage.trouble().map(|trouble| trouble.reason.as_str());
        Some(ControlError::NotReady(awaited(reason)))
    }

    /// Looks whether the database is still there; where it cannot be used, whether it can be now, and serves what it
    /// holds.
    fn look_at_storage(&mut self) {
        if self.last_look.elapsed() < LOOK_EVERY {
            return;
        }
        if !self.parts.storage.is_closed() {
            // What is wrong shows in the status.
            let _ = self.parts.storage.recover();
            self.look_at_copy();
        }
        if let Some(stored) = self.parts.storage.reopen() {
            match self.awaiting.take() {
                None => self.merge(stored),
                Some(initial) => self.begin(initial, stored),
            }
        }
        self.tell();
        // It may have taken a while.
        self.last_look = Instant::now();
    }

    /// Where another file is in the place of the database, takes it if it holds what is served.
    fn look_at_copy(&mut self) {
        let Some(stored) = self.parts.storage.copy_at_path() else {
            return;
        };
        let place = |view: Option<&ViewName>, key: NameKey, rtype: RecordType| (view.cloned(), key, rtype);
        let held: BTreeMap<_, _> = stored
            .rrsets
            .iter()
            .map(|(view, owner, rrset)| (place(view.as_ref(), owner.key(), rrset.rtype), rrset))
            .collect();
        let mut served = 0;
        let is_same = self.store.records_of(&SourceId::api()).all(|(view, key, node)| {
            node.rrsets.iter().all(|rrset| {
                served += 1;
                held.get(&place(view, key.clone(), rrset.rtype)) == Some(&&**rrset)
            })
        });
        match is_same && served == held.len() {
            true => self
                .parts
                .storage
                .close("it was replaced by a copy of itself, which is taken"),
            false => self
                .parts
                .storage
                .refuse_copy("it does not hold the records that are served"),
        }
    }

    /// Takes in what a database holds that could not be read, or not be written, before.
    fn merge(&mut self, stored: Stored) {
        let changes = self.reset_of_api(stored.rrsets);
        let raised = self.book.merge(stored.serials, &self.store.snapshot());
        if !raised.is_empty() {
            let mut plan = self.store.plan(Vec::new());
            let publication = Publication::new(self.store.snapshot(), &mut plan, raised, vec![Cause::storage()]);
            self.parts.planes.publish(&publication);
            self.store.commit(&plan);
            self.history.push(Arc::new(publication));
        }
        self.serve_regardless(self.store.plan(changes), Cause::storage());
    }

    /// Says how the database is: in the metrics, to `/ready` and, where that has changed, in the log.
    fn tell(&mut self) {
        let trouble = self.parts.storage.trouble();
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
        let path = self.parts.storage.path().display();
        match &status.reason {
            None if before.is_none() => {}
            None => info!("the database {path} is read and written"),
            Some(reason) if status.is_awaited => {
                warn!("{}; it is tried again every second", awaited(Some(reason)));
            }
            Some(reason) => warn!(
                "no change over HTTP can be made, and SOA serials are kept for the life of this process only, until this \
                 is put right: {reason}"
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

/// The edits of the API as the database takes them.
fn of_api(edited: &[EditedRrset]) -> Vec<ApiChange> {
    let api = SourceId::api();
    let of_api = edited.iter().filter(|edited| edited.source == api);
    of_api
        .map(|edited| match &edited.after {
            Some(rrset) => ApiChange::Put(edited.view.clone(), edited.owner.clone(), rrset.clone()),
            None => ApiChange::Delete(edited.view.clone(), edited.owner.key(), edited.rtype),
        })
        .collect()
}
