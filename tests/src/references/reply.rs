//! Replies in a form that can be compared: names whole and in lower case, sections sorted. Read by no code of the
//! server.

use std::collections::BTreeSet;
use std::fmt;

use dns_userspace::model::name::Name;
use dns_userspace::model::rdata::format_value;
use dns_userspace::model::record::RecordType;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Octets of the message.
    pub length: usize,
    /// OPCODE, AA, TC, RD and so on: the second word of the header, without RCODE, TC and AA.
    pub flags: u16,
    /// The RCODE of the header.
    pub rcode: u8,
    /// AA.
    pub authoritative: bool,
    /// TC.
    pub truncated: bool,
    /// The octets of the question section.
    pub question: Vec<u8>,
    /// The three sections, without the OPT.
    pub sections: [BTreeSet<Record>; 3],
    /// Whether a record stood twice in one section.
    pub repeats: bool,
    /// Whether there is an OPT.
    pub has_opt: bool,
}

/// A resource record of a reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The owner, in wire form and lower case.
    pub owner: Vec<u8>,
    /// TYPE.
    pub rtype: u16,
    /// CLASS.
    pub class: u16,
    /// TTL.
    pub ttl: u32,
    /// RDATA, its names whole and in lower case.
    pub rdata: Vec<u8>,
}

/// Names in RDATA that may be compressed or differ in case: octets before them, and how many they are.
fn names(rtype: u16, rdata: &[u8]) -> (usize, usize) {
    match rtype {
        // NS, CNAME, PTR, DNAME
        2 | 5 | 12 | 39 => (0, 1),
        // SOA, MINFO, RP
        6 | 14 | 17 => (0, 2),
        // MX, AFSDB, SVCB, HTTPS
        15 | 18 | 64 | 65 => (2, 1),
        // SRV
        33 => (6, 1),
        // NAPTR: behind two numbers and three strings.
        35 => {
            let string = |at: usize| at + 1 + usize::from(rdata.get(at).copied().unwrap_or_default());
            (string(string(string(4))), 1)
        }
        _ => (0, 0),
    }
}

impl Reply {
    /// Reads a message; `None` where it is none.
    pub fn read(message: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
        let flags = word(2)?;
        let mut at = 12;
        let mut reply = Self {
            length: message.len(),
            flags: flags & !0x060F,
            rcode: (flags & 15) as u8,
            authoritative: flags & 0x0400 != 0,
            truncated: flags & 0x0200 != 0,
            question: Vec::new(),
            sections: Default::default(),
            repeats: false,
            has_opt: false,
        };
        for _ in 0..word(4)? {
            let start = at;
            name(message, &mut at)?;
            at += 4;
            reply.question.extend(message.get(start..at)?);
        }
        for (section, count) in [word(6)?, word(8)?, word(10)?].into_iter().enumerate() {
            for _ in 0..count {
                let record = record(message, &mut at)?;
                if record.rtype == 41 {
                    reply.has_opt = true;
                } else if !reply.sections[section].insert(record) {
                    reply.repeats = true;
                }
            }
        }
        (at == message.len()).then_some(reply)
    }

    /// The answer section.
    pub fn answer(&self) -> &BTreeSet<Record> {
        &self.sections[0]
    }

    /// The authority section.
    pub fn authority(&self) -> &BTreeSet<Record> {
        &self.sections[1]
    }

    /// The additional section, without the OPT.
    pub fn additional(&self) -> &BTreeSet<Record> {
        &self.sections[2]
    }

    /// Whether this holds nothing that `whole` lacks, and of each RRset all (RFC 2181 §9). Without TC, all but
    /// additional records.
    pub fn is_part_of(&self, whole: &Self) -> bool {
        let required = |reply: &Self| reply.sections[..2].to_vec();
        let key = |record: &Record| (record.owner.clone(), record.rtype);
        let parts = self.sections.iter().zip(&whole.sections);
        let mut rrsets = parts.flat_map(|(part, all)| all.iter().map(move |record| (part, all, key(record))));
        let is_whole = rrsets.all(|(part, all, wanted)| {
            let count = |of: &BTreeSet<Record>| of.iter().filter(|record| key(record) == wanted).count();
            count(part) == 0 || count(part) == count(all)
        });
        let is_subset = self
            .sections
            .iter()
            .zip(&whole.sections)
            .all(|(part, all)| part.is_subset(all));
        is_whole && is_subset && (self.truncated || required(self) == required(whole))
    }

    /// Whether it delegates: NS in authority, no SOA there, and nothing that says otherwise.
    pub fn is_referral(&self) -> bool {
        self.rcode == 0 && !self.authority().is_empty() && self.authority().iter().all(|record| record.rtype == 2)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rcode {} aa {} tc {} opt {} flags {:04x}, {} octets",
            self.rcode, self.authoritative, self.truncated, self.has_opt, self.flags, self.length
        )?;
        for (title, section) in ["answer", "authority", "additional"].into_iter().zip(&self.sections) {
            for record in section {
                write!(f, "\n  {title}: {record}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = Name::from_wire(&self.owner).map_or_else(|error| error.to_string(), |name| name.to_string());
        let rtype = RecordType(self.rtype);
        let value: String = format_value(rtype, &self.rdata).chars().take(100).collect();
        write!(f, "{owner} {} {rtype} {value}", self.ttl)
    }
}

fn record(message: &[u8], at: &mut usize) -> Option<Record> {
    let owner = name(message, at)?;
    let fixed: [u8; 10] = message.get(*at..*at + 10)?.try_into().ok()?;
    *at += 10;
    let end = *at + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let rtype = u16::from_be_bytes([fixed[0], fixed[1]]);
    let (before, count) = names(rtype, message.get(*at..end)?);
    let mut rdata = message.get(*at..*at + before)?.to_vec();
    *at += before;
    for _ in 0..count {
        rdata.extend(name(message, at)?);
    }
    rdata.extend(message.get(*at..end)?);
    *at = end;
    Some(Record {
        owner,
        rtype,
        class: u16::from_be_bytes([fixed[2], fixed[3]]),
        ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        rdata,
    })
}

/// The name at `at`, whole and in lower case; `at` moves behind it.
fn name(message: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut from = *at;
    let mut end = None;
    loop {
        let length = *message.get(from)?;
        if length >= 0xC0 {
            let target = usize::from(u16::from_be_bytes([length & 0x3F, *message.get(from + 1)?]));
            end.get_or_insert(from + 2);
            // Only backwards, so this ends.
            if target >= from {
                return None;
            }
            from = target;
            continue;
        }
        let next = from + 1 + usize::from(length);
        whole.extend(message.get(from..next)?);
        from = next;
        if length == 0 {
            break;
        }
    }
    *at = end.unwrap_or(from);
    whole.make_ascii_lowercase();
    (whole.len() <= 255).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_and_in_lower_case() {
        let mut message = [0u8, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0].to_vec();
        message.extend(b"\x01A\x03Com\0\0\x0F\0\x01");
        message.extend(b"\xC0\x0C\0\x0F\0\x01\0\0\0\x3C\0\x06\0\x05\x01B\xC0\x0E");
        let reply = Reply::read(&message).expect("a message");
        let record = reply.answer().first().expect("an answer");
        assert_eq!(
            (&record.owner[..], &record.rdata[..]),
            (&b"\x01a\x03com\0"[..], &b"\0\x05\x01b\x03com\0"[..])
        );
        assert!(Reply::read(&message[..message.len() - 1]).is_none());
    }
}
