//! The Internet checksum (RFC 1071), in the byte order of memory read as little-endian words.
//!
//! One's-complement sums do not care in which byte order they are taken, as long as it is the same all over; a run
//! that starts at an odd offset counts with its octets swapped (RFC 1071 §2(B)).

/// Adds both halves of a word; for sums of fewer than 2^31 words.
#[inline(always)]
pub const fn add(sum: u64, word: u64) -> u64 {
    sum + (word & 0xFFFF_FFFF) + (word >> 32)
}

/// Down to 16 bits.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
    let sum = (sum & 0xFFFF) + ((sum >> 16) & 0xFFFF) + (sum >> 32);
    let sum = (sum & 0xFFFF) + (sum >> 16);
    let sum = (sum & 0xFFFF) + (sum >> 16);
    sum as u16
}

/// The same sum for octets that start at an offset of the other parity.
#[inline(always)]
pub const fn swap_if(odd: bool, sum: u16) -> u16 {
    if odd { sum.swap_bytes() } else { sum }
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
        assert_eq!(swap_if(true, of_bytes(&bytes)), of_bytes(&shifted));
    }
}
