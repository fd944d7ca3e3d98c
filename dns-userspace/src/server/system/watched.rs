//! `files.watch`: reloads when the configuration file, a zone file, one that it includes or a block list has changed.
//!
//! ```text
//! FileLoader ─ which files, as they were read ─► WatchedFiles ─► task ─ changed? ─► ControlHandle::reload
//!                                                 host::watch ────┘
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::config::{Config, ReadZones};
use crate::control::ControlHandle;
use crate::host::stamp::FileStamp;
use crate::host::watch::{FileWatch, Hint};

/// The files of this server, each as it was when it was read last; none where it could not be read.
#[derive(Default)]
pub(super) struct WatchedFiles {
    files: Mutex<BTreeMap<PathBuf, Option<FileStamp>>>,
    /// Said when the list is another one.
    news: Notify,
    /// `files.watch`.
    is_on: AtomicBool,
}

/// How long a file that is being written is waited for. One that is still empty then is read all the same, and so is
/// one that is gone: the reload says what is wrong with it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The name that stands for a folder itself among its files, so that the folder is watched: no file is called so.
const FOLDER: &str = "*";

fn is_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FOLDER)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Waits while a file is being written: an editor may empty it first, and an empty configuration is a valid one.
async fn wait_until_whole(path: &Path) {
    let until = Instant::now() + PATIENCE;
    while !FileStamp::at(path).is_some_and(|file| file.is_whole()) && Instant::now() < until {
        sleep(LOOK_AGAIN).await;
    }
}

impl WatchedFiles {
    /// The configuration file is about to be read.
    pub(super) fn note_configuration(&self, path: &Path) {
        self.lock().insert(path.to_owned(), FileStamp::at(path));
    }

    /// These files were read.
    pub(super) fn show(&self, config: &Config, zones: &ReadZones) {
        let secrets = [&config.http.token_file, &config.edns.cookie_secret_file];
        let secrets = secrets
            .into_iter()
            .flatten()
            .map(|path| (path.to_path_buf(), FileStamp::at(path)));
        let lists = config.rules.iter().flat_map(|rule| rule.files());
        let lists = lists.map(|path| (path.clone(), FileStamp::at(path)));
        let read = zones.files().map(|(path, stamp)| (path.clone(), stamp));
        // Its time is another one when a file comes or goes.
        let folder = config.zone_folder.iter();
        let folder = folder.map(|folder| (folder.path.join(FOLDER), folder.stamp));
        let mut files = self.lock();
        let configuration = files
            .get(&*config.file)
            .copied()
            .unwrap_or_else(|| FileStamp::at(&config.file));
        *files = secrets.chain(lists).chain(read).chain(folder).collect();
        files.insert(config.file.to_path_buf(), configuration);
        self.news.notify_one();
    }

    /// Whether a change of a file is a reload.
    pub(super) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Reloads when one of the files has changed, while that is switched on. Never ends.
    pub(super) async fn follow(&self, control: &ControlHandle) {
        let mut watch = FileWatch::new(self.paths());
        loop {
            while !self.is_on.load(Ordering::Relaxed) {
                self.news.notified().await;
                watch.set(self.paths());
            }
            let hint = tokio::select! {
                hint = watch.next() => hint,
                () = self.news.notified() => {
                    watch.set(self.paths());
                    Hint::Any
                }
            };
            if let Some(path) = self.changed(&hint) {
                if !is_folder(&path) {
                    wait_until_whole(&path).await;
                }
                info!("{} has changed: reloading", path.display());
                // The writer logs what comes of it.
                let _ = control.reload().await;
            }
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.lock().keys().cloned().collect()
    }

    /// A file that is not what was read.
    fn changed(&self, hint: &Hint) -> Option<PathBuf> {
        let files = self.lock();
        let is_changed = |path: &Path, was: &Option<FileStamp>| match was {
            Some(was) if is_folder(path) => !was.is_still(folder_of(path)),
            Some(was) => !was.is_still(path),
            None if is_folder(path) => folder_of(path).exists(),
            None => path.exists(),
        };
        match hint {
            Hint::Any => files
                .iter()
                .find(|(path, was)| is_changed(path, was))
                .map(|(path, _)| path.clone()),
            Hint::These(paths) => {
                // A file that comes is in no list yet.
                let folders = files.iter().filter(|(path, _)| is_folder(path));
                let watched = paths.iter().filter_map(|path| files.get_key_value(path)).chain(folders);
                watched
                    .into_iter()
                    .find(|(path, was)| is_changed(path, was))
                    .map(|(path, _)| path.clone())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Option<FileStamp>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
