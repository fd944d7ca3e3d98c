//! `limits`: how much the server may take.

use std::ops::RangeInclusive;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;
use crate::host::memory::{self, Size};

/// `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    /// What all zones may take; by default three quarters of what this process may have.
    pub memory: Size,
}

/// From 1 MiB to 1 PiB.
const MEMORY: RangeInclusive<Size> = Size(1 << 20)..=Size(1 << 50);

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["memory"],
    // A reload reads the zone files anew, within the new limit.
    applies: Applies::Live(&[("limits", |old, new| old.limits != new.limits)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> LimitsConfig {
    let section = input.root.section("limits", KEY.keys, findings);
    let memory = section.size("memory", "memory: 512MiB", &MEMORY, findings);
    LimitsConfig {
        memory: memory.unwrap_or_else(default_memory),
    }
}

fn default_memory() -> Size {
    let Size(octets) = memory::available();
    Size(octets / 4 * 3).clamp(*MEMORY.start(), *MEMORY.end())
}
