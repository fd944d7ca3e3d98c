//! How often one object may change what is served: an object that flaps is followed more slowly. Pure.
//!
//! ```text
//! change ─► a token of its object? ─ yes ─► served        no ─► waits for the next token, with what it says last
//! ```
//!
//! A list is taken as it is: it comes rarely, and says what holds now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::world::Change;

/// How often one object may change what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damping {
    /// So often at once.
    pub most: u32,
    /// And once more after each such time.
    pub each: Duration,
}

impl Default for Damping {
    /// Twenty changes a minute.
    fn default() -> Self {
        Self {
            most: 20,
            each: Duration::from_secs(3),
        }
    }
}

/// The tokens of objects, and the changes that wait for one.
#[derive(Debug, Default)]
pub(super) struct Damper {
    damping: Option<Damping>,
    /// When the bucket of an object is full again; absent: it is.
    full_at: HashMap<Arc<str>, Instant>,
    waiting: BTreeMap<Arc<str>, Change>,
    due: BTreeSet<(Instant, Arc<str>)>,
}

impl Damper {
    pub(super) fn new(damping: Option<Damping>) -> Self {
        Self {
            damping,
            ..Self::default()
        }
    }

    /// A change, if it may be served now; else it waits, in the place of one that waits already.
    pub(super) fn admit(&mut self, change: Change, now: Instant) -> Option<Change> {
        let Some(damping) = self.damping else {
            return Some(change);
        };
        let key = match &change {
            Change::Applied(object) => Arc::clone(&object.key),
            Change::Deleted(key) => Arc::clone(key),
            Change::Relist => return Some(change),
        };
        if let Some(waiting) = self.waiting.get_mut(&key) {
            *waiting = change;
            return None;
        }
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now);
        // What is taken out now, and how much there may be out at a time.
        let taken = full_at + damping.each;
        let most = now + damping.each * damping.most;
        if taken <= most {
            self.full_at.insert(key, taken);
            return Some(change);
        }
        self.due.insert((now + (taken - most), Arc::clone(&key)));
        self.waiting.insert(key, change);
        None
    }

    /// When the next change that waits is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The changes that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, key)) = self.due.pop_first()
            && let Some(change) = self.waiting.remove(&key)
        {
            changes.extend(self.admit(change, now));
        }
        if self.full_at.len() > 2 * self.waiting.len() {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        changes
    }

    /// All is listed: nothing waits any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.due.clear();
    }

    /// The objects whose changes wait.
    pub(super) fn flapping(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.waiting.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(key: &str) -> Change {
        Change::Deleted(key.into())
    }

    #[test]
    fn an_object_that_flaps_waits_and_the_others_do_not() {
        let damping = Damping {
            most: 3,
            each: Duration::from_secs(2),
        };
        let mut damper = Damper::new(Some(damping));
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let admitted = (0..10).filter(|_| damper.admit(gone("web"), start).is_some()).count();
        assert_eq!(admitted, 3);
        assert!(damper.admit(gone("api"), start).is_some());
        assert_eq!(damper.flapping().map(|key| &**key).collect::<Vec<_>>(), ["web"]);
        assert_eq!(damper.due_at(), Some(after(2)));
        assert!(damper.take_due(after(1)).is_empty());
        assert_eq!(damper.take_due(after(2)).len(), 1, "the last of the seven");
        assert_eq!((damper.flapping().len(), damper.due_at()), (0, None));
        // In a minute at most so many: those at once, and one each two seconds.
        let mut damper = Damper::new(Some(damping));
        let mut count = 0;
        for tick in 0..600 {
            let now = start + Duration::from_millis(100 * tick);
            count += damper.take_due(now).len() + usize::from(damper.admit(gone("web"), now).is_some());
        }
        assert!((30..=33).contains(&count), "{count}");
    }

    #[test]
    fn without_damping_everything_is_admitted() {
        let mut damper = Damper::new(None);
        assert!((0..1000).all(|_| damper.admit(gone("web"), Instant::now()).is_some()));
    }
}
