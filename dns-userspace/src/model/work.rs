//! The work of loops whose length somebody else's input decides, counted in tests: a bound of it holds on every
//! machine, where a bound of time does not.

#[cfg(test)]
use std::cell::Cell;

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

/// The steps that `task` takes on this thread.
#[cfg(test)]
pub(crate) fn steps<T>(task: impl FnOnce() -> T) -> (T, u64) {
    let before = STEPS.with(Cell::get);
    let result = task();
    (result, STEPS.with(Cell::get) - before)
}
