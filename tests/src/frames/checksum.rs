//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// The one's complement of the one's-complement sum of these parts; a part of odd length ends with a zero byte, so
/// only the last may be odd. Over data with a right checksum in it the result is zero.
pub fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// What a UDP checksum covers before the datagram (RFC 768; RFC 8200 §8.1).
pub fn pseudo_header(source: IpAddr, destination: IpAddr, udp_length: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => header.extend(address.octets()),
            IpAddr::V6(address) => header.extend(address.octets()),
        }
    }
    header.extend((udp_length as u32).to_be_bytes());
    header.extend([0, 0, 0, 17]);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_example_of_rfc_1071() {
        // RFC 1071 §3: the sum of these is ddf2.
        assert_eq!(
            internet_checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]),
            !0xddf2
        );
        assert_eq!(
            internet_checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]),
            !0xddf2
        );
    }
}
