//! What the core decided to send, and the few parts of a message that are made at answer time.

use bytemuck::{Pod, Zeroable};

use crate::cookie;
use crate::slot::{SlotHeader, marks_of};
use crate::wire::{EDNS_DO, EXTENDED_ERROR_BYTES, flags, option, rtype};

/// The body is in [`crate::scratch::Scratch::inline`].
pub const INLINE: u32 = 0;
/// The body is in [`crate::scratch::Scratch::prepared`].
pub const PREPARED: u32 = 100;

/// The client may ask nothing, and so has no recursion either: RA=0.
pub const DENIED: u32 = 1 << 16;
/// The answer is not from our data, for a client that may use the upstream: an upstream server's, or a rule's.
pub const CACHED: u32 = 1 << 17;
/// Beside [`CACHED`]: it is a rule's.
pub const RULED: u32 = 1 << 18;

/// The verdict "answer", as data: where the body is and what is patched into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Reply {
    /// Where the body is: [`INLINE`], [`PREPARED`], else one more than the class of its slot.
    pub source: u32,
    /// The slot's index in its class.
    pub slot: u32,
    /// By how many octets the question's name is longer than the one the body was compiled for.
    pub raise: u32,
    /// The serial that is patched in, where the header names a place.
    pub serial: u32,
    /// INFO-CODE of the extended error that goes with it where the query has an OPT (RFC 8914); 0 for none.
    pub info_code: u32,
    /// What else there is to say: [`DENIED`], [`CACHED`], [`RULED`]; and in the lower half more flags of the reply's
    /// header.
    pub extra: u32,
    /// Counts, flags, length and sum of the body; the slot's own header, or one made for an inline answer.
    pub header: SlotHeader,
}

impl Reply {
    /// Nothing.
    pub const NONE: Reply = Reply {
        source: 0,
        slot: 0,
        raise: 0,
        serial: 0,
        info_code: 0,
        extra: 0,
        header: SlotHeader::NONE,
    };

    /// Makes it one that comes from no slot: with inline answers, or without any.
    ///
    /// The header word by word: where there are many small fields, compilers call a function that zeroes octet by
    /// octet.
    #[inline(always)]
    pub fn make(&mut self, flags: u16, answers: u8, body_bytes: u16, sum: u16) {
        self.source = INLINE;
        self.raise = 0;
        self.info_code = 0;
        self.extra = 0;
        let body = (body_bytes as u64) << 32 | (sum as u64) << 48;
        let counts = answers as u64 | (marks_of(flags) as u64) << 24;
        self.header = bytemuck::cast([body, counts, 0]);
    }
}

/// The header of the reply after its ID: flags and counts, each as it lies in memory. `recursion_available`: 0 or 1, a
/// number and not a choice, of which verifiers would look at each.
#[inline(always)]
pub const fn header_tail(query_flags: u16, reply: &Reply, recursion_available: u16, has_opt: bool) -> [u16; 5] {
    // RFC 1035 §4.1.1: RD is copied. RFC 4035 §3.1.6: AD and CD are clear in answers of ours.
    let extra = reply.extra as u16;
    let reply = &reply.header;
    let ra = recursion_available * flags::RA;
    [
        (flags::QR | (query_flags & flags::RD) | reply.flags() | ra | extra).to_be(),
        1u16.to_be(),
        (reply.answers as u16).to_be(),
        (reply.authorities as u16).to_be(),
        (reply.additionals as u16 + has_opt as u16).to_be(),
    ]
}

/// The rest of the OPT RR of the reply behind the first eight octets of [`opt`] where the client has a cookie: the
/// length, and the option with both cookies (RFC 7873 §4). Thirty-one octets in four little-endian
/// words; the last octet is zero and not of the message. `error_bytes` more octets of options follow.
#[inline(always)]
pub const fn opt_cookie(client_cookie: u64, server_cookie: [u64; 2], error_bytes: u32) -> [u64; 4] {
    let [head, hash] = server_cookie;
    let length = (cookie::OPTION_BYTES as u64 + error_bytes as u64) << 16;
    let code = (option::COOKIE as u64) << 32;
    let option_length = ((cookie::CLIENT_BYTES + cookie::SERVER_BYTES) as u64) << 48;
    [
        length | code | option_length | client_cookie << 56,
        client_cookie >> 8 | head << 56,
        head >> 8 | hash << 56,
        hash >> 8,
    ]
}

/// Octets of the extended error in the OPT RR of a reply with this INFO-CODE.
#[inline(always)]
pub const fn error_bytes(info_code: u32) -> u32 {
    if info_code == 0 { 0 } else { EXTENDED_ERROR_BYTES as u32 }
}

/// The extended error of an INFO-CODE (RFC 8914 §2), the last option of the OPT RR: code, length and INFO-CODE, each as
/// it lies in memory.
#[inline(always)]
pub const fn extended_error(info_code: u32) -> [u16; EXTENDED_ERROR_BYTES / 2] {
    [option::EXTENDED_ERROR.to_be(), 2u16.to_be(), (info_code as u16).to_be()]
}

/// The OPT RR of the reply (RFC 6891 §6.1.2): our payload size, version 0, DO as asked (RFC 3225 §3). Its first eight
/// octets and the next two, each as they lie in memory; the eleventh is the number of octets of options.
#[inline(always)]
pub const fn opt(udp_payload: u16, edns_do: u16) -> (u64, u16) {
    let [high, low] = udp_payload.to_be_bytes();
    let edns_do = ((edns_do & EDNS_DO) >> 8) as u8;
    (
        u64::from_le_bytes([0, 0, rtype::OPT as u8, high, low, 0, 0, edns_do]),
        0,
    )
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_cookie_option_follows_the_head_of_the_opt() {
        let (head, middle) = opt(1232, EDNS_DO);
        let client = u64::from_le_bytes(*b"client!!");
        let server = [u64::from_le_bytes(*b"\x01\0\0\0time"), u64::from_le_bytes(*b"the-hash")];
        let words = opt_cookie(client, server, 0);
        let mut octets: Vec<u8> = head.to_le_bytes().into();
        octets.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        assert_eq!(octets.pop(), Some(0));
        assert_eq!(octets[8..10], middle.to_le_bytes());
        let expected = b"\0\0\x29\x04\xd0\0\0\x80\0\0\x1c\0\x0a\0\x18client!!\x01\0\0\0timethe-hash";
        assert_eq!(octets, expected);
        let [longer, ..] = opt_cookie(client, server, error_bytes(20));
        assert_eq!(longer.to_le_bytes()[..3], [0, 0, 28 + 6]);
    }

    #[test]
    fn a_reply_that_is_made_has_nothing_of_the_one_before() {
        let mut reply = Reply::NONE;
        reply.header = bytemuck::cast([u64::MAX; 3]);
        reply.make(flags::AA | 3, 2, 32, 0x1234);
        let expected = SlotHeader {
            body_bytes: 32,
            sum: 0x1234,
            answers: 2,
            marks: marks_of(flags::AA | 3),
            ..SlotHeader::NONE
        };
        assert_eq!(reply.header, expected);
        assert_eq!(reply.header.order, crate::order::kind::FIXED);
    }

    #[test]
    fn an_extended_error_is_six_octets() {
        assert_eq!(bytemuck::bytes_of(&extended_error(20)), [0, 15, 0, 2, 0, 20]);
        assert_eq!((error_bytes(20), error_bytes(0)), (6, 0));
    }
}
