//! Where a worker's thread runs, and before what. Linux has both for each thread of its own; elsewhere they are left to
//! the system.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rustix::process::setpriority_process;

/// The niceness of workers: three times the share of a processor that a thread without one gets.
const NICENESS: i32 = -5;

/// Where there is a processor for each worker, each stays on its own: two that share one for a while make queries wait
/// for milliseconds.
pub(super) fn stay_on_one_processor(number: usize, workers: usize) {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else {
        return;
    };
    let mut processors = (0..CpuSet::count()).filter(|processor| allowed.is_set(*processor).unwrap_or(false));
    if processors.clone().count() != workers {
        return;
    }
    let mut own = CpuSet::new();
    if let Some(processor) = processors.nth(number)
        && own.set(processor).is_ok()
        && let Err(error) = sched_setaffinity(Pid::from_raw(0), &own)
    {
        tracing::debug!(worker = number, %error, "a worker cannot stay on one processor");
    }
}

/// Queries that came in are answered before more are taken in. Under more than a processor can do, the kernel takes
/// packets in by a thread of its own (`ksoftirqd`), with the priority of any other: it would take half of the
/// processor, and what it takes in would mostly be thrown away for want of room.
pub(super) fn come_before_what_comes_in(number: usize) {
    if let Err(error) = setpriority_process(None, NICENESS) {
        tracing::debug!(worker = number, %error, "a worker has no higher priority");
    }
}
