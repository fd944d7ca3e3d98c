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
use crate::readiness::{self, StorageState, StorageStatus};
use crate::record::{RecordType, Source};
use crate::storage::{ApiChange, ServedSerial, Storage, Stored, WriteError};
use crate::store::{self, Conflict, ConflictChange, Plan, Store};
use crate::views::ViewName;

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
    /// When the log said last how the database is.
    told_at: Instant,
    /// When the database was looked at last.
    last_look: Instant,
    /// What is not served before the records in the database are read.
    pub(super) awaiting: Option<Awaiting>,
    /// What the database has and should not: what was written and could not be published.
    owed: Vec<ApiChange>,
    /// If no command comes until then the planes may clean up; `None`: they need not.
    rests_at: Option<Instant>,
}

/// What the files ask for, while the records in the database are waited for.
pub(super) enum Awaiting {
    /// As they were read last.
    Read(Box<Desired>),
    /// They have to be read again.
    Unread,
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
    /// Publishes the first state, unless what the database holds has to be known first: that is `None` where it could
    /// not be read.
    pub(super) fn start(
        settings: Settings,
        storage: Storage,
        stored: Option<Stored>,
        initial: Desired,
        planes: Box<dyn Planes>,
    ) -> anyhow::Result<Self> {
        let mut writer = Self {
            settings,
            store: Store::new(),
            rules: initial.ttl,
            zones: BTreeMap::new(),
            storage,
            planes,
            book: Book::new(Vec::new()),
            census: Census::default(),
            contested: BTreeMap::new(),
            told_at: Instant::now(),
            last_look: Instant::now(),
            awaiting: None,
            owed: Vec::new(),
            rests_at: None,
        };
        match stored {
            Some(stored) => writer.begin(initial, stored)?,
            None if writer.settings.storage_required => {
                writer.planes.withhold();
                writer.awaiting = Some(Awaiting::Read(Box::new(initial)));
            }
            None => writer.begin(initial, Stored::default())?,
        }
        writer.tell();
        Ok(writer)
    }

    /// Serves the first state.
    fn begin(&mut self, initial: Desired, stored: Stored) -> Result<(), ControlError> {
        self.rules = initial.ttl;
        self.book = Book::new(stored.serials);
        let step = reload::step(&self.zones, initial);
        self.settings.metrics.count_reload_failures(step.failed.len());
        let mut changes = step.changes;
        changes.extend(
            stored
                .rrsets
                .into_iter()
                .map(|(view, owner, rrset)| store::Change::PutApi { view, owner, rrset }),
        );
        self.serve(changes, &[], Durability::BestEffort)?;
        self.zones = step.zones;
        self.warn_of_views();
        // What the files were read into is gone now.
        self.rest();
        Ok(())
    }

    fn rest(&mut self) {
        self.rests_at = self.planes.rest().map(|time| Instant::now() + time);
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
        if let Some(refusal) = self.not_ready() {
            for (.., reply) in changes {
                let _ = reply.send(Err(refusal.clone()));
            }
            return;
        }
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
        let saved = match self.write(api, &turn.save) {
            Ok(()) => true,
            Err(_) if durability == Durability::BestEffort => false,
            Err(_) if durability == Durability::WhereOpen && self.storage.unavailable().is_some() => false,
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

    /// Writes to the database; before it, what is owed to it.
    fn write(&mut self, api: &[ApiChange], serials: &[ServedSerial]) -> Result<(), WriteError> {
        if self.owed.is_empty() {
            return self.storage.write(api, serials);
        }
        let both: Vec<ApiChange> = self.owed.iter().chain(api).cloned().collect();
        self.storage.write(&both, serials)?;
        self.owed.clear();
        Ok(())
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
        if let Err(error) = self.write(&before, &[]) {
            error!("the database keeps a change that was answered with an error until it can be taken back: {error}");
            self.owed.extend(before);
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

    /// Why no command is taken, if none is.
    pub(super) fn not_ready(&self) -> Option<ControlError> {
        self.awaiting.as_ref()?;
        let reason = self.storage.trouble().map(|trouble| trouble.reason.as_str());
        Some(ControlError::NotReady(readiness::awaited(reason)))
    }

    /// Looks whether the database is still there; where it cannot be used, whether it can be now, and serves what it
    /// holds.
    fn look_at_storage(&mut self) {
        if self.last_look.elapsed() < LOOK_EVERY {
            return;
        }
        if !self.storage.is_closed() {
            // What is wrong shows in the status.
            if self.storage.recover(&self.owed).is_ok() {
                self.owed.clear();
            }
            self.look_at_copy();
        }
        if let Some(mut stored) = self.storage.reopen() {
            // What could not be published is in it, and was answered with an error.
            stored.apply(&self.owed);
            if let Err(error) = self.take(stored) {
                error!("cannot serve the records in the database: {error}");
                self.storage.close(&format!("its records could not be served: {error}"));
            }
        }
        self.tell();
        // It may have taken a while.
        self.last_look = Instant::now();
    }

    /// Where another file is in the place of the database, takes it if it holds what is served.
    fn look_at_copy(&mut self) {
        let Some(stored) = self.storage.copy_at_path() else {
            return;
        };
        let place = |view: Option<&ViewName>, key: NameKey, rtype| (view.cloned(), key, rtype);
        let held: BTreeMap<_, _> = stored
            .rrsets
            .iter()
            .map(|(view, owner, rrset)| (place(view.as_ref(), owner.key(), rrset.rtype), rrset))
            .collect();
        let of_default = self.store.api_records().map(|(key, node)| (None, key, node));
        let of_views = self.store.api_records_in_views();
        let of_views = of_views.map(|(view, key, node)| (Some(view), key, node));
        let mut served = 0;
        let is_same = of_default.chain(of_views).all(|(view, key, node)| {
            let mut of_api = node.rrsets.iter().filter(|rrset| rrset.source == Source::Api);
            of_api.all(|rrset| {
                served += 1;
                held.get(&place(view, key.clone(), rrset.rtype)) == Some(&&**rrset)
            })
        });
        match is_same && served == held.len() {
            true => self
                .storage
                .close("it was replaced by a copy of itself, which is taken"),
            false => self.storage.refuse_copy("it does not hold the records that are served"),
        }
    }

    /// Serves what a database holds that could be opened now.
    fn take(&mut self, stored: Stored) -> Result<(), ControlError> {
        match self.awaiting.take() {
            None => self.merge(stored),
            Some(awaiting) => {
                let initial = match awaiting {
                    Awaiting::Read(desired) => Ok(*desired),
                    Awaiting::Unread => self.load().map(|loaded| {
                        (loaded.install)();
                        loaded.desired
                    }),
                };
                let begun = initial.and_then(|initial| self.begin(initial, stored));
                if begun.is_err() {
                    self.awaiting = Some(Awaiting::Unread);
                }
                begun
            }
        }
    }

    /// Takes in what a database holds that could not be read, or not be written, before.
    fn merge(&mut self, stored: Stored) -> Result<(), ControlError> {
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
        if !raised.is_empty() {
            let published = self.planes.publish(&self.store.plan(Vec::new()), &raised);
            published.map_err(|error| ControlError::Internal(format!("cannot publish SOA serials: {error:#}")))?;
        }
        self.serve(changes, &[], Durability::BestEffort).map(|_| ())
    }

    /// Says how the database is: in the metrics, to `/ready` and, where that has changed, in the log.
    fn tell(&mut self) {
        let trouble = self.storage.trouble();
        let status = StorageStatus {
            state: trouble.map_or(StorageState::Open, |trouble| trouble.state),
            reason: trouble.map(|trouble| trouble.reason.as_str().into()),
            is_awaited: self.awaiting.is_some(),
        };
        let before = self.settings.readiness.storage();
        if before == status {
            return;
        }
        // The same in other words, such as how little room there is, is said now and then.
        let is_known = before.state == status.state && before.is_awaited == status.is_awaited;
        if is_known && self.told_at.elapsed() < TELL_AGAIN {
            self.settings.readiness.set_storage(status);
            return;
        }
        self.told_at = Instant::now();
        let path = self.storage.path().display();
        match &status.reason {
            None if before.state == StorageState::Starting => {}
            None => info!("the database {path} is read and written"),
            Some(reason) if status.is_awaited => {
                warn!("{}; it is tried again every second", readiness::awaited(Some(reason)));
            }
            Some(reason) => warn!(
                "no change over HTTP can be made, and SOA serials are kept for the life of this process only, until this \
                 is put right: {reason}"
            ),
        }
        self.settings.readiness.set_storage(status);
    }
}

fn at(conflict: &Conflict) -> At {
    At {
        view: conflict.view.clone(),
        key: conflict.owner.key(),
    }
}
