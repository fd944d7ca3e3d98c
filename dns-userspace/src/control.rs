//! The one writer: takes changes from the HTTP API and from reloads, makes them durable, publishes them.
//!
//! ```text
//! ControlHandle ─ commands ─► writer thread ─ evaluate each in order, on top of those before it
//!  (any task)  ◄─ replies ──                ├ Store::plan          what would be served
//!                                           ├ Storage::write       one SQLite transaction
//!                                           ├ Planes::publish      fence, publish, install
//!                                           └ Store::commit
//! ```
//!
//! The writer takes all commands that wait and makes them one transaction and one publication (group commit), so that
//! many clients share one `fsync`. A command is answered after that: a reply means "on disk, and served". Where the
//! transaction fails, all commands of the group that depend on it fail, and nothing has changed. A crash between the
//! transaction and the publication loses nothing: the next start serves what is on disk.
//!
//! Where the database could not be read at start-up, nothing is served and every command refused until it could be: it
//! is tried once a second. With `storage.required: false` the files are served meanwhile.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::cookies::Cookies;
use crate::http::TokenFile;
use crate::metrics::Metrics;
use crate::name::{Name, NameKey};
use crate::rdata;
use crate::readiness::Readiness;
use crate::record::{MOST_OF_MESSAGE, Order, Rdata, RecordType, RrSet, Wildcard, octets_of_answer};
use crate::storage::{Storage, StorageError};
use crate::store::Plan;
use crate::views::ViewName;

mod census;
mod error;
mod evaluate;
mod reload;
mod serial;
mod writer;

pub(crate) use census::Census;
pub(crate) use serial::set as set_serial;

pub use error::ControlError;
pub use reload::{Desired, DesiredZone, Failure, Loader, ReloadReport, RrsetRef};
pub use serial::is_greater;

/// Commands that wait before senders do.
const QUEUE: usize = 4096;

/// Where plans become what is served.
pub trait Planes: Send {
    /// Serves the plan's snapshot from every plane when it returns; `serials` are (zone index, SOA serial) pairs, of
    /// all zones that are new and of all whose serial changes.
    ///
    /// An error means that the old state is served still. A plane that has no room for an answer is no error: another
    /// one gives it.
    fn publish(&mut self, plan: &Plan, serials: &[(u32, u32)]) -> anyhow::Result<()>;

    /// Answers every question SERVFAIL, from now until something is published: what there is is not known yet.
    fn withhold(&mut self) {}

    /// Called once after changes, when no other has come for a while: time to free what they left behind. Again after
    /// the time that it says, if it says one, and no change comes before.
    fn rest(&mut self) -> Option<Duration> {
        None
    }
}

/// Bounds and default of TTLs that come through the API, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlRules {
    /// The smallest allowed.
    pub min: u32,
    /// The largest allowed.
    pub max: u32,
    /// What a new RRset without a TTL gets.
    pub default: u32,
}

/// What the writer works with.
pub struct Settings {
    /// `storage.path`.
    pub storage_path: PathBuf,
    /// `storage.required`: whether nothing is served until the records in the database are read.
    pub storage_required: bool,
    /// Where it is said whether they are.
    pub readiness: Arc<Readiness>,
    /// The configuration file, as errors name it.
    pub config_file: Arc<str>,
    /// Reads the configuration file and all zone files, for a reload.
    pub loader: Loader,
    /// The token file, which a reload reads again.
    pub token: Option<Arc<TokenFile>>,
    /// The secrets of DNS cookies; a reload reads their file again.
    pub cookies: Arc<Cookies>,
    /// Where records, conflicts and failures are counted.
    pub metrics: Arc<Metrics>,
    /// How writes to the database fail.
    #[cfg(test)]
    pub(crate) faults: crate::storage::faults::Shared,
}

/// The running writer.
pub struct Control {
    /// For everyone who wants changes.
    pub handle: ControlHandle,
    /// Ends after [`ControlHandle::stop`], or when every handle is gone; the database is closed then.
    pub thread: JoinHandle<()>,
}

/// Sends commands to the writer.
#[derive(Clone)]
pub struct ControlHandle {
    commands: mpsc::Sender<Command>,
    /// The view that changes are made in; `None` is the default.
    view: Option<ViewName>,
}

/// What a request says of an RRset beside its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its TTL.
    pub ttl: Option<u32>,
    /// Its order; a weighted one has one weight for each value of the request.
    pub order: Option<Order>,
    /// What its wildcard stands for.
    pub wildcard: Option<Wildcard>,
}

impl From<Option<u32>> for Wanted {
    fn from(ttl: Option<u32>) -> Self {
        Self { ttl, ..Self::default() }
    }
}

/// An RRset that the API has put, as it is after the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The owner, in the case in which it was given first.
    pub owner: Name,
    /// The whole RRset.
    pub rrset: Arc<RrSet>,
    /// Whether there was none before.
    pub created: bool,
}

/// One change of the API's RRsets.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Creates an RRset or adds the values it lacks.
    Create {
        owner: Name,
        rtype: RecordType,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
    },
    /// Replaces an RRset, or creates it.
    Put {
        owner: Name,
        rtype: RecordType,
        wanted: Wanted,
        rdatas: Vec<Rdata>,
    },
    /// Deletes a value, an RRset, or all RRsets that the API has at a name.
    Delete {
        owner: Name,
        rtype: Option<RecordType>,
        rdata: Option<Rdata>,
    },
}

impl Change {
    /// An error where the values alone are more than any message carries: known before the writer has to do with them.
    fn check_size(&self) -> Result<(), ControlError> {
        let (Self::Create {
            owner, rtype, rdatas, ..
        }
        | Self::Put {
            owner, rtype, rdatas, ..
        }) = self
        else {
            return Ok(());
        };
        let given = octets_of_answer(owner, rdatas.iter().map(|rdata| &**rdata));
        if given <= MOST_OF_MESSAGE {
            return Ok(());
        }
        // A value that is given twice counts once.
        let distinct: HashSet<Rdata> = rdatas.iter().map(|given| rdata::canonical(*rtype, given)).collect();
        let bytes = octets_of_answer(owner, distinct.iter().map(|rdata| &**rdata));
        if bytes <= MOST_OF_MESSAGE {
            return Ok(());
        }
        Err(ControlError::TooLarge {
            owner: owner.clone(),
            rtype: *rtype,
            bytes,
            limit: MOST_OF_MESSAGE,
        })
    }

    fn key(&self) -> NameKey {
        match self {
            Self::Create { owner, .. } | Self::Put { owner, .. } | Self::Delete { owner, .. } => owner.key(),
        }
    }
}

enum Command {
    /// In a view, or in the default.
    Change(
        Option<ViewName>,
        Change,
        oneshot::Sender<Result<Option<Written>, ControlError>>,
    ),
    Reload(oneshot::Sender<Result<ReloadReport, ControlError>>),
    /// For the planes to rest after.
    Wake,
    Stop(oneshot::Sender<()>),
}

impl Control {
    /// Opens the database, publishes `initial` with the records and serials in it, and starts the writer. Where the
    /// database cannot be read, and has to be, that comes later: [`Readiness`] says so.
    ///
    /// What is amiss but does not keep the server from running (no database, bad zone files, RRsets left out) is
    /// logged. Blocks.
    pub fn start(settings: Settings, initial: Desired, planes: Box<dyn Planes>) -> Result<Self, StartError> {
        let (storage, stored) = Storage::open(&settings.storage_path)?;
        #[cfg(test)]
        let storage = storage.with_faults(Arc::clone(&settings.faults));
        let writer = writer::Writer::start(settings, storage, stored, initial, planes).map_err(StartError::Publish)?;
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let (commands, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("hotdns-control".to_owned())
            .spawn(move || writer.run(queue, &clock))
            .map_err(StartError::Thread)?;
        Ok(Self {
            handle: ControlHandle { commands, view: None },
            thread,
        })
    }
}

/// Why the writer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database's content cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The planes did not take the first state.
    #[error("cannot publish the records: {0:#}")]
    Publish(anyhow::Error),
    /// No thread.
    #[error("cannot start the control thread: {0}")]
    Thread(std::io::Error),
}

impl ControlHandle {
    /// The same, for changes in a view; `None` is the default.
    #[must_use]
    pub fn in_view(&self, view: Option<ViewName>) -> Self {
        Self {
            commands: self.commands.clone(),
            view,
        }
    }

    /// Creates an RRset, or adds the values it lacks; what is wanted is checked against an existing RRset's.
    pub async fn create(
        &self,
        owner: Name,
        rtype: RecordType,
        wanted: impl Into<Wanted>,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        self.write(Change::Create {
            owner,
            rtype,
            wanted: wanted.into(),
            rdatas,
        })
        .await
    }

    /// Replaces an RRset, or creates it. Without a TTL an RRset keeps its own.
    pub async fn put(
        &self,
        owner: Name,
        rtype: RecordType,
        wanted: impl Into<Wanted>,
        rdatas: Vec<Rdata>,
    ) -> Result<Written, ControlError> {
        self.write(Change::Put {
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
        self.change(Change::Delete { owner, rtype, rdata }).await.map(|_| ())
    }

    /// Reads the configuration file and the zone files again and serves what they say.
    pub async fn reload(&self) -> Result<ReloadReport, ControlError> {
        self.ask(Command::Reload).await?
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

    async fn write(&self, change: Change) -> Result<Written, ControlError> {
        self.change(change).await?.ok_or(ControlError::Stopped)
    }

    async fn change(&self, change: Change) -> Result<Option<Written>, ControlError> {
        change.check_size()?;
        let view = self.view.clone();
        self.ask(|reply| Command::Change(view, change, reply)).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| ControlError::Stopped)?;
        answer.await.map_err(|_| ControlError::Stopped)
    }
}

#[cfg(test)]
pub(crate) mod tests;
