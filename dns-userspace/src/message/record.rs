//! Messages of others, such as an upstream server's: read into records with whole names, and written with compression.
//!
//! RFC 1035 §4.1, RFC 3597 §4: names are expanded in the RDATA of the types that may come compressed, and compressed
//! again only in those of RFC 1035; RDATA of every other type is octets.

use super::Reader;
use super::compress::Compressor;
use crate::model::record::RecordType;

const OPT: u16 = RecordType::OPT.0;

/// One RR with uncompressed names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Uncompressed wire form.
    pub(crate) owner: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata: Vec<u8>,
}

/// A whole message. The OPT is not among the additional records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// Name, QTYPE and QCLASS.
    pub(crate) question: Option<(Vec<u8>, u16, u16)>,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
    pub(crate) opt: Option<Record>,
}

impl Message {
    /// Header and question, which can be read of a message that is cut off behind them; `None` where they are
    /// malformed, or there is more than one question.
    pub(crate) fn read_head(bytes: &[u8]) -> Option<Self> {
        read_head(&mut Reader::new(bytes)).map(|(message, _)| message)
    }

    /// An answer section and nothing else.
    pub(crate) fn of_answer(answer: Vec<Record>) -> Self {
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
        read_message(&mut Reader::new(bytes))
    }

    /// With the upper bits that the OPT carries (RFC 6891 §6.1.3).
    pub(crate) fn rcode(&self) -> u16 {
        let upper = self.opt.as_ref().map_or(0, |opt| opt.ttl >> 24) as u16;
        upper << 4 | self.flags & 0x0F
    }

    /// Whether a client can be given the answer: NOERROR, NXDOMAIN, YXDOMAIN.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self.rcode(), 0 | 3 | 6)
    }
}

/// The message without records, and their numbers.
fn read_head(reader: &mut Reader<'_>) -> Option<(Message, [u16; 3])> {
    let [id, flags, questions] = [reader.u16()?, reader.u16()?, reader.u16()?];
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?];
    let question = match questions {
        0 => None,
        1 => Some((reader.name()?, reader.u16()?, reader.u16()?)),
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

fn read_message(reader: &mut Reader<'_>) -> Option<Message> {
    let (mut message, [answers, authorities, additionals]) = read_head(reader)?;
    let records = reader.at();
    for _ in 0..u32::from(answers) + u32::from(authorities) {
        reader.record()?;
    }
    for _ in 0..additionals {
        let start = reader.at();
        if reader.record()?.rtype != RecordType::OPT {
            continue;
        }
        let end = reader.at();
        reader.back_to(start);
        let opt = read_record(reader)?;
        debug_assert_eq!(reader.at(), end);
        // RFC 6891 §6.1.1: one OPT at most.
        if message.opt.replace(opt).is_some() {
            return None;
        }
    }
    if message.is_answer() {
        reader.back_to(records);
        message.answer = read_section(reader, answers)?;
        message.authority = read_section(reader, authorities)?;
        message.additional = read_section(reader, additionals)?;
    }
    Some(message)
}

fn read_section(reader: &mut Reader<'_>, count: u16) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for _ in 0..count {
        records.extend(Some(read_record(reader)?).filter(|record| record.rtype != OPT));
    }
    Some(records)
}

fn read_record(reader: &mut Reader<'_>) -> Option<Record> {
    let owner = reader.name()?;
    let (rtype, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let length = usize::from(reader.u16()?);
    let start = reader.at();
    let octets = reader.take(length)?;
    let mut rdata = Vec::with_capacity(length);
    if let Some((before, names)) = names_to_expand(rtype, octets).filter(|_| length > 0) {
        reader.back_to(start);
        rdata.extend_from_slice(reader.take(before)?);
        for _ in 0..names {
            rdata.extend_from_slice(&reader.name()?);
        }
        rdata.extend_from_slice(octets.get(reader.at() - start..)?);
        reader.back_to(start + length);
    } else {
        rdata.extend_from_slice(octets);
    }
    Some(Record {
        owner,
        rtype,
        class,
        ttl,
        rdata,
    })
}

/// Octets before the first name in RDATA, and how many names follow each other there.
fn names_to_expand(rtype: u16, rdata: &[u8]) -> Option<(usize, usize)> {
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

/// Writes records behind a header and question that are already there.
pub(crate) struct RecordWriter<'a> {
    /// The message so far.
    pub(crate) out: Vec<u8>,
    compressor: Compressor<'a>,
}

impl<'a> RecordWriter<'a> {
    /// `out` has a header and one question, for the uncompressed `name`.
    pub(crate) fn new(out: Vec<u8>, name: &'a [u8]) -> Self {
        Self {
            out,
            compressor: Compressor::of_others(name),
        }
    }

    /// Appends a record. Once `out` was cut, no more may follow.
    pub(crate) fn record(&mut self, record: &'a Record) {
        self.compressor.write(&record.owner, &mut self.out, None);
        self.out.extend_from_slice(&record.rtype.to_be_bytes());
        self.out.extend_from_slice(&record.class.to_be_bytes());
        self.out.extend_from_slice(&record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        self.compressor
            .write_rdata(RecordType(record.rtype), &record.rdata, &mut self.out, None);
        let length = (self.out.len() - length_at - 2) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::reader::MOST_POINTERS;

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
            let message = read_message(&mut reader);
            (message, reader.steps())
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
            let message = read_message(&mut reader).unwrap();
            assert!(message.answer.is_empty());
            assert!(reader.steps() <= 5000, "{} steps for one a record", reader.steps());
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
        let seed = b"\0\x01\x80\0\0\x01\0\x02\0\0\0\x01\x01a\0\0\x0f\0\x01\xC0\x0C\0\x0f\0\x01\0\0\0\0\0\x04\0\x01\xC0\
        \x0C\xC0\x0C\0\x23\0\x01\0\0\0\0\0\x0a\0\0\0\0\x01a\0\0\xC0\x0C\0\0\x29\x04\xD0\0\0\0\0\0\0";
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
                let head = b"\0\x01\x80\0\0\x01\0\0\0\0\0\0\x01a\0\0\x0f\0\x01".to_vec();
                let mut writer = RecordWriter::new(head, b"\x01a\0");
                message.answer.iter().for_each(|record| writer.record(record));
            }
        }
    }
}
