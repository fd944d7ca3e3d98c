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
use super::serial::Book;
use super::{Command, ControlError, Planes};
use crate::metrics::Metrics;
use crate::name::Name;
use crate::record::RrSet;
use crate::source::SourceId;
use crate::storage::{ApiChange, Storage, Stored, WriteError};
use crate::store::{self, ChangeSet, EditRules, EditedRrset, Plan, Store, TtlRules, Written};
use crate::views::ViewName;

/// Commands in one transaction at most.
const GROUP: usize = 4096;
/// Conflicts of one change that are logged one by one.
const LOGGED_CONFLICTS: usize = 100;
/// After this long without a command the planes may clean up.
const QUIET: Duration = Duration::from_millis(200);
/// How often an unavailable database is tried again at most.
const RETRY_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    metrics: Arc<Metrics>,
    pub(super) store: Store,
    pub(super) rules: TtlRules,
    storage: Storage,
    planes: Box<dyn Planes>,
    book: Book,
    census: Census,
    history: Arc<History>,
    last_retry: Instant,
    /// After this long without a command the planes may clean up; `None`: they need not.
    rests_in: Option<Duration>,
}

/// What to do where a write to the database fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Refuse the change.
    Required,
    /// Refuse the change, but go on without where there has been no database since start-up.
    WhereOpen,
    /// Go on without.
    BestEffort,
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
    /// Publishes the first state.
    pub(super) fn start(
        metrics: Arc<Metrics>,
        storage: Storage,
        stored: Stored,
        initial: FileBatch,
        planes: Box<dyn Planes>,
    ) -> anyhow::Result<Self> {
        if let Some(reason) = storage.unavailable() {
            warn!(
                "no database, {reason}: changes over HTTP are refused until it can be written, and SOA serials are kept \
                 for the life of this process only"
            );
        }
        let mut writer = Self {
            metrics,
            store: Store::new(),
            rules: initial.rules,
            storage,
            planes,
            book: Book::new(stored.serials),
            census: Census::default(),
            history: Arc::default(),
            last_retry: Instant::now(),
            rests_in: None,
        };
        let mut changes = initial.changes;
        changes.extend(writer.reset_of_api(stored.rrsets));
        writer
            .serve(writer.store.plan(changes), vec![Cause::start()], Durability::BestEffort)
            .map_err(anyhow::Error::new)?;
        writer.warn_of_views();
        // What the files were read into is gone now.
        writer.rests_in = writer.planes.rest();
        Ok(writer)
    }

    /// What was published lately.
    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    /// Serves commands until there can be no more. `clock` is for waiting alone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>, clock: &Runtime) {
        loop {
            let next = match self.rests_in {
                None => Ok(queue.blocking_recv()),
                Some(time) => clock.block_on(async { tokio::time::timeout(time, queue.recv()).await }),
            };
            let first = match next {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) => {
                    self.rests_in = self.planes.rest();
                    continue;
                }
            };
            self.rests_in = Some(QUIET);
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
        self.retry_storage();
        let mut changes = Vec::new();
        for command in group {
            match command {
                Command::Apply(set, reply) => changes.push((set, reply)),
                Command::Files(batch, reply) => {
                    self.change(std::mem::take(&mut changes));
                    let _ = reply.send(self.install(batch));
                }
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
        let old = self.store.snapshot();
        let mut turn = self.book.turn(&old, &plan);
        let serials = std::mem::take(&mut turn.publish);
        let publication = Arc::new(Publication::new(old, &mut plan, serials, causes));
        let goes_without = match durability {
            Durability::Required => false,
            Durability::WhereOpen => self.storage.unavailable().is_some(),
            Durability::BestEffort => true,
        };
        let saved = match self.storage.write(&of_api(&publication.edited), &turn.save) {
            Ok(()) => true,
            Err(error) if goes_without => {
                if self.storage.unavailable().is_none() {
                    warn!("SOA serials are kept for the life of this process only: {error}");
                }
                false
            }
            Err(WriteError::Unavailable(reason)) => return Err(ControlError::StorageLocked(reason)),
            Err(error @ WriteError::Damaged(_)) => {
                error!("{error}");
                return Err(ControlError::Internal(error.to_string()));
            }
        };
        self.planes.publish(&publication);
        self.store.commit(&plan);
        self.book.commit(turn, saved);
        self.census.follow(&publication.old, &plan);
        self.metrics.set_records(&self.census);
        self.note_conflicts(&plan);
        self.history.push(publication);
        Ok(plan)
    }

    /// Logs conflicts that are new, and says all of them in the metrics.
    fn note_conflicts(&mut self, plan: &Plan) {
        for conflict in plan.new_conflicts.iter().take(LOGGED_CONFLICTS) {
            warn!("{}", reload::describe(conflict));
        }
        let unlogged = plan.new_conflicts.len().saturating_sub(LOGGED_CONFLICTS);
        if unlogged != 0 {
            warn!("{unlogged} more RRsets of files are left out");
        }
        if plan.conflicts_differ {
            self.metrics.set_conflicts(&plan.conflicts);
        }
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

    /// Where there is no database, looks whether there is one now, and serves what it holds.
    fn retry_storage(&mut self) {
        if self.storage.unavailable().is_none() || self.last_retry.elapsed() < RETRY_EVERY {
            return;
        }
        self.last_retry = Instant::now();
        let Some(stored) = self.storage.reopen() else { return };
        info!("the database {} can be written again", self.storage.path().display());
        let changes = self.reset_of_api(stored.rrsets);
        let raised = self.book.merge(stored.serials, &self.store.snapshot());
        if !raised.is_empty() {
            let mut plan = self.store.plan(Vec::new());
            let publication = Publication::new(self.store.snapshot(), &mut plan, raised, vec![Cause::storage()]);
            self.planes.publish(&publication);
            self.store.commit(&plan);
            self.history.push(Arc::new(publication));
        }
        if let Err(error) = self.serve(self.store.plan(changes), vec![Cause::storage()], Durability::BestEffort) {
            error!("cannot serve the records in the database: {error}");
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
