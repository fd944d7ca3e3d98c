//! Files that are read again once they have changed; what is in them then takes the place of what was.
//!
//! ```text
//! current() ─ looked at within the last second? ─► what was read last
//!           └ no ─ other inode, size or time? ─► read, parse ─ good ─► that, from now on
//!                                                           └ bad  ─► said once in the log; the last good one stays
//! ```
//!
//! A path is followed anew each time, so a file that is renamed into place and a symbolic link that is switched are
//! seen.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tracing::{info, warn};

/// How long what was seen of a file is taken to be so.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How files are read and understood.
type Read<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// Files that hold one value, and the value.
pub struct RereadFiles<T> {
    /// In messages: `http.tokens_file`.
    key: &'static str,
    paths: Vec<PathBuf>,
    read: Read<T>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Instant,
    files: Vec<FileState>,
}

/// What tells one content of a path from another, without reading it; `None` where there is no file.
type FileState = Option<(u64, u64, u64, i64, i64, i64, i64)>;

impl<T> RereadFiles<T> {
    /// Reads the files for the first time.
    pub fn load(
        key: &'static str,
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let files = states(&paths);
        let value = read()?;
        Ok(Self {
            key,
            paths,
            read: Box::new(read),
            current: ArcSwap::from_pointee(value),
            seen: Mutex::new(Seen {
                at: Instant::now(),
                files,
            }),
        })
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// What the files say; at most a second old.
    pub fn current(&self) -> Arc<T> {
        // Where another thread looks right now, what it had before does.
        if let Ok(mut seen) = self.seen.try_lock()
            && seen.at.elapsed() >= LOOK_AGAIN
        {
            self.look(&mut seen);
        }
        self.current.load_full()
    }

    /// Looks now, whenever it was done last.
    pub fn refresh(&self) {
        self.look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn look(&self, seen: &mut Seen) {
        let files = states(&self.paths);
        let is_changed = files != seen.files;
        seen.at = Instant::now();
        seen.files = files;
        if !is_changed {
            return;
        }
        match (self.read)() {
            Ok(value) => {
                self.current.store(Arc::new(value));
                info!("{}: {} was read again", self.key, self.shown());
            }
            Err(error) => warn!("{}: {error}; what was read before stays in force", self.key),
        }
    }

    fn shown(&self) -> impl Display {
        let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        paths.join(", ")
    }
}

fn states(paths: &[PathBuf]) -> Vec<FileState> {
    paths.iter().map(|path| state(path)).collect()
}

fn state(path: &Path) -> FileState {
    let file = std::fs::metadata(path).ok()?;
    Some((
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(path: &Path) -> RereadFiles<u32> {
        let file = path.to_owned();
        let read = move || {
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            text.trim().parse::<u32>().map_err(|error| error.to_string())
        };
        RereadFiles::load("test", vec![path.to_owned()], read).expect("a number")
    }

    #[test]
    fn what_changed_is_read_again_and_what_is_bad_leaves_the_last_good_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        std::fs::write(&path, "1").expect("written");
        let file = number(&path);
        std::fs::write(&path, "22").expect("written");
        assert_eq!(*file.current(), 1, "looked at within the last second");
        file.refresh();
        assert_eq!(*file.current(), 22);
        for bad in ["x", ""] {
            std::fs::write(&path, bad).expect("written");
            file.refresh();
            assert_eq!(*file.current(), 22);
        }
        std::fs::remove_file(&path).expect("removed");
        file.refresh();
        assert_eq!(*file.current(), 22);
        // As editors save.
        std::fs::write(folder.path().join("new"), "333").expect("written");
        std::fs::rename(folder.path().join("new"), &path).expect("renamed");
        file.refresh();
        assert_eq!(*file.current(), 333);
    }

    #[test]
    fn a_link_that_is_switched_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("number");
        for (name, text) in [("a", "1"), ("b", "2")] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        std::os::unix::fs::symlink("a", &link).expect("linked");
        let file = number(&link);
        std::os::unix::fs::symlink("b", folder.path().join("next")).expect("linked");
        std::fs::rename(folder.path().join("next"), &link).expect("switched");
        file.refresh();
        assert_eq!(*file.current(), 2);
    }
}
