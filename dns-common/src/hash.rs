//! The keyed hash of names, of which every suffix's hash is cheap.
//!
//! NH (from UMAC, RFC 4418 §5.2): sums of products of 32-bit words added to secret keys, in two independent streams.
//! A name, letters folded, is cut into 8-byte words from its *end*, the frontmost padded with zeros:
//!
//! ```text
//!   03 w w w 07 e x a │ m p l e 03 c o m │ 00      (cut from the right)
//!        word 2              word 1        …
//! ```
//!
//! The sum after each whole word is kept, so the hash of any suffix is a kept sum plus at most one masked word. The
//! zero padding is unambiguous, since no name but the root starts with a zero octet. Two names of up to 256 octets
//! agree in one stream with probability 2^-32, so in both with 2^-64, over the choice of keys.

use bytemuck::{Pod, Zeroable};

/// Words of the longest name.
pub const MAX_WORDS: usize = 32;

/// Secrets of one table, drawn anew for each.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Keys {
    /// Keys of the first stream, two 32-bit halves per word.
    pub first: [u64; MAX_WORDS],
    /// Keys of the second stream.
    pub second: [u64; MAX_WORDS],
    /// Odd multipliers that make tag and index out of both streams.
    pub mix: [u64; 4],
    /// Keys of the view, one for each stream.
    pub view: [u64; 2],
}

impl Keys {
    /// Keys from random octets; the multipliers are made odd.
    pub fn from_random(octets: &[u8; size_of::<Keys>()]) -> Self {
        let mut keys: Keys = bytemuck::pod_read_unaligned(octets);
        for factor in &mut keys.mix {
            *factor |= 1;
        }
        keys
    }
}

/// The two streams' sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Sums {
    /// The first stream.
    pub first: u64,
    /// The second stream.
    pub second: u64,
}

/// What identifies a name in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameHash {
    /// Compared in place of the name.
    pub tag: u64,
    /// Scaled to the number of lines; see [`NameHash::home`].
    pub spread: u32,
}

impl NameHash {
    /// The home line in a table of `lines` lines. Scaled by multiplication, so that any number of lines will do.
    #[inline(always)]
    pub const fn home(self, lines: u32) -> u32 {
        ((self.spread as u64 * lines as u64) >> 32) as u32
    }

    /// The home line of a name whose home can list no more names.
    #[inline(always)]
    pub const fn second_home(self, lines: u32) -> u32 {
        (((self.tag >> 24) as u32 as u64 * lines as u64) >> 32) as u32
    }

    /// The six bits that a directory entry keeps.
    #[inline(always)]
    pub const fn fingerprint(self) -> u8 {
        (self.tag >> 58) as u8
    }
}

/// Adds one word to the sums. `index` counts words from the end of the name.
#[inline(always)]
pub fn add_word(sums: Sums, word: u64, first_key: u64, second_key: u64) -> Sums {
    Sums {
        first: sums.first.wrapping_add(product(word, first_key)),
        second: sums.second.wrapping_add(product(word, second_key)),
    }
}

/// Adds the number of a view, as one word more. The default, 0, adds nothing.
#[inline(always)]
pub fn add_view(sums: Sums, view: u32, keys: &Keys) -> Sums {
    if view == 0 {
        return sums;
    }
    add_word(sums, view as u64, keys.view[0], keys.view[1])
}

/// (low + key's low mod 2^32) × (high + key's high mod 2^32). Two separate additions: XOR, or one addition of 64
/// bits, weaken the bound.
#[inline(always)]
fn product(word: u64, key: u64) -> u64 {
    let low = (word as u32).wrapping_add(key as u32);
    let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32);
    low as u64 * high as u64
}

/// Tag and index out of both streams.
#[inline(always)]
pub fn finish(sums: Sums, mix: &[u64; 4]) -> NameHash {
    let tag = sums
        .first
        .wrapping_mul(mix[0])
        .wrapping_add(sums.second.wrapping_mul(mix[1]));
    let spread = sums
        .first
        .wrapping_mul(mix[2])
        .wrapping_add(sums.second.wrapping_mul(mix[3]));
    NameHash {
        tag,
        spread: (spread >> 32) as u32,
    }
}

/// ASCII letters to lower case, eight octets at a time. Length octets (at most 63) lie below `A` and stay.
#[inline(always)]
pub const fn fold(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // In each octet without its top bit: bit 7 says "at least A", "above Z".
    let low = word & (0x7F * ONES);
    let at_least_a = low + (0x80 - b'A' as u64) * ONES;
    let above_z = low + (0x80 - b'Z' as u64 - 1) * ONES;
    let is_upper = (at_least_a ^ above_z) & !word & (0x80 * ONES);
    word | (is_upper >> 2)
}

/// Keeps the last `octets` octets (1 to 8) of a little-endian word.
#[inline(always)]
pub const fn keep_last(word: u64, octets: u32) -> u64 {
    word & (u64::MAX << ((64 - 8 * octets) & 63))
}

/// The hash of a whole uncompressed wire name in the default; for the table's writer.
pub fn of_name(name: &[u8], keys: &Keys) -> NameHash {
    of_name_in_view(name, 0, keys)
}

/// The same in a view.
pub fn of_name_in_view(name: &[u8], view: u32, keys: &Keys) -> NameHash {
    let mut sums = Sums::default();
    for (index, chunk) in name.rchunks(8).enumerate().take(MAX_WORDS) {
        let mut octets = [0u8; 8];
        octets[8 - chunk.len()..].copy_from_slice(chunk);
        sums = add_word(
            sums,
            fold(u64::from_le_bytes(octets)),
            keys.first[index],
            keys.second[index],
        );
    }
    finish(add_view(sums, view, keys), &keys.mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_letters_alone() {
        for octet in 0..=255u8 {
            let word = u64::from_le_bytes([octet, b'A', b'@', b'[', b'z', 0xC1, octet, 0]);
            let expected = word.to_le_bytes().map(|octet| octet.to_ascii_lowercase());
            assert_eq!(fold(word).to_le_bytes(), expected);
        }
    }

    #[test]
    fn a_partial_word_keeps_its_end() {
        let word = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(keep_last(word, 8), word);
        assert_eq!(keep_last(word, 3).to_le_bytes(), [0, 0, 0, 0, 0, 6, 7, 8]);
    }

    #[test]
    fn case_does_not_change_the_hash_and_the_name_does() {
        let mut octets = [7u8; size_of::<Keys>()];
        for (at, octet) in octets.iter_mut().enumerate() {
            *octet = (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3];
        }
        let keys = Keys::from_random(&octets);
        assert_eq!(
            of_name(b"\x03wWw\x07Example\x00", &keys),
            of_name(b"\x03www\x07eXAMPLE\x00", &keys)
        );
        assert_ne!(
            of_name(b"\x03www\x07example\x00", &keys),
            of_name(b"\x03wwx\x07example\x00", &keys)
        );
        assert_ne!(of_name(b"\x00", &keys), of_name(b"\x01a\x00", &keys));
        let in_view = |view| of_name_in_view(b"\x01a\x00", view, &keys);
        assert_eq!(in_view(0), of_name(b"\x01a\x00", &keys));
        assert!(in_view(1) != in_view(0) && in_view(1) != in_view(2));
    }
}
