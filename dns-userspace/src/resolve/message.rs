//! DNS messages from upstream: read into records with whole names, and written with compression.
//!
//! RFC 1035 §4.1, RFC 3597 §4: names are expanded in the RDATA of the types that may come compressed, and compressed
//! again only in those of RFC 1035; RDATA of every other type is octets.

use std::collections::HashMap;
use std::ops::Range;

use crate::model::name::MAX_NAME_BYTES;

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
    /// Header and question, which can be read of a message that is cut off behind them; `None` where they are
    /// malformed, or there is more than one question.
    pub(super) fn read_head(bytes: &[u8]) -> Option<Self> {
        Reader::new(bytes).head().map(|(message, _)| message)
    }

    /// An answer section and nothing else.
    pub(super) fn of_answer(answer: Vec<Record>) -> Self {
        Self {
            id: 0,
            flags: 0x8000,
            question: None,
            answer,
            authority: Vec::new(),
            additional: Vec::new(),
            opt: None,
        }
    }

    /// `None` where `bytes` is not a well-formed message with at most one question. The records of an error are not
    /// read but for the OPT, since nobody needs them.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Reader::new(bytes).message()
    }

    /// With the upper bits that the OPT carries (RFC 6891 §6.1.3).
    pub(super) fn rcode(&self) -> u16 {
        let upper = self.opt.as_ref().map_or(0, |opt| opt.ttl >> 24) as u16;
        upper << 4 | self.flags & 0x0F
    }

    /// Whether a client can be given the answer: NOERROR, NXDOMAIN, YXDOMAIN.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.rcode(), 0 | 3 | 6)
    }
}

/// Pointers that are followed in one name. A name has at most 127 labels, and a pointer in front of another says
/// nothing, so honest messages stay far below. Without a limit, a message of 64 KiB could make each of thousands of
/// names a way over thousands of pointers.
const MOST_POINTERS: usize = 126;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Labels and pointers that were looked at: what reading a message costs.
    steps: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, steps: 0 }
    }

    /// The message without records, and their numbers.
    fn head(&mut self) -> Option<(Message, [u16; 3])> {
        let [id, flags, questions] = [self.u16()?, self.u16()?, self.u16()?];
        let counts = [self.u16()?, self.u16()?, self.u16()?];
        let question = match questions {
            0 => None,
            1 => Some((self.name()?, self.u16()?, self.u16()?)),
            _ => return None,
        };
        let message = Message {
            id,
            flags,
            question,
            ..Message::of_answer(Vec::new())
        };
        Some((message, counts))
    }

    fn message(&mut self) -> Option<Message> {
        let (mut message, [answers, authorities, additionals]) = self.head()?;
        let records = self.at;
        for _ in 0..u32::from(answers) + u32::from(authorities) {
            self.skip_record()?;
        }
        for _ in 0..additionals {
            let start = self.at;
            if self.skip_record()? != OPT {
                continue;
            }
            // RFC 6891 §6.1.1: one OPT at most.
            let opt = Reader { at: start, ..*self }.record()?;
            if message.opt.replace(opt).is_some() {
                return None;
            }
        }
        if message.is_answer() {
            self.at = records;
            message.answer = self.section(answers)?;
            message.authority = self.section(authorities)?;
            message.additional = self.section(additionals)?;
        }
        Some(message)
    }

    fn section(&mut self, count: u16) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        for _ in 0..count {
            records.extend(Some(self.record()?).filter(|record| record.rtype != OPT));
        }
        Some(records)
    }

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
        let mut pointers = 0;
        loop {
            self.steps += 1;
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
                    pointers += 1;
                    // RFC 1035 §4.1.4: a *prior* occurrence, which also ends every loop.
                    if target >= at || pointers > MOST_POINTERS {
                        return None;
                    }
                    end.get_or_insert(at + 2);
                    at = target;
                }
                _ => return None,
            }
        }
    }

    /// The type of a record of which nothing else is wanted; its pointers are not followed.
    fn skip_record(&mut self) -> Option<u16> {
        loop {
            self.steps += 1;
            match self.take(1)?[0] {
                0 => break,
                length @ 1..=63 => self.take(usize::from(length))?,
                0xC0.. => {
                    self.take(1)?;
                    break;
                }
                _ => return None,
            };
        }
        let rtype = self.u16()?;
        self.take(6)?;
        let length = self.u16()?;
        self.take(usize::from(length))?;
        Some(rtype)
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
                let Some(length) = crate::model::name::wire_name_length(rest) else {
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

    /// A name, of which the longest suffix that is already there becomes a pointer. The question's case counts as
    /// anyone's (RFC 4343 §4.1), other names keep theirs.
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

    /// A chain of pointers, each to the one before, in the RDATA of a record of an unknown type; then records that
    /// begin at its end, as many as fit into 64 KiB.
    fn bomb(pointers: usize, record: &[u8], rcode: u8) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0x80, rcode, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        bytes.extend_from_slice(b"\xC0\x0C\xFF\x01\0\x01\0\0\0\0");
        bytes.extend_from_slice(&(2 * pointers as u16).to_be_bytes());
        let mut target = 12;
        for _ in 0..pointers {
            let at = bytes.len();
            bytes.extend_from_slice(&(0xC000 | target as u16).to_be_bytes());
            target = at;
        }
        let mut answers = 1u16;
        while bytes.len() + 2 + record.len() <= 65_535 {
            bytes.extend_from_slice(&(0xC000 | target as u16).to_be_bytes());
            bytes.extend_from_slice(record);
            answers += 1;
        }
        bytes[6..8].copy_from_slice(&answers.to_be_bytes());
        bytes
    }

    const NO_DATA: &[u8] = b"\0\x01\0\x01\0\0\0\0\0\0";

    #[test]
    fn what_a_message_of_pointers_costs_is_bounded() {
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let message = reader.message();
            (message, reader.steps)
        };
        let (message, steps) = read(&bomb(8000, NO_DATA, 0));
        assert!(message.is_none() && steps < 10_000, "{steps} steps");
        // The most that is read: 126 pointers, at the owner of each record.
        let (message, steps) = read(&bomb(125, NO_DATA, 0));
        let records = message.unwrap().answer.len();
        assert!(
            records > 5000 && steps <= (records + 2) * (MOST_POINTERS + 4),
            "{steps} steps"
        );
        assert!(read(&bomb(126, NO_DATA, 0)).0.is_none());
        // In RDATA as at owners.
        let mut mx = bomb(8000, b"\0\x0F\0\x01\0\0\0\0\0\x04\0\0\xC0\x0C", 0);
        assert!(read(&mx).0.is_none());
        mx.truncate(12);
        assert!(read(&mx).0.is_none());
    }

    #[test]
    fn the_records_of_an_error_are_not_read() {
        for rcode in [1, 2, 4, 5, 9] {
            let bytes = bomb(8000, NO_DATA, rcode);
            let mut reader = Reader::new(&bytes);
            let message = reader.message().unwrap();
            assert!(message.answer.is_empty());
            assert!(reader.steps <= 5000, "{} steps for one a record", reader.steps);
        }
    }

    #[test]
    fn honest_compression_is_read() {
        // Each name is a label and a pointer to the one before, as deep as a name can be.
        let mut bytes = b"\0\x01\x80\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        let mut target = 12u16;
        for _ in 1..127 {
            let at = bytes.len() as u16;
            bytes.extend_from_slice(b"\x01a");
            bytes.extend_from_slice(&(0xC000 | target).to_be_bytes());
            bytes.extend_from_slice(NO_DATA);
            target = at;
        }
        bytes[7] = 126;
        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.answer[125].owner.len(), 255);
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
