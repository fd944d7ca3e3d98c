//! Who may ask: groups of client prefixes, the longest of which decides, as the XDP program looks them up.

use bytemuck::{Pod, Zeroable};

/// A prefix of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct AccessKey {
    /// The group: a zone's number, [`SERVER`] or [`EXEMPT`].
    pub group: u32,
    /// The prefix; IPv4 as an IPv4-mapped IPv6 address, in network order.
    pub address: [u8; 16],
}

/// Bits of a key's group, which a longest-prefix match counts as well.
pub const GROUP_BITS: u32 = 32;

/// The group of the server's own list.
pub const SERVER: u32 = u32::MAX;
/// The group of clients that no rate limit is for.
pub const EXEMPT: u32 = u32::MAX - 1;

/// What a prefix stands for.
pub mod verdict {
    /// Its clients may ask; in [`super::EXEMPT`]: they are exempt.
    pub const ALLOWED: u8 = 1;
    /// They get REFUSED.
    pub const REFUSED: u8 = 2;
    /// They get nothing.
    pub const DROPPED: u8 = 3;
}

/// What becomes of a query before its name is looked at, as a plain number for the borders of the kernel's functions.
pub mod admission {
    /// It is answered.
    pub const ADMITTED: u32 = 0;
    /// It is over a rate limit, and answered truncated.
    pub const TRUNCATED: u32 = 1;
    /// It is refused.
    pub const REFUSED: u32 = 2;
    /// It is over a rate limit, and dropped.
    pub const OVER_LIMIT: u32 = 3;
    /// Its client gets nothing.
    pub const DENIED: u32 = 4;
    /// Whether it is admitted is not known here.
    pub const UNKNOWN: u32 = 5;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<AccessKey>(), 20);
        assert_eq!(core::mem::offset_of!(AccessKey, address) * 8, GROUP_BITS as usize);
    }
}
