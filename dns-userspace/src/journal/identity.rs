//! Which files the database is: whether they are still the ones at its path.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::diagnosis::beside;

/// A file that was changed less than this long ago may still be copied.
const REST: Duration = Duration::from_secs(2);

/// The database's file and its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    database: File,
    /// There is one as long as the database is open.
    log: Option<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    /// Device and inode.
    number: (u64, u64),
    modified: Option<SystemTime>,
    bytes: u64,
}

/// What is no longer at its path.
pub(super) enum Moved {
    /// The database, and what to do.
    Database(String),
    /// The write-ahead log alone.
    Log,
}

impl Identity {
    /// What is at the path now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let log = std::fs::metadata(beside(path, "-wal")).ok();
        Ok(Self {
            database: File {
                number: (metadata.dev(), metadata.ino()),
                modified: metadata.modified().ok(),
                bytes: metadata.len(),
            },
            log: log.map(|log| (log.dev(), log.ino())),
        })
    }

    /// Whether the same files are there; their content is of no concern.
    pub(super) fn compare(&self, path: &Path) -> Result<(), Moved> {
        let shown = path.display();
        match Self::of(path) {
            Ok(found) if found.database.number != self.database.number => Err(Moved::Database(format!(
                "{shown} was replaced by another file while hotdns ran: put the file back, or restart hotdns to serve \
                 what the new one holds"
            ))),
            Ok(found) if self.log.is_some() && found.log != self.log => Err(Moved::Log),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Moved::Database(format!(
                "{shown} was deleted or moved while hotdns ran: put the file back, or restart hotdns, which begins a \
                 new database and no longer serves the records of this one"
            ))),
            Err(error) => Err(Moved::Database(format!("{shown} cannot be looked at: {error}"))),
        }
    }

    /// Where another database is in the place of this one: gives our log beside it another name. With the new file it
    /// would be taken for that one's.
    pub(super) fn set_log_aside(&self, path: &Path) -> io::Result<()> {
        let found = Self::of(path)?;
        let is_beside_another = found.database.number != self.database.number;
        if is_beside_another && self.log.is_some() && found.log == self.log {
            std::fs::rename(beside(path, "-wal"), beside(path, "-wal.replaced"))?;
        }
        Ok(())
    }

    /// Whether nobody has changed the file for a while.
    pub(super) fn is_at_rest(&self) -> bool {
        let modified = self.database.modified;
        // A time in the future is some other machine's.
        modified.is_some_and(|at| at.elapsed().is_ok_and(|age| age >= REST))
    }
}
