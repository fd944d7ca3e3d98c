//! The checks that Nomad makes of its native services: its list of services does not have them.
//!
//! ```text
//! every 30 s, for each allocation: GET /v1/client/allocation/ID/checks ─► services of it whose checks fail
//! ```
//!
//! An allocation whose checks cannot be asked for (no permission, an older Nomad, a client that is away) stays what it
//! was, and passes where it was never known.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::super::WorldError;
use super::super::peer::{Answer, Peer};
use super::{AT_A_TIME, TIMEOUT};
use crate::model::shown::percent_encoded;

/// Between two questions for one allocation.
const INTERVAL: Duration = Duration::from_secs(30);

/// An allocation, by its namespace and ID.
pub(super) type Id = (String, String);

/// A check of `/v1/client/allocation/ID/checks`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    service: String,
    status: String,
}

/// All allocations of one source.
pub(super) struct Allocations {
    is_on: bool,
    /// The services of each whose checks fail.
    failing: BTreeMap<Id, BTreeSet<String>>,
    answers: FuturesUnordered<BoxFuture<'static, (Id, Result<Answer, WorldError>)>>,
    room: Arc<Semaphore>,
    peer: Option<Arc<Peer>>,
    interval: Duration,
}

impl Allocations {
    /// Asks for the checks of allocations, if that is wanted.
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            failing: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            room: Arc::new(Semaphore::new(AT_A_TIME)),
            peer: None,
            interval: INTERVAL,
        }
    }

    /// These are all allocations now.
    pub(super) fn set(&mut self, peer: &Arc<Peer>, all: BTreeSet<Id>) {
        if !self.is_on {
            return;
        }
        self.peer = Some(Arc::clone(peer));
        self.failing.retain(|id, _| all.contains(id));
        all.into_iter().for_each(|id| self.add(id));
    }

    /// This allocation has come, or is known already.
    pub(super) fn add(&mut self, id: Id) {
        if self.is_on && !id.1.is_empty() && !self.failing.contains_key(&id) {
            self.failing.insert(id.clone(), BTreeSet::new());
            self.ask(id, Duration::ZERO);
        }
    }

    /// Whether a check of a service fails in an allocation.
    pub(super) fn fails(&self, id: &Id, service: &str) -> bool {
        self.failing.get(id).is_some_and(|services| services.contains(service))
    }

    /// Waits until the checks of an allocation say something else than before. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) -> Id {
        loop {
            let Some((id, answer)) = self.answers.next().await else {
                return pending().await;
            };
            let Some(failing) = self.failing.get_mut(&id) else {
                continue;
            };
            let checks = answer.and_then(|answer| answer.checked()?.json::<BTreeMap<String, Check>>());
            let now = checks.map(|checks| {
                let failed = checks.into_values().filter(|check| check.status == "failure");
                failed.map(|check| check.service).collect::<BTreeSet<String>>()
            });
            let has_changed = now.is_ok_and(|now| std::mem::replace(failing, now.clone()) != now);
            self.ask(id.clone(), self.interval);
            if has_changed {
                return id;
            }
        }
    }

    fn ask(&self, id: Id, pause: Duration) {
        let Some(peer) = self.peer.clone() else { return };
        let room = Arc::clone(&self.room);
        self.answers.push(Box::pin(async move {
            sleep(pause).await;
            // It is never closed.
            let _room = room.acquire().await.ok();
            let [namespace, allocation] = [&id.0, &id.1].map(|part| percent_encoded(part));
            let path = format!("/v1/client/allocation/{allocation}/checks?namespace={namespace}");
            let answer = peer.ask(&path, TIMEOUT).await;
            (id, answer)
        }));
    }

    /// The same, asked more often.
    #[cfg(test)]
    pub(super) fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }
}
