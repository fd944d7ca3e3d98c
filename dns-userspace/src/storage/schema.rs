//! The database's layout and its version.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Refusal, StorageError};

/// The version of the layout: the first, and one for each upgrade.
pub(super) const VERSION: i64 = 1 + UPGRADES.len() as i64;
/// The first version whose RRsets have a view.
pub(super) const WITH_VIEWS: i64 = 2;
/// "hotd": marks the file as ours (`PRAGMA application_id`).
pub(super) const APPLICATION_ID: i64 = 0x686F_7464;

/// The first version.
const LAYOUT: &str = "
    CREATE TABLE schema_version (version INTEGER NOT NULL);
    CREATE TABLE api_rrsets (
        owner_key BLOB NOT NULL,
        rtype INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        rdatas BLOB NOT NULL,
        PRIMARY KEY (owner_key, rtype)
    ) WITHOUT ROWID;
    CREATE TABLE served_serials (
        apex_key BLOB NOT NULL PRIMARY KEY,
        apex TEXT NOT NULL,
        serial INTEGER NOT NULL,
        fingerprint INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// What makes each later version out of the one before; a new database goes through all of them.
const UPGRADES: [&str; 1] = ["
    CREATE TABLE upgraded (
        view TEXT NOT NULL,
        owner_key BLOB NOT NULL,
        rtype INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        rdatas BLOB NOT NULL,
        PRIMARY KEY (view, owner_key, rtype)
    ) WITHOUT ROWID;
    INSERT INTO upgraded SELECT '', owner_key, rtype, owner, ttl, rdatas FROM api_rrsets;
    DROP TABLE api_rrsets;
    ALTER TABLE upgraded RENAME TO api_rrsets;
"];

/// Takes the exclusive lock, sets durability, and creates the tables in a new database, or upgrades those of an older one.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Refusal> {
    let sqlite = |error| Refusal::from_sqlite(path, error);
    // Before the first access, so that the write-ahead log needs no shared memory and the lock is never let go.
    connection
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .map_err(sqlite)?;
    // A database that is not ours is not to be changed, the journal's mode included.
    let found = match is_empty(connection).map_err(sqlite)? {
        true => 1,
        false => check(connection, path)?,
    };
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(sqlite)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Exclusive)
        .map_err(sqlite)?;
    if is_empty(&transaction).map_err(sqlite)? {
        transaction
            .execute_batch(LAYOUT)
            .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION_ID))
            .and_then(|()| transaction.execute("INSERT INTO schema_version (version) VALUES (1)", []))
            .map_err(sqlite)?;
    }
    for (version, upgrade) in (1..).zip(UPGRADES).skip_while(|(version, _)| *version < found) {
        transaction
            .execute_batch(upgrade)
            .and_then(|()| transaction.execute("UPDATE schema_version SET version = ?1", [version + 1]))
            .map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

/// The version of an existing database, which is ours and of a version that this program knows.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<i64, Refusal> {
    let sqlite = |error| Refusal::from_sqlite(path, error);
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(sqlite)?;
    if application != APPLICATION_ID {
        return Err(Refusal::Content(StorageError::Foreign { path: path.to_owned() }));
    }
    let found: i64 = connection
        .query_row("SELECT version FROM schema_version", [], |row| row.get(0))
        .map_err(|error| match error {
            error @ rusqlite::Error::SqliteFailure(..)
                if error.sqlite_error_code() != Some(rusqlite::ErrorCode::Unknown) =>
            {
                sqlite(error)
            }
            error => Refusal::damaged(path, error.to_string()),
        })?;
    if found > VERSION {
        return Err(Refusal::Content(StorageError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        }));
    }
    Ok(found)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}
