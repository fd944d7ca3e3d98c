//! The Internet checksum (RFC 1071), in the byte order of memory read as little-endian words.
//!
//! One's-complement sums do not care in which byte order they are taken, as long as it is the same all over; a run
//! that starts at an odd offset counts with its octets swapped (RFC 1071 §2(B)).

/// Adds both halves of a word; for sums of fewer than 2^31 words.
#[inline(always)]
pub const fn add(sum: u64, word: u64) -> u64 {
    sum + (word & 0xFFFF_FFFF) + (word >> 32)
}

/// Down to 16 bits. The upper half of a number and the same with its halves changed is the sum of both, with the carry
/// out of it added to it: RFC 1071 §2(C) at any width.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The same sum for octets that start at an offset of the other parity. Eight bits further to the left in place of
/// swapped: in one's complement of 16 bits that is the same. For sums below 2^56.
#[inline(always)]
pub const fn shift_if(odd: bool, sum: u64) -> u64 {
    sum << (8 * odd as u32)
}

/// The sum of a run of octets.
pub fn of_bytes(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    fold(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_3_example() {
        let sum = of_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.to_le_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn words_and_bytes_agree_and_odd_starts_swap() {
        let bytes = [0xFF, 0xFE, 3, 4, 5, 6, 0x80, 8, 9, 10, 11, 12, 13, 14, 15, 0xF0];
        let words = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .fold(0, |sum, octets| add(sum, u64::from_le_bytes(*octets)));
        assert_eq!(fold(words), of_bytes(&bytes));
        let mut shifted = [0; 17];
        shifted[1..].copy_from_slice(&bytes);
        assert_eq!(fold(shift_if(true, words)), of_bytes(&shifted));
        assert_eq!(fold(shift_if(false, words)), of_bytes(&bytes));
        assert_eq!(fold(shift_if(true, of_bytes(&bytes).into())), of_bytes(&shifted));
    }

    #[test]
    fn all_ones_and_zero_stay_apart() {
        // RFC 1071 has two zeros: only nothing is folded to the one.
        assert_eq!(fold(0), 0);
        for sum in [
            0xFFFF,
            0xFFFF_FFFF,
            u64::MAX,
            0xFFFF << 32,
            0xFFFF_0000_FFFF,
            0x8000_0000_7FFF_FFFF,
        ] {
            assert_eq!(fold(sum), 0xFFFF, "{sum:#x}");
        }
        for sum in [1, 0x1_0000, 0xFFFF_0001, 0xFFFF_FFFF_0000_0001, 1 << 32, 1 << 48] {
            assert_eq!(fold(sum), 1, "{sum:#x}");
        }
    }
}
