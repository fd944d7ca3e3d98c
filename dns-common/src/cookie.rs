//! DNS cookies (RFC 7873) of the interoperable kind (RFC 9018): a hash over the client's cookie, the time and the
//! client's address, with a secret.
//!
//! ```text
//! server cookie   version 1 │ reserved 0 0 0 │ seconds │ SipHash-2-4(client cookie │ version … seconds │ address)
//! ```
//!
//! Words hold octets in little-endian order, which is also how SipHash reads them.

use bytemuck::{Pod, Zeroable};

/// Octets of the option in an answer: code, length, both cookies.
pub const OPTION_BYTES: usize = 4 + CLIENT_BYTES + SERVER_BYTES;
/// Octets of a client cookie.
pub const CLIENT_BYTES: usize = 8;
/// Octets of a server cookie.
pub const SERVER_BYTES: usize = 16;
/// The least and the most octets of somebody's server cookie (RFC 7873 §4).
const ANY_SERVER_BYTES: core::ops::RangeInclusive<usize> = 8..=32;

/// Version 1, reserved octets zero.
const VERSION: u64 = 1;

/// What cookies are made with.
pub type Secret = [u64; 2];

/// Sixteen octets, a secret or an address, as words.
pub const fn words(octets: [u8; 16]) -> [u64; 2] {
    let number = u128::from_le_bytes(octets);
    [number as u64, (number >> 64) as u64]
}

/// Secrets and time, as the XDP program's map holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CookieSecrets {
    /// Seconds since 1970, which may wrap.
    pub seconds: u32,
    /// Which of the secrets makes cookies, 0 or 1. The cookies of the other are good, too.
    pub current: u32,
    /// The secrets.
    pub secrets: [Secret; 2],
}

impl CookieSecrets {
    /// What is to be written one after the other so that whoever reads first which secret is in force, and then that
    /// secret, never gets half of one.
    pub fn next(self, seconds: u32, current: Secret, previous: Secret) -> [Self; 2] {
        let is_there = self.secrets[self.current as usize & 1] == current;
        let place = if is_there {
            self.current & 1
        } else {
            1 - (self.current & 1)
        };
        let mut secrets = self.secrets;
        secrets[place as usize] = current;
        let prepared = Self {
            seconds,
            secrets,
            ..self
        };
        secrets[1 - place as usize] = previous;
        let done = Self {
            seconds,
            current: place,
            secrets,
        };
        [prepared, done]
    }
}

/// Whether an option of so many octets is one (RFC 7873 §5.2.2).
#[inline(always)]
pub const fn is_length(bytes: usize) -> bool {
    let least = CLIENT_BYTES + *ANY_SERVER_BYTES.start();
    let most = CLIENT_BYTES + *ANY_SERVER_BYTES.end();
    bytes == CLIENT_BYTES || (bytes >= least && bytes <= most)
}

/// The server cookie for a client, made now. `address` are 16 octets, those of IPv4 mapped into IPv6 (RFC 4291
/// §2.5.5.2).
#[inline(always)]
pub fn server_cookie(client_cookie: u64, seconds: u32, address: [u64; 2], secret: Secret) -> [u64; 2] {
    let head = VERSION | (seconds.to_be() as u64) << 32;
    [head, hash(client_cookie, head, address, secret)]
}

/// SipHash-2-4 of both words and the address: 20 octets with IPv4, 32 with IPv6.
#[inline(always)]
fn hash(client_cookie: u64, head: u64, address: [u64; 2], secret: Secret) -> u64 {
    let mut state = State::new(secret);
    state.add(client_cookie);
    state.add(head);
    let is_ipv4 = address[0] == 0 && address[1] as u32 == u32::from_le_bytes([0, 0, 0xFF, 0xFF]);
    // The last word has what is left, and the length in its last octet.
    let last = if is_ipv4 {
        (address[1] >> 32) | 20 << 56
    } else {
        state.add(address[0]);
        state.add(address[1]);
        32 << 56
    };
    state.add(last);
    state.finish()
}

/// The state of SipHash-2-4 (Aumasson and Bernstein, 2012).
struct State(u64, u64, u64, u64);

impl State {
    #[inline(always)]
    const fn new([first, second]: Secret) -> Self {
        Self(
            first ^ 0x736f_6d65_7073_6575,
            second ^ 0x646f_7261_6e64_6f6d,
            first ^ 0x6c79_6765_6e65_7261,
            second ^ 0x7465_6462_7974_6573,
        )
    }

    #[inline(always)]
    const fn add(&mut self, word: u64) {
        self.3 ^= word;
        self.round();
        self.round();
        self.0 ^= word;
    }

    #[inline(always)]
    const fn finish(mut self) -> u64 {
        self.2 ^= 0xFF;
        self.round();
        self.round();
        self.round();
        self.round();
        self.0 ^ self.1 ^ self.2 ^ self.3
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.0 = self.0.wrapping_add(self.1);
        self.1 = self.1.rotate_left(13) ^ self.0;
        self.0 = self.0.rotate_left(32);
        self.2 = self.2.wrapping_add(self.3);
        self.3 = self.3.rotate_left(16) ^ self.2;
        self.0 = self.0.wrapping_add(self.3);
        self.3 = self.3.rotate_left(21) ^ self.0;
        self.2 = self.2.wrapping_add(self.1);
        self.1 = self.1.rotate_left(17) ^ self.2;
        self.2 = self.2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    fn words(octets: u128) -> [u64; 2] {
        super::words(octets.to_be_bytes())
    }

    fn word(octets: u64) -> u64 {
        octets.swap_bytes()
    }

    fn address(address: IpAddr) -> [u64; 2] {
        let mapped = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        words(mapped.to_bits())
    }

    const SECRET: u128 = 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf;
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 100));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 203));

    #[test]
    fn rfc9018_appendix_a_1_and_2_a_cookie_is_learned_and_renewed() {
        let cookie = word(0x2464_c4ab_cf10_c957);
        for (seconds, expected) in [
            (1_559_731_985, 0x0100_0000_5cf7_9f11_1f81_30c3_eee2_9480),
            (1_559_734_385, 0x0100_0000_5cf7_a871_d4a5_64a1_442a_ca77),
        ] {
            let made = server_cookie(cookie, seconds, address(CLIENT), words(SECRET));
            assert_eq!(made, words(expected));
        }
    }

    #[test]
    fn rfc9018_appendix_a_3_another_client_gets_another_cookie() {
        let cookie = word(0xfc93_fc62_807d_db86);
        let made = server_cookie(cookie, 1_559_734_700, address(OTHER), words(SECRET));
        assert_eq!(made, words(0x0100_0000_5cf7_a9ac_f73a_7810_aca2_381e));
    }

    #[test]
    fn rfc9018_appendix_a_4_the_current_secret_makes_the_cookie_of_an_ipv6_client() {
        let cookie = word(0x2268_1ab9_7d52_c298);
        let client = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x220, 0x1, 0x59de, 0xd0f4, 0x8769, 0x82b8));
        let current = words(0x4455_36bc_d251_3298_075a_5d37_9663_c962);
        let made = server_cookie(cookie, 1_559_741_961, address(client), current);
        assert_eq!(made, words(0x0100_0000_5cf7_c609_a6bb_79d1_6625_507a));
    }

    #[test]
    fn a_jar_never_shows_half_a_secret() {
        let mut held: CookieSecrets = Zeroable::zeroed();
        let (mut before, mut current) = ([0; 2], [0; 2]);
        for step in 1..20u64 {
            if step % 3 != 0 {
                (before, current) = (current, [step; 2]);
            }
            for write in held.next(step as u32, current, before) {
                // Who read the number before this write reads what that number said, or that it is in force now.
                let shown = write.secrets[held.current as usize];
                assert!(shown == held.secrets[held.current as usize] || write.current != held.current);
                held = write;
            }
            let place = held.current as usize;
            assert_eq!(
                (held.seconds, held.secrets[place], held.secrets[1 - place]),
                (step as u32, current, before)
            );
        }
    }

    #[test]
    fn rfc7873_5_2_2_lengths() {
        let lengths = (0..100).filter(|&bytes| is_length(bytes));
        assert!(lengths.eq([8].into_iter().chain(16..=40)));
    }
}
