//! `sources.export`: zones of a provider, kept from the zone files that it exports.
//!
//! ```text
//! /var/backups/dns/example.com.txt ─► the zone example.com., also while the file, or the provider, is away
//! ```
//!
//! A file that cannot be read, or has an error, changes nothing: what it said last is served. `docs/sources.md` is for
//! users.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::folder::{files_below, is_folder};
use super::texts::{self, Kind, Part, Parts};
use super::{Change, Event, Listing, World, WorldError};
use crate::config::ExportSource;
use crate::host::files;
use crate::host::stamp::FileStamp;
use crate::host::watch::FileWatch;

/// The largest file that is read, in octets.
const MOST_OCTETS: u64 = 256 << 20;
/// All is listed anew after this time at the latest, so that the journal knows how old it is.
const LIST_EVERY: Duration = Duration::from_secs(3600);

/// A file, or a folder of files.
pub(super) struct Export {
    settings: ExportSource,
    watch: FileWatch,
    read: Read,
    lists_at: Instant,
}

/// Files as they were read last, by their paths below the folder.
type Read = BTreeMap<Arc<str>, (FileStamp, Arc<Part>)>;

impl Export {
    pub(super) fn new(settings: ExportSource) -> Self {
        Self {
            watch: FileWatch::new(vec![settings.path.to_path_buf()]),
            settings,
            read: Read::default(),
            lists_at: Instant::now(),
        }
    }

    /// Whether another file is there, or one with another content.
    fn has_changed(&self) -> bool {
        match scan(&self.settings) {
            Ok(files) => {
                files.len() != self.read.len()
                    || files.iter().any(|(key, (path, _))| {
                        let known = self.read.get(key);
                        known.is_none_or(|(stamp, _)| !stamp.is_still(path))
                    })
            }
            Err(_) => true,
        }
    }
}

impl World for Export {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        let settings = self.settings.clone();
        let before = std::mem::take(&mut self.read);
        let reading = tokio::task::spawn_blocking(move || read_all(&settings, &before));
        let read = reading.await.map_err(|error| WorldError(error.to_string()))?;
        let read = read.map_err(WorldError)?;
        let parts: Parts = read
            .iter()
            .map(|(key, (_, part))| (Arc::clone(key), Arc::clone(part)))
            .collect();
        let objects = texts::objects(&parts).map_err(WorldError)?;
        let folder = self.settings.path.to_path_buf();
        let paths = read.keys().map(|key| folder.join(&**key));
        self.watch.set(paths.chain([folder.clone()]).collect());
        self.read = read;
        self.lists_at = Instant::now() + LIST_EVERY.min(self.settings.expire.unwrap_or(LIST_EVERY) / 8);
        Ok(Listing { objects, resume: None })
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            let is_due = tokio::select! {
                _ = self.watch.next() => false,
                () = tokio::time::sleep_until(self.lists_at) => true,
            };
            if is_due || self.has_changed() {
                return Ok(Event {
                    change: Change::Relist,
                    resume: None,
                });
            }
        }
    }
}

/// Reads what is not as it was in `before`.
fn read_all(settings: &ExportSource, before: &Read) -> Result<Read, String> {
    let mut read = Read::new();
    for (key, (path, kind)) in scan(settings)? {
        if let Some((stamp, part)) = before.get(&key).filter(|(stamp, _)| stamp.is_still(&path)) {
            read.insert(key, (*stamp, Arc::clone(part)));
            continue;
        }
        let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        let metadata = std::fs::metadata(&path).map_err(cannot)?;
        let octets = files::read(&path, MOST_OCTETS).map_err(cannot)?;
        let shown_as = path.display().to_string();
        let part = texts::read(&key, &shown_as, &octets, kind, &settings.texts)?;
        read.insert(key, (FileStamp::of(&metadata, &octets), Arc::new(part)));
    }
    Ok(read)
}

/// Files by their paths below the folder, with what they are.
type Found = BTreeMap<Arc<str>, (PathBuf, Kind)>;

/// The files that say something.
fn scan(settings: &ExportSource) -> Result<Found, String> {
    let path = &*settings.path;
    if !is_folder(path)? {
        let key: Arc<str> = path.file_name().unwrap_or_default().to_string_lossy().into();
        let kind = texts::kind_of(&key, &settings.texts).unwrap_or(Kind::Zone);
        return Ok(Found::from([(key, (path.to_path_buf(), kind))]));
    }
    let found = files_below(path, |key, file| {
        let text = (key.ends_with(".txt") && !key.starts_with('.')).then_some(Kind::Zone);
        let kind = texts::kind_of(key, &settings.texts).or(text)?;
        Some((Arc::from(key), (file.to_path_buf(), kind)))
    });
    Ok(found?.into_iter().collect())
}

#[cfg(test)]
mod tests;
