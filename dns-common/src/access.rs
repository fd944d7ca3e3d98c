//! Who may ask: groups of client prefixes, the longest of which decides, as the XDP program looks them up; and who may
//! use the upstream, where a few prefixes say it.

use bytemuck::{Pod, Zeroable};

use crate::cookie::words;

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

/// IPv4 prefixes of [`FewPrefixes`].
pub const FEW_IPV4: usize = 8;
/// IPv6 prefixes of [`FewPrefixes`].
pub const FEW_IPV6: usize = 4;

/// A set of client prefixes that is small, as most are: looked through in less time than a tree of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FewPrefixes {
    /// Mask and address, each as it lies in memory. A place that is not used has an address outside of its mask.
    ipv4: [[u32; 2]; FEW_IPV4],
    /// Mask and address, each in two words as they lie in memory.
    ipv6: [[[u64; 2]; 2]; FEW_IPV6],
    /// 1 where all prefixes are here.
    is_whole: u64,
}

/// What an IPv4-mapped address has before the address, in memory order (RFC 4291 §2.5.5.2).
const MAPPED: u32 = 0xFFFF_0000;

impl FewPrefixes {
    /// Too many: to be looked for elsewhere.
    pub const TOO_MANY: Self = Self {
        ipv4: [[0, 1]; FEW_IPV4],
        ipv6: [[[0; 2], [1; 2]]; FEW_IPV6],
        is_whole: 0,
    };

    /// These prefixes, each with its length in bits, if there is room for them.
    pub fn new(
        ipv4: impl IntoIterator<Item = ([u8; 4], u8)>,
        ipv6: impl IntoIterator<Item = ([u8; 16], u8)>,
    ) -> Option<Self> {
        let mut few = Self::TOO_MANY;
        let mut places = few.ipv4.iter_mut();
        for (address, bits) in ipv4 {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0).to_be();
            *places.next()? = [mask, u32::from_ne_bytes(address) & mask];
        }
        let mut places = few.ipv6.iter_mut();
        for (address, bits) in ipv6 {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            let address = u128::from_be_bytes(address) & mask;
            *places.next()? = [mask, address].map(|number| words(number.to_be_bytes()));
        }
        few.is_whole = 1;
        Some(few)
    }

    /// Whether all prefixes are here.
    #[inline(always)]
    pub const fn is_whole(&self) -> bool {
        self.is_whole != 0
    }

    /// Whether one of them has this client: an address as it lies in memory, IPv4-mapped where it is IPv4. No IPv6
    /// prefix has IPv4 clients.
    #[inline(always)]
    pub const fn has(&self, [first, second]: [u64; 2]) -> bool {
        let mut found = 0;
        let mut place = 0;
        // Without branches, of which the verifier would follow both ways.
        if first == 0 && second as u32 == MAPPED {
            let address = (second >> 32) as u32;
            while place < FEW_IPV4 {
                let [mask, wanted] = self.ipv4[place];
                found |= is_zero(((address & mask) ^ wanted) as u64);
                place += 1;
            }
        } else {
            while place < FEW_IPV6 {
                let [mask, wanted] = self.ipv6[place];
                let differs = ((first & mask[0]) ^ wanted[0]) | ((second & mask[1]) ^ wanted[1]);
                found |= is_zero((differs | differs >> 32) & 0xFFFF_FFFF);
                place += 1;
            }
        }
        found != 0
    }
}

/// 1 for zero, 0 for all other numbers of 32 bits.
#[inline(always)]
const fn is_zero(number: u64) -> u64 {
    number.wrapping_sub(1) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<AccessKey>(), 20);
        assert_eq!(core::mem::offset_of!(AccessKey, address) * 8, GROUP_BITS as usize);
    }

    #[test]
    fn few_prefixes_have_their_clients_and_no_others() {
        let mapped = |[a, b, c, d]: [u8; 4]| words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d]);
        let ipv6 = |address: u128| words(address.to_be_bytes());
        let local = 0xFD00_u128 << 112;
        let few = FewPrefixes::new(
            [([127, 0, 0, 0], 8), ([172, 16, 9, 9], 12), ([192, 0, 2, 1], 32)],
            [(1u128.to_be_bytes(), 128), ((local | 7).to_be_bytes(), 7)],
        )
        .expect("few");
        assert!(few.is_whole());
        for client in [[127, 255, 0, 1], [172, 31, 0, 0], [192, 0, 2, 1]] {
            assert!(few.has(mapped(client)), "{client:?}");
        }
        for client in [[128, 0, 0, 1], [172, 32, 0, 0], [192, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 1]] {
            assert!(!few.has(mapped(client)), "{client:?}");
        }
        assert!(few.has(ipv6(1)) && few.has(ipv6(local)) && few.has(ipv6(0xFC00_u128 << 112 | 5)));
        assert!(!few.has(ipv6(0)) && !few.has(ipv6(2)) && !few.has(ipv6(0xFE00_u128 << 112)));
        let all = FewPrefixes::new([], [([0; 16], 0)]).expect("one");
        assert!(all.has(ipv6(local)) && !all.has(mapped([192, 0, 2, 1])), "of one family alone");
        let all = FewPrefixes::new([([0; 4], 0)], []).expect("one");
        assert!(!all.has(ipv6(local)) && all.has(mapped([192, 0, 2, 1])));
        assert!(!FewPrefixes::new([], []).expect("none").has(mapped([0, 0, 0, 1])));
    }

    #[test]
    fn too_many_prefixes_are_not_a_few() {
        let ipv4 = |count: u8| (0..count).map(|last| ([10, 0, 0, last], 32));
        let ipv6 = |count: u8| (0..count).map(|last| ([last; 16], 128));
        assert!(FewPrefixes::new(ipv4(8), ipv6(4)).is_some());
        assert!(FewPrefixes::new(ipv4(9), []).is_none() && FewPrefixes::new([], ipv6(5)).is_none());
    }
}
