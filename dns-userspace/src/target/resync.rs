//! How often a target's zones are read again: by how much changes. Pure but for the times that it is given.
//!
//! | changes | read again every |
//! |---|---|
//! | more than 10 in the last minute | 15 s |
//! | some in the last hour | 5 min |
//! | none for an hour | 30 min |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const BUSY: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How often the zones of a target are read again.
pub(super) struct Resync {
    /// What the configuration says; `None`: as in the table.
    fixed: Option<Duration>,
    /// When the latest changes came, [`BUSY`] and one at most.
    changes: VecDeque<Instant>,
    started: Instant,
}

impl Resync {
    pub(super) fn new(fixed: Option<Duration>, now: Instant) -> Self {
        Self {
            fixed,
            changes: VecDeque::new(),
            started: now,
        }
    }

    /// So many records were asked for otherwise.
    pub(super) fn note(&mut self, changes: usize, now: Instant) {
        for _ in 0..changes.min(BUSY + 1) {
            if self.changes.len() > BUSY {
                self.changes.pop_front();
            }
            self.changes.push_back(now);
        }
    }

    /// How long after the last time.
    pub(super) fn interval(&self, now: Instant) -> Duration {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let within_a_minute = |at: &&Instant| now.duration_since(**at) < MINUTE;
        if self.changes.iter().filter(within_a_minute).count() > BUSY {
            return Duration::from_secs(15);
        }
        let latest = self.changes.back().copied().unwrap_or(self.started);
        match now.duration_since(latest) < HOUR {
            true => Duration::from_secs(300),
            false => Duration::from_secs(1800),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_what_changes() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut resync = Resync::new(None, start);
        let seconds = |resync: &Resync, at| resync.interval(after(at)).as_secs();
        assert_eq!(seconds(&resync, 0), 300);
        resync.note(10, after(10));
        assert_eq!(seconds(&resync, 11), 300, "ten are not more than ten");
        resync.note(1, after(40));
        assert_eq!(seconds(&resync, 41), 15);
        assert_eq!(seconds(&resync, 69), 15);
        assert_eq!(seconds(&resync, 70), 300, "the ten are a minute old");
        assert_eq!(seconds(&resync, 40 + 3599), 300);
        assert_eq!(seconds(&resync, 40 + 3600), 1800);
        resync.note(5000, after(9000));
        assert_eq!(seconds(&resync, 9000), 15);
        assert_eq!(
            Resync::new(Some(Duration::from_secs(7)), start)
                .interval(after(0))
                .as_secs(),
            7
        );
    }

    /// A day with two busy hours: how often the zones are read, beside a reader that comes every 15 s.
    #[test]
    fn four_of_five_reads_are_left_out() {
        let start = Instant::now();
        let mut resync = Resync::new(None, start);
        let (mut reads, mut next) = (0, 0);
        for second in 0..86_400_u64 {
            let now = start + Duration::from_secs(second);
            let is_busy = (36_000..43_200).contains(&second);
            if is_busy && second % 5 == 0 {
                resync.note(1, now);
            }
            if second >= next {
                reads += 1;
                next = second + resync.interval(now).as_secs();
            }
        }
        assert!(reads * 5 < 86_400 / 15, "{reads}");
    }
}
