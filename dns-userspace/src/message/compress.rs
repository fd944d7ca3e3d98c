//! Name compression (RFC 1035 §4.1.4), so that a ready answer can be moved behind another question.
//!
//! A name is written as its own labels up to the longest suffix that is already there, then a pointer:
//!
//! - (a) a suffix of the question's name with at most `suffix_labels` labels, whatever its case;
//! - (b) a name, or a suffix of one, that this message has behind the question, octet for octet the same.
//!
//! (a) before (b) for the same suffix; the longest suffix first; the root is never a pointer. Text that stands before
//! the question's permitted suffix is never pointed to: it differs from one question to the next.

use std::collections::HashMap;

use super::HEADER_BYTES;
use super::embedded::{Piece, pieces};
use crate::model::name::label_count;
use crate::model::record::RecordType;

/// A compression pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Where its two octets are.
    pub offset: u16,
    /// The offset in it.
    pub target: u16,
}

/// Where names begin in the message so far.
pub(crate) struct Compressor<'a> {
    /// The longest permitted suffix of the question, in wire form, and where it stands.
    question: &'a [u8],
    question_offset: usize,
    /// Whether names that are not compressed may be pointed to.
    points_to_whole_names: bool,
    /// Names behind the question, and where they begin.
    written: Vec<(&'a [u8], u16)>,
    /// The same as `written`, once that has become long.
    index: HashMap<&'a [u8], u16>,
}

/// From how many names on they are looked up in a hash map.
const LINEAR: usize = 48;
/// Offsets have 14 bits.
const MAX_OFFSET: usize = 0x4000;

impl<'a> Compressor<'a> {
    /// Compression behind the question `name`, whose wire form stands at offset 12, onto its suffixes of at most
    /// `suffix_labels` labels.
    pub(crate) fn new(name: &'a [u8], suffix_labels: usize) -> Self {
        let mut at = 0;
        for _ in suffix_labels..label_count(name) {
            at += usize::from(name[at]) + 1;
        }
        Self {
            question: &name[at..],
            question_offset: HEADER_BYTES + at,
            points_to_whole_names: true,
            written: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// Compression behind the question `name`, onto any of its suffixes, and never onto a name in RDATA of a type that
    /// is not compressed itself: for records of others.
    pub(crate) fn of_others(name: &'a [u8]) -> Self {
        Self {
            points_to_whole_names: false,
            ..Self::new(name, label_count(name))
        }
    }

    /// Appends `name` (wire form) to `out`; its pointer, if it gets one, is added to `pointers`.
    pub(crate) fn write(&mut self, name: &'a [u8], out: &mut Vec<u8>, pointers: Option<&mut Vec<Pointer>>) {
        let mut rest = name;
        while rest[0] != 0 {
            if let Some(target) = self.find(rest) {
                if let Some(pointers) = pointers {
                    pointers.push(Pointer {
                        offset: out.len() as u16,
                        target,
                    });
                }
                out.extend_from_slice(&(0xC000 | target).to_be_bytes());
                return;
            }
            if out.len() < MAX_OFFSET {
                self.remember(rest, out.len() as u16);
            }
            let (label, below) = rest.split_at(usize::from(rest[0]) + 1);
            out.extend_from_slice(label);
            rest = below;
        }
        out.push(0);
    }

    /// Appends RDATA, its names as their type permits.
    pub(crate) fn write_rdata(
        &mut self,
        rtype: RecordType,
        rdata: &'a [u8],
        out: &mut Vec<u8>,
        mut pointers: Option<&mut Vec<Pointer>>,
    ) {
        for piece in pieces(rtype, rdata) {
            match piece {
                Piece::Octets(octets) => out.extend_from_slice(octets),
                Piece::Name(name) => self.write(name, out, pointers.as_deref_mut()),
                Piece::WholeName(name) if self.points_to_whole_names => self.write_whole(name, out),
                Piece::WholeName(name) => out.extend_from_slice(name),
            }
        }
    }

    /// Appends `name` as it is; others may be written as pointers to it.
    fn write_whole(&mut self, name: &'a [u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while name[at] != 0 && out.len() + at < MAX_OFFSET && self.find(&name[at..]).is_none() {
            self.remember(&name[at..], (out.len() + at) as u16);
            at += usize::from(name[at]) + 1;
        }
        out.extend_from_slice(name);
    }

    fn find(&self, name: &[u8]) -> Option<u16> {
        // (a) `name` has to begin where a label of the question's suffix begins: look from the length.
        if let Some(skip) = self.question.len().checked_sub(name.len())
            && self.question[skip..].eq_ignore_ascii_case(name)
            && starts_label(self.question, skip)
        {
            return Some((self.question_offset + skip) as u16);
        }
        if self.written.len() > LINEAR {
            return self.index.get(name).copied();
        }
        self.written
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, offset)| *offset)
    }

    fn remember(&mut self, name: &'a [u8], offset: u16) {
        self.written.push((name, offset));
        if self.written.len() == LINEAR + 1 {
            self.index.extend(self.written.iter().copied());
        } else if self.written.len() > LINEAR {
            self.index.insert(name, offset);
        }
    }
}

fn starts_label(name: &[u8], offset: usize) -> bool {
    let mut at = 0;
    while at < offset {
        at += usize::from(name[at]) + 1;
    }
    at == offset
}
