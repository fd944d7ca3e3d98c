//! The order in which the RRs of an RRset are answered, drawn anew for each answer from a random number.
//!
//! ```text
//! rotate     A B C D ─► C D A B       from any place on, all alike
//! random     A B C D ─► D A C B       any order, all alike
//! weighted   A B C D ─► C A B D       the first one drawn by weight, the rest as they are
//! hash       A B C D ─► C D A B       as rotate, but always the same for clients of one prefix
//! ```
//!
//! RFC 2181 §5: an RRset is a set, so every order is as right as the next. Equal numbers give equal orders in both
//! planes.

use bytemuck::{Pod, Zeroable};

/// How an RRset is ordered, as the plain number that lines and slots have.
pub mod kind {
    /// As it was given.
    pub const FIXED: u8 = 0;
    /// Turned by a random number of places.
    pub const ROTATE: u8 = 1;
    /// At random.
    pub const RANDOM: u8 = 2;
    /// The first RR by weight.
    pub const WEIGHTED: u8 = 3;
    /// Turned by a number of places that follows from the client's prefix.
    pub const HASH: u8 = 4;
}

/// The most RRs that the fast path orders.
pub const MOST: u32 = 16;
/// Numbers of two octets that a slot has of a weighted order: the lower and the upper half of the sum of the weights,
/// then the weights.
pub const WEIGHT_NUMBERS: usize = 2 + MOST as usize;

/// What an order is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// A random number.
    pub random: u64,
    /// The client's address as it lies in memory, IPv4-mapped where it is IPv4.
    pub client: [u64; 2],
    /// Which of its bits count for the order by hash.
    pub prefixes: Prefixes,
}

/// The prefixes of clients that get one order by hash, as masks of the words of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Prefixes {
    /// Of the second word of an IPv4-mapped address.
    ipv4: u64,
    /// Of the first word of an IPv6 address.
    ipv6: u64,
}

impl Prefixes {
    /// The most bits of an IPv4 client.
    pub const MOST_IPV4: u8 = 32;
    /// The most bits of an IPv6 client: hosts choose the others themselves.
    pub const MOST_IPV6: u8 = 64;
    /// The bits of an IPv4 client, unless configured. Sites are given at least that much, so resolvers that share a
    /// site count as one client.
    pub const DEFAULT_IPV4: u8 = 24;
    /// The same of an IPv6 client.
    pub const DEFAULT_IPV6: u8 = 56;
    /// Prefixes of so many bits.
    pub const DEFAULT: Self = Self::of(Self::DEFAULT_IPV4, Self::DEFAULT_IPV6);

    /// Prefixes of so many bits, from 1 on; of more than there can be, all count.
    pub const fn of(ipv4: u8, ipv6: u8) -> Self {
        Self {
            ipv4: first_bits(ipv4.saturating_add(32)),
            ipv6: first_bits(ipv6),
        }
    }

    /// A number for the prefix of a client. Without a branch: the verifier knows the masks, so that it would follow
    /// each way of two on its own, through all that comes after.
    #[inline(always)]
    const fn number(self, [first, second]: [u64; 2]) -> u64 {
        // 0 for an IPv4-mapped address.
        let other = first | (second as u32 ^ MAPPED) as u64;
        // All bits, or none.
        let is_ipv6 = (((other | other.wrapping_neg()) as i64) >> 63) as u64;
        (first & self.ipv6 & is_ipv6) | (second & self.ipv4 & !is_ipv6)
    }
}

/// The first bits of eight octets that lie in memory.
const fn first_bits(bits: u8) -> u64 {
    let others = 64_u32.saturating_sub(bits as u32);
    match u64::MAX.checked_shl(others) {
        Some(mask) => mask.swap_bytes(),
        None => 0,
    }
}

impl Draw {
    /// The number that an order of this kind follows from.
    #[inline(always)]
    pub const fn number(self, kind: u8) -> u64 {
        if kind == kind::HASH {
            self.prefixes.number(self.client)
        } else {
            self.random
        }
    }
}

/// `::ffff:0:0/96`: octets 8 to 11 of an IPv4-mapped address, as they lie in memory.
const MAPPED: u32 = u32::from_le_bytes([0, 0, 0xFF, 0xFF]);

/// Which RR stands at which place; each of them as given at first.
pub trait Places {
    /// The RR of place `by` comes first, the others follow in a circle of `count`.
    fn rotate(&mut self, by: u32, count: u32);
    /// Two places change their RRs.
    fn swap(&mut self, one: u32, other: u32);
    /// The RR of this place comes first, those before it move up.
    fn bring_to_front(&mut self, place: u32);
}

/// Up to sixteen RRs: four bits of a word for each place, the lowest for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nibbles(pub u64);

impl Nibbles {
    /// As given.
    pub const AS_GIVEN: Self = Self(0xFEDC_BA98_7654_3210);

    /// The RR at a place below [`MOST`].
    #[inline(always)]
    pub const fn at(self, place: u32) -> u32 {
        (self.0 >> (4 * (place & 15))) as u32 & 15
    }
}

impl Places for Nibbles {
    #[inline(always)]
    fn rotate(&mut self, by: u32, count: u32) {
        // Of those that are as given: nibble after nibble the numbers from `by` on, less `count` where that is reached.
        let mut turned = 0;
        for place in 0..MOST {
            let from = place + by;
            let from = if from >= count { from.wrapping_sub(count) } else { from };
            turned |= ((from & 15) as u64) << (4 * place);
        }
        self.0 = turned;
    }

    #[inline(always)]
    fn swap(&mut self, one: u32, other: u32) {
        let differs = (self.at(one) ^ self.at(other)) as u64;
        self.0 ^= differs << (4 * (one & 15));
        self.0 ^= differs << (4 * (other & 15));
    }

    #[inline(always)]
    fn bring_to_front(&mut self, place: u32) {
        let place = place & 15;
        let before = (1u64 << (4 * place)) - 1;
        let moved = before << 4 | 15;
        self.0 = (self.0 & !moved) | (self.0 & before) << 4 | self.at(place) as u64;
    }
}

impl Places for [u16] {
    fn rotate(&mut self, by: u32, _count: u32) {
        self.rotate_left(by as usize);
    }

    fn swap(&mut self, one: u32, other: u32) {
        <[u16]>::swap(self, one as usize, other as usize);
    }

    fn bring_to_front(&mut self, place: u32) {
        self[..=place as usize].rotate_right(1);
    }
}

/// Orders `count` RRs, at most `most`, by a random number. `weight` gives the weight of the RR at a place below `most`,
/// and 0 where there is none, `total` their sum; where that is 0, each RR is as likely to be the first.
#[inline(always)]
pub fn arrange<P: Places + ?Sized>(
    places: &mut P,
    kind: u8,
    (count, most): (u32, u32),
    random: u64,
    (total, weight): (u32, impl Fn(u32) -> u16),
) {
    let mut random = random;
    match kind {
        kind::ROTATE | kind::HASH => places.rotate(draw(&mut random, count), count),
        kind::RANDOM => {
            // Fisher and Yates: each place from the last on gets one of those that are left.
            for place in 1..most {
                if place >= count {
                    break;
                }
                let last = count - place;
                places.swap(last, draw(&mut random, last + 1));
            }
        }
        kind::WEIGHTED => {
            if total == 0 {
                places.bring_to_front(draw(&mut random, count));
                return;
            }
            let mut left = draw(&mut random, total);
            for place in 0..most {
                let own = weight(place) as u32;
                if left < own {
                    places.bring_to_front(place);
                    break;
                }
                left -= own;
            }
        }
        _ => {}
    }
}

/// A number below `bound`, which is not 0: any, if that is.
#[inline(always)]
fn draw(random: &mut u64, bound: u32) -> u32 {
    (((next(random) >> 32) * bound as u64) >> 32) as u32
}

/// The next number of a sequence, whatever the last one was (Steele, Lea and Flood, "SplitMix").
#[inline(always)]
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::collections::HashMap;
    use std::vec::Vec;

    use super::*;
    use crate::cookie::words;

    /// What both kinds of places make of it, which must be the same.
    fn order(kind: u8, count: u32, random: u64, weights: &[u16]) -> Vec<u16> {
        let weight = |place: u32| weights.get(place as usize).copied().unwrap_or(0);
        let mut list: Vec<u16> = (0..count as u16).collect();
        let total = weights.iter().map(|&weight| u32::from(weight)).sum();
        arrange(&mut list[..], kind, (count, count), random, (total, weight));
        if count <= MOST {
            let mut nibbles = Nibbles::AS_GIVEN;
            arrange(&mut nibbles, kind, (count, MOST), random, (total, weight));
            let same: Vec<u16> = (0..count).map(|place| nibbles.at(place) as u16).collect();
            assert_eq!(list, same, "kind {kind}, {count} RRs, random {random:x}");
        }
        list
    }

    fn shares<K: std::hash::Hash + Eq>(draws: u64, mut what: impl FnMut(u64) -> K) -> HashMap<K, f64> {
        let mut shares = HashMap::new();
        let mut state = 1;
        for _ in 0..draws {
            *shares.entry(what(next(&mut state))).or_insert(0.0) += 1.0 / draws as f64;
        }
        shares
    }

    #[test]
    fn every_order_is_one_of_all_rrs() {
        let mut state = 7;
        for count in 1..40 {
            for kind in [kind::FIXED, kind::ROTATE, kind::RANDOM, kind::WEIGHTED, kind::HASH] {
                for _ in 0..50 {
                    let weights: Vec<u16> = (0..count).map(|_| next(&mut state) as u16).collect();
                    let mut order = order(kind, count, next(&mut state), &weights);
                    order.sort_unstable();
                    assert!(order.iter().copied().eq(0..count as u16));
                }
            }
        }
    }

    #[test]
    fn fixed_is_as_given() {
        assert_eq!(order(kind::FIXED, 5, 77, &[]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn rotations_are_circles_and_all_alike() {
        let shares = shares(40_000, |random| order(kind::ROTATE, 4, random, &[]));
        assert_eq!(shares.len(), 4);
        for (order, share) in shares {
            assert!(
                order
                    .iter()
                    .zip(order.iter().cycle().skip(1))
                    .all(|(a, b)| (a + 1) % 4 == *b)
            );
            assert!((share - 0.25).abs() < 0.01, "{order:?} {share}");
        }
    }

    /// The number of this client.
    fn number_of(address: IpAddr, random: u64, prefixes: Prefixes) -> u64 {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let draw = Draw {
            random,
            client: words(address.octets()),
            prefixes,
        };
        draw.number(kind::HASH)
    }

    /// Where the circle of four begins for this client.
    fn first_for(address: IpAddr, random: u64) -> u16 {
        order(kind::HASH, 4, number_of(address, random, Prefixes::DEFAULT), &[])[0]
    }

    #[test]
    fn prefixes_end_at_their_bit() {
        for bits in 1..=Prefixes::MOST_IPV4 {
            let client = 0x5A5A_5A5A_u32;
            let number = |client: u32| number_of(Ipv4Addr::from(client).into(), 1, Prefixes::of(bits, 1));
            for bit in 0..32 {
                let is_outside = bit >= bits;
                let other = client ^ (0x8000_0000 >> bit);
                assert_eq!(number(client) == number(other), is_outside, "bit {bit} of a /{bits}");
            }
        }
        for bits in 1..=Prefixes::MOST_IPV6 {
            let client = 0x2001_0db8_5a5a_5a5a_5a5a_5a5a_5a5a_5a5a_u128;
            let number = |client: u128| number_of(Ipv6Addr::from(client).into(), 1, Prefixes::of(1, bits));
            for bit in 0..128 {
                let is_outside = bit >= bits;
                let other = client ^ (1 << 127 >> bit);
                assert_eq!(number(client) == number(other), is_outside, "bit {bit} of a /{bits}");
            }
        }
    }

    #[test]
    fn clients_of_one_prefix_get_the_same_first_one() {
        for (one, other) in [
            ("192.0.2.1", "192.0.2.254"),
            ("2001:db8:1:200::1", "2001:db8:1:2ff:ffff::9"),
        ] {
            let first = |client: &str, random| first_for(client.parse().expect("an address"), random);
            assert_eq!(first(one, 1), first(other, 77), "{one} and {other}");
        }
    }

    #[test]
    fn prefixes_are_spread_alike() {
        let v4 = |number: u64| first_for(Ipv4Addr::from((number as u32) << 8).into(), 1);
        let v6 = |number: u64| {
            first_for(
                Ipv6Addr::from(((0x2001_0db8 << 24) | u128::from(number)) << 72).into(),
                1,
            )
        };
        let prefixes = 0..20_000;
        for of_client in [&v4 as &dyn Fn(u64) -> u16, &v6] {
            let mut counts = [0; 4];
            for number in prefixes.clone() {
                counts[usize::from(of_client(number))] += 1;
            }
            assert!(counts.iter().all(|count| (4_700..5_300).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn random_orders_are_all_there_and_all_alike() {
        let shares = shares(48_000, |random| order(kind::RANDOM, 4, random, &[]));
        assert_eq!(shares.len(), 24);
        for (order, share) in shares {
            assert!((share - 1.0 / 24.0).abs() < 0.005, "{order:?} {share}");
        }
    }

    #[test]
    fn the_first_is_drawn_by_weight_and_the_rest_stay_as_given() {
        let weights = [10, 0, 30, 60];
        let shares = shares(40_000, |random| order(kind::WEIGHTED, 4, random, &weights));
        assert_eq!(shares.len(), 3, "a weight of 0 is never first");
        for (order, share) in shares {
            assert!((share - f64::from(weights[usize::from(order[0])]) / 100.0).abs() < 0.01);
            assert!(order[1..].is_sorted());
        }
    }

    #[test]
    fn weights_that_are_all_zero_are_all_alike() {
        let shares = shares(40_000, |random| order(kind::WEIGHTED, 4, random, &[0; 4])[0]);
        assert!(shares.len() == 4 && shares.values().all(|share| (share - 0.25).abs() < 0.01));
    }
}
