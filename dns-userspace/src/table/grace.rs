//! The grace period: how long to wait until no reader can still look at a slot that nothing refers to any more.
//!
//! | who reads | what is waited for |
//! |---|---|
//! | sockets | nothing: they compare the epoch, which is raised before, once they have copied the slot |
//! | programs of the kernel | an RCU grace period, of which `membarrier(2)` is one |
//!
//! Containers may forbid `membarrier` (seccomp), and kernels with `nohz_full=` have none for other processes. A change
//! of a map of maps takes a grace period as well: `BPF_MAP_UPDATE_ELEM` returns when no program can still have the
//! inner map that was there before. Without either, slots are not used again, until a new table takes the place of this
//! one.

#[cfg(target_os = "linux")]
mod programs;

use std::sync::atomic::{Ordering, fence};

/// Waits until no reader can still look at what was given up before the epoch was raised. False where that cannot be
/// known.
pub(super) fn wait(is_read_by_programs: bool) -> bool {
    if !is_read_by_programs {
        // The epoch before what is written to the slots then.
        fence(Ordering::SeqCst);
        return true;
    }
    #[cfg(target_os = "linux")]
    return programs::wait();
    // No kernel but Linux has such programs.
    #[cfg(not(target_os = "linux"))]
    false
}

/// Finds out how programs of the kernel can be waited for, and says so where it is not the usual way.
pub fn find_grace_period() {
    #[cfg(target_os = "linux")]
    programs::find();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_not_waited_for() {
        assert!(wait(false));
    }
}
