//! What is asked most, and who asks most: counted while somebody looks, in bounded memory.
//!
//! ```text
//! GET /api/v1/top ─► wanted ─► workers hand queries to the query log's thread ─► note ─► the window before, and this
//! ```
//!
//! Nobody looks for 30 s: nothing is counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::name::Name;

/// How long is counted after somebody looked.
const PATIENCE: Duration = Duration::from_secs(30);
/// A window of this length and the one before are shown.
const WINDOW: Duration = Duration::from_secs(10);
/// Names, and clients, that are counted in a window. Where there are more, those that came once are forgotten.
const MOST: usize = 8192;

/// Counts by name and by client.
#[derive(Default)]
pub(crate) struct Top {
    is_wanted: AtomicBool,
    windows: Mutex<Windows>,
}

#[derive(Default)]
struct Windows {
    looked: Option<Instant>,
    this: Window,
    before: Window,
}

struct Window {
    since: Instant,
    queries: u64,
    names: HashMap<Name, u64>,
    clients: HashMap<IpAddr, u64>,
}

/// What was counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// For how long.
    pub(crate) time: Duration,
    /// Queries, those included whose names are forgotten.
    pub(crate) queries: u64,
    /// Most first.
    pub(crate) names: Vec<(Name, u64)>,
    /// Most first.
    pub(crate) clients: Vec<(IpAddr, u64)>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            queries: 0,
            names: HashMap::new(),
            clients: HashMap::new(),
        }
    }
}

impl Top {
    /// Whether somebody has looked lately.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Ends the counting where nobody looks any more; called now and then.
    pub(crate) fn rest(&self) {
        let mut windows = self.lock();
        if windows.looked.is_some_and(|looked| looked.elapsed() > PATIENCE) {
            self.is_wanted.store(false, Ordering::Relaxed);
            *windows = Windows::default();
        }
    }

    /// Counts a query, which stands for `weight` of them.
    pub(crate) fn note(&self, name: Option<&Name>, client: IpAddr, weight: u64) {
        let mut windows = self.lock();
        windows.turn();
        let window = &mut windows.this;
        window.queries += weight;
        if let Some(name) = name {
            count(&mut window.names, name, weight);
        }
        count(&mut window.clients, &client, weight);
    }

    /// What was counted in this window and the one before, the first `most` of each; and goes on counting.
    pub(crate) fn look(&self, most: usize) -> Counted {
        let mut windows = self.lock();
        windows.looked = Some(Instant::now());
        self.is_wanted.store(true, Ordering::Relaxed);
        windows.turn();
        let Windows { this, before, .. } = &*windows;
        let since = if before.queries > 0 { before.since } else { this.since };
        Counted {
            time: since.elapsed(),
            queries: this.queries + before.queries,
            names: first(&this.names, &before.names, most),
            clients: first(&this.clients, &before.clients, most),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Windows {
    fn turn(&mut self) {
        let age = self.this.since.elapsed();
        if age >= 2 * WINDOW {
            (self.this, self.before) = Default::default();
        } else if age >= WINDOW {
            self.before = std::mem::take(&mut self.this);
        }
    }
}

fn count<T: Hash + Eq + Clone>(counts: &mut HashMap<T, u64>, of: &T, weight: u64) {
    if let Some(count) = counts.get_mut(of) {
        *count += weight;
        return;
    }
    if counts.len() >= MOST {
        counts.retain(|_, count| *count > weight);
        // All came more than once: a new one has to wait for the next window.
        if counts.len() >= MOST {
            return;
        }
    }
    counts.insert(of.clone(), weight);
}

fn first<T: Hash + Eq + Ord + Clone>(this: &HashMap<T, u64>, before: &HashMap<T, u64>, most: usize) -> Vec<(T, u64)> {
    let mut sums = this.clone();
    for (of, count) in before {
        *sums.entry(of.clone()).or_default() += count;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|(left, less), (right, more)| more.cmp(less).then_with(|| left.cmp(right)));
    sums.truncate(most);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn the_most_asked_come_first_and_many_others_cost_bounded_memory() {
        let top = Top::default();
        assert!(!top.is_wanted());
        assert_eq!(top.look(3).queries, 0);
        assert!(top.is_wanted());
        let clients: [IpAddr; 2] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().expect("an address"));
        for number in 0..20_000 {
            top.note(Some(&name(&format!("n{number}.example."))), clients[0], 1);
            if number % 10 == 0 {
                top.note(Some(&name("hot.example.")), clients[1], 1);
            }
        }
        let counted = top.look(2);
        assert_eq!(counted.queries, 22_000);
        assert_eq!(counted.names[0], (name("hot.example."), 2000));
        assert_eq!(counted.clients, [(clients[0], 20_000), (clients[1], 2000)]);
        assert!(top.lock().this.names.len() <= MOST);
    }
}
