//! The work of loops whose length somebody else's input decides, counted in tests: a bound of it holds on every
//! machine, where a bound of time does not.

#[cfg(test)]
use std::cell::Cell;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

#[cfg(test)]
thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// One step of such a loop. Nothing at all outside of tests.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

/// What is looked for among as many as somebody else's input has: each comparison of it, and each hash, is a step. So
/// to look through them one by one shows in the steps, however that is written.
#[derive(Debug, Clone, Copy, Eq)]
pub(crate) struct Sought<T>(pub(crate) T);

impl<T: PartialEq> PartialEq for Sought<T> {
    fn eq(&self, other: &Self) -> bool {
        step();
        self.0 == other.0
    }
}

impl<T: Hash> Hash for Sought<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        step();
        self.0.hash(state);
    }
}

impl<T: Ord> PartialOrd for Sought<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for Sought<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        step();
        self.0.cmp(&other.0)
    }
}

/// The steps that `task` takes on this thread.
#[cfg(test)]
pub(crate) fn steps<T>(task: impl FnOnce() -> T) -> (T, u64) {
    let before = STEPS.with(Cell::get);
    let result = task();
    (result, STEPS.with(Cell::get) - before)
}
