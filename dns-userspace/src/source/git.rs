//! `sources.git`: zone files and record files of a Git repository. Each file is an object.
//!
//! ```text
//! repository ─ git fetch ─► bare clone ─ files that are not known yet ─► texts ─► one change for the whole commit
//!                           in the state folder
//! ```
//!
//! A commit is taken whole or not at all: one with an error is told with its file and line, and the commit before it is
//! served on. `docs/git.md` is for users.

mod program;
mod repository;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::repository::{Blob, Commit, MOST_OF_FILE};
use super::texts::{self, Kind, Part, Parts};
use super::{Change, Event, Listing, Revision, World, WorldError};
use crate::config::GitSource;

/// A repository.
pub(super) struct Git {
    settings: GitSource,
    /// Files as they were read last: a file with the same blob has the same content.
    read: BTreeMap<Arc<str>, (Blob, Arc<Part>)>,
    /// What a list shows, where that is known already.
    fetched: Option<Commit>,
    /// What was listed last, or by an earlier process.
    listed: Option<Commit>,
    /// A commit that is not taken, and why.
    refused: Option<(Commit, String)>,
    polls_at: Instant,
}

impl Git {
    pub(super) fn new(settings: GitSource) -> Self {
        Self {
            settings,
            read: BTreeMap::new(),
            fetched: None,
            listed: None,
            refused: None,
            polls_at: Instant::now(),
        }
    }

    async fn fetch(&mut self) -> Result<Commit, WorldError> {
        self.polls_at = Instant::now() + self.settings.poll;
        repository::fetch(&self.settings).await
    }

    /// All files of a commit, read.
    async fn read(&mut self, commit: &Commit) -> Result<Parts, Refusal> {
        let files = repository::files(&self.settings, commit).await?;
        let texts = &self.settings.texts;
        let files = files.into_iter().filter_map(|(path, blob)| {
            // A single file is read whatever its name.
            let is_named = self.settings.path.rsplit('/').next() == Some(&*path);
            let kind = texts::kind_of(&path, texts).or(is_named.then_some(Kind::Zone))?;
            Some((path, (blob, kind)))
        });
        let files: BTreeMap<Arc<str>, (Blob, Kind)> = files.collect();
        if let Some((path, _)) = files.iter().find(|(_, (blob, _))| blob.octets > MOST_OF_FILE) {
            return Err(Refusal::Bad(format!("{path} has more than {MOST_OF_FILE} octets")));
        }
        let is_known = |path: &Arc<str>, blob: &Blob| self.read.get(path).is_some_and(|(known, _)| known == blob);
        let new: Vec<(Arc<str>, Blob, Kind)> = files
            .iter()
            .filter(|(path, (blob, _))| !is_known(path, blob))
            .map(|(path, (blob, kind))| (Arc::clone(path), blob.clone(), *kind))
            .collect();
        let blobs: Vec<Blob> = new.iter().map(|(_, blob, _)| blob.clone()).collect();
        let contents = match blobs.is_empty() {
            true => Vec::new(),
            false => repository::contents(&self.settings, &blobs).await?,
        };
        let settings = self.settings.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let files = new.into_iter().zip(contents);
            let parts = files.map(|((path, blob, kind), octets)| {
                let shown_as = shown(&settings, &path);
                let part = texts::read(&path, &shown_as, &octets, kind, &settings.texts)?;
                Ok((path, (blob, Arc::new(part))))
            });
            parts.collect::<Result<Vec<_>, String>>()
        });
        let new = reading
            .await
            .map_err(|error| Refusal::Away(WorldError(error.to_string())))?;
        let new: BTreeMap<_, _> = new.map_err(Refusal::Bad)?.into_iter().collect();
        // What is known stays known where the commit is refused: the next one may have it.
        self.read.retain(|path, _| files.contains_key(path));
        self.read.extend(new);
        Ok(self
            .read
            .iter()
            .map(|(path, (_, part))| (Arc::clone(path), Arc::clone(part)))
            .collect())
    }
}

/// A file by its path in the repository.
fn shown(settings: &GitSource, path: &str) -> String {
    let folder = &*settings.path;
    match folder.rsplit('/').next() {
        Some("") | None => path.to_owned(),
        Some(file) if file == path => folder.to_owned(),
        Some(_) => format!("{folder}/{path}"),
    }
}

/// Why a commit is not read.
enum Refusal {
    /// What is in it.
    Bad(String),
    /// The clone cannot be read.
    Away(WorldError),
}

impl From<WorldError> for Refusal {
    fn from(error: WorldError) -> Self {
        Self::Away(error)
    }
}

impl World for Git {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        let commit = match self.fetched.take() {
            Some(commit) => commit,
            None => self.fetch().await?,
        };
        if let Err(reason) = repository::verify(&self.settings, &commit).await {
            // Not for ever: who may sign may change.
            return Err(WorldError(format!("commit {} is refused: {reason}", commit.id)));
        }
        let is_refused = |(refused, _): &&(Commit, String)| refused.id == commit.id;
        if let Some((_, reason)) = self.refused.as_ref().filter(is_refused) {
            return Err(WorldError(reason.clone()));
        }
        let objects = match self.read(&commit).await {
            Ok(parts) => texts::objects(&parts).map_err(Refusal::Bad),
            Err(refusal) => Err(refusal),
        };
        match objects {
            Ok(objects) => {
                self.refused = None;
                self.listed = Some(commit.clone());
                Ok(Listing {
                    objects,
                    resume: Some(commit.id.to_string()),
                })
            }
            Err(Refusal::Away(error)) => Err(error),
            Err(Refusal::Bad(reason)) => {
                let reason = format!("commit {} is refused: {reason}", commit.id);
                self.refused = Some((commit, reason.clone()));
                Err(WorldError(reason))
            }
        }
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            sleep_until(self.polls_at).await;
            let commit = self.fetch().await?;
            if self.listed.as_ref().is_none_or(|listed| listed.id != commit.id) {
                self.fetched = Some(commit);
                return Ok(Event {
                    change: Change::Relist,
                    resume: None,
                });
            }
        }
    }

    fn was_at(&mut self, place: &str) {
        self.listed = Some(Commit {
            id: place.into(),
            comment: "".into(),
        });
    }

    fn revision(&self) -> Option<Revision> {
        let Commit { id, comment } = self.listed.as_ref()?;
        Some(Revision {
            name: format!("commit {id}").into(),
            comment: (!comment.is_empty()).then(|| Arc::clone(comment)),
        })
    }

    fn longest_pause(&self) -> Option<Duration> {
        Some(self.settings.poll)
    }
}

#[cfg(test)]
mod tests;
