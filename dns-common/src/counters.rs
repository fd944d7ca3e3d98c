//! What the XDP program counts, per processor.

use bytemuck::{Pod, Zeroable};

use crate::wire::rtype;

/// Room for pass reasons.
pub const PASS_COUNTERS: usize = 64;
/// Room for drop reasons.
pub const DROP_COUNTERS: usize = 8;
/// Classes of QTYPE; see [`qtype_class`].
pub const QTYPE_CLASSES: usize = 72;
/// Classes of rcode; see [`rcode_class`].
pub const RCODE_CLASSES: usize = 4;

/// Counters of one processor; all of them only grow.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Counters {
    /// By [`crate::reason::PassReason`].
    pub passed: [u64; PASS_COUNTERS],
    /// By [`crate::reason::DropReason`].
    pub dropped: [u64; DROP_COUNTERS],
    /// Answers truncated because of a rate limit.
    pub limited: u64,
    /// Answers refused because of an access list.
    pub denied: u64,
    /// Answers of upstream servers that were kept, and of rules.
    pub cached: u64,
    /// Those of rules among them.
    pub ruled: u64,
    /// Answers sent, by QTYPE class, then rcode class.
    pub answers: [[u64; RCODE_CLASSES]; QTYPE_CLASSES],
}

/// What is counted for a zone, by rcode class.
pub type ZoneCounters = [u64; RCODE_CLASSES];

/// The class of a QTYPE: itself up to 65, six more that are in use, 0 for all others.
#[inline(always)]
pub const fn qtype_class(qtype: u16) -> usize {
    match qtype {
        1..=65 => qtype as usize,
        256 => 66,
        257 => 67,
        99 => 68,
        rtype::META_LAST => 69,
        108 => 70,
        109 => 71,
        _ => 0,
    }
}

/// The QTYPE of a class; `None` for "other".
pub const fn qtype_of_class(class: usize) -> Option<u16> {
    match class {
        1..=65 => Some(class as u16),
        66 => Some(256),
        67 => Some(257),
        68 => Some(99),
        69 => Some(rtype::META_LAST),
        70 => Some(108),
        71 => Some(109),
        _ => None,
    }
}

/// The class of an rcode that the fast path sends.
#[inline(always)]
pub const fn rcode_class(rcode: u16) -> usize {
    match rcode {
        0 => 0,
        3 => 1,
        5 => 2,
        _ => 3,
    }
}

/// The rcodes by class; the last, which is no rcode, stands for all others.
pub const RCODES: [u8; RCODE_CLASSES] = [0, 3, 5, u8::MAX];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::{DropReason, PassReason};

    #[test]
    fn there_is_room_for_every_reason() {
        assert!(PassReason::ALL.len() <= PASS_COUNTERS && DropReason::ALL.len() <= DROP_COUNTERS);
    }

    #[test]
    fn classes_come_back_as_qtypes() {
        for qtype in 0..=u16::MAX {
            let class = qtype_class(qtype);
            assert!(class < QTYPE_CLASSES);
            assert!(class == 0 || qtype_of_class(class) == Some(qtype));
        }
    }
}
