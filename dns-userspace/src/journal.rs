//! What must outlive the process: the API's RRsets and the SOA serials served last, in one SQLite database.
//!
//! ```text
//! <storage.path>/hotdns.db      schema_version   one row
//!                               rrsets           source, view (empty: the default), owner_key, rtype
//!                                                ► owner (case kept), ttl, rdatas in order, order and weights,
//!                                                  one_label, object and its time, version, locked, disabled, note
//!                               sources          source ► where its watch resumes, when it was in step last
//!                               served_serials   apex_key ► apex, serial, fingerprint of the zone's content, version
//!                               history          last version of a transaction ► its first, time, what was changed
//! ```
//!
//! A write is one transaction, on disk when [`Storage::write`] returns (write-ahead log, `synchronous=FULL`). The
//! connection holds SQLite's exclusive lock for as long as it lives, so that a second process cannot write, and a
//! process that was killed leaves nothing to clean up: the lock goes with it, and the log is replayed at the next
//! start. Fates of a database that cannot be used as it should be:
//!
//! - it cannot be opened, locked or read: nobody knows what it holds, and [`Storage::reopen`] is tried by time;
//! - it can only be read, or there is none and none can be made: what it holds is known, and the rest as above;
//! - its records are no good ([`StorageError`]): start-up is refused and nothing is deleted. Where other pages are
//!   damaged, the records are served, and it is as if it could only be read;
//! - its file is deleted or replaced while it is open: writes would go to a file that no start finds. They are refused
//!   until the file is back, or one with the same content ([`Storage::copy_at_path`]);
//! - a write fails: nothing of it is in the database, the next one may succeed, and [`Storage::recover`] tries by time.
//!   Where not even its transaction can be ended, the connection is closed and the database opened again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet, Wildcard};
use crate::model::source::SourceId;
use crate::model::views::ViewName;

mod diagnosis;
mod etcd;
#[cfg(test)]
pub(crate) mod faults;
mod identity;
mod kept;
mod nodes;
mod restore;
mod rows;
mod schema;
mod shared;
mod status;
mod zone_files;

pub use self::etcd::{EtcdJournal, EtcdLink, EtcdSettings, ShareError, SharedTokens, TokenTexts};
use self::identity::{Identity, Moved};
pub use self::nodes::{Lagging, NodeLink, Nodes, NodesState};
pub use self::restore::{RestoreError, Restored, restore};
pub use self::shared::{Mark, News, SetNote, Shared, SharedChange, SharedZone, Step, Take, Whole, Why};
pub use self::status::{StorageState, StorageStatus, awaited};
pub use self::zone_files::{KnownZoneFiles, NotWritten, StoredFile, StoredFiles, ZoneFiles};

/// The key of the API's RRsets.
const API: &str = "api";
/// The file's name below `storage.path`.
pub const FILE_NAME: &str = "hotdns.db";
/// A larger database is not looked through at the start: that would take seconds. Its records are read in any case.
const MOST_CHECKED: u64 = 256 << 20;
/// How long start-up waits for a process that is just letting go of the database.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// A database whose content cannot be used. It is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// SQLite cannot make sense of the file, or a row holds what hotdns never writes.
    #[error(
        "the database {} is damaged: {reason}; restore it from a backup, or move it away (with the -wal file beside \
         it) to start without the records that were added over HTTP",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file is another program's.
    #[error("{} is an SQLite database that hotdns did not make; set another `storage.path`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is a later hotdns's.
    #[error(
        "the database {} has schema version {found}, and this hotdns knows versions up to {known}; run the newer \
         hotdns that made it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The latest known here.
        known: i64,
    },
}

/// Why a write was not made. Nothing of it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The disk is full, another process holds the database, or it cannot be written: may pass.
    #[error("the database cannot be written: {0}")]
    Unavailable(String),
    /// The database turned out to be damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// etcd is not reached, or not to be written: may pass.
    #[error("{0}")]
    Away(String),
    /// Another node has written meanwhile: what it wrote has to be known first.
    #[error("another node has written meanwhile")]
    Behind,
    /// It is larger than etcd takes at once.
    #[error("{0}")]
    TooLarge(String),
    /// etcd has not answered: nobody knows whether it was made.
    #[error("{0}")]
    Unknown(String),
}

/// The serial last served for a zone, and for which content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedSerial {
    /// The zone.
    pub apex: Name,
    /// The serial in its SOA.
    pub serial: u32,
    /// A hash of everything in the zone but that serial.
    pub fingerprint: u64,
    /// The version at which the zone changed last.
    pub version: u64,
}

/// Everything that a database held when it was opened.
#[derive(Debug, Default)]
pub struct Stored {
    /// The API's RRsets, by view, in canonical order; `None` is the default.
    pub rrsets: Vec<(Option<ViewName>, Name, RrSet)>,
    /// What watched sources said last, by [`SourceId::key`].
    pub watched: BTreeMap<String, KeptLayer>,
    /// The serials served last.
    pub serials: Vec<ServedSerial>,
    /// The largest version that is in it.
    pub version: u64,
}

/// What a watched source said last.
#[derive(Debug, Default)]
pub struct KeptLayer {
    /// Its RRsets, by view, in canonical order.
    pub rrsets: Vec<KeptRrset>,
    /// How far its watch was; `None` where it was never in step.
    pub progress: Option<Progress>,
}

/// An RRset of a watched source.
#[derive(Debug)]
pub struct KeptRrset {
    /// The view; `None` is the default.
    pub view: Option<ViewName>,
    /// The owner.
    pub owner: Name,
    /// The RRset; its origin is to be set by whoever knows the source.
    pub rrset: RrSet,
    /// The object that it came from.
    pub object: Option<Box<str>>,
    /// When that was made, in seconds of Unix time.
    pub since: Option<u64>,
}

/// How far the watch of a source was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where it goes on from, in the source's own words; `None`: with a new list.
    pub resume: Option<String>,
    /// When it was in step last, in seconds of Unix time.
    pub synced: u64,
}

/// One change of what is kept. The source of an RRset is that of its origin.
#[derive(Debug, Clone)]
pub enum Entry {
    /// The RRset of this type at this owner, in a view or the default, is now this one.
    Put(Option<ViewName>, Name, Arc<RrSet>),
    /// This source has none any more.
    Delete(SourceId, Option<ViewName>, NameKey, RecordType),
    /// This source, by [`SourceId::key`], has nothing any more.
    Forget(String),
    /// How far the watch of a source is.
    Progress(SourceId, Progress),
    /// What the change sets of one transaction have changed.
    History(HistoryRow),
    /// What other nodes are told of a change set. It is not kept here.
    Set(SetNote),
}

/// What the change sets of one transaction have changed, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The version of the first set.
    pub first: u64,
    /// The version of the last one.
    pub last: u64,
    /// When, in milliseconds of Unix time.
    pub time: u64,
    /// The changes, encoded by whoever keeps them.
    pub changes: Vec<u8>,
}

/// Which part of the history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Rows whose last version is above this one.
    pub after: u64,
    /// Of those, rows that may have versions below this one.
    pub before: u64,
    /// Whether the latest come first.
    pub newest_first: bool,
    /// So many at most, and about [`HISTORY_OCTETS`] of changes.
    pub limit: usize,
}

/// Octets of changes that one reading of the history gives, but for the last row of it.
pub const HISTORY_OCTETS: usize = 1 << 20;

/// How much of the history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// For so long.
    pub max_age: Duration,
    /// So much of it.
    pub max_bytes: u64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(90 * 24 * 60 * 60),
            max_bytes: 1 << 30,
        }
    }
}

/// Where changes are kept before they are served. Each has one writer.
pub trait Journal: Send {
    /// Makes changes durable, all or none.
    fn append(&mut self, entries: &[Entry], serials: &[ServedSerial]) -> Result<(), WriteError>;

    /// Looks whether the journal can be used, which may have changed since. What it holds, where that is to be read
    /// anew: `is_known` says whether some content is what the caller has already.
    fn look(&mut self, is_known: &dyn Fn(&Stored) -> bool) -> Option<Stored>;

    /// Part of what was kept with [`Entry::History`]. A journal that keeps no history gives none.
    fn history(&mut self, query: HistoryQuery) -> Result<Vec<HistoryRow>, WriteError> {
        let _ = query;
        Ok(Vec::new())
    }

    /// Forgets a part of what is over these limits, a bounded one; whether there is more of it. The latest row stays.
    fn prune(&mut self, limits: HistoryLimits, now: u64) -> bool {
        let _ = (limits, now);
        false
    }

    /// Writes a copy of itself to a file that is not there yet; without one, to a new file beside itself. Where it is.
    fn backup(&mut self, to: Option<&Path>) -> Result<PathBuf, WriteError> {
        let _ = to;
        Err(WriteError::Unavailable(format!("{} cannot be copied", self.place())))
    }

    /// What is wrong, if something is. The next write may succeed all the same, unless there is no journal.
    fn trouble(&self) -> Option<&Trouble>;

    /// Why there is none to write to, if there is none.
    fn unavailable(&self) -> Option<&str> {
        let gone = |trouble: &&Trouble| trouble.state != StorageState::Failing;
        self.trouble().filter(gone).map(|trouble| trouble.reason.as_str())
    }

    /// Where it is, for messages.
    fn place(&self) -> String;

    /// The journal as one that several nodes write to, if it is one.
    fn shared(&mut self) -> Option<&mut dyn Shared> {
        None
    }
}

impl Journal for Storage {
    fn append(&mut self, entries: &[Entry], serials: &[ServedSerial]) -> Result<(), WriteError> {
        self.write(entries, serials)
    }

    fn look(&mut self, is_known: &dyn Fn(&Stored) -> bool) -> Option<Stored> {
        if !self.is_closed() {
            // What is wrong shows in the trouble.
            let _ = self.recover();
            if let Some(copy) = self.copy_at_path() {
                match is_known(&copy) {
                    true => self.close("it was replaced by a copy of itself, which is taken"),
                    false => self.refuse_copy("it does not hold the records that are served"),
                }
            }
        }
        self.reopen()
    }

    fn history(&mut self, query: HistoryQuery) -> Result<Vec<HistoryRow>, WriteError> {
        self.read_history(query)
    }

    fn prune(&mut self, limits: HistoryLimits, now: u64) -> bool {
        self.prune_history(limits, now)
    }

    fn backup(&mut self, to: Option<&Path>) -> Result<PathBuf, WriteError> {
        let path = match to {
            Some(path) => path.to_owned(),
            None => {
                let taken = |number: &u32| !self.beside(*number).exists();
                let number = (1..).find(taken).unwrap_or_default();
                self.beside(number)
            }
        };
        self.copy_to(&path)?;
        Ok(path)
    }

    fn trouble(&self) -> Option<&Trouble> {
        Storage::trouble(self)
    }

    fn place(&self) -> String {
        format!("the database {}", self.path.display())
    }
}

/// The database, or why there is none at present.
pub struct Storage {
    path: PathBuf,
    state: State,
    #[cfg(test)]
    faults: faults::SharedFaults,
}

enum State {
    Open(Box<Open>),
    Closed(Trouble),
}

struct Open {
    connection: Connection,
    /// Which files they are.
    identity: Identity,
    /// What is wrong at present, if something is.
    trouble: Option<Trouble>,
    /// The file at the path that was looked at last, and is another one.
    looked_at: Option<Identity>,
}

/// What is wrong with the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In one word.
    pub state: StorageState,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Trouble {
    /// Whether what a journal holds is not taken.
    pub fn is_doubt(&self) -> bool {
        self.state == StorageState::Doubted
    }

    fn new(state: StorageState, reason: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.into(),
        }
    }
}

impl Storage {
    /// Opens or creates the database in `folder` and reads all of it; `None` where it could not be read.
    ///
    /// A database that cannot be opened, locked or written is no error: see [`Storage::trouble`].
    pub fn open(folder: &Path) -> Result<(Self, Option<Stored>), StorageError> {
        let path = folder.join(FILE_NAME);
        let (trouble, stored) = match connect(&path, LOCK_PATIENCE) {
            Ok((open, stored)) => return Ok((Self::new(path, State::Open(Box::new(open))), Some(stored))),
            Err(Refusal::Content(error)) => return Err(error),
            Err(Refusal::Held(reason)) => (Trouble::new(StorageState::Held, reason), None),
            Err(Refusal::Unavailable(reason)) if is_absent(&path) => {
                (Trouble::new(StorageState::Unavailable, reason), Some(Stored::default()))
            }
            Err(Refusal::Unavailable(reason)) => match read_only(&path) {
                Ok(stored) => (Trouble::new(StorageState::ReadOnly, reason), Some(stored)),
                Err(Refusal::Content(error)) => return Err(error),
                Err(Refusal::Held(more) | Refusal::Unavailable(more)) => (
                    Trouble::new(StorageState::Unavailable, format!("{reason} ({more})")),
                    None,
                ),
            },
        };
        Ok((Self::new(path, State::Closed(trouble)), stored))
    }

    fn new(path: PathBuf, state: State) -> Self {
        Self {
            path,
            state,
            #[cfg(test)]
            faults: faults::SharedFaults::default(),
        }
    }

    /// Lets a test make writes fail.
    #[cfg(test)]
    pub(crate) fn with_faults(mut self, faults: faults::SharedFaults) -> Self {
        self.faults = faults;
        self
    }

    /// What is wrong, if something is. The next write may succeed all the same, unless there is no database.
    pub fn trouble(&self) -> Option<&Trouble> {
        match &self.state {
            State::Open(open) => open.trouble.as_ref(),
            State::Closed(trouble) => Some(trouble),
        }
    }

    /// Whether it is not open: [`Storage::reopen`] is of use.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Tries again to open a database that is closed; what it holds, if that works.
    pub fn reopen(&mut self) -> Option<Stored> {
        if !self.is_closed() {
            return None;
        }
        let trouble = match connect(&self.path, Duration::ZERO) {
            Ok((open, stored)) => {
                self.state = State::Open(Box::new(open));
                return Some(stored);
            }
            Err(Refusal::Held(reason)) => Trouble::new(StorageState::Held, reason),
            Err(Refusal::Unavailable(reason)) => Trouble::new(StorageState::Unavailable, reason),
            Err(Refusal::Content(error)) => Trouble::new(StorageState::Unavailable, error.to_string()),
        };
        self.set_closed(trouble);
        None
    }

    /// Closes it: what it holds could not be served. It is to be opened again later.
    pub fn close(&mut self, reason: &str) {
        self.set_closed(Trouble::new(StorageState::Unavailable, reason));
    }

    fn set_closed(&mut self, mut trouble: Trouble) {
        // What could be read once stays so: the reason of today is another attempt's.
        if self
            .trouble()
            .is_some_and(|known| known.state == StorageState::ReadOnly)
            && trouble.state == StorageState::Unavailable
        {
            trouble.state = StorageState::ReadOnly;
        }
        self.state = State::Closed(trouble);
    }

    /// Looks whether the open database is still the one at its path, and whether it can be written again if the last
    /// write failed.
    pub fn recover(&mut self) -> Result<(), WriteError> {
        self.look()?;
        let is_failing = self
            .trouble()
            .is_some_and(|trouble| trouble.state == StorageState::Failing);
        if !is_failing {
            return Ok(());
        }
        self.transact(|transaction| {
            // A commit that failed when it was flushed may still be in the log, for the next start to find. Whatever
            // is written takes its place there.
            transaction.execute("UPDATE schema_version SET version = version", [])?;
            Ok(())
        })
    }

    /// Makes changes durable, all or none.
    pub fn write(&mut self, changes: &[Entry], serials: &[ServedSerial]) -> Result<(), WriteError> {
        if let State::Closed(trouble) = &self.state {
            return Err(WriteError::Unavailable(trouble.reason.clone()));
        }
        if changes.is_empty() && serials.is_empty() {
            return Ok(());
        }
        self.look()?;
        self.transact(|transaction| save(transaction, changes, serials))
    }

    /// Whether the open files are the ones at the path.
    fn look(&mut self) -> Result<(), WriteError> {
        let open = match &mut self.state {
            State::Open(open) => open,
            State::Closed(trouble) => return Err(WriteError::Unavailable(trouble.reason.clone())),
        };
        let reason = match open.identity.compare(&self.path) {
            Ok(()) => {
                open.trouble.take_if(|trouble| trouble.state == StorageState::Replaced);
                return Ok(());
            }
            Err(Moved::Log) => {
                // What is in the log that only we have goes into the database when the connection is closed.
                let reason = format!("the log of {} was deleted: it is opened again", self.path.display());
                self.close(&reason);
                return Err(WriteError::Unavailable(reason));
            }
            Err(Moved::Database(reason)) => reason,
        };
        if let Err(error) = open.identity.set_log_aside(&self.path) {
            tracing::debug!("the log beside {} stays: {error}", self.path.display());
        }
        // What was found of the file in its place stays said.
        if open
            .trouble
            .as_ref()
            .is_none_or(|trouble| trouble.state != StorageState::Replaced)
        {
            open.trouble = Some(Trouble::new(StorageState::Replaced, &reason));
            open.looked_at = None;
        }
        let reason = open.trouble.as_ref().map_or(reason, |trouble| trouble.reason.clone());
        Err(WriteError::Unavailable(reason))
    }

    fn transact(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), WriteError> {
        let State::Open(open) = &mut self.state else {
            return Ok(());
        };
        #[cfg(test)]
        let result = faults::transact(&self.faults, &mut open.connection, work);
        #[cfg(not(test))]
        let result = transact(&mut open.connection, work);
        let Err(error) = result else {
            open.trouble = None;
            return Ok(());
        };
        let reason = diagnosis::of_write(&self.path, &error);
        if !open.connection.is_autocommit() {
            // Nothing can be written in a transaction that does not end. What is on disk is read anew.
            self.close(&reason);
            return Err(WriteError::Unavailable(reason));
        }
        open.trouble = Some(Trouble::new(StorageState::Failing, &reason));
        Err(match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => WriteError::Damaged(reason),
            _ => WriteError::Unavailable(reason),
        })
    }

    /// What the file holds that is in the place of the open one, once for each such file and only where it is at rest.
    /// It is not changed.
    pub fn copy_at_path(&mut self) -> Option<Stored> {
        let State::Open(open) = &mut self.state else {
            return None;
        };
        if open.trouble.as_ref()?.state != StorageState::Replaced {
            return None;
        }
        let found = Identity::of(&self.path).ok()?;
        if open.looked_at.as_ref() == Some(&found) || !found.is_at_rest() {
            return None;
        }
        open.looked_at = Some(found);
        match read_only(&self.path) {
            Ok(stored) => Some(stored),
            Err(Refusal::Held(reason) | Refusal::Unavailable(reason)) => {
                self.refuse_copy(&reason);
                None
            }
            Err(Refusal::Content(error)) => {
                self.refuse_copy(&error.to_string());
                None
            }
        }
    }

    /// Says why the file at the path is not taken.
    pub fn refuse_copy(&mut self, why: &str) {
        let reason = format!(
            "{} was replaced by another file while hotdns ran, and that is not taken: {why}; put the file back, or \
             restart hotdns to serve what the new one holds",
            self.path.display()
        );
        if let State::Open(open) = &mut self.state {
            open.trouble = Some(Trouble::new(StorageState::Replaced, reason));
        }
    }
}

/// Whether there is certainly no database: nobody has to be asked what is in it.
fn is_absent(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let looked = path.symlink_metadata();
    looked.is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

fn transact(
    connection: &mut Connection,
    work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    work(&transaction)?;
    transaction.commit()
}

fn save(transaction: &rusqlite::Transaction<'_>, changes: &[Entry], serials: &[ServedSerial]) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO rrsets
             (source, view, owner_key, rtype, owner, ttl, rdatas, rr_order, weights, one_label, object, since,
              version, locked, disabled, note)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
             ON CONFLICT (source, view, owner_key, rtype)
             DO UPDATE SET owner = ?5, ttl = ?6, rdatas = ?7, rr_order = ?8, weights = ?9, one_label = ?10,
                 object = ?11, since = ?12, version = ?13, locked = ?14, disabled = ?15, note = ?16",
    )?;
    let mut delete = transaction
        .prepare_cached("DELETE FROM rrsets WHERE source = ?1 AND view = ?2 AND owner_key = ?3 AND rtype = ?4")?;
    fn of(view: &Option<ViewName>) -> &str {
        view.as_deref().unwrap_or_default()
    }
    for change in changes {
        match change {
            Entry::Put(view, owner, rrset) => put.execute(params![
                rrset.origin.source().key(),
                of(view),
                owner.key().as_bytes(),
                rrset.rtype.0,
                owner.to_string(),
                rrset.ttl,
                rrset.rdatas.as_octets(),
                rrset.handling.order().kind(),
                rows::encode_weights(rrset.handling.order()),
                rrset.handling.wildcard() == Wildcard::OneLabel,
                rrset.origin.object(),
                rrset.origin.since().map(u64::cast_signed),
                rrset.origin.version().cast_signed(),
                rrset.handling.keeping().locked,
                rrset.handling.keeping().disabled,
                rrset.handling.keeping().note.as_deref(),
            ])?,
            Entry::Delete(source, view, key, rtype) => {
                delete.execute(params![source.key(), of(view), key.as_bytes(), rtype.0])?
            }
            Entry::Forget(source) => {
                transaction.execute("DELETE FROM rrsets WHERE source = ?1", params![source])?;
                transaction.execute("DELETE FROM sources WHERE source = ?1", params![source])?
            }
            Entry::Progress(source, progress) => transaction.execute(
                "INSERT INTO sources (source, resume, synced) VALUES (?1, ?2, ?3)
                     ON CONFLICT (source) DO UPDATE SET resume = ?2, synced = ?3",
                params![source.key(), progress.resume, progress.synced.cast_signed()],
            )?,
            Entry::History(row) => kept::save(transaction, row)?,
            Entry::Set(_) => 0,
        };
    }
    let mut serve = transaction.prepare_cached(
        "INSERT INTO served_serials (apex_key, apex, serial, fingerprint, version) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (apex_key) DO UPDATE SET serial = ?3, fingerprint = ?4, version = ?5",
    )?;
    for served in serials {
        serve.execute(params![
            served.apex.key().as_bytes(),
            served.apex.to_string(),
            served.serial,
            served.fingerprint.cast_signed(),
            served.version.cast_signed(),
        ])?;
    }
    Ok(())
}

enum Refusal {
    /// Another process has the lock.
    Held(String),
    Unavailable(String),
    Content(StorageError),
}

impl Refusal {
    fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Held(format!(
                "another process holds {}: stop it, or set another `storage.path`",
                path.display()
            )),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::damaged(path, error.to_string()),
            _ => Self::Unavailable(diagnosis::of_database(path, &error)),
        }
    }

    fn damaged(path: &Path, reason: String) -> Self {
        Self::Content(StorageError::Damaged {
            path: path.to_owned(),
            reason,
        })
    }
}

fn connect(path: &Path, patience: Duration) -> Result<(Open, Stored), Refusal> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Refusal::Unavailable(diagnosis::of_folder(folder, &error)))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |error| Refusal::from_sqlite(path, error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(patience).map_err(sqlite)?;
    schema::prepare(&mut connection, path)?;
    let stored = rows::read_all(&connection, path)?;
    check_pages(&connection, path)?;
    let identity = Identity::of(path)
        .map_err(|error| Refusal::Unavailable(format!("{} is gone already: {error}", path.display())))?;
    let open = Open {
        connection,
        identity,
        trouble: None,
        looked_at: None,
    };
    Ok((open, stored))
}

/// An error where something is damaged that is not come by when the records are read: these are good, and no more is
/// written.
fn check_pages(connection: &Connection, path: &Path) -> Result<(), Refusal> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > MOST_CHECKED) {
        return Ok(());
    }
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let reason = match found {
        Ok(found) if found == "ok" => return Ok(()),
        Ok(found) => found,
        Err(error) => error.to_string(),
    };
    Err(Refusal::Unavailable(format!(
        "the database {} is damaged ({}): its records can be read, and nothing is written to it; restore it from a \
         backup, or save the records with `hotdns export` and start without it",
        path.display(),
        reason.lines().last().unwrap_or_default()
    )))
}

/// What a database holds that cannot be opened for writing, such as one on a read-only file system.
fn read_only(path: &Path) -> Result<Stored, Refusal> {
    let log = diagnosis::beside(path, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(Refusal::Unavailable(format!(
            "it cannot be read either: what is in {} has to be written into it first",
            log.display()
        )));
    }
    // `immutable` spares SQLite the lock and the shared memory, which both need a folder that can be written.
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).map_err(|error| Refusal::from_sqlite(path, error))?;
    schema::check(&connection, path)?;
    rows::read_all(&connection, path)
}

#[cfg(test)]
mod tests;
