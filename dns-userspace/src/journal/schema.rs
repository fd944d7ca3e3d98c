//! The database's layout and its version.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Refusal, StorageError};

/// The version of the layout below.
pub(super) const VERSION: i64 = 5;
/// "hotd": marks the file as ours (`PRAGMA application_id`).
pub(super) const APPLICATION_ID: i64 = 0x686F_7464;

const LAYOUT: &str = "
    CREATE TABLE schema_version (version INTEGER NOT NULL);
    CREATE TABLE rrsets (
        source TEXT NOT NULL,
        view TEXT NOT NULL,
        owner_key BLOB NOT NULL,
        rtype INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        rdatas BLOB NOT NULL,
        rr_order INTEGER NOT NULL DEFAULT 0,
        weights BLOB,
        one_label INTEGER NOT NULL DEFAULT 0,
        object TEXT,
        since INTEGER,
        version INTEGER NOT NULL DEFAULT 0,
        locked INTEGER NOT NULL DEFAULT 0,
        disabled INTEGER NOT NULL DEFAULT 0,
        note TEXT,
        PRIMARY KEY (source, view, owner_key, rtype)
    ) WITHOUT ROWID;
    CREATE TABLE sources (
        source TEXT NOT NULL PRIMARY KEY,
        resume TEXT,
        synced INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE served_serials (
        apex_key BLOB NOT NULL PRIMARY KEY,
        apex TEXT NOT NULL,
        serial INTEGER NOT NULL,
        fingerprint INTEGER NOT NULL,
        version INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE history (
        last INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        time INTEGER NOT NULL,
        octets INTEGER NOT NULL,
        changes BLOB NOT NULL
    );
";

/// From each version to the next, beginning with 1.
const MIGRATIONS: [&str; VERSION as usize - 1] = [
    "
    ALTER TABLE api_rrsets ADD COLUMN rr_order INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE api_rrsets ADD COLUMN weights BLOB;
    ALTER TABLE api_rrsets ADD COLUMN one_label INTEGER NOT NULL DEFAULT 0;
",
    "
    CREATE TABLE migrated (
        view TEXT NOT NULL,
        owner_key BLOB NOT NULL,
        rtype INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        rdatas BLOB NOT NULL,
        rr_order INTEGER NOT NULL DEFAULT 0,
        weights BLOB,
        one_label INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (view, owner_key, rtype)
    ) WITHOUT ROWID;
    INSERT INTO migrated
        SELECT '', owner_key, rtype, owner, ttl, rdatas, rr_order, weights, one_label FROM api_rrsets;
    DROP TABLE api_rrsets;
    ALTER TABLE migrated RENAME TO api_rrsets;
",
    "
    CREATE TABLE rrsets (
        source TEXT NOT NULL,
        view TEXT NOT NULL,
        owner_key BLOB NOT NULL,
        rtype INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        rdatas BLOB NOT NULL,
        rr_order INTEGER NOT NULL DEFAULT 0,
        weights BLOB,
        one_label INTEGER NOT NULL DEFAULT 0,
        object TEXT,
        since INTEGER,
        PRIMARY KEY (source, view, owner_key, rtype)
    ) WITHOUT ROWID;
    INSERT INTO rrsets
        SELECT 'api', view, owner_key, rtype, owner, ttl, rdatas, rr_order, weights, one_label, NULL, NULL
        FROM api_rrsets;
    DROP TABLE api_rrsets;
    CREATE TABLE sources (
        source TEXT NOT NULL PRIMARY KEY,
        resume TEXT,
        synced INTEGER NOT NULL
    ) WITHOUT ROWID;
",
    "
    ALTER TABLE rrsets ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rrsets ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rrsets ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rrsets ADD COLUMN note TEXT;
    ALTER TABLE served_serials ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE history (
        last INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        time INTEGER NOT NULL,
        octets INTEGER NOT NULL,
        changes BLOB NOT NULL
    );
",
];

/// Takes the exclusive lock, sets durability, and creates the tables in a new database; an older
/// one gets what it lacks.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Refusal> {
    let sqlite = |error| Refusal::from_sqlite(path, error);
    // Before the first access, so that the write-ahead log needs no shared memory and the lock is never let go.
    connection
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .map_err(sqlite)?;
    // A database that is not ours is not to be changed, the journal's mode included.
    if !is_empty(connection).map_err(sqlite)? {
        check(connection, path)?;
    }
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
            .and_then(|()| transaction.execute("INSERT INTO schema_version (version) VALUES (?1)", [VERSION]))
            .map_err(sqlite)?;
    } else {
        migrate(&transaction).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let found = version(connection)?;
    let passed = usize::try_from(found - 1).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(passed) {
        connection.execute_batch(migration)?;
    }
    if found < VERSION {
        connection.execute("UPDATE schema_version SET version = ?1", [VERSION])?;
    }
    Ok(())
}

/// The version of an existing database's layout.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT version FROM schema_version", [], |row| row.get(0))
}

/// Whether an existing database is ours and of a version that this program knows.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Refusal> {
    let sqlite = |error| Refusal::from_sqlite(path, error);
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(sqlite)?;
    if application != APPLICATION_ID {
        return Err(Refusal::Content(StorageError::Foreign { path: path.to_owned() }));
    }
    let found = version(connection).map_err(|error| match error {
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
    Ok(())
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}
