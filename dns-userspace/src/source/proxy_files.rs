//! Configuration files of a proxy: one file, or a folder of them, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WorldError;
use super::folder::{files_below, is_folder, is_hidden, unreadable};
use crate::host::files::read_text;
use crate::host::watch::FileWatch;

/// The largest file that is read, in octets.
const MOST_OCTETS: u64 = 16 << 20;

/// Files with their texts, in the order of their paths.
pub(super) type Texts = Vec<(PathBuf, String)>;

/// A file, or a folder of files.
pub(super) struct ProxyFiles {
    path: Arc<Path>,
    watch: FileWatch,
}

impl ProxyFiles {
    pub(super) fn new(path: Arc<Path>) -> Self {
        Self {
            watch: FileWatch::new(vec![path.to_path_buf()]),
            path,
        }
    }

    /// All files; of a folder, those with one of these endings.
    pub(super) async fn read(&mut self, endings: &'static [&'static str]) -> Result<Texts, WorldError> {
        let texts = read(&self.path, endings).await?;
        let folders = texts
            .iter()
            .filter_map(|(path, _)| path.parent().map(Path::to_path_buf));
        let files = texts.iter().map(|(path, _)| path.clone());
        self.watch
            .set(folders.chain(files).chain([self.path.to_path_buf()]).collect());
        Ok(texts)
    }

    /// Waits until a file may have changed. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) {
        self.watch.next().await;
    }
}

/// The files at a path, with their texts; of a folder, those with one of these endings.
pub(super) async fn read(path: &Arc<Path>, endings: &'static [&'static str]) -> Result<Texts, WorldError> {
    let path = Arc::clone(path);
    let reading = tokio::task::spawn_blocking(move || -> Result<Texts, WorldError> {
        let files = scan(&path, endings).map_err(WorldError)?;
        let texts = files.into_iter().map(|file| match read_text(&file, MOST_OCTETS) {
            Ok(text) => Ok((file, text)),
            Err(error) => Err(WorldError(unreadable(&file, &error))),
        });
        texts.collect()
    });
    reading.await.map_err(|error| WorldError(error.to_string()))?
}

fn scan(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    if !is_folder(path)? {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = files_below(path, |_, file| {
        let ending = file.extension().and_then(|ending| ending.to_str());
        let is_read = !is_hidden(file) && ending.is_some_and(|ending| endings.contains(&ending));
        is_read.then(|| file.to_path_buf())
    })?;
    found.sort();
    Ok(found)
}
