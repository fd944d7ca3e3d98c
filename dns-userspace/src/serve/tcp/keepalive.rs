//! edns-tcp-keepalive (RFC 7828): how long a connection may be idle, told to clients that ask for it.
//!
//! It belongs to the connection, not to the answer: whoever answered, the option is added to the reply's OPT here. Over
//! UDP it is ignored (§3.2.2), since nothing but this module knows of it.

use std::time::Duration;

use crate::model::name::wire_name_length;

const HEADER_BYTES: usize = 12;
/// Type and class of a question.
const QUESTION_TAIL_BYTES: usize = 4;
/// An OPT up to its RDLENGTH (RFC 6891 §6.1.2).
const OPT_HEAD_BYTES: usize = 9;
const OPT: [u8; 2] = [0, 41];
const KEEPALIVE: [u8; 2] = [0, 11];
/// Code, length, and the time-out.
const OPTION_BYTES: usize = 6;

/// Whether a query asks for the option. RFC 7828 §3.2.1 has clients leave the time-out away; one that does not is
/// answered all the same.
///
/// The OPT is looked for where queries have it, right behind the question: another record before it would make this
/// query one without the option.
pub(super) fn is_asked_for(query: &[u8]) -> bool {
    // One question, and additional records alone.
    let Some([.., 0, 1, 0, 0, 0, 0, high, low]) = query.first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    if [*high, *low] == [0, 0] {
        return false;
    }
    let Some(name) = wire_name_length(&query[HEADER_BYTES..]) else {
        return false;
    };
    // What the options of another version look like is not known: it is answered BADVERS, without them.
    let Some([0, type_high, type_low, _, _, _, 0, _, _, length_high, length_low]) = query
        .get(HEADER_BYTES + name + QUESTION_TAIL_BYTES..)
        .and_then(|opt| opt.first_chunk::<{ OPT_HEAD_BYTES + 2 }>())
    else {
        return false;
    };
    let rdata_at = HEADER_BYTES + name + QUESTION_TAIL_BYTES + OPT_HEAD_BYTES + 2;
    let rdata_bytes = usize::from(u16::from_be_bytes([*length_high, *length_low]));
    let Some(mut options) = query.get(rdata_at..rdata_at + rdata_bytes) else {
        return false;
    };
    if [*type_high, *type_low] != OPT {
        return false;
    }
    let mut is_asked_for = false;
    while let Some(([code_high, code_low, high, low], rest)) = options.split_first_chunk() {
        is_asked_for |= [*code_high, *code_low] == KEEPALIVE;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(rest) = rest.get(length..) else {
            return false;
        };
        options = rest;
    }
    is_asked_for && options.is_empty()
}

/// Adds the option to the OPT that ends `reply`; a reply without one, or without room for it, stays as it is.
pub(super) fn grant(reply: &mut Vec<u8>, idle_timeout: Duration) {
    if reply.len() + OPTION_BYTES > usize::from(u16::MAX) {
        return;
    }
    let Some(opt_at) = last_record(reply).filter(|&at| reply.get(at..at + 3) == Some(&[0, OPT[0], OPT[1]])) else {
        return;
    };
    let Some(length) = reply
        .get_mut(opt_at + OPT_HEAD_BYTES..)
        .and_then(|rest| rest.first_chunk_mut::<2>())
    else {
        return;
    };
    *length = (u16::from_be_bytes(*length) + OPTION_BYTES as u16).to_be_bytes();
    // RFC 7828 §3.1: in units of 100 ms.
    let units = u16::try_from(idle_timeout.as_millis() / 100).unwrap_or(u16::MAX);
    reply.extend_from_slice(&KEEPALIVE);
    reply.extend_from_slice(&2u16.to_be_bytes());
    reply.extend_from_slice(&units.to_be_bytes());
}

/// Where the last record of a message begins, if the message is whole.
fn last_record(message: &[u8]) -> Option<usize> {
    let count = |at: usize| {
        message
            .get(at..at + 2)
            .map(|octets| usize::from(octets[0]) << 8 | usize::from(octets[1]))
    };
    let mut at = HEADER_BYTES;
    for _ in 0..count(4)? {
        at = skip_name(message, at)? + QUESTION_TAIL_BYTES;
    }
    let mut last = None;
    for _ in 0..count(6)? + count(8)? + count(10)? {
        last = Some(at);
        at = skip_name(message, at)? + OPT_HEAD_BYTES - 1;
        at += 2 + count(at)?;
    }
    last.filter(|_| at == message.len())
}

/// Behind a name that may end in a pointer.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            0xC0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::worker::testing::query;

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut query = query(1, "a.test.");
        query[11] = 1;
        query.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0");
        query.extend_from_slice(&(options.len() as u16).to_be_bytes());
        query.extend_from_slice(options);
        query
    }

    #[test]
    fn the_option_is_found_among_others() {
        assert!(is_asked_for(&with_options(b"\0\x0b\0\0")));
        assert!(is_asked_for(&with_options(b"\0\x0a\0\x02ab\0\x0b\0\0\0\x03\0\0")));
        assert!(is_asked_for(&with_options(b"\0\x0b\0\x02\0\x07")));
        assert!(!is_asked_for(&with_options(b"\0\x0a\0\x02\0\x0b")));
        assert!(!is_asked_for(&with_options(b"")));
        assert!(!is_asked_for(&query(1, "a.test.")));
    }

    #[test]
    fn malformed_queries_ask_for_nothing() {
        let whole = with_options(b"\0\x0b\0\0");
        for length in 0..whole.len() {
            assert!(!is_asked_for(&whole[..length]), "{length} octets");
        }
        for options in [
            &b"\0\x0a\xff\xff\0\x0b\0\0"[..],
            b"\0\x0b\0\x02",
            b"\0\x0b\0\0\0",
            b"\0\x0b\0\0\0\x0a\0\x09",
        ] {
            assert!(!is_asked_for(&with_options(options)), "{options:?}");
        }
    }

    #[test]
    fn rfc6891_6_1_3_options_of_another_version_mean_nothing() {
        let mut query = with_options(b"\0\x0b\0\0");
        let version_at = query.len() - 4 - 5;
        assert!(is_asked_for(&query));
        query[version_at] = 1;
        assert!(!is_asked_for(&query));
    }

    #[test]
    fn rfc7828_3_1_the_time_out_is_in_tenths_of_a_second() {
        let mut reply = with_options(b"\0\x03\0\x01x");
        reply[2] |= 0x80;
        let before = reply.len();
        grant(&mut reply, Duration::from_millis(10_250));
        assert_eq!(reply[before..], [0, 11, 0, 2, 0, 102]);
        let length_at = before - 5 - 2;
        assert_eq!(reply[length_at..length_at + 2], [0, 5 + 6]);
        grant(&mut reply, Duration::from_secs(1 << 20));
        assert_eq!(reply[before + 6..], [0, 11, 0, 2, 0xff, 0xff]);
    }

    #[test]
    fn a_reply_without_opt_stays_as_it_is() {
        for mut reply in [
            query(1, "a.test."),
            b"\0\x01\x80\x01\0\0\0\0\0\0\0\0".to_vec(),
            b"\0".to_vec(),
        ] {
            let before = reply.clone();
            grant(&mut reply, Duration::from_secs(1));
            assert_eq!(reply, before);
        }
    }
}
