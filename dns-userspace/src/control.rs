//! The one writer: takes changes from the HTTP API and from reloads, makes them durable, publishes them.
//!
//! ```text
//! ControlHandle ─ change sets ─► writer thread ─ Draft::apply each in order, on top of those before it
//!  (any task)  ◄─ outcomes ────                ├ Draft::finish        what would be served
//!                                              ├ Stage::apply         serials, then other stages
//!                                              ├ Journal::append      one transaction
//!                                              ├ Planes::publish      fence, publish, install
//!                                              └ Store::commit
//! ```
//!
//! The writer takes all commands that wait and makes them one transaction and one publication (group commit), so that
//! many clients share one `fsync`. A command is answered after that: a reply means "on disk, and served". Where the
//! transaction fails, all commands of the group that depend on it fail, and nothing has changed. A crash between the
//! transaction and the publication loses nothing: the next start serves what is on disk.
//!
//! Where the database could not be read at start-up, nothing is served and every command refused until it could be: it
//! is tried once a second. With `storage.required: false` the files are served meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, Span, field, info_span};

use self::files::{FileBatch, Files};
use crate::cookies::Cookies;
use crate::journal::{
    HistoryLimits, HistoryQuery, HistoryRow, Journal, KnownZoneFiles, Progress, StorageStatus, Stored,
};
use crate::model::name::{Name, NameKey};
use crate::model::record::{Rdata, RecordType};
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::model::views::ViewName;
use crate::principal::{Principal, TokenFile};
use crate::store::{ChangeSet, Conflicts, Edit, EditedRrset, Guard, Refusal, Terms, Wanted, Written};

pub mod differences;
mod error;
mod files;
mod history;
mod past;
mod publication;
mod record_counts;
mod reload;
mod serial;
mod shared;
mod stage;
mod writer;

pub use error::ControlError;
pub use history::{Disabled, Event, History, Subscription};
pub use past::{Difference, Past, PastKind, decode};
pub use publication::{Cause, Publication, ZoneSerial};
pub use reload::{Desired, DesiredZone, Door, Failure, LoadFiles, ReloadReport, Replaced, RrsetRef};
pub use serial::is_greater;
pub use stage::Stage;

/// Commands that wait before senders do.
const QUEUE: usize = 4096;

/// Where publications become what is served.
pub trait Planes: Send {
    /// Serves the publication's snapshot from every plane when it returns. A plane that has no room for an answer
    /// leaves it to another one, so this does not fail.
    fn publish(&mut self, publication: &Publication);

    /// Answers every question SERVFAIL, from now until something is published: what there is is not known yet.
    fn withhold(&mut self) {}

    /// Puts other settings into force, which whoever asks has left where the planes find them. On an error nothing has
    /// changed.
    fn reconfigure(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Called once after changes, when no other has come for a while: time to free what they left behind. Again after
    /// the time that it says, if it says one, and no change comes before.
    fn rest(&mut self) -> Option<Duration> {
        None
    }
}

/// Who is told what the writer does: metrics and readiness, in the product.
pub trait Observer: Send + Sync {
    /// How many RRs of each kind of source are served.
    fn records(&self, by_kind: &BTreeMap<&str, i64>);

    /// These are all RRsets that are left out now.
    fn conflicts(&self, conflicts: &Conflicts);

    /// So many configuration files and zone files could not be loaded.
    fn reload_failures(&self, files: usize);

    /// How the database is now.
    fn storage(&self, status: StorageStatus);

    /// The version of the latest change.
    fn version(&self, version: u64) {
        let _ = version;
    }

    /// A change set of this kind of source came to this: `applied`, `unchanged`, `refused`, `failed`.
    fn change(&self, source: &str, result: &'static str) {
        let _ = (source, result);
    }
}

/// What the writer works with.
pub struct ControlSettings {
    /// Where changes are kept before they are served.
    pub journal: Box<dyn Journal>,
    /// What it held when it was opened; `None` where that could not be read.
    pub stored: Option<Stored>,
    /// How much history is kept.
    pub history: HistoryLimits,
    /// How much one change may remove.
    pub guard: Guard,
    /// The watched sources that are configured: what the journal has of others goes.
    pub sources: Vec<SourceId>,
    /// `storage.required`: whether nothing is served until the records in the database are read.
    pub storage_required: bool,
    /// Reads the configuration file and the zone files, for a reload.
    pub loader: Box<dyn LoadFiles>,
    /// The token file, which a reload reads again.
    pub token: Arc<ArcSwapOption<TokenFile>>,
    /// The secrets of DNS cookies; a reload reads their file again.
    pub cookies: Arc<Cookies>,
    /// Who is told what the writer does.
    pub observer: Arc<dyn Observer>,
    /// What is done to each publication once its serials are decided, in this order.
    pub stages: Vec<Box<dyn Stage>>,
}

/// What is known of a watched source from before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many RRsets it has.
    pub rrsets: usize,
    /// How far its watch was.
    pub progress: Option<Progress>,
}

/// The running writer.
pub struct Control {
    /// For everyone who wants changes.
    pub handle: ControlHandle,
    /// What was published lately, to be followed.
    pub history: Arc<History>,
    /// Ends after [`ControlHandle::stop`], or when every handle is gone; the database is closed then.
    pub thread: JoinHandle<()>,
}

/// Sends commands to the writer.
#[derive(Clone)]
pub struct ControlHandle {
    commands: mpsc::Sender<Command>,
    reloads: mpsc::Sender<files::Request>,
    /// The zone files that edits change.
    zone_files: Arc<KnownZoneFiles>,
    /// The view that changes are made in; `None` is the default.
    view: Option<ViewName>,
    /// Who asks for them.
    principal: Principal,
    /// What goes with them.
    terms: Terms,
}

/// What a change set came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// One for each edit.
    pub written: Vec<Written>,
    /// The version that it made, or the present one where it made no difference.
    pub version: u64,
    /// RRsets that differ in the layer of the source, each once.
    pub diff: Vec<EditedRrset>,
    /// What would be served, where the set was only tried.
    pub trial: Option<Trial>,
}

/// What would be served if a change set were made.
#[derive(Clone)]
pub struct Trial {
    /// What is served.
    pub before: Arc<Snapshot>,
    /// What would be.
    pub after: Arc<Snapshot>,
    /// RRsets that would be served differently and are none of those that the set says: hidden ones, say.
    pub also: Vec<Difference>,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial")
            .field("also", &self.also)
            .finish_non_exhaustive()
    }
}

/// The way back to whoever has sent a command, and the span of a trace in which they wait.
struct Reply<T> {
    sender: oneshot::Sender<T>,
    span: Span,
}

impl<T> Reply<T> {
    fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let span = Span::current();
        (Self { sender, span }, receiver)
    }

    /// Whoever does not wait any more needs no answer.
    fn send(self, answer: T) {
        let _ = self.sender.send(answer);
    }
}

enum Command {
    Apply(ChangeSet, Terms, Reply<Result<Outcome, ControlError>>),
    /// What the set would do; nothing is changed.
    Try(ChangeSet, Terms, Reply<Result<Outcome, ControlError>>),
    /// A part of the history.
    Past(HistoryQuery, Reply<Result<Vec<HistoryRow>, ControlError>>),
    /// A copy of the journal, to this file or beside it.
    Backup(Option<PathBuf>, Reply<Result<PathBuf, ControlError>>),
    /// What a watched source says, and how far its watch is.
    Watched(
        ChangeSet,
        Terms,
        Option<Progress>,
        Reply<Result<Vec<Written>, ControlError>>,
    ),
    /// What is known of a source from before: whether it has records, and how far its watch was.
    Kept(SourceId, Reply<Result<Kept, ControlError>>),
    /// What the files say now.
    Files(FileBatch, Reply<Result<ReloadReport, ControlError>>),
    /// For the planes: what [`Planes::reconfigure`] says.
    Reconfigure(Reply<Result<(), String>>),
    /// The sources that are configured now.
    Sources(Vec<SourceId>),
    /// The records of a source that is not configured any more go, unless the deletion guard holds them; `true`: it is
    /// not asked.
    Retire(SourceId, bool, Reply<Result<(), ControlError>>),
    /// For the planes to rest after, and for what other nodes have changed.
    Wake,
    Stop(Reply<()>),
}

impl Control {
    /// Publishes `initial` with the records and serials in it, and starts the writer. Where the
    /// database cannot be read, and has to be, that comes later: [`Observer::storage`] says so.
    ///
    /// What is amiss but does not keep the server from running (no database, bad zone files, RRsets left out) is
    /// logged. Blocks.
    pub fn start(settings: ControlSettings, initial: Desired, planes: Box<dyn Planes>) -> Result<Self, StartError> {
        let ControlSettings {
            journal,
            stored,
            history: limits,
            guard,
            sources,
            storage_required,
            loader,
            token,
            cookies,
            observer,
            stages,
        } = settings;
        let (files, batch) = Files::new(loader, token, cookies, Arc::clone(&observer), initial);
        let zone_files: Arc<KnownZoneFiles> = Arc::default();
        let parts = writer::Parts {
            zone_files: Arc::clone(&zone_files),
            observer,
            storage_required,
            journal,
            limits,
            guard,
            sources,
            planes,
            stages,
        };
        let writer = writer::Writer::start(parts, stored, batch);
        let history = writer.history();
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let (commands, queue) = mpsc::channel(QUEUE);
        let (reloads, requests) = mpsc::channel(QUEUE);
        let sink = commands.clone();
        std::thread::Builder::new()
            .name("hotdns-files".to_owned())
            .spawn(move || files.run(requests, sink))
            .map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("hotdns-control".to_owned())
            .spawn(move || writer.run(queue, &clock))
            .map_err(StartError::Thread)?;
        Ok(Self {
            handle: ControlHandle {
                commands,
                reloads,
                zone_files,
                view: None,
                principal: Principal::local(),
                terms: Terms::default(),
            },
            history,
            thread,
        })
    }
}

/// Why the writer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread.
    #[error("cannot start the control thread: {0}")]
    Thread(std::io::Error),
}

impl ControlHandle {
    /// The same, for changes in a view; `None` is the default.
    #[must_use]
    pub fn in_view(self, view: Option<ViewName>) -> Self {
        Self { view, ..self }
    }

    /// The same, for changes that this principal asks for.
    #[must_use]
    pub fn by(&self, principal: Principal) -> Self {
        Self {
            principal,
            ..self.clone()
        }
    }

    /// The same, for changes with these terms.
    #[must_use]
    pub fn on(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// Creates an RRset, or adds the values it lacks; what is wanted is checked against an existing RRset's.
    pub async fn create(
        &self,
        owner: Name,
        rtype: RecordType,
        wanted: impl Into<Wanted>,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        let edit = Edit::AddValues {
            view: self.view.clone(),
            owner,
            rtype,
            wanted: wanted.into(),
            rdatas,
        };
        let written = self.edit(edit).await?;
        if !written.changed {
            let owner = written.owner;
            return Err(ControlError::Exists { owner, rtype });
        }
        Ok(written)
    }

    /// Replaces an RRset, or creates it. Without a TTL an RRset keeps its own.
    pub async fn put(
        &self,
        owner: Name,
        rtype: RecordType,
        wanted: impl Into<Wanted>,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        self.edit(Edit::Put {
            view: self.view.clone(),
            owner,
            rtype,
            wanted: wanted.into(),
            rdatas,
        })
        .await
    }

    /// Deletes one value, one RRset (no `rdata`), or all that the API holds at a name (no `rtype`).
    pub async fn delete(
        &self,
        owner: Name,
        rtype: Option<RecordType>,
        rdata: Option<Rdata>,
    ) -> Result<(), ControlError> {
        let view = self.view.clone();
        let edit = match (rtype, rdata) {
            (Some(rtype), Some(rdata)) => Edit::RemoveValues {
                view,
                owner,
                rtype,
                rdatas: vec![rdata],
            },
            (rtype, _) => Edit::Delete { view, owner, rtype },
        };
        self.edit(edit).await.map(|_| ())
    }

    /// Makes a change set, if the principal may: whole, or not at all. One outcome for each edit.
    pub async fn apply(&self, set: ChangeSet) -> Result<Vec<Written>, ControlError> {
        Ok(self.change(set).await?.written)
    }

    /// The same, with all that the set came to.
    pub async fn change(&self, set: ChangeSet) -> Result<Outcome, ControlError> {
        let (source, edits) = (set.source.kind(), set.edits.len());
        let span = info_span!(target: "otel", "change set", source, edits, version = field::Empty);
        let outcome = self.make(set).instrument(span.clone()).await;
        if let Ok(outcome) = &outcome {
            span.record("version", outcome.version);
        }
        outcome
    }

    async fn make(&self, set: ChangeSet) -> Result<Outcome, ControlError> {
        self.principal.check(&set)?;
        // What is too large by itself is known before the writer has to do with it.
        set.check_size()?;
        if !self.zone_files.are_there() {
            return self.ask(|reply| Command::Apply(set, self.terms.clone(), reply)).await?;
        }
        let again = set.clone();
        let outcome: Result<Outcome, ControlError> =
            self.ask(|reply| Command::Apply(set, self.terms.clone(), reply)).await?;
        match &outcome {
            // Somebody has edited the file: what they wrote comes first, and the change on top of it.
            Err(error) if matches!(error.refusal(), Some(Refusal::ZoneFileChanged { .. })) => {
                let _ = self.clone().on(Terms::default()).reload().await;
                self.ask(|reply| Command::Apply(again, self.terms.clone(), reply))
                    .await?
            }
            _ => outcome,
        }
    }

    /// What a change set would come to, if the principal may make it. Nothing is changed.
    pub async fn try_out(&self, set: ChangeSet) -> Result<Outcome, ControlError> {
        self.principal.check(&set)?;
        set.check_size()?;
        self.ask(|reply| Command::Try(set, self.terms.clone(), reply)).await?
    }

    /// Whether edits of this zone change its file.
    pub fn is_in_file(&self, apex: &NameKey) -> bool {
        self.zone_files.has(apex)
    }

    /// Who asks for changes.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// A part of the history: rows, which [`decode`] reads.
    pub async fn past(&self, query: HistoryQuery) -> Result<Vec<HistoryRow>, ControlError> {
        self.ask(|reply| Command::Past(query, reply)).await?
    }

    /// Copies the journal, as it is now, to a file that is not there yet; without one, to a new file beside it. Where
    /// the copy is.
    pub async fn backup(&self, to: Option<PathBuf>) -> Result<PathBuf, ControlError> {
        self.ask(|reply| Command::Backup(to, reply)).await?
    }

    /// Makes what a watched source says what is served. Where the journal cannot be written it is kept later: the world
    /// that is watched says it again.
    pub async fn watched(&self, set: ChangeSet, progress: Option<Progress>) -> Result<Vec<Written>, ControlError> {
        let terms = Terms {
            is_guarded: true,
            ..self.terms.clone()
        };
        self.ask(|reply| Command::Watched(set, terms, progress, reply)).await?
    }

    /// What is known of a watched source from before.
    pub async fn kept(&self, source: SourceId) -> Result<Kept, ControlError> {
        self.ask(|reply| Command::Kept(source, reply)).await?
    }

    /// Reads the configuration file and the zone files again and serves what they say.
    pub async fn reload(&self) -> Result<ReloadReport, ControlError> {
        let (reply, answer) = Reply::new();
        let request = files::Request {
            reply,
            force: self.terms.force,
        };
        self.reloads.send(request).await.map_err(|_| ControlError::Stopped)?;
        answer.await.map_err(|_| ControlError::Stopped)?
    }

    /// Lets the planes rest soon, as after a change ([`Planes::rest`]).
    pub fn wake(&self) {
        // Where commands wait, the planes rest after those.
        let _ = self.commands.try_send(Command::Wake);
    }

    /// Ends the writer after all commands sent before; later ones fail.
    pub async fn stop(&self) {
        let _ = self.ask(Command::Stop).await;
    }

    async fn edit(&self, edit: Edit) -> Result<Written, ControlError> {
        let set = ChangeSet {
            source: SourceId::api(),
            actor: Arc::clone(self.principal.name()),
            edits: vec![edit],
        };
        self.apply(set).await?.pop().ok_or(ControlError::Stopped)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ControlError> {
        let (reply, answer) = Reply::new();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| ControlError::Stopped)?;
        answer.await.map_err(|_| ControlError::Stopped)
    }
}

#[cfg(test)]
pub(crate) mod tests;
