//! A backup in the place of the database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FILE_NAME, Refusal, connect, diagnosis, read_only};

/// Why a backup was not restored. The database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is no good.
    #[error("{} cannot be restored: {reason}", path.display())]
    Backup {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A running server has the database.
    #[error("{0}; stop hotdns first")]
    Held(String),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What was restored.
#[derive(Debug, PartialEq, Eq)]
pub struct Restored {
    /// RRsets of the API in it.
    pub rrsets: usize,
    /// The version of the latest change in it.
    pub version: u64,
    /// Where the database is that was there before, if there was one.
    pub before: Option<PathBuf>,
}

/// Puts a backup, which is read whole first, in the place of the database in `folder`. The database that is there stays
/// beside it under another name.
pub fn restore(backup: &Path, folder: &Path) -> Result<Restored, RestoreError> {
    let no_good = |reason: String| RestoreError::Backup {
        path: backup.to_owned(),
        reason,
    };
    let stored = read_only(backup).map_err(|refusal| {
        no_good(match refusal {
            Refusal::Held(reason) | Refusal::Unavailable(reason) => reason,
            Refusal::Content(error) => error.to_string(),
        })
    })?;
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| RestoreError::File { path, error }
    };
    fs::create_dir_all(folder).map_err(file(folder))?;
    let database = folder.join(FILE_NAME);
    let mut before = None;
    if database.exists() {
        // Its log is in it once it was closed in order. One that is damaged is what a backup is for.
        if let Err(Refusal::Held(reason)) = connect(&database, Duration::ZERO) {
            return Err(RestoreError::Held(reason));
        }
        let aside = (1..).map(|number| folder.join(format!("{FILE_NAME}.before-restore-{number}")));
        let mut aside = aside.filter(|path| !path.exists());
        before = aside.next();
    }
    let coming = folder.join(format!("{FILE_NAME}.restoring"));
    fs::copy(backup, &coming).map_err(file(&coming))?;
    let copied = fs::File::open(&coming).and_then(|copy| copy.sync_all());
    copied.map_err(file(&coming))?;
    if let Some(before) = &before {
        fs::rename(&database, before).map_err(file(&database))?;
        let log = diagnosis::beside(&database, "-wal");
        if log.exists() {
            fs::rename(&log, diagnosis::beside(before, "-wal")).map_err(file(&log))?;
        }
    }
    fs::rename(&coming, &database).map_err(file(&database))?;
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(file(folder))?;
    Ok(Restored {
        rrsets: stored.rrsets.len(),
        version: stored.version,
        before,
    })
}
