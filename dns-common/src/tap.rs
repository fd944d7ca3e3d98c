//! What the XDP program shows of its answers to userspace, for the query log and dnstap.
//!
//! ```text
//! answer ─ is it its turn? ─► record in the ring: head, then octets of the reply ─► userspace, some milliseconds later
//!                               └ no room: counted, and not shown
//! ```
//!
//! Nothing here is run where [`TapSettings::one_in`] is 0: it is a constant of the loaded program.

use bytemuck::{Pod, Zeroable};

/// What is shown, fixed while a program is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TapSettings {
    /// One of so many answers is shown, on the average; 0: none.
    pub one_in: u32,
    /// 1 where whole replies are shown, 0 where header and question do.
    pub whole: u32,
}

/// The head of a record. Octets of the reply follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Tapped {
    /// When it was answered, in nanoseconds of the kernel's monotonic clock.
    pub time_ns: u64,
    /// The client, IPv4-mapped where it is IPv4, as it lies in memory.
    pub client: [u64; 2],
    /// Our address, likewise.
    pub server: [u64; 2],
    /// The client's port, as on the wire.
    pub client_port: [u8; 2],
    /// Ours.
    pub server_port: [u8; 2],
    /// Octets of the reply.
    pub message_bytes: u16,
    /// Octets of it that follow.
    pub kept_bytes: u16,
}

/// Octets of a record's head.
pub const HEAD_BYTES: usize = size_of::<Tapped>();
/// Octets of a record, of which the least that does is taken. What the largest cannot hold of a reply is cut off.
pub const RECORD_BYTES: [usize; 4] = [112, 240, 496, 1520];

impl TapSettings {
    /// Nothing is shown.
    pub const OFF: TapSettings = TapSettings { one_in: 0, whole: 0 };

    /// How many answers pass until the next one that is shown, from a random number: uniform, so that traffic with a
    /// period is sampled fairly, and `one_in` on the average.
    #[inline(always)]
    pub const fn gap(one_in: u32, random: u32) -> u32 {
        1 + random % (2 * one_in - 1)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!((size_of::<TapSettings>(), HEAD_BYTES), (8, 48));
        assert!(RECORD_BYTES.is_sorted() && RECORD_BYTES.iter().all(|bytes| bytes % 8 == 0));
    }

    #[test]
    fn gaps_have_the_mean_that_is_asked_for() {
        for one_in in [1, 2, 100, 1_000_000] {
            let draws = (0..1000u64).map(|draw| (draw * u64::from(u32::MAX) / 1000) as u32);
            let gaps: std::vec::Vec<u64> = draws.map(|random| TapSettings::gap(one_in, random).into()).collect();
            let mean = gaps.iter().sum::<u64>() as f64 / 1000.0;
            assert!(gaps.iter().all(|gap| (1..2 * u64::from(one_in)).contains(gap)));
            assert!((mean / f64::from(one_in) - 1.0).abs() < 0.1, "{one_in}: {mean}");
        }
    }
}
