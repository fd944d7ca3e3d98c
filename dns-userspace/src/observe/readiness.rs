//! How far the server is, for `GET /ready`, the metrics and the log.
//!
//! Ready takes two things: sockets and tables that serve, and the records in the database. The second may come much
//! later than the first, where another process holds the database; until then every query is answered SERVFAIL with
//! "Not Ready" (RFC 8914 §4.15), since no answer from the files alone is sure to be right: the API's RRset goes before
//! a file's, and a name that no file has may be one of the API's.

use tokio::sync::watch;

use crate::journal::{StorageState, StorageStatus, awaited};

/// What is ready, and what is not; shared by all who say something about it.
pub struct Readiness(watch::Sender<Status>);

#[derive(Clone)]
struct Status {
    phase: Phase,
    storage: StorageStatus,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Stopping,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(Status {
            phase: Phase::Starting,
            storage: StorageStatus {
                state: StorageState::Starting,
                reason: None,
                is_awaited: true,
            },
        }))
    }
}

impl Readiness {
    /// Sockets and tables serve from now on.
    pub fn serve(&self) {
        self.0.send_modify(|status| status.phase = Phase::Serving);
    }

    /// The server takes nothing new from now on.
    pub fn stop(&self) {
        self.0.send_modify(|status| status.phase = Phase::Stopping);
    }

    /// The database is like this now.
    pub fn set_storage(&self, storage: StorageStatus) {
        self.0.send_modify(|status| status.storage = storage);
    }

    /// How the database is.
    pub fn storage(&self) -> StorageStatus {
        self.0.borrow().storage.clone()
    }

    /// Why the server is not ready; `None`: it is.
    pub fn not_ready(&self) -> Option<String> {
        self.0.borrow().not_ready()
    }

    /// Waits until the server is ready.
    pub async fn ready(&self) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|status| status.not_ready().is_none()).await;
    }
}

impl Status {
    fn not_ready(&self) -> Option<String> {
        match self.phase {
            Phase::Starting => Some("the server starts: sockets and tables do not serve yet".to_owned()),
            Phase::Stopping => Some("the server is stopping".to_owned()),
            Phase::Serving if self.storage.is_awaited => Some(awaited(self.storage.reason.as_deref())),
            Phase::Serving => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn status(state: StorageState, is_awaited: bool) -> StorageStatus {
        StorageStatus {
            state,
            reason: Some("for a reason".into()),
            is_awaited,
        }
    }

    #[test]
    fn ready_takes_what_serves_and_the_records() {
        let readiness = Readiness::default();
        assert!(readiness.not_ready().expect("starting").contains("sockets and tables"));
        readiness.set_storage(status(StorageState::Held, true));
        readiness.serve();
        assert!(readiness.not_ready().expect("waiting").contains("for a reason"));
        // Read, or started without: what is left to say is no reason to send no queries.
        for state in [StorageState::Held, StorageState::ReadOnly, StorageState::Open] {
            readiness.set_storage(status(state, false));
            assert_eq!(readiness.not_ready(), None);
        }
        readiness.stop();
        assert!(readiness.not_ready().expect("stopping").contains("stopping"));
    }

    #[tokio::test]
    async fn whoever_waits_for_it_is_told() {
        let readiness = Arc::new(Readiness::default());
        let waits = tokio::spawn({
            let readiness = Arc::clone(&readiness);
            async move { readiness.ready().await }
        });
        readiness.serve();
        readiness.set_storage(status(StorageState::Open, false));
        waits.await.expect("told");
    }
}
