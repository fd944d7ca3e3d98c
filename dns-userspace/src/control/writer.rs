//! The writer's thread: groups of commands in, one transaction and one publication out.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::census::Census;
use super::evaluate::{At, Pending};
use super::reload::{self, KnownZone};
use super::serial::Book;
use super::{Change, Command, ControlError, Desired, Planes, Settings, TtlRules, Written};
use crate::name::NameKey;
use crate::record::{RecordType, Source};
use crate::storage::{ApiChange, Storage, Stored, WriteError};
use crate::store::{self, Conflict, ConflictChange, Plan, Store};
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
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) rules: TtlRules,
    pub(super) zones: BTreeMap<NameKey, KnownZone>,
    storage: Storage,
    planes: Box<dyn Planes>,
    book: Book,
    census: Census,
    /// Names at which RRsets of files are left out, and how many.
    contested: BTreeMap<At, usize>,
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

type Reply = oneshot::Sender<Result<Option<Written>, ControlError>>;

/// A command's result, to be sent once the group is through.
struct Verdict {
    reply: Reply,
    result: Result<Option<Written>, ControlError>,
    /// Whether it stands even if the group's transaction fails.
    stands: bool,
}

impl Writer {
    /// Publishes the first state.
    pub(super) fn start(
        settings: Settings,
        storage: Storage,
        stored: Stored,
        initial: Desired,
        planes: Box<dyn Planes>,
    ) -> anyhow::Result<Self> {
        if let Some(reason) = storage.unavailable() {
            warn!(
                "no database, {reason}: changes over HTTP are refused until it can be written, and SOA serials are \
                 kept \
                 for the life of this process only"
            );
        }
        let mut writer = Self {
            settings,
            store: Store::new(),
            rules: initial.ttl,
            zones: BTreeMap::new(),
            storage,
            planes,
            book: Book::new(stored.serials),
            census: Census::default(),
            contested: BTreeMap::new(),
            last_retry: Instant::now(),
            rests_in: None,
        };
        let step = reload::step(&writer.zones, initial);
        writer.settings.metrics.count_reload_failures(step.failed.len());
        let mut changes = step.changes;
        changes.extend(
            stored
                .rrsets
                .into_iter()
                .map(|(view, owner, rrset)| store::Change::PutApi { view, owner, rrset }),
        );
        writer
            .serve(changes, &[], Durability::BestEffort)
            .map_err(anyhow::Error::new)?;
        writer.zones = step.zones;
        writer.warn_of_views();
        // What the files were read into is gone now.
        writer.rests_in = writer.planes.rest();
        Ok(writer)
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
                Command::Change(view, change, reply) => changes.push((view, change, reply)),
                Command::Reload(reply) => {
                    self.change(std::mem::take(&mut changes));
                    let _ = reply.send(self.reload());
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

    /// Makes changes in as few transactions as their meaning allows: one, unless a change depends on what only the
    /// store can tell about an earlier one (an SOA, which makes or ends a zone; what a file has below an RRset that
    /// goes).
    fn change(&mut self, changes: Vec<(Option<ViewName>, Change, Reply)>) {
        let mut queue = changes.into_iter().peekable();
        while queue.peek().is_some() {
            let mut verdicts = Vec::new();
            let served_serial = |apex: &NameKey| self.book.served(apex);
            let mut pending = Pending::new(&self.store, self.rules, &self.settings.config_file, &served_serial);
            let mut is_first = true;
            while let Some((view, change, _)) = queue.peek() {
                let at = At {
                    view: view.clone(),
                    key: change.key(),
                };
                let is_alone = at.view.is_none() && self.makes_zone(change, &at.key);
                let touched = pending.touches(&at);
                if !is_first && (is_alone || (touched && self.contested.contains_key(&at))) {
                    break;
                }
                is_first = false;
                let Some((view, change, reply)) = queue.next() else {
                    break;
                };
                let result = pending.evaluate(view, change);
                let stands = result.is_err() && !touched;
                verdicts.push(Verdict { reply, result, stands });
                if is_alone {
                    break;
                }
            }
            let accepted = pending.into_changes();
            let outcome = self.commit_group(accepted);
            for Verdict { reply, result, stands } in verdicts {
                let result = match &outcome {
                    Err(error) if !stands => Err(error.clone()),
                    _ => result,
                };
                let _ = reply.send(result);
            }
        }
    }

    fn makes_zone(&self, change: &Change, key: &NameKey) -> bool {
        match change {
            Change::Create { rtype, .. } | Change::Put { rtype, .. } => *rtype == RecordType::SOA,
            Change::Delete { rtype, .. } => {
                rtype.is_none_or(|rtype| rtype == RecordType::SOA)
                    && self.store.api_rrset(None, key, RecordType::SOA).is_some()
            }
        }
    }

    fn commit_group(&mut self, changes: super::evaluate::Accepted) -> Result<(), ControlError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut saved = Vec::with_capacity(changes.len());
        let mut applied = Vec::with_capacity(changes.len());
        for (view, owner, rtype, rrset) in changes {
            match rrset {
                Some(rrset) => {
                    applied.push(store::Change::PutApi {
                        view: view.clone(),
                        owner: owner.clone(),
                        rrset: (*rrset).clone(),
                    });
                    saved.push(ApiChange::Put(view, owner, rrset));
                }
                None => {
                    saved.push(ApiChange::Delete(view.clone(), owner.key(), rtype));
                    applied.push(store::Change::DeleteApi { view, owner, rtype });
                }
            }
        }
        self.serve(applied, &saved, Durability::Required).map(|_| ())
    }

    /// The life of a change: plan, save, publish, commit. On an error nothing has changed.
    pub(super) fn serve(
        &mut self,
        changes: Vec<store::Change>,
        api: &[ApiChange],
        durability: Durability,
    ) -> Result<Plan, ControlError> {
        let old = self.store.snapshot();
        let plan = self.store.plan(changes);
        let turn = self.book.turn(&old, &plan);
        let goes_without = match durability {
            Durability::Required => false,
            Durability::WhereOpen => self.storage.unavailable().is_some(),
            Durability::BestEffort => true,
        };
        let saved = match self.storage.write(api, &turn.save) {
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
        if let Err(error) = self.planes.publish(&plan, &turn.publish) {
            error!("cannot publish a change, the state before is served: {error:#}");
            self.take_back(api);
            return Err(ControlError::Internal(format!(
                "the change cannot be published: {error:#}"
            )));
        }
        self.store.commit(&plan);
        self.book.commit(turn, saved);
        self.census.follow(&old, &plan, durability != Durability::Required);
        self.settings.metrics.set_records(self.census);
        self.note_conflicts(&plan);
        Ok(plan)
    }

    /// Undoes in the database what could not be published. The store still has the state before.
    fn take_back(&mut self, api: &[ApiChange]) {
        let before: Vec<ApiChange> = api
            .iter()
            .map(|change| {
                let (view, key, rtype, owner) = match change {
                    ApiChange::Put(view, owner, rrset) => (view.clone(), owner.key(), rrset.rtype, owner.clone()),
                    ApiChange::Delete(view, key, rtype) => (view.clone(), key.clone(), *rtype, key.to_name()),
                };
                match self.store.api_rrset(view.as_ref(), &key, rtype) {
                    Some(rrset) => ApiChange::Put(view, owner, rrset.clone()),
                    None => ApiChange::Delete(view, key, rtype),
                }
            })
            .collect();
        if let Err(error) = self.storage.write(&before, &[]) {
            error!("the database keeps a change that was answered with an error, the next start serves it: {error}");
        }
    }

    /// Logs conflicts that are new, and says all of them in the metrics.
    fn note_conflicts(&mut self, plan: &Plan) {
        if plan.conflict_changes.is_empty() {
            return;
        }
        let mut new = 0;
        for ConflictChange { before, after } in &plan.conflict_changes {
            let known: BTreeSet<RecordType> = before.iter().map(|conflict| conflict.rtype).collect();
            for conflict in after.iter().filter(|conflict| !known.contains(&conflict.rtype)) {
                new += 1;
                if new <= LOGGED_CONFLICTS {
                    warn!("{}", reload::describe(conflict, &self.settings.config_file));
                }
            }
            if let Some(conflict) = after.first() {
                *self.contested.entry(at(conflict)).or_default() += after.len();
            }
            if let Some(conflict) = before.first()
                && let Entry::Occupied(mut entry) = self.contested.entry(at(conflict))
            {
                *entry.get_mut() -= before.len();
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        if new > LOGGED_CONFLICTS {
            warn!("{} more RRsets of files are left out", new - LOGGED_CONFLICTS);
        }
        self.settings.metrics.set_conflicts(&plan.conflicts);
    }

    /// Names the views that the database has records of and the configuration does not have.
    pub(super) fn warn_of_views(&self) {
        let snapshot = self.store.snapshot();
        let mut unserved: BTreeMap<&ViewName, usize> = BTreeMap::new();
        for (view, _, node) in self.store.api_records_in_views() {
            if snapshot.view(view).is_none() {
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
        let held: BTreeSet<(Option<&ViewName>, NameKey, RecordType)> = stored
            .rrsets
            .iter()
            .map(|(view, owner, rrset)| (view.as_ref(), owner.key(), rrset.rtype))
            .collect();
        let of_default = self.store.api_records().map(|(key, node)| (None, key, node));
        let of_views = self.store.api_records_in_views();
        let of_views = of_views.map(|(view, key, node)| (Some(view), key, node));
        let gone = of_default.chain(of_views).flat_map(|(view, key, node)| {
            let of_api = node.rrsets.iter().filter(|rrset| rrset.source == Source::Api);
            of_api.map(move |rrset| (view, key, node.owner(key), rrset.rtype))
        });
        let mut changes: Vec<store::Change> = gone
            .filter(|(view, key, _, rtype)| !held.contains(&(*view, (*key).clone(), *rtype)))
            .map(|(view, _, owner, rtype)| store::Change::DeleteApi {
                view: view.cloned(),
                owner,
                rtype,
            })
            .collect();
        changes.extend(
            stored
                .rrsets
                .into_iter()
                .map(|(view, owner, rrset)| store::Change::PutApi { view, owner, rrset }),
        );
        let raised = self.book.merge(stored.serials, &self.store.snapshot());
        if !raised.is_empty()
            && let Err(error) = self.planes.publish(&self.store.plan(Vec::new()), &raised)
        {
            error!("cannot publish SOA serials from the database: {error:#}");
        }
        if let Err(error) = self.serve(changes, &[], Durability::BestEffort) {
            error!("cannot serve the records in the database: {error}");
        }
    }
}

fn at(conflict: &Conflict) -> At {
    At {
        view: conflict.view.clone(),
        key: conflict.owner.key(),
    }
}
