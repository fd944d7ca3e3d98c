//! Our own addresses, as the XDP program looks them up.

use bytemuck::{Pod, Zeroable};

/// Where a packet would have to be addressed to be ours: interface, VLAN tags, address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct OwnKey {
    /// The address; IPv4 as an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2), in network order.
    pub address: [u8; 16],
    /// Index of the interface that the program is attached to.
    pub interface: u32,
    /// Outer VLAN ID plus [`TAGGED`], or 0 without a tag.
    pub outer_vlan: u16,
    /// Inner VLAN ID plus [`TAGGED`], or 0 without a second tag.
    pub inner_vlan: u16,
    /// UDP port in host order; 0 in the entry that says "some port of this address is ours".
    pub port: u16,
    /// Zero.
    pub unused: [u16; 3],
}

/// Set in a VLAN field of [`OwnKey`] where there is a tag. One with VLAN ID 0, a priority tag, counts as none.
pub const TAGGED: u16 = 0x8000;

/// What the program needs to know of an interface when it answers for one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OwnValue {
    /// The interface's own MAC address; frames to others pass.
    pub mac: [u8; 6],
    /// The largest IP packet that may leave there, in octets.
    pub mtu: u16,
}

/// Lines of the table that is looked at before the map of all addresses.
pub const OWN_LINES: usize = 256;

/// One line of that table, in which a key has just one place. Its state says whether the key of this place is here, or
/// whether the map must be asked: several keys have this place, or it is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct OwnLine {
    /// A version in the upper 30 bits, below it [`own_line::EMPTY`], [`own_line::HERE`] or [`own_line::ASK`].
    pub state: u32,
    /// Zero.
    pub unused: u32,
    /// Whose line it is.
    pub key: OwnKey,
    /// What is known of it.
    pub value: OwnValue,
}

/// States of an [`OwnLine`].
pub mod own_line {
    /// The two bits of the state.
    pub const MASK: u32 = 3;
    /// No address of ours has this place.
    pub const EMPTY: u32 = 0;
    /// The line's key is the only one that has this place.
    pub const HERE: u32 = 1;
    /// The map knows.
    pub const ASK: u32 = 2;
}

impl OwnKey {
    /// The key as words, each as it lies in memory.
    #[inline(always)]
    pub fn words(&self) -> [u64; OWN_WORDS] {
        bytemuck::cast(*self)
    }

    /// The key's place in the table of [`OWN_LINES`] lines.
    pub fn place(&self) -> u32 {
        place(&self.words())
    }
}

/// Words of an [`OwnKey`].
pub const OWN_WORDS: usize = 4;

/// The place of a key in the table of [`OWN_LINES`] lines.
#[inline(always)]
pub const fn place(key: &[u64; OWN_WORDS]) -> u32 {
    let [high, low, link, port] = *key;
    let address = high ^ low;
    let mixed = address ^ (address >> 32) ^ (link << 8) ^ (link >> 32) ^ (port << 3);
    (mixed as u32).wrapping_mul(0x9E37_79B1) >> 24
}

/// An IPv4 address in the form of [`OwnKey::address`].
pub const fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<OwnKey>(), 32);
        assert_eq!(size_of::<OwnValue>(), 8);
        assert_eq!(size_of::<OwnLine>(), 48);
    }
}
