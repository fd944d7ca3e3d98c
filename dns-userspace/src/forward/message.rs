//! DNS messages from upstream: read into records with whole names, and written with compression.
//!
//! RFC 1035 §4.1, RFC 3597 §4: names are expanded in the RDATA of the types that may come compressed, and compressed again
//! only in those of RFC 1035; RDATA of every other type is octets.

use std::collections::HashMap;
use std::ops::Range;

use crate::name::MAX_NAME_BYTES;

const OPT: u16 = 41;

/// One RR with uncompressed names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Uncompressed wire form.
    pub(super) owner: Vec<u8>,
    pub(super) rtype: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    pub(super) rdata: Vec<u8>,
}

/// A whole message. The OPT is not among the additional records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(super) id: u16,
    pub(super) flags: u16,
    /// Name, QTYPE and QCLASS.
    pub(super) question: Option<(Vec<u8>, u16, u16)>,
    pub(super) answer: Vec<Record>,
    pub(super) authority: Vec<Record>,
    pub(super) additional: Vec<Record>,
    pub(super) opt: Option<Record>,
}

impl Message {
    /// `None` where `bytes` is not a well-formed message with at most one question.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<12>()?;
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let mut reader = Reader { bytes, at: 12 };
        let question = match field(4) {
            0 => None,
            1 => Some((reader.name()?, reader.u16()?, reader.u16()?)),
            _ => return None,
        };
        let mut section = |count: u16| (0..count).map(|_| reader.record()).collect::<Option<Vec<_>>>();
        let (answer, authority, mut additional) = (section(field(6))?, section(field(8))?, section(field(10))?);
        let opt = additional
            .iter()
            .position(|record| record.rtype == OPT)
            .map(|place| additional.remove(place));
        // RFC 6891 §6.1.1: one OPT at most.
        let second = additional.iter().any(|record| record.rtype == OPT);
        (!second).then_some(Self {
            id: field(0),
            flags: field(2),
            question,
            answer,
            authority,
            additional,
            opt,
        })
    }

    /// With the upper bits that the OPT carries (RFC 6891 §6.1.3).
    pub(super) fn rcode(&self) -> u16 {
        let upper = self.opt.as_ref().map_or(0, |opt| opt.ttl >> 24) as u16;
        upper << 4 | self.flags & 0x0F
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// A possibly compressed name, in full.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::with_capacity(32);
        let mut at = self.at;
        let mut end = None;
        loop {
            let length = usize::from(*self.bytes.get(at)?);
            match length {
                0 => {
                    name.push(0);
                    self.at = end.unwrap_or(at + 1);
                    return (name.len() <= MAX_NAME_BYTES).then_some(name);
                }
                1..=63 => {
                    name.extend_from_slice(self.bytes.get(at..=at + length)?);
                    at += length + 1;
                    if name.len() >= MAX_NAME_BYTES {
                        return None;
                    }
                }
                0xC0..=0xFF => {
                    let target = (length & 0x3F) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    // RFC 1035 §4.1.4: a *prior* occurrence, which also ends every loop.
                    if target >= at {
                        return None;
                    }
                    end.get_or_insert(at + 2);
                    at = target;
                }
                _ => return None,
            }
        }
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let (rtype, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let length = usize::from(self.u16()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let start = self.at;
        let mut rdata = Vec::with_capacity(length);
        if length > 0
            && let Some((before, names)) = layout(rtype, &self.bytes[start..end])
        {
            rdata.extend_from_slice(self.take(before)?);
            for _ in 0..names {
                rdata.extend_from_slice(&self.name()?);
            }
        }
        rdata.extend_from_slice(self.bytes.get(self.at..end)?);
        self.at = end;
        Some(Record {
            owner,
            rtype,
            class,
            ttl,
            rdata,
        })
    }
}

/// Octets before the first name in RDATA, and how many names follow each other there.
fn layout(rtype: u16, rdata: &[u8]) -> Option<(usize, usize)> {
    Some(match rtype {
        // NS MD MF CNAME MB MG MR PTR, DNAME
        2..=5 | 7..=9 | 12 | 39 => (0, 1),
        // SOA MINFO RP
        6 | 14 | 17 => (0, 2),
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => (2, 1),
        // PX, SIG, NXT, SRV
        26 => (2, 2),
        24 => (18, 1),
        30 => (0, 1),
        33 => (6, 1),
        // NAPTR: order, preference and three strings
        35 => {
            let mut at = 4;
            for _ in 0..3 {
                at += usize::from(*rdata.get(at)?) + 1;
            }
            (at, 1)
        }
        _ => return None,
    })
}

/// RFC 3597 §4: only the types of RFC 1035 may have compressed names.
fn may_be_compressed(rtype: u16) -> bool {
    matches!(rtype, 2..=9 | 12 | 14 | 15)
}

/// Writes a message behind a header and question that are already there.
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    question: Range<usize>,
    seen: HashMap<Vec<u8>, u16>,
}

impl Writer {
    /// `out` has a header and one uncompressed question.
    pub(super) fn new(out: Vec<u8>) -> Self {
        let question = 12..out.len() - 4;
        Self {
            out,
            question,
            seen: HashMap::new(),
        }
    }

    pub(super) fn record(&mut self, record: &Record) {
        self.name(&record.owner, true);
        self.out.extend_from_slice(&record.rtype.to_be_bytes());
        self.out.extend_from_slice(&record.class.to_be_bytes());
        self.out.extend_from_slice(&record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        let mut rest = &record.rdata[..];
        if !rest.is_empty()
            && may_be_compressed(record.rtype)
            && let Some((before, names)) = layout(record.rtype, rest)
            && before <= rest.len()
        {
            let (fixed, tail) = rest.split_at(before);
            self.out.extend_from_slice(fixed);
            rest = tail;
            for _ in 0..names {
                let Some(length) = crate::name::wire_name_length(rest) else {
                    break;
                };
                let (name, tail) = rest.split_at(length);
                self.name(name, true);
                rest = tail;
            }
        }
        self.out.extend_from_slice(rest);
        let length = (self.out.len() - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// A name, of which the longest suffix that is already there becomes a pointer. The question's case counts as anyone's (RFC
    /// 4343 §4.1), other names keep theirs.
    fn name(&mut self, name: &[u8], compress: bool) {
        let mut rest = name;
        while rest[0] != 0 {
            if compress && let Some(at) = self.find(rest) {
                self.out.extend_from_slice(&(0xC000 | at).to_be_bytes());
                return;
            }
            if let Ok(at) = u16::try_from(self.out.len())
                && at < 0x4000
            {
                self.seen.insert(rest.to_vec(), at);
            }
            let (label, tail) = rest.split_at(usize::from(rest[0]) + 1);
            self.out.extend_from_slice(label);
            rest = tail;
        }
        self.out.push(0);
    }

    fn find(&self, suffix: &[u8]) -> Option<u16> {
        let mut at = self.question.start;
        while at < self.question.end && self.out[at] != 0 {
            if self.out[at..self.question.end].eq_ignore_ascii_case(suffix) {
                return Some(at as u16);
            }
            at += usize::from(self.out[at]) + 1;
        }
        self.seen.get(suffix).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_that_do_not_go_back_end_the_reading() {
        let mut bytes = b"\0\x01\x80\0\0\x01\0\0\0\0\0\0".to_vec();
        for question in [
            &b"\xC0\x0C\0\x01\0\x01"[..],
            b"\xC0\x20\0\x01\0\x01",
            b"\x01a\xC0\x0E\0\x01\0\x01",
            b"\x41",
        ] {
            bytes.truncate(12);
            bytes.extend_from_slice(question);
            assert_eq!(Message::read(&bytes), None);
        }
    }

    #[test]
    fn expanded_names_over_255_octets_are_refused() {
        let mut bytes = b"\0\x01\x80\0\0\x01\0\x01\0\0\0\0".to_vec();
        for _ in 0..3 {
            bytes.push(63);
            bytes.extend_from_slice(&[b'a'; 63]);
        }
        bytes.extend_from_slice(b"\0\0\x01\0\x01");
        let whole = bytes.len();
        let owner = |bytes: &mut Vec<u8>, label: usize| {
            bytes.truncate(whole);
            bytes.push(label as u8);
            bytes.extend(std::iter::repeat_n(b'b', label));
            bytes.extend_from_slice(b"\xC0\x0C\0\x01\0\x01\0\0\0\0\0\0");
        };
        owner(&mut bytes, 61);
        assert_eq!(Message::read(&bytes).unwrap().answer[0].owner.len(), 255);
        owner(&mut bytes, 62);
        assert_eq!(Message::read(&bytes), None);
    }

    #[test]
    fn random_bytes_never_panic() {
        let seed = b"\0\x01\x80\0\0\x01\0\x02\0\0\0\x01\x01a\0\0\x0f\0\x01\xC0\x0C\0\x0f\0\x01\0\0\0\0\0\x04\0\x01\xC0\x0C\xC0\x0C\0\x23\0\x01\0\0\0\0\0\x0a\0\0\0\0\x01a\0\0\xC0\x0C\0\0\x29\x04\xD0\0\0\0\0\0\0";
        assert!(Message::read(seed).is_some());
        let mut state = 1u32;
        for _ in 0..200_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % bytes.len();
                bytes[at] = state as u8 ^ (state >> 24) as u8;
            }
            bytes.truncate(bytes.len() - (state >> 28) as usize);
            if let Some(message) = Message::read(&bytes) {
                let mut writer = Writer::new(b"\0\x01\x80\0\0\x01\0\0\0\0\0\0\x01a\0\0\x0f\0\x01".to_vec());
                message.answer.iter().for_each(|record| writer.record(record));
            }
        }
    }
}
