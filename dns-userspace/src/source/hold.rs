//! A source that was put back to an earlier state, and stays there until somebody says otherwise.
//!
//! ```text
//! roll back ─► Paused ─ edits, the mark in the place of the watch ─► writer        the state is `held`
//! Watcher ─ before it submits: held? then nothing                                 its world is watched on
//! resume ──► Paused ─ the mark goes ─► the world is listed anew, and served
//! ```
//!
//! While somebody decides, the watcher waits ([`Hold`] is a lock), so nothing comes in between. That a source is held
//! is kept where the place of its watch is kept, and outlives a restart.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::info;

use super::status::{SourceState, Status};
use super::watcher::{SyncRequests, now};
use crate::control::{ControlError, ControlHandle, Difference};
use crate::journal::Progress;
use crate::model::record::RrSet;
use crate::model::source::{Origin, SourceId};
use crate::store::{ChangeSet, Edit, Terms};

/// Kept in the place of where a watch goes on from: no world has such places.
const MARK: &str = "held at version ";

/// The version at which a source is held, where it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold(Arc<Mutex<Option<u64>>>);

impl Hold {
    /// Waits until nobody changes the source's records, and sees to it that nobody else does.
    pub(super) async fn lock(&self) -> OwnedMutexGuard<Option<u64>> {
        Arc::clone(&self.0).lock_owned().await
    }
}

/// The version in a place that is kept, where a source is held.
pub(super) fn held_at(place: &str) -> Option<u64> {
    place.strip_prefix(MARK)?.parse().ok()
}

/// A source whose watcher changes nothing meanwhile.
pub struct Paused {
    held: OwnedMutexGuard<Option<u64>>,
    status: Arc<Status>,
    requests: SyncRequests,
    control: ControlHandle,
}

impl Paused {
    /// Pauses a source.
    pub(super) async fn new(status: &Arc<Status>, requests: &SyncRequests, control: &ControlHandle) -> Self {
        Self {
            held: status.hold().lock().await,
            status: Arc::clone(status),
            requests: requests.clone(),
            control: control.clone(),
        }
    }

    /// Undoes what its layer has become since `version`, and holds it there. `force` lets it go past the deletion
    /// guard.
    pub async fn roll_back(
        mut self,
        version: u64,
        since: Vec<Difference>,
        force: bool,
        actor: Arc<str>,
    ) -> Result<(), ControlError> {
        let source = self.status.source().clone();
        let edits = since.into_iter().map(|difference| undo(difference, &source)).collect();
        let comment = format!("rollback to version {version}; held there");
        self.submit(edits, Some(format!("{MARK}{version}")), force, actor, comment)
            .await?;
        let kept = self.control.kept(source.clone()).await?;
        *self.held = Some(version);
        self.status.update(|report| {
            report.state = SourceState::Held;
            report.held = Some(version);
            report.rrsets = kept.rrsets;
        });
        info!("source {}: put back to version {version}, and held there", source.key());
        Ok(())
    }

    /// Lets the source go on; whether it was held.
    pub async fn resume(mut self, actor: Arc<str>) -> Result<bool, ControlError> {
        if self.held.is_none() {
            return Ok(false);
        }
        self.submit(Vec::new(), None, false, actor, String::new()).await?;
        *self.held = None;
        self.status.update(|report| {
            report.state = SourceState::Starting;
            report.held = None;
        });
        info!("source {}: it is not held any more", self.status.source().key());
        self.requests.ask(true);
        Ok(true)
    }

    async fn submit(
        &self,
        edits: Vec<Edit>,
        resume: Option<String>,
        force: bool,
        actor: Arc<str>,
        comment: String,
    ) -> Result<(), ControlError> {
        let report = self.status.report();
        let synced = match report.state {
            SourceState::Synced => Some(now()),
            _ => report.last_sync,
        };
        let set = ChangeSet {
            source: self.status.source().clone(),
            actor,
            edits,
        };
        let terms = Terms {
            force,
            comment: Some(comment.into()),
            ..Terms::default()
        };
        let progress = Progress {
            resume,
            synced: synced.unwrap_or_default(),
        };
        self.control.clone().on(terms).watched(set, Some(progress)).await?;
        Ok(())
    }
}

fn undo(difference: Difference, source: &SourceId) -> Edit {
    let Difference {
        view,
        owner,
        rtype,
        old,
        ..
    } = difference;
    match old {
        None => Edit::Unset { view, owner, rtype },
        Some(old) => {
            // The history knows its source by the key alone.
            let origin = match old.origin.object() {
                Some(object) => Origin::of_object(source.clone(), object, old.origin.since()),
                None => Origin::of(source.clone()),
            };
            let rrset = Arc::new(RrSet {
                origin,
                ..(*old).clone()
            });
            Edit::Set { view, owner, rrset }
        }
    }
}
