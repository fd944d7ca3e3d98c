//! From message bytes to a question: header, name, type, class, OPT.
//!
//! Only well-formed queries of the common shape come through; every other is a pass with its reason, and userspace
//! decides. In the same walk over the name, its hash sums and the sum of the question's octets are taken.

use crate::checksum;
use crate::cookie;
use crate::hash::{self, Keys, MAX_WORDS, NameHash, Sums};
use crate::message::Message;
use crate::opaque::opaque;
use crate::reason::PassReason;
use crate::scratch::{MESSAGE_BYTES, Scratch};
use crate::wire::{
    CLASS_IN, EDNS_DO, HEADER_BYTES, MAX_NAME_BYTES, OPT_BYTES, QUESTION_TAIL_BYTES, flags, option, rtype,
};

/// The most options that are looked at.
const MAX_OPTIONS: usize = 16;

/// Reads a message of `length` octets, fills in the scratch's question, and gives the hash of its name. `has_nsid`:
/// clients that ask for our NSID get one.
#[inline(always)]
pub fn scan<M: Message>(
    message: &M,
    length: usize,
    scratch: &mut Scratch,
    keys: &Keys,
    has_nsid: bool,
) -> Result<NameHash, PassReason> {
    if length < HEADER_BYTES + 1 + QUESTION_TAIL_BYTES {
        return Err(PassReason::Short);
    }
    if length > MESSAGE_BYTES {
        return Err(PassReason::Long);
    }
    // ID, flags, QDCOUNT, ANCOUNT; then NSCOUNT, ARCOUNT.
    let head = message.word(0);
    let tail = message.half(8);
    let query_flags = ((head >> 16) as u16).swap_bytes();
    if query_flags & flags::QR != 0 {
        return Err(PassReason::Response);
    }
    if query_flags & flags::OPCODE != 0 {
        return Err(PassReason::Opcode);
    }
    let additionals = ((tail >> 16) as u16).swap_bytes();
    if (head >> 32) as u32 != u32::from_le_bytes([0, 1, 0, 0]) || tail as u16 != 0 || additionals > 1 {
        return Err(PassReason::Counts);
    }
    scratch.query_flags = query_flags as u32;

    scan_name(message, scratch)?;
    let name_bytes = scratch.name_bytes as usize & 0xFF;
    let question_end = HEADER_BYTES + name_bytes + QUESTION_TAIL_BYTES;
    if question_end > length {
        return Err(PassReason::Short);
    }
    let type_and_class = message.half(HEADER_BYTES + name_bytes);
    let qtype = (type_and_class as u16).swap_bytes();
    if (type_and_class >> 16) as u16 != CLASS_IN.to_be() {
        return Err(PassReason::Class);
    }
    // RFC 6895 §3.1: 0 is reserved, 41 is OPT's, 128 to 255 are meta and question types.
    if matches!(qtype, 0 | rtype::OPT | rtype::META_FIRST..=rtype::META_LAST) {
        return Err(PassReason::Qtype);
    }
    scratch.qtype = qtype as u32;
    scan_opt(message, length, scratch, question_end, additionals, has_nsid)?;
    Ok(sum_name(message, scratch, keys, type_and_class))
}

/// Walks the labels (RFC 1035 §3.1); compression cannot be in a first name (RFC 1035 §4.1.4).
#[inline(always)]
fn scan_name<M: Message>(message: &M, scratch: &mut Scratch) -> Result<(), PassReason> {
    let mut at = 0usize;
    // 127 labels of one octet and the root fill 255 octets.
    for labels in 0..128usize {
        let label = message.octet(HEADER_BYTES + at) as usize;
        if label == 0 {
            scratch.name_bytes = at as u32 + 1;
            scratch.labels = labels as u32;
            return Ok(());
        }
        if label > 63 {
            return Err(PassReason::Name);
        }
        scratch.offsets[labels & 127] = at as u8;
        at += label + 1;
        if at >= MAX_NAME_BYTES {
            return Err(PassReason::Name);
        }
    }
    Err(PassReason::Name)
}

/// Takes the name's hash, word by word from its end, and the sum of the question's octets. Words and the sums before
/// them are kept: they give the hash of every suffix.
#[inline(always)]
fn sum_name<M: Message>(message: &M, scratch: &mut Scratch, keys: &Keys, type_and_class: u32) -> NameHash {
    let name_bytes = scratch.name_bytes as usize & 0xFF;
    let end = HEADER_BYTES + name_bytes;
    let mut sums = Sums::default();
    let mut octets = checksum::add(0, type_and_class as u64);
    // Opaque, so that the compiler keeps the loop's own bound: verifiers before Linux 6.3 do not see this one.
    let whole = opaque(name_bytes as u64 / 8) as usize;
    for index in 0..MAX_WORDS {
        scratch.sums[index] = sums;
        if index >= whole {
            break;
        }
        let word = message.word(end - 8 * (index + 1));
        octets = checksum::add(octets, word);
        let folded = hash::fold(word);
        scratch.words[index] = folded;
        sums = hash::add_word(sums, folded, keys.first[index], keys.second[index]);
    }
    let rest = (name_bytes & 7) as u32;
    if rest != 0 {
        // Octets of the header come along in front; there are twelve.
        let word = hash::keep_last(message.word(HEADER_BYTES + rest as usize - 8), rest);
        octets = checksum::add(octets, word);
        let folded = hash::fold(word);
        let index = whole & (MAX_WORDS - 1);
        scratch.words[index] = folded;
        sums = hash::add_word(sums, folded, keys.first[index], keys.second[index]);
    }
    scratch.question_sum = octets;
    hash::finish(sums, &keys.mix)
}

/// At most one OPT, at the end (RFC 6891 §6.1.1); its options are well-formed, and but for NSID and the first COOKIE
/// ignored.
#[inline(always)]
fn scan_opt<M: Message>(
    message: &M,
    length: usize,
    scratch: &mut Scratch,
    question_end: usize,
    additionals: u16,
    has_nsid: bool,
) -> Result<(), PassReason> {
    scratch.has_opt = 0;
    scratch.has_cookie = 0;
    if additionals == 0 {
        return if question_end == length {
            Ok(())
        } else {
            Err(PassReason::Trailing)
        };
    }
    let options = question_end + OPT_BYTES;
    if options > length {
        return Err(PassReason::Edns);
    }
    // Owner (1), TYPE (2), CLASS (2), extended rcode (1), version (1), flags (2), RDLENGTH (2).
    let head = message.word(question_end);
    let tail = message.half(question_end + 7);
    let options_bytes = ((tail >> 16) as u16).swap_bytes() as usize;
    if head & 0xFF_FFFF != (rtype::OPT as u64) << 16 || head >> 48 & 0xFF != 0 || options + options_bytes != length {
        return Err(PassReason::Edns);
    }
    scratch.has_opt = 1;
    scratch.client_payload = ((head >> 24) as u16).swap_bytes() as u32;
    scratch.edns_do = ((tail as u16).swap_bytes() & EDNS_DO) as u32;
    let mut at = options;
    for _ in 0..MAX_OPTIONS {
        if at == length {
            return Ok(());
        }
        if at + 4 > length {
            return Err(PassReason::Edns);
        }
        let code = message.number(at);
        let option_bytes = message.number(at + 2) as usize;
        if has_nsid && code == option::NSID {
            return Err(PassReason::Nsid);
        }
        // RFC 7873 §5.2: all cookies but the first are ignored.
        if code == option::COOKIE && scratch.has_cookie == 0 {
            if !cookie::is_length(option_bytes) {
                return Err(PassReason::Edns);
            }
            scratch.has_cookie = 1;
            scratch.client_cookie = message.word(at + 4);
        }
        at += 4 + option_bytes;
        if at > length {
            return Err(PassReason::Edns);
        }
    }
    if at == length { Ok(()) } else { Err(PassReason::Edns) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::hash::of_name;
    use crate::message::Buffer;

    fn keys() -> Keys {
        let mut octets = [0u8; size_of::<Keys>()];
        for (at, octet) in octets.iter_mut().enumerate() {
            *octet = (at as u32 + 1).wrapping_mul(2_654_435_761).to_le_bytes()[3];
        }
        Keys::from_random(&octets)
    }

    fn scanned(message: &[u8]) -> (Scratch, Result<NameHash, PassReason>) {
        scanned_by(message, true)
    }

    fn scanned_by(message: &[u8], has_nsid: bool) -> (Scratch, Result<NameHash, PassReason>) {
        let mut scratch = Scratch::new();
        let mut buffer = Buffer::new();
        // What lies behind a message must not matter.
        buffer.fill(&[0xEE; MESSAGE_BYTES]).unwrap();
        buffer.fill(message).unwrap();
        let result = scan(&buffer, message.len(), &mut scratch, &keys(), has_nsid);
        (scratch, result)
    }

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03wWw\x07example\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn a_plain_query_is_read() {
        let (scratch, result) = scanned(QUERY);
        assert_eq!(result, Ok(of_name(&QUERY[12..29], &keys())));
        assert_eq!(
            (scratch.name_bytes, scratch.labels, scratch.qtype, scratch.has_opt),
            (17, 3, 1, 0)
        );
        assert_eq!(scratch.offsets[..3], [0, 4, 12]);
        assert_eq!(
            checksum::fold(checksum::shift_if(true, scratch.question_sum)),
            checksum::of_bytes(&QUERY[12..]),
        );
    }

    #[test]
    fn kept_words_and_sums_give_the_hash_of_a_suffix() {
        let (scratch, _) = scanned(QUERY);
        // `example.com.` is thirteen octets: one whole word, and the last five of the next.
        let rest = hash::keep_last(scratch.words[1], 5);
        let sums = hash::add_word(scratch.sums[1], rest, keys().first[1], keys().second[1]);
        assert_eq!(hash::finish(sums, &keys().mix), of_name(&QUERY[16..29], &keys()));
    }

    #[test]
    fn every_fault_has_its_reason() {
        let with = |at: usize, octet: u8| {
            let mut message = Vec::from(QUERY);
            message[at] = octet;
            scanned(&message).1
        };
        assert_eq!(scanned(&QUERY[..16]).1, Err(PassReason::Short));
        assert_eq!(scanned(&QUERY[..QUERY.len() - 1]).1, Err(PassReason::Short));
        assert_eq!(with(2, 0x81), Err(PassReason::Response));
        assert_eq!(with(2, 0x28), Err(PassReason::Opcode));
        assert_eq!(with(5, 2), Err(PassReason::Counts));
        assert_eq!(with(7, 1), Err(PassReason::Counts));
        assert_eq!(with(9, 1), Err(PassReason::Counts));
        assert_eq!(with(11, 2), Err(PassReason::Counts));
        assert_eq!(with(12, 0xC0), Err(PassReason::Name));
        assert_eq!(with(QUERY.len() - 1, 3), Err(PassReason::Class));
        assert_eq!(with(QUERY.len() - 3, 255), Err(PassReason::Qtype));
        assert_eq!(with(11, 1), Err(PassReason::Edns));
    }

    #[test]
    fn opt_is_read_and_checked() {
        let mut message = Vec::from(QUERY);
        message[11] = 1;
        let cookie = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08";
        message.extend(cookie);
        let (scratch, result) = scanned(&message);
        assert!(result.is_ok());
        assert_eq!(
            (scratch.has_opt, scratch.client_payload, scratch.edns_do),
            (1, 1232, 0x8000)
        );
        let client_cookie = scratch.client_cookie.to_le_bytes();
        assert_eq!((scratch.has_cookie, client_cookie), (1, [1, 2, 3, 4, 5, 6, 7, 8]));
        let opt_at = QUERY.len();
        for (at, octet) in [(0, 1), (2, 1), (6, 1), (10, 11), (14, 9), (14, 7)] {
            let mut bad = message.clone();
            bad[opt_at + at] = octet;
            assert_eq!(
                scanned(&bad).1,
                Err(PassReason::Edns),
                "octet {at} of the OPT is {octet}"
            );
        }
        let mut nsid = message.clone();
        nsid[opt_at + 12] = 3;
        assert_eq!(scanned(&nsid).1, Err(PassReason::Nsid));
        assert!(scanned_by(&nsid, false).1.is_ok());
        message.push(0);
        assert_eq!(scanned(&message).1, Err(PassReason::Edns));
        let mut trailing = Vec::from(QUERY);
        trailing.push(0);
        assert_eq!(scanned(&trailing).1, Err(PassReason::Trailing));
    }
}
