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

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Without a message, a look is due after this time: network file systems send none.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a message, others are waited for until none has come for this time: an editor makes several.
const SETTLE: Duration = Duration::from_millis(10);
/// Symbolic links that are followed, as by the kernel.
const MOST_LINKS: usize = 40;

/// Files that are watched.
pub struct FileWatch {
    paths: Vec<PathBuf>,
    watched: BTreeSet<PathBuf>,
    messages: mpsc::Receiver<()>,
    /// None where the kernel has no room for another watch: the clock alone is left then.
    watcher: Option<RecommendedWatcher>,
}

impl FileWatch {
    /// Watches these files. Those that do not exist yet are noticed when they come.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let (sender, messages) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !is_read {
                // A message that waits already says the same.
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher
            .inspect_err(|error| debug!("files are looked at every {} s: {error}", LOOK_EVERY.as_secs()))
            .ok();
        let mut watch = Self {
            paths,
            watched: BTreeSet::new(),
            messages,
            watcher,
        };
        watch.follow();
        watch
    }

    /// Waits until a file may have changed. Often none has: the caller compares.
    pub async fn next(&mut self) {
        match self.watcher {
            Some(_) => {
                if timeout(LOOK_EVERY, self.messages.recv()).await.is_ok() {
                    while timeout(SETTLE, self.messages.recv()).await.is_ok() {}
                }
            }
            None => sleep(LOOK_EVERY).await,
        }
        self.follow();
    }

    /// Watches the folders that the files are in now.
    fn follow(&mut self) {
        let folders: BTreeSet<PathBuf> = self.paths.iter().flat_map(|path| folders_of(path)).collect();
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

/// The folder of a file and, where it is a symbolic link, those of each step to what it stands for.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let folder = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
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
        let mut watch = FileWatch::new(vec![file.clone()]);
        // What was written before the watch began may be told still.
        while timeout(Duration::from_millis(100), watch.messages.recv()).await.is_ok() {}
        std::fs::read(&file).expect("read");
        timeout(Duration::from_millis(200), watch.messages.recv())
            .await
            .expect_err("no message");
    }
}
