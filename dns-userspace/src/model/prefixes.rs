//! Address prefixes, of which the longest that holds an address decides.
//!
//! IPv4 is kept as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), as the XDP program's maps have it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dns_common::cookie::words;
use ipnet::IpNet;

/// A prefix, among addresses of 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressPrefix {
    /// Its length, in bits.
    pub bits: u8,
    /// The address, zero behind the prefix.
    pub address: u128,
}

impl AddressPrefix {
    /// All addresses.
    pub const ALL: Self = Self { bits: 0, address: 0 };
    /// All IPv4 addresses.
    pub const IPV4: Self = Self {
        bits: 96,
        address: 0xFFFF_0000_0000,
    };

    /// Whether all that `other` has is in here, too.
    pub fn covers(self, other: Self) -> bool {
        self.bits <= other.bits && other.address & mask(self.bits) == self.address
    }

    /// Its first address, and the one behind its last, where there is one.
    pub fn borders(self) -> impl Iterator<Item = u128> {
        let behind = (self.address | !mask(self.bits)).checked_add(1);
        std::iter::once(self.address).chain(behind)
    }

    /// The address as it stands in a packet.
    pub fn octets(self) -> [u8; 16] {
        self.address.to_be_bytes()
    }
}

impl From<IpNet> for AddressPrefix {
    fn from(prefix: IpNet) -> Self {
        let family = match prefix {
            IpNet::V4(_) => Self::IPV4.bits,
            IpNet::V6(_) => 0,
        };
        Self {
            bits: family + prefix.prefix_len(),
            address: bits_of(prefix.network()),
        }
    }
}

/// An address as 128 bits.
pub fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// An address as it lies in memory, IPv4-mapped where it is IPv4.
pub fn address_words(address: IpAddr) -> [u64; 2] {
    words(bits_of(address).to_be_bytes())
}

/// What stands for each prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixes<T> {
    places: BTreeMap<AddressPrefix, T>,
    /// The lengths that there are.
    lengths: BTreeSet<u8>,
}

impl<T: Copy> Prefixes<T> {
    /// These.
    pub fn new(places: BTreeMap<AddressPrefix, T>) -> Self {
        let lengths = places.keys().map(|place| place.bits).collect();
        Self { places, lengths }
    }

    /// What stands for the longest prefix that holds this address.
    pub fn of(&self, address: u128) -> Option<T> {
        self.lengths.iter().rev().find_map(|&bits| {
            let address = address & mask(bits);
            self.places.get(&AddressPrefix { bits, address }).copied()
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Each prefix, and what stands for it.
    pub fn iter(&self) -> impl Iterator<Item = (AddressPrefix, T)> {
        self.places.iter().map(|(&place, &what)| (place, what))
    }
}

impl<T: Copy> Default for Prefixes<T> {
    fn default() -> Self {
        Self::new(BTreeMap::new())
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}
