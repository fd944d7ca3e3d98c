//! Tells when files may have changed, for those who then look.
//!
//! ```text
//! inotify on the folders of the files ─┐
//! a clock, in case a message is lost  ─┴─► FileWatch::next ─► the caller reads the files and compares
//! ```
//!
//! The folders are watched, not the files: an editor saves by a rename, and Kubernetes swaps a symbolic link. A file
//! that is a link is followed, and the folder of each step is watched too. A folder that is not there yet is looked
//! for by the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Without a message, a look is due after this time: network file systems send none.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same where there are many files, each of which costs a call of the kernel.
const LOOK_AT_MANY_EVERY: Duration = Duration::from_secs(60);
/// So many are many.
const MANY: usize = 1_000;
/// After a message, others are waited for until none has come for this time: an editor makes several. It is longer
/// than a tick of the file system's clock, so that the next write gives a file another time.
const SETTLE: Duration = Duration::from_millis(25);
/// Symbolic links that are followed, as by the kernel.
const MOST_LINKS: usize = 40;
/// Paths of messages that are kept; where there are more, any file may have changed.
const MOST_PATHS: usize = 10_000;

/// Files that are watched.
pub struct FileWatch {
    /// As the kernel names them, and as the caller does.
    paths: BTreeMap<PathBuf, PathBuf>,
    watched: BTreeSet<PathBuf>,
    /// Whether a file is reached over a symbolic link: then a message may name another path than the file's.
    has_links: bool,
    messages: Arc<Messages>,
    /// None where the kernel has no room for another watch: the clock alone is left then.
    watcher: Option<RecommendedWatcher>,
}

/// Which files may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Any of them.
    Any,
    /// Those of them that are in this list.
    These(BTreeSet<PathBuf>),
}

/// What the kernel has said since it was asked last.
#[derive(Default)]
struct Messages {
    paths: Mutex<BTreeSet<PathBuf>>,
    news: Notify,
}

impl Messages {
    fn add(&self, event: notify::Event) {
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        // A message without a path is one that the kernel had no room for.
        if event.paths.is_empty() || paths.len() > MOST_PATHS {
            paths.insert(PathBuf::new());
        } else {
            paths.extend(event.paths);
        }
        self.news.notify_one();
    }

    fn take(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut *self.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FileWatch {
    /// Watches these files. Those that do not exist yet are noticed when they come.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let messages: Arc<Messages> = Arc::default();
        let told = Arc::clone(&messages);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) => told.add(event),
            Err(error) => debug!("a message on files was lost: {error}"),
        });
        let watcher = watcher
            .inspect_err(|error| debug!("files are looked at every {} s: {error}", LOOK_EVERY.as_secs()))
            .ok();
        let mut watch = Self {
            paths: by_absolute(paths),
            watched: BTreeSet::new(),
            has_links: false,
            messages,
            watcher,
        };
        watch.follow();
        watch
    }

    /// Watches these files from now on.
    pub fn set(&mut self, paths: Vec<PathBuf>) {
        let paths = by_absolute(paths);
        if paths != self.paths {
            self.paths = paths;
            self.follow();
        }
    }

    /// Waits until a file may have changed. Often none has: the caller compares. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Hint {
        let look_every = if self.paths.len() > MANY {
            LOOK_AT_MANY_EVERY
        } else {
            LOOK_EVERY
        };
        match self.watcher {
            Some(_) if timeout(look_every, self.messages.news.notified()).await.is_ok() => {
                while timeout(SETTLE, self.messages.news.notified()).await.is_ok() {}
            }
            Some(_) => self.messages.add(notify::Event::default()),
            None => {
                sleep(look_every).await;
                self.messages.add(notify::Event::default());
            }
        }
        let paths = self.messages.take();
        // A message of the clock has no path.
        let is_any = self.has_links || paths.iter().any(|path| path.as_os_str().is_empty());
        if is_any || !paths.is_disjoint(&self.watched) {
            self.follow();
        }
        if is_any {
            return Hint::Any;
        }
        let watched = paths.iter().filter_map(|path| self.paths.get(path));
        Hint::These(watched.cloned().collect())
    }

    /// Watches the folders that the files are in now.
    fn follow(&mut self) {
        let mut folders = BTreeSet::new();
        self.has_links = false;
        for path in self.paths.keys() {
            let of_path = folders_of(path);
            self.has_links |= of_path.len() > 1;
            folders.extend(of_path);
        }
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self.watched.difference(&folders) {
            // The kernel drops the watch of a folder that is gone.
            let _ = watcher.unwatch(gone);
        }
        // A folder that was replaced by another of the same name is another one to the kernel: each is watched anew.
        self.watched = folders
            .into_iter()
            .filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

fn by_absolute(paths: Vec<PathBuf>) -> BTreeMap<PathBuf, PathBuf> {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    paths.into_iter().map(|path| (absolute(&path), path)).collect()
}

/// The folder of a file and, where it is a symbolic link, those of each step to what it stands for.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let folder = match path.parent() {
            Some(parent) => parent.to_owned(),
            None => break,
        };
        // The folder may itself be reached over a link, as in a mounted ConfigMap: `..data/file`.
        if let Some(above) = folder.parent()
            && folder.is_symlink()
        {
            folders.push(above.to_owned());
        }
        folders.push(folder.clone());
        match std::fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => break,
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change is noticed long before the clock's turn.
    async fn notices(watch: &mut FileWatch, change: impl FnOnce()) {
        change();
        timeout(LOOK_EVERY / 2, watch.next())
            .await
            .expect("a message of the kernel");
    }

    #[tokio::test]
    async fn writes_renames_removals_and_returns_are_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("zone");
        std::fs::write(&file, "1").expect("written");
        let mut watch = FileWatch::new(vec![file.clone()]);
        notices(&mut watch, || std::fs::write(&file, "2").expect("written")).await;
        let new = folder.path().join("zone.new");
        std::fs::write(&new, "3").expect("written");
        notices(&mut watch, || std::fs::rename(&new, &file).expect("renamed")).await;
        notices(&mut watch, || std::fs::remove_file(&file).expect("removed")).await;
        notices(&mut watch, || std::fs::write(&file, "4").expect("written")).await;
    }

    #[tokio::test]
    async fn a_swap_of_links_as_in_a_mounted_config_map_is_noticed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for version in ["..1", "..2"] {
            std::fs::create_dir(at(version)).expect("a folder");
            std::fs::write(at(version).join("config.yaml"), version).expect("written");
        }
        symlink("..1", at("..data")).expect("a link");
        symlink("..data/config.yaml", at("config.yaml")).expect("a link");
        let mut watch = FileWatch::new(vec![at("config.yaml")]);
        notices(&mut watch, || {
            symlink("..2", at("..data_tmp")).expect("a link");
            std::fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
        })
        .await;
        notices(&mut watch, || {
            std::fs::write(at("..2").join("config.yaml"), "3").expect("written")
        })
        .await;
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("zone");
        std::fs::write(&file, "1").expect("written");
        let watch = FileWatch::new(vec![file.clone()]);
        // What was written before the watch began may be told still.
        while timeout(Duration::from_millis(100), watch.messages.news.notified())
            .await
            .is_ok()
        {}
        std::fs::read(&file).expect("read");
        let news = watch.messages.news.notified();
        timeout(Duration::from_millis(200), news).await.expect_err("no message");
    }
}
