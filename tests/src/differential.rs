//! Comparisons over many random configurations, each of which follows from its seed.
//!
//! `HOTDNS_DIFFERENTIAL_SEED` picks the first seed, `HOTDNS_DIFFERENTIAL_CASES` how many cases there are at least.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

/// How long a comparison is. What passes differs so much between configurations (of the sockets' fast path, in ten
/// ranges of a million cases, from 0.7 to 5.8 % as marked, from 3.5 to 15.5 % as below) that a share says something of
/// the same seeds, or of very many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The same seeds always.
    Suite,
    /// A hundred million.
    Hours,
    /// Something else.
    Other,
}

/// What comes of cases.
pub trait Sum: Default + Send {
    /// How many there were.
    fn total(&self) -> u64;
    /// Adds what came of others.
    fn add(&mut self, other: &Self);
}

/// How many cases, unless the environment says otherwise.
pub fn asked_for(cases: u64, length: Length) -> (u64, Length) {
    match (from_environment("CASES"), from_environment("SEED")) {
        (None, None) => (cases, length),
        (others, _) => (others.unwrap_or(cases), Length::Other),
    }
}

/// The first seed.
pub fn first_seed() -> u64 {
    from_environment("SEED").unwrap_or(1)
}

fn from_environment(what: &str) -> Option<u64> {
    let value = std::env::var(format!("HOTDNS_DIFFERENTIAL_{what}")).ok()?;
    Some(value.parse().expect("a number in HOTDNS_DIFFERENTIAL_*"))
}

/// One configuration after the other, on each processor, until there were so many cases or one failed.
pub fn over_seeds<S: Sum>(cases: u64, one: impl Fn(u64) -> Result<S> + Sync) -> Result<S> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(first_seed());
    let done = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let work = || {
        let mut sum = S::default();
        while done.load(Ordering::Relaxed) < cases && !has_failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let part = catch_unwind(AssertUnwindSafe(|| one(seed)));
            if !matches!(part, Ok(Ok(_))) {
                // The others need not go on.
                has_failed.store(true, Ordering::Relaxed);
            }
            let part = part.unwrap_or_else(|panic| resume_unwind(panic))?;
            done.fetch_add(part.total(), Ordering::Relaxed);
            sum.add(&part);
        }
        anyhow::Ok(sum)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = S::default();
        for worker in workers {
            let part = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            sum.add(&part?);
        }
        Ok(sum)
    })
}
