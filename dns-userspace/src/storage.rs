//! What must outlive the process: the API's RRsets and the SOA serials served last, in one SQLite database.
//!
//! ```text
//! <storage.path>/hotdns.db      schema_version   one row
//!                               api_rrsets       view (empty: the default), owner_key, rtype
//!                                                ► owner (case kept), ttl, rdatas in order, order and weights, one_label
//!                               served_serials   apex_key ► apex, serial, fingerprint of the zone's content
//! ```
//!
//! A write is one transaction, on disk when [`Storage::write`] returns (write-ahead log, `synchronous=FULL`). The
//! connection holds SQLite's exclusive lock for as long as it lives, so that a second process cannot write, and a
//! process that was killed leaves nothing to clean up: the lock goes with it, and the log is replayed at the next
//! start. Three fates of a database that cannot be used as it should be:
//!
//! - it cannot be opened or locked ([`Storage::unavailable`]): the server runs without, changes are refused, and each
//!   later change tries again;
//! - it can only be read: its records are served, and the rest as above;
//! - its content is no good ([`StorageError`]): start-up is refused and nothing is deleted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::name::{Name, NameKey};
use crate::record::{RecordType, RrSet, Wildcard};
use crate::views::ViewName;

mod rows;
mod schema;

/// The file's name below `storage.path`.
pub const FILE_NAME: &str = "hotdns.db";
/// How long start-up waits for a process that is just letting go of the database.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// A database whose content cannot be used. It is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// SQLite cannot make sense of the file, or a row holds what hotdns never writes.
    #[error(
        "the database {} is damaged: {reason}; restore it from a backup, or move it away (with the -wal file beside \
         it) \
         to start without the records that were added over HTTP",
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
         hotdns \
         that made it",
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
}

/// Everything that a database held when it was opened.
#[derive(Debug, Default)]
pub struct Stored {
    /// The API's RRsets, by view, in canonical order; `None` is the default.
    pub rrsets: Vec<(Option<ViewName>, Name, RrSet)>,
    /// The serials served last.
    pub serials: Vec<ServedSerial>,
}

/// One change of the API's RRsets.
#[derive(Debug, Clone)]
pub enum ApiChange {
    /// The RRset of this type at this owner, in a view or the default, is now this one.
    Put(Option<ViewName>, Name, Arc<RrSet>),
    /// There is none any more.
    Delete(Option<ViewName>, NameKey, RecordType),
}

/// The database, or why there is none at present.
pub struct Storage {
    path: PathBuf,
    state: State,
}

enum State {
    Open(Connection),
    Unavailable(String),
}

impl Storage {
    /// Opens or creates the database in `folder` and reads all of it.
    ///
    /// A database that cannot be opened, locked or written is no error: see [`Storage::unavailable`].
    pub fn open(folder: &Path) -> Result<(Self, Stored), StorageError> {
        let path = folder.join(FILE_NAME);
        match connect(&path, LOCK_PATIENCE) {
            Ok((connection, stored)) => Ok((
                Self {
                    path,
                    state: State::Open(connection),
                },
                stored,
            )),
            Err(Refusal::Content(error)) => Err(error),
            Err(Refusal::Held(reason)) => Ok((Self::without(path, reason), Stored::default())),
            Err(Refusal::Unavailable(reason)) => match read_only(&path) {
                Ok(stored) => Ok((Self::without(path, reason), stored)),
                Err(Refusal::Content(error)) => Err(error),
                Err(Refusal::Held(_) | Refusal::Unavailable(_)) => Ok((Self::without(path, reason), Stored::default())),
            },
        }
    }

    fn without(path: PathBuf, reason: String) -> Self {
        Self {
            path,
            state: State::Unavailable(reason),
        }
    }

    /// Why nothing can be written, if so.
    pub fn unavailable(&self) -> Option<&str> {
        match &self.state {
            State::Open(_) => None,
            State::Unavailable(reason) => Some(reason),
        }
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tries again to open a database that was unavailable; what it holds, if that works.
    pub fn reopen(&mut self) -> Option<Stored> {
        if matches!(self.state, State::Open(_)) {
            return None;
        }
        match connect(&self.path, Duration::ZERO) {
            Ok((connection, stored)) => {
                self.state = State::Open(connection);
                Some(stored)
            }
            Err(Refusal::Held(reason) | Refusal::Unavailable(reason)) => {
                self.state = State::Unavailable(reason);
                None
            }
            Err(Refusal::Content(error)) => {
                self.state = State::Unavailable(error.to_string());
                None
            }
        }
    }

    /// Makes changes durable, all or none.
    pub fn write(&mut self, changes: &[ApiChange], serials: &[ServedSerial]) -> Result<(), WriteError> {
        let connection = match &mut self.state {
            State::Open(connection) => connection,
            State::Unavailable(reason) => return Err(WriteError::Unavailable(reason.clone())),
        };
        if changes.is_empty() && serials.is_empty() {
            return Ok(());
        }
        transact(connection, changes, serials).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => WriteError::Damaged(error.to_string()),
            _ => WriteError::Unavailable(error.to_string()),
        })
    }
}

fn transact(connection: &mut Connection, changes: &[ApiChange], serials: &[ServedSerial]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT INTO api_rrsets (view, owner_key, rtype, owner, ttl, rdatas, rr_order, weights, one_label)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (view, owner_key, rtype)
             DO UPDATE SET owner = ?4, ttl = ?5, rdatas = ?6, rr_order = ?7, weights = ?8, one_label = ?9",
        )?;
        let mut delete =
            transaction.prepare_cached("DELETE FROM api_rrsets WHERE view = ?1 AND owner_key = ?2 AND rtype = ?3")?;
        let of = |view: &Option<ViewName>| view.clone().unwrap_or_default();
        for change in changes {
            match change {
                ApiChange::Put(view, owner, rrset) => put.execute(params![
                    of(view),
                    owner.key().as_bytes(),
                    rrset.rtype.0,
                    owner.to_string(),
                    rrset.ttl,
                    rrset.rdatas.as_octets(),
                    rrset.handling.order().kind(),
                    rows::encode_weights(rrset.handling.order()),
                    rrset.handling.wildcard() == Wildcard::OneLabel,
                ])?,
                ApiChange::Delete(view, key, rtype) => delete.execute(params![of(view), key.as_bytes(), rtype.0])?,
            };
        }
        let mut serve = transaction.prepare_cached(
            "INSERT INTO served_serials (apex_key, apex, serial, fingerprint) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (apex_key) DO UPDATE SET serial = ?3, fingerprint = ?4",
        )?;
        for served in serials {
            serve.execute(params![
                served.apex.key().as_bytes(),
                served.apex.to_string(),
                served.serial,
                served.fingerprint.cast_signed(),
            ])?;
        }
    }
    transaction.commit()
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
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Held(format!("another process holds {}", path.display()))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::damaged(path, error.to_string()),
            _ => Self::Unavailable(format!("{}: {error}", path.display())),
        }
    }

    fn damaged(path: &Path, reason: String) -> Self {
        Self::Content(StorageError::Damaged {
            path: path.to_owned(),
            reason,
        })
    }
}

fn connect(path: &Path, patience: Duration) -> Result<(Connection, Stored), Refusal> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Refusal::Unavailable(format!("cannot create {}: {error}", folder.display())))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |error| Refusal::from_sqlite(path, error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(patience).map_err(sqlite)?;
    schema::prepare(&mut connection, path)?;
    let stored = rows::read_all(&connection, path)?;
    Ok((connection, stored))
}

/// What a database holds that cannot be opened for writing, such as one on a read-only file system.
fn read_only(path: &Path) -> Result<Stored, Refusal> {
    let log = path.with_extension("db-wal");
    let pending = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    if pending || !path.exists() {
        return Err(Refusal::Unavailable("its log has to be replayed first".to_owned()));
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
