//! The reader of messages: each read is checked, no octets make it panic, and what it costs is bounded.
//!
//! A name costs a step for each label and each pointer. [`Reader::skip_name`] follows no pointer. [`Reader::name`]
//! follows a pointer only to what stands before it (RFC 1035 §4.1.4: a *prior* occurrence), which ends every loop, and
//! no more than [`MOST_POINTERS`] in one name.

use super::{HEADER_BYTES, Question};
use crate::model::name::{MAX_NAME_BYTES, wire_name_length};
use crate::model::record::RecordType;

/// Pointers that are followed in one name. A name has at most 127 labels, and a pointer in front of another says
/// nothing, so honest messages stay far below. Without a limit, a message of 64 KiB could make each of thousands of
/// names a way over thousands of pointers.
pub(super) const MOST_POINTERS: usize = 126;

/// A place in a message, from which it is read on.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    /// Labels and pointers that were looked at: what reading has cost.
    steps: usize,
}

/// A record as it stands in a message.
pub(crate) struct RawRecord<'a> {
    pub(crate) owner_is_root: bool,
    pub(crate) rtype: RecordType,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first octet.
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self {
            message,
            at: 0,
            steps: 0,
        }
    }

    /// Reads from behind the header, where there is one.
    pub(crate) fn behind_header(message: &'a [u8]) -> Self {
        Self {
            at: HEADER_BYTES,
            ..Self::new(message)
        }
    }

    /// The offset of what is read next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The same message, read again from `at`.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Whether all of the message was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.message.len()
    }

    /// So many octets.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..)?.get(..bytes)?;
        self.at += bytes;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A question whose name is uncompressed, since nothing stands before it that it could point to.
    pub(crate) fn question(&mut self) -> Option<Question<'a>> {
        let length = wire_name_length(self.message.get(self.at..)?)?;
        let name = self.take(length)?;
        Some(Question {
            name,
            qtype: RecordType(self.u16()?),
            qclass: self.u16()?,
        })
    }

    /// A possibly compressed name, in full.
    pub(crate) fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::with_capacity(32);
        let mut at = self.at;
        let mut end = None;
        let mut pointers = 0;
        loop {
            self.steps += 1;
            let length = usize::from(*self.message.get(at)?);
            match length {
                0 => {
                    name.push(0);
                    self.at = end.unwrap_or(at + 1);
                    return (name.len() <= MAX_NAME_BYTES).then_some(name);
                }
                1..=63 => {
                    name.extend_from_slice(self.message.get(at..=at + length)?);
                    at += length + 1;
                    if name.len() >= MAX_NAME_BYTES {
                        return None;
                    }
                }
                0xC0..=0xFF => {
                    let target = (length & 0x3F) << 8 | usize::from(*self.message.get(at + 1)?);
                    pointers += 1;
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

    /// Reads over a name. A pointer that ends it must lead to before the name, and is not followed, so that a message
    /// costs no more than its octets.
    pub(crate) fn skip_name(&mut self) -> Option<()> {
        let start = self.at;
        loop {
            self.steps += 1;
            let [length] = self.array()?;
            match length {
                0 => return Some(()),
                1..=63 => {
                    self.take(usize::from(length))?;
                }
                0xC0.. => {
                    let [low] = self.array()?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3F, low]));
                    return (HEADER_BYTES..start).contains(&target).then_some(());
                }
                _ => return None,
            }
            if self.at - start > MAX_NAME_BYTES {
                return None;
            }
        }
    }

    /// A record, of whose owner nothing is wanted but whether it is the root.
    pub(crate) fn record(&mut self) -> Option<RawRecord<'a>> {
        let start = self.at;
        self.skip_name()?;
        let owner_is_root = self.message[start] == 0;
        let rtype = RecordType(self.u16()?);
        let class = self.u16()?;
        let ttl = self.u32()?;
        let length = self.u16()?;
        Some(RawRecord {
            owner_is_root,
            rtype,
            class,
            ttl,
            rdata: self.take(usize::from(length))?,
        })
    }
}
