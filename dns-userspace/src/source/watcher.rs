//! The driver of all watched sources: lists a world, follows its changes, and keeps its layer in step.
//!
//! ```text
//! list ─► doubted? ─ no ─► all RRsets of the layer ─► synced ─► change ─► edits ─► change …
//!   ▲         │ yes: what was served stays          an error ─► degraded ─┐
//!   └─────────┴──────── after a pause, or when told ◄─────────────────────┘
//! ```
//!
//! - What a world said last is served while it is away, also over restarts.
//! - A world that shows nothing, where it had something, is doubted: a proxy in front of it may have lost its backend.
//!   What it had is served until a second list, a while later, shows nothing again, or until somebody tells the source
//!   to synchronize.
//! - An object that cannot be understood is reported and skipped; what it asked for before stays.
//! - Changes that come close together are one change set.
//! - An object that flaps is served more slowly ([`super::damper`]).
//! - A source that is held ([`super::hold`]) is watched on, and its records stay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info, info_span, warn};

use super::claims::{Claimant, Claims};
use super::damper::{Damper, Damping};
use super::hold::held_at;
use super::status::{SourceState, Status};
use super::world::{Change, Event, Listing, Object, World};
use crate::control::{ControlError, ControlHandle};
use crate::journal::Progress;
use crate::model::source::SourceId;
use crate::store::{ChangeSet, Edit, Refusal, Terms};

/// Broken objects that a report names.
const MOST_BROKEN: usize = 20;
/// Notes of objects that the history has of one change set.
const MOST_NOTES: usize = 3;
/// Edits that are one change set at most.
const MOST_EDITS: usize = 10_000;
/// Before the writer, which still waits for its journal, is asked again.
const WRITER_PAUSE: Duration = Duration::from_millis(500);

/// Times of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatcherSettings {
    /// The first pause after an error; each further one is about twice as long.
    pub min_pause: Duration,
    /// The longest.
    pub max_pause: Duration,
    /// An empty list is believed when another one, so long after the first, is empty as well.
    pub confirm_after: Duration,
    /// Whether that is so. A world that cannot err about what it shows, such as a repository, says the same for ever.
    pub second_list_confirms: bool,
    /// Changes that come within this time are one change set.
    pub gather: Duration,
    /// How often one object may change what is served; `None`: as often as it likes.
    pub damping: Option<Damping>,
    /// A world that is away for so long loses its records; `None`: they are served for ever.
    pub expire: Option<Duration>,
}

impl Default for WatcherSettings {
    fn default() -> Self {
        Self {
            min_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(30),
            confirm_after: Duration::from_secs(30),
            second_list_confirms: true,
            gather: Duration::from_millis(20),
            damping: None,
            expire: None,
        }
    }
}

/// Tells a source to list its world now. A person who does so is believed: no list is doubted then.
#[derive(Debug, Clone, Default)]
pub struct SyncRequests(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    notify: Notify,
    count: AtomicU64,
    is_forced: AtomicBool,
}

impl SyncRequests {
    /// Asks for a list. Where a program may ask, as a repository's webhook does, it is believed only with `force`.
    pub fn ask(&self, force: bool) {
        self.0.is_forced.fetch_or(force, Ordering::Relaxed);
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.notify.notify_one();
    }

    /// How often it was asked for.
    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks; whether with force.
    pub(super) async fn asked(&self) -> bool {
        self.0.notify.notified().await;
        self.0.is_forced.swap(false, Ordering::Relaxed)
    }
}

/// Watches one world.
pub struct Watcher<W> {
    source: SourceId,
    world: W,
    control: ControlHandle,
    status: Arc<Status>,
    requests: SyncRequests,
    settings: WatcherSettings,
    claims: Claims,
    damper: Damper,
    /// Objects that cannot be understood, and why.
    broken: BTreeMap<Arc<str>, String>,
    /// When a list was empty for the first time, where one is doubted.
    doubted_since: Option<Instant>,
    /// Whether somebody has asked for the next list.
    is_told: bool,
}

/// Why a watch ends for now.
enum Pause {
    /// The world is away.
    Away(String),
    /// Its list is doubted.
    Doubted(String),
    /// Somebody asks for a list, or the watch lost its place.
    Relist,
    /// The writer has ended.
    Stopped,
}

impl From<super::WorldError> for Pause {
    fn from(error: super::WorldError) -> Self {
        Self::Away(error.0)
    }
}

impl<W: World> Watcher<W> {
    /// A watcher of `world`, whose objects are records of `source`.
    pub fn new(
        source: SourceId,
        world: W,
        control: ControlHandle,
        status: Arc<Status>,
        requests: SyncRequests,
        settings: WatcherSettings,
    ) -> Self {
        Self {
            claims: Claims::new(source.clone()),
            damper: Damper::new(settings.damping),
            source,
            world,
            control,
            status,
            requests,
            settings,
            broken: BTreeMap::new(),
            doubted_since: None,
            is_told: false,
        }
    }

    /// Watches until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
        self.status.update(|report| report.state = SourceState::Stopped);
    }

    async fn watch(&mut self) {
        let Some(had) = self.begin().await else {
            return;
        };
        let mut had = had;
        let mut pauses = self.pauses();
        loop {
            let source = self.source.key();
            let span = info_span!(target: "otel", "list a source", source, objects = field::Empty);
            let ended = match self.list(had).instrument(span).await {
                Ok(()) => {
                    pauses = self.pauses();
                    self.follow().await
                }
                Err(pause) => pause,
            };
            let pause = match ended {
                Pause::Stopped => return,
                Pause::Relist => continue,
                Pause::Doubted(reason) => {
                    self.degrade(reason);
                    self.settings.confirm_after
                }
                Pause::Away(reason) => {
                    self.degrade(reason);
                    if self.expire().await.is_err() {
                        return;
                    }
                    pauses.next().unwrap_or(self.settings.max_pause)
                }
            };
            let pause = pause.min(self.world.longest_pause().unwrap_or(Duration::MAX));
            had = had.max(self.claims.rrsets());
            tokio::select! {
                () = sleep(pause) => {}
                forced = self.requests.asked() => self.is_told = forced || self.settings.second_list_confirms,
            }
        }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<W> {
        ExponentialBuilder::default()
            .with_min_delay(self.settings.min_pause)
            .with_max_delay(self.settings.max_pause)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// What is served from before: how many RRsets. `None` where the writer has ended.
    async fn begin(&mut self) -> Option<usize> {
        loop {
            match self.control.kept(self.source.clone()).await {
                Ok(kept) => {
                    let place = kept.progress.as_ref().and_then(|progress| progress.resume.as_deref());
                    let held = place.and_then(held_at);
                    if let Some(place) = place.filter(|_| held.is_none()) {
                        self.world.was_at(place);
                    }
                    *self.status.hold().lock().await = held;
                    self.status.update(|report| {
                        if held.is_some() {
                            (report.state, report.held) = (SourceState::Held, held);
                        }
                        report.rrsets = kept.rrsets;
                        report.last_sync = kept.progress.map(|progress| progress.synced);
                        report.revision = self.world.revision().map(|revision| revision.name);
                    });
                    return Some(kept.rrsets);
                }
                Err(ControlError::Stopped) => return None,
                Err(_) => sleep(WRITER_PAUSE).await,
            }
        }
    }

    /// Lists the world and makes the layer say the same. `had` is how many RRsets were served from before.
    async fn list(&mut self, had: usize) -> Result<(), Pause> {
        let asked = info_span!(target: "otel", "ask the world");
        let Listing { objects, resume } = self.world.list().instrument(asked).await?;
        Span::current().record("objects", objects.len());
        self.damper.clear();
        let shown: Vec<Arc<str>> = objects.iter().map(|object| Arc::clone(&object.key)).collect();
        self.broken.clear();
        let mut claimants = Vec::with_capacity(objects.len());
        for object in objects {
            let key = Arc::clone(&object.key);
            match self.understand(object) {
                Some(claimant) => claimants.push(claimant),
                // What it asked for before stays.
                None => claimants.extend(self.claims.object(&key).cloned()),
            }
        }
        let is_empty = claimants.iter().all(|claimant| claimant.claims.is_empty());
        let had = had.max(self.claims.rrsets());
        if is_empty && had > 0 && !self.is_told {
            let since = *self.doubted_since.get_or_insert_with(Instant::now);
            if !self.settings.second_list_confirms || since.elapsed() < self.settings.confirm_after {
                return Err(Pause::Doubted(format!(
                    "{}it shows {} objects that ask for nothing, and had {had} RRsets: these are served until {}you \
                     tell it: {}",
                    self.in_revision(),
                    shown.len(),
                    self.second_list(),
                    self.call(),
                )));
            }
        }
        // Whoever asks for a list has looked, and a second list has confirmed the first: the deletion guard lets all
        // go.
        let is_confirmed =
            |since: Instant| self.settings.second_list_confirms && since.elapsed() >= self.settings.confirm_after;
        let force = std::mem::take(&mut self.is_told) || self.doubted_since.is_some_and(is_confirmed);
        self.claims.reset(claimants);
        let outcome = self.submit(vec![Edit::SetAll(self.claims.all())], resume, force).await;
        if matches!(outcome, Err(Pause::Doubted(_))) {
            self.doubted_since.get_or_insert_with(Instant::now);
        }
        outcome?;
        self.doubted_since = None;
        self.synced();
        Ok(())
    }

    /// Follows what changes, until it cannot any more.
    async fn follow(&mut self) -> Pause {
        loop {
            let due = self.damper.due_at();
            let first = tokio::select! {
                event = self.world.next() => Some(event),
                () = until(due) => None,
                forced = self.requests.asked() => {
                    self.is_told = forced || self.settings.second_list_confirms;
                    return Pause::Relist;
                }
            };
            let mut edits = Vec::new();
            let mut resume = None;
            let mut ended = first.and_then(|first| self.note(first, &mut edits, &mut resume));
            let gathered = Instant::now() + self.settings.gather;
            while ended.is_none()
                && edits.len() < MOST_EDITS
                && let Ok(event) = timeout_at(gathered, self.world.next()).await
            {
                ended = self.note(event, &mut edits, &mut resume);
            }
            for change in self.damper.take_due(Instant::now()) {
                self.take(change, &mut edits);
            }
            if !edits.is_empty() || resume.is_some() {
                let (source, edited) = (self.source.key(), edits.len());
                let span = info_span!(target: "otel", "follow a source", source, edits = edited);
                if let Err(pause) = self.submit(edits, resume, false).instrument(span).await {
                    return pause;
                }
            }
            if let Some(pause) = ended {
                return pause;
            }
            self.synced();
        }
    }

    /// Takes one event; why the watch ends, if it does.
    fn note(
        &mut self,
        event: Result<Event, super::WorldError>,
        edits: &mut Vec<Edit>,
        resume: &mut Option<String>,
    ) -> Option<Pause> {
        let Event { change, resume: place } = match event {
            Ok(event) => event,
            Err(error) => return Some(error.into()),
        };
        if matches!(change, Change::Relist) {
            return Some(Pause::Relist);
        }
        if let Some(change) = self.damper.admit(change, Instant::now()) {
            self.take(change, edits);
        }
        *resume = place.or(resume.take());
        None
    }

    /// Takes a change of an object.
    fn take(&mut self, change: Change, edits: &mut Vec<Edit>) {
        match change {
            Change::Applied(object) => {
                if let Some(claimant) = self.understand(object) {
                    edits.extend(self.claims.apply(claimant));
                }
            }
            Change::Deleted(key) => {
                self.broken.remove(&key);
                edits.extend(self.claims.delete(&key));
            }
            Change::Relist => {}
        }
    }

    /// An object's claims; `None` where it cannot be understood, which is reported.
    fn understand(&mut self, object: Object) -> Option<Claimant> {
        let Object { key, since, claims } = object;
        match claims {
            Ok(claims) => {
                self.broken.remove(&key);
                Some(Claimant { key, since, claims })
            }
            Err(reason) => {
                if self.broken.get(&key) != Some(&reason) {
                    warn!("source {}: {key} is skipped: {reason}", self.source.key());
                }
                self.broken.insert(key, reason);
                None
            }
        }
    }

    async fn submit(&mut self, edits: Vec<Edit>, resume: Option<String>, force: bool) -> Result<(), Pause> {
        let progress = Progress { resume, synced: now() };
        let revision = self.world.revision();
        loop {
            let held = self.status.hold().lock().await;
            if held.is_some() {
                return Ok(());
            }
            let set = ChangeSet {
                source: self.source.clone(),
                actor: revision
                    .as_ref()
                    .map_or_else(|| "sync".into(), |revision| revision.name.clone()),
                edits: edits.clone(),
            };
            let control = self.control.clone().on(Terms {
                force,
                comment: revision
                    .as_ref()
                    .and_then(|revision| revision.comment.clone())
                    .or_else(|| comment(&edits)),
                ..Terms::default()
            });
            let outcome = control.watched(set, Some(progress.clone())).await;
            drop(held);
            match outcome {
                Ok(_) => return Ok(()),
                Err(ControlError::Stopped) => return Err(Pause::Stopped),
                Err(ControlError::NotReady(_)) => sleep(WRITER_PAUSE).await,
                Err(error) if matches!(error.refusal(), Some(Refusal::TooManyRemoved(_))) => {
                    return Err(Pause::Doubted(format!(
                        "{}{error}, with {}; what was served stays until {}you do so",
                        self.in_revision(),
                        self.call(),
                        self.second_list(),
                    )));
                }
                Err(error) => return Err(Pause::Away(error.to_string())),
            }
        }
    }

    /// In front of what is doubted: the state of the world in which it is so.
    fn in_revision(&self) -> String {
        let revision = self.world.revision();
        revision.map_or_else(String::new, |revision| format!("{}: ", revision.name))
    }

    /// The call that confirms a list that is doubted.
    fn call(&self) -> String {
        let force = if self.settings.second_list_confirms {
            ""
        } else {
            "?force=true"
        };
        format!("POST /api/v1/sources/{}/sync{force}", self.source.key())
    }

    /// What else confirms a list that is doubted.
    fn second_list(&self) -> String {
        match self.settings.second_list_confirms {
            true => format!(
                "a second list in {} s says the same, or until ",
                self.settings.confirm_after.as_secs()
            ),
            false => String::new(),
        }
    }

    /// Takes the records away where the world has been away for too long. An error where the writer has ended.
    async fn expire(&mut self) -> Result<(), ()> {
        let Some(expire) = self.settings.expire else {
            return Ok(());
        };
        let report = self.status.report();
        let age = report.age(SystemTime::now());
        if report.held.is_some() || report.rrsets == 0 || age.is_none_or(|age| age < expire.as_secs()) {
            return Ok(());
        }
        self.claims.reset(Vec::new());
        let set = ChangeSet {
            source: self.source.clone(),
            actor: "expired".into(),
            edits: vec![Edit::SetAll(Vec::new())],
        };
        let control = self.control.clone().on(Terms {
            force: true,
            ..Terms::default()
        });
        match control.watched(set, None).await {
            Ok(_) => {
                warn!(
                    "source {}: it has been away for longer than its `expire`: its records are not served any more",
                    self.source.key()
                );
                self.status.update(|report| report.rrsets = 0);
                Ok(())
            }
            Err(ControlError::Stopped) => Err(()),
            // It is tried again with the next attempt.
            Err(_) => Ok(()),
        }
    }

    fn synced(&self) {
        let (objects, rrsets) = (self.claims.objects(), self.claims.rrsets());
        let mut was = SourceState::Synced;
        let mut new_flapping = None;
        self.status.update(|report| {
            was = report.state;
            report.objects = objects;
            report.error = None;
            if report.held.is_none() {
                report.state = SourceState::Synced;
                report.last_sync = Some(now());
                report.revision = self.world.revision().map(|revision| revision.name);
                report.rrsets = rrsets;
            }
            let broken = self.broken.iter().take(MOST_BROKEN);
            report.broken = broken.map(|(key, reason)| (key.to_string(), reason.clone())).collect();
            report.broken_count = self.broken.len();
            let left_out = self.claims.all_left_out().take(MOST_BROKEN);
            report.left_out = left_out
                .map(|(key, left_out)| (key.to_string(), left_out.to_string()))
                .collect();
            report.left_out_count = self.claims.all_left_out().count();
            new_flapping = self
                .damper
                .flapping()
                .find(|key| !report.flapping.contains(&***key))
                .cloned();
            report.flapping = self.damper.flapping().map(|key| key.to_string()).collect();
        });
        if let Some(key) = new_flapping {
            warn!(
                "source {}: {key} changes too often: its changes are served more slowly",
                self.source.key()
            );
        }
        if !was.is_settled() {
            info!(
                "source {}: in step, {objects} objects, {rrsets} RRsets",
                self.source.key()
            );
        }
    }

    fn degrade(&self, reason: String) {
        let mut is_new = false;
        self.status.update(|report| {
            is_new = report.error.as_ref() != Some(&reason);
            // Up to now what is served was what its world said.
            if report.state == SourceState::Synced {
                report.last_sync = Some(now());
            }
            if report.held.is_none() {
                report.state = SourceState::Degraded;
            }
            report.error = Some(reason.clone());
        });
        if is_new {
            warn!("source {}: {reason}; what it said last is served", self.source.key());
        }
    }
}

/// Waits until then; without a time, for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What people wrote about the objects of a change, for the history.
fn comment(edits: &[Edit]) -> Option<Arc<str>> {
    let mut notes: Vec<&str> = Vec::new();
    for edit in edits {
        if let Edit::Set { rrset, .. } = edit
            && let Some(note) = rrset.handling.keeping().note.as_deref()
            && !notes.contains(&note)
        {
            notes.push(note);
        }
        if notes.len() == MOST_NOTES {
            break;
        }
    }
    (!notes.is_empty()).then(|| notes.join("; ").into())
}

/// In seconds of Unix time.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
