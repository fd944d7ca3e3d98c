//! edns-tcp-keepalive (RFC 7828): how long a connection may be idle, told to clients that ask for it.
//!
//! It belongs to the connection, not to the answer: whoever answered, the option is added to the reply's OPT here. Over
//! UDP it is ignored (§3.2.2), since nothing but this module knows of it.

use std::time::Duration;

use crate::message::{HEADER_BYTES, Reader};
use crate::model::record::RecordType;

/// An OPT up to its RDLENGTH (RFC 6891 §6.1.2).
const OPT_HEAD_BYTES: usize = 9;
/// How an OPT begins: the root, and its type.
const OPT_AT_ROOT: [u8; 3] = [0, 0, 41];
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
    let mut reader = Reader::behind_header(query);
    let Some(opt) = reader.question().and_then(|_| reader.record()) else {
        return false;
    };
    // What the options of another version look like is not known: it is answered BADVERS, without them.
    let version = (opt.ttl >> 16) & 0xFF;
    if !opt.owner_is_root || opt.rtype != RecordType::OPT || version != 0 {
        return false;
    }
    let mut options = opt.rdata;
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
    let Some(opt_at) = last_record(reply).filter(|&at| reply.get(at..at + 3) == Some(&OPT_AT_ROOT)) else {
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
    let [_, _, _, _, questions @ .., _, _, _, _, _, _] = message.first_chunk::<HEADER_BYTES>()?;
    let mut counts = Reader::new(&message[HEADER_BYTES - 6..HEADER_BYTES]);
    let records = u32::from(counts.u16()?) + u32::from(counts.u16()?) + u32::from(counts.u16()?);
    let mut reader = Reader::behind_header(message);
    for _ in 0..u16::from_be_bytes(*questions) {
        reader.question()?;
    }
    let mut last = None;
    for _ in 0..records {
        last = Some(reader.at());
        reader.record()?;
    }
    last.filter(|_| reader.is_at_end())
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
