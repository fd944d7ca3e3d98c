//! How far the server is, for `GET /ready`.

use std::sync::{Mutex, PoisonError};

/// What is ready, and what is not; shared by all who say something about it.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Phase>);

#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    #[default]
    Starting,
    Serving,
    Stopping,
}

impl Readiness {
    /// Sockets and tables serve from now on.
    pub fn serve(&self) {
        self.set(Phase::Serving);
    }

    /// The server takes nothing new from now on.
    pub fn stop(&self) {
        self.set(Phase::Stopping);
    }

    /// Why the server is not ready; `None`: it is.
    pub fn not_ready(&self) -> Option<String> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Starting => Some("the server starts: sockets and tables do not serve yet".to_owned()),
            Phase::Stopping => Some("the server is stopping".to_owned()),
            Phase::Serving => None,
        }
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}
