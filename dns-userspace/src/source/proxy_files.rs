//! Configuration files of a proxy: one file, or a folder of them, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WorldError;
use crate::host::files::read_text;
use crate::host::watch::FileWatch;

/// The largest file that is read, in octets.
const MOST_OCTETS: u64 = 16 << 20;
/// Files of a folder.
const MOST_FILES: usize = 10_000;
/// Folders within each other.
const MOST_DEPTH: usize = 16;

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
        let files = scan(&path, endings)?;
        let texts = files.into_iter().map(|file| match read_text(&file, MOST_OCTETS) {
            Ok(text) => Ok((file, text)),
            Err(error) => Err(unreadable(&file, &error)),
        });
        texts.collect()
    });
    reading.await.map_err(|error| WorldError(error.to_string()))?
}

fn unreadable(path: &Path, error: &std::io::Error) -> WorldError {
    WorldError(format!("{} cannot be read: {error}", path.display()))
}

fn scan(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, WorldError> {
    if !std::fs::metadata(path)
        .map_err(|error| unreadable(path, &error))?
        .is_dir()
    {
        return Ok(vec![path.to_path_buf()]);
    }
    let is_read = |file: &Path| {
        let ending = file.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    };
    let mut found = Vec::new();
    let mut folders = vec![(path.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            // The folders behind a mounted ConfigMap begin so, and editors' files.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // A file that goes while we look is none.
            let Ok(metadata) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if !metadata.is_dir() {
                found.extend(Some(entry.path()).filter(|file| is_read(file)));
            } else if depth < MOST_DEPTH {
                folders.push((entry.path(), depth + 1));
            }
            if found.len() > MOST_FILES {
                return Err(WorldError(format!(
                    "{} has more than {MOST_FILES} files",
                    path.display()
                )));
            }
        }
    }
    found.sort();
    Ok(found)
}
