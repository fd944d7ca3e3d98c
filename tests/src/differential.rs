//! Comparisons over many random configurations, each of which follows from its seed.
//!
//! `HOTDNS_DIFFERENTIAL_SEED` picks the first seed, `HOTDNS_DIFFERENTIAL_CASES` how many cases there are at least.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

/// How long a comparison is. What passes differs so much between configurations (in ten ranges of a million cases from 0.7 to
/// 5.8 % as marked, from 3.5 to 15.5 % as below) that a share says something of the same seeds, or of very many.
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

/// How many threads a long comparison takes.
pub fn all_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// One configuration after the other, until there were so many cases or one failed.
pub fn over_seeds<S: Sum>(cases: u64, threads: usize, one: impl Fn(u64) -> Result<S> + Sync) -> Result<S> {
    let next = AtomicU64::new(first_seed());
    let done = AtomicU64::new(0);
    let stop = || done.store(cases, Ordering::Relaxed);
    let work = || {
        let mut sum = S::default();
        while done.load(Ordering::Relaxed) < cases {
            let part = one(next.fetch_add(1, Ordering::Relaxed)).inspect_err(|_| stop())?;
            done.fetch_add(part.total(), Ordering::Relaxed);
            sum.add(&part);
        }
        anyhow::Ok(sum)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = S::default();
        for worker in workers {
            match worker.join() {
                Ok(part) => sum.add(&part?),
                Err(panic) => {
                    stop();
                    resume_unwind(panic);
                }
            }
        }
        Ok(sum)
    })
}
