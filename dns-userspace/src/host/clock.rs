//! The clock that nobody can set, and that goes on while the machine is suspended.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The kernel's own of the kind; the XDP program reads the same one. That of macOS counts the time of sleep, that of
/// the BSDs does not.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// The time since this machine was started; zero where the kernel does not say.
pub fn since_boot() -> Duration {
    clock_gettime(CLOCK).map_or(Duration::ZERO, |time| {
        Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
    })
}
