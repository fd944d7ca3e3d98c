//! A server that does not answer rests for a while.
//!
//! ```text
//! closed ── 3 times in a row no reply ──► open, 1 s ── the pause is over ──► one query tries it, beside another server
//!   ▲                                       ▲                                 │ no reply: open, twice as long, to 60 s
//!   └──────────────── a reply ──────────────┴─────────────────────────────────┘
//! ```
//!
//! No client waits for a trial: it is made beside a server that answers. Where all servers rest, all are asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Failures in a row after which a server rests.
const PATIENCE: u32 = 3;
/// How long it rests at first, and a trial's distance from the one before.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The state of one server.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    pause: Duration,
    /// When the pause is over.
    end: Duration,
    /// Whether a trial is under way.
    is_tried: bool,
}

/// Whether a server may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers, as far as is known.
    Good,
    /// It rests.
    Resting,
    /// It rests, and this query may try it.
    Trial,
}

impl Breaker {
    /// What may be done now. Of those who ask at the end of a pause one is told [`Health::Trial`].
    pub(super) fn health(&self, now: Duration) -> Health {
        let mut state = self.lock();
        match &mut state.open {
            None => Health::Good,
            Some(open) if now < open.end => Health::Resting,
            Some(open) => {
                open.end = now + open.pause;
                open.is_tried = true;
                Health::Trial
            }
        }
    }

    /// Whether it rests.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// It has replied; true where it rested.
    pub(super) fn succeed(&self) -> bool {
        let mut state = self.lock();
        state.failures = 0;
        state.open.take().is_some()
    }

    /// It has not replied; true where it rests from now on.
    pub(super) fn fail(&self, now: Duration) -> bool {
        let mut state = self.lock();
        let failures = state.failures.saturating_add(1);
        state.failures = failures;
        match &mut state.open {
            Some(open) => {
                // Queries that were sent before the pause say nothing new.
                if std::mem::take(&mut open.is_tried) {
                    open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                    open.end = now + open.pause;
                }
                false
            }
            None if failures >= PATIENCE => {
                state.open = Some(Open {
                    pause: PAUSE,
                    end: now + PAUSE,
                    is_tried: false,
                });
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_server_that_fails_three_times_rests_longer_and_longer_until_it_answers() {
        let breaker = Breaker::default();
        assert!(!breaker.fail(at(0)) && !breaker.fail(at(0)));
        assert_eq!(breaker.health(at(0)), Health::Good);
        assert!(breaker.fail(at(0)));
        assert!(!breaker.fail(at(900)), "it was sent before");
        assert_eq!(breaker.health(at(999)), Health::Resting);
        assert_eq!(breaker.health(at(1000)), Health::Trial);
        assert_eq!(breaker.health(at(1000)), Health::Resting, "one trial at a time");
        assert!(!breaker.fail(at(1500)));
        assert_eq!(breaker.health(at(3499)), Health::Resting);
        assert_eq!(breaker.health(at(3500)), Health::Trial);
        let mut now = at(3500);
        for _ in 0..10 {
            breaker.fail(now);
            now += LONGEST_PAUSE;
            assert_eq!(breaker.health(now), Health::Trial, "never longer than a minute");
        }
        assert!(breaker.succeed() && !breaker.succeed());
        assert_eq!(breaker.health(now), Health::Good);
        assert!(!breaker.fail(now), "the count begins anew");
    }
}
