//! Where a blocking query goes on, and how often it may be asked.

use std::time::{Duration, Instant};

/// Replies that may come at once.
const BURST: f64 = 5.0;
/// How many may come in a second after these.
const PER_SECOND: f64 = 1.0;
/// The same for the checks of all services, whose changes all come by one query.
const OF_ALL_PER_SECOND: f64 = 4.0;

/// The place of one blocking query.
#[derive(Debug)]
pub(in crate::source) struct Place {
    index: u64,
    /// Questions that may be asked at once.
    left: f64,
    counted: Instant,
    per_second: f64,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            index: 0,
            left: BURST,
            counted: Instant::now(),
            per_second: PER_SECOND,
        }
    }
}

impl Place {
    /// That of a query for all services.
    pub(in crate::source) fn of_all() -> Self {
        Self {
            per_second: OF_ALL_PER_SECOND,
            ..Self::default()
        }
    }

    /// The index to wait at; 0 asks at once.
    pub(in crate::source) fn index(&self) -> u64 {
        self.index
    }

    /// Takes the index of a reply. One that goes back begins anew; 0 is no index, and would be answered at once.
    pub(in crate::source) fn advance(&mut self, index: Option<u64>) {
        let index = index.unwrap_or(0).max(1);
        self.index = if index < self.index { 0 } else { index };
    }

    /// How long to wait before the next question: nothing, but where replies come one after the other.
    pub(in crate::source) fn pause(&mut self) -> Duration {
        let since = self.counted.elapsed().as_secs_f64();
        self.counted = Instant::now();
        self.left = (self.left + since * self.per_second).min(BURST) - 1.0;
        match self.left < 0.0 {
            true => Duration::from_secs_f64(-self.left / self.per_second),
            false => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_goes_back_begins_anew() {
        let mut place = Place::default();
        for (index, wanted) in [
            (Some(19), 19),
            (Some(24), 24),
            (Some(7), 0),
            (Some(7), 7),
            (Some(0), 0),
            (None, 1),
        ] {
            place.advance(index);
            assert_eq!(place.index(), wanted, "{index:?}");
        }
    }

    #[test]
    fn replies_without_end_are_slowed_down() {
        let mut place = Place::default();
        let pauses: Vec<Duration> = (0..8).map(|_| place.pause()).collect();
        assert!(pauses[..5].iter().all(Duration::is_zero), "{pauses:?}");
        assert!(pauses[7] > Duration::from_secs(2), "{pauses:?}");
    }
}
