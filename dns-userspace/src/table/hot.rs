//! The one writer of kept answers of upstream servers and rules: lines and bodies as [`dns_common::hot`] has them.
//!
//! A line and its body are written under the line's version. Readers look at it again after they have copied the body,
//! so a body that was given up can be used for another line at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use dns_common::checksum;
use dns_common::hash::of_name_in_view;
use dns_common::hot::{BODY_WORDS, HotAnswers, MOST_TTLS, VIEWS, WAYS, bucket, hot_flag, key};
use dns_common::line::{LINE_WORDS, flag};
use dns_common::scratch::PREPARED_WORDS;
use dns_common::slot::marks_of;
use dns_common::table::word;
use dns_common::wire::flags as wire_flags;

use super::TableReader;
use crate::host::clock::since_boot;

const A: u16 = 1;
const AAAA: u16 = 28;
/// `C0 0C`, type, class, TTL, RDLENGTH.
const HEAD_BYTES: usize = 12;
const A_BYTES: usize = HEAD_BYTES + 4;
const AAAA_BYTES: usize = HEAD_BYTES + 16;
/// A addresses that a line has room for.
const MOST_INLINE: usize = 4;

/// An answer, and the question that it is the answer to.
#[derive(Debug, Clone, Copy)]
pub struct HotAnswer<'a> {
    /// The question's name, in wire form.
    pub name: &'a [u8],
    /// Its type; the class is IN.
    pub qtype: u16,
    /// DO of the query.
    pub dnssec_ok: bool,
    /// CD of the query.
    pub checking_disabled: bool,
    /// The client's view.
    pub view: u16,
    /// When it came: nanoseconds since the machine was started. [`dns_common::hot::NO_AGE`]: it does not age.
    pub came: u64,
    /// For how many seconds it holds: its least TTL.
    pub ttl: u32,
    /// RCODE of the reply.
    pub rcode: u8,
    /// RRs of the answer section, and of the authority section.
    pub counts: [u16; 2],
    /// What follows the question.
    pub body: &'a [u8],
    /// Where in it the TTLs stand: two octets each, in network order.
    pub ttls: &'a [u8],
    /// Where it leads on to other names, the generation in which none of them is ours.
    pub generation: Option<u32>,
    /// Where a rule gives it, with AA=1: the INFO-CODE of the extended error that goes with it, or 0.
    pub rule: Option<u8>,
}

/// Where an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotPlace {
    line: u32,
    /// The slot of its body, where it has one.
    slot: Option<u32>,
}

/// The writer of the kept answers of one table. There is one for each table.
pub struct HotWriter {
    reader: TableReader,
    /// Slots that were used, and are free.
    free: Vec<u32>,
    /// Slots from this one on were never used.
    unused: u32,
}

impl HotPlace {
    /// Before it is put.
    pub const NOWHERE: Self = Self {
        line: u32::MAX,
        slot: None,
    };
}

impl HotWriter {
    /// For a table where there is no kept answer yet.
    pub fn new(reader: TableReader) -> Self {
        Self {
            reader,
            free: Vec::new(),
            unused: 0,
        }
    }

    /// Whether it writes this table.
    pub fn is_of(&self, reader: &TableReader) -> bool {
        Arc::ptr_eq(&self.reader.memory, &reader.memory)
    }

    /// How many answers there is room for.
    pub fn capacity(&self) -> usize {
        self.reader.memory.hot.names as usize
    }

    /// See [`word::GENERATION`].
    pub fn generation(&self) -> u32 {
        fence(Ordering::SeqCst);
        self.reader.generation()
    }

    /// When the line was asked for, as [`dns_common::hot::ASKED_SHIFT`] has it.
    pub fn asked(&self, place: HotPlace) -> u64 {
        self.asked_word(place.line)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Gives this answer from now on. `asked`: when it was asked for last. `None` where it has no room.
    pub fn put(&mut self, answer: &HotAnswer<'_>, asked: u64) -> Option<HotPlace> {
        let &HotAnswer { view, counts, .. } = answer;
        let buckets = self.reader.buckets();
        if buckets == 0 || u32::from(view) >= VIEWS || answer.ttls.len() > 2 * MOST_TTLS {
            return None;
        }
        let [answers, authorities] = counts.map(u8::try_from);
        let (answers, authorities) = (answers.ok()?, authorities.ok()?);
        let number = key(answer.qtype, answer.dnssec_ok, answer.checking_disabled, view.into());
        let hash = of_name_in_view(answer.name, number, &self.reader.keys);
        let first = bucket(hash, buckets);
        // No line with this tag is left: it would be found first.
        let is_taken = |line: &u32| self.reader.tag(*line) == hash.tag;
        if hash.tag == 0 || (first..first + WAYS).any(|line| is_taken(&line)) {
            return None;
        }
        let line = (first..first + WAYS).find(|line| self.reader.tag(*line) == 0)?;
        let mut words = [0; LINE_WORDS];
        words[0] = u64::from(answer.generation.unwrap_or(0)) << 32;
        words[1] = hash.tag;
        words[2] = answer.came;
        let mut flags = if answer.generation.is_some() {
            hot_flag::ALIASED
        } else {
            0
        };
        let mut marks = answer.rcode & 0x0F;
        if let Some(info_code) = answer.rule {
            flags |= hot_flag::RULED | u32::from(info_code) << hot_flag::INFO_CODE_SHIFT;
            marks |= marks_of(wire_flags::AA);
        }
        words[4] = u64::from(marks) << 24;
        let mut slot = None;
        let mut body = [0; BODY_WORDS];
        if let Some((inline, addresses)) = inline(answer) {
            flags |= inline;
            words[6..].copy_from_slice(&addresses);
        } else {
            let list = answer.body.len().next_multiple_of(2);
            let octets: &mut [u8] = bytemuck::cast_slice_mut(&mut body);
            octets.get_mut(..answer.body.len())?.copy_from_slice(answer.body);
            for (to, place) in octets
                .get_mut(list..list + answer.ttls.len())?
                .chunks_exact_mut(2)
                .zip(answer.ttls.chunks_exact(2))
            {
                let at = u16::from_be_bytes([place[0], place[1]]);
                to.copy_from_slice(&at.to_le_bytes());
            }
            // An answer without records needs no room.
            let at = match answer.body {
                [] => 0,
                _ => *slot.insert(self.take_slot()?),
            };
            let ttls = answer.ttls.len() as u64 / 2;
            words[4] |= u64::from(answers) | u64::from(authorities) << 8 | ttls << 32;
            let sum = checksum::of_bytes(answer.body);
            words[5] = u64::from(at) | (answer.body.len() as u64) << 32 | u64::from(sum) << 48;
        }
        words[3] = u64::from(answer.ttl) | u64::from(flags) << 32;
        if let Some(word) = self.asked_word(line) {
            word.store(asked, Ordering::Relaxed);
        }
        self.write(line, words, slot.map(|slot| (slot, body)));
        Some(HotPlace { line, slot })
    }

    /// Gives the answer no more: a query that comes from now on does not find it.
    pub fn remove(&mut self, place: HotPlace) {
        self.write(place.line, [0; LINE_WORDS], None);
        self.free.extend(place.slot);
    }

    fn take_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.unused;
        (slot < self.reader.memory.hot.names).then(|| {
            self.unused += 1;
            slot
        })
    }

    /// The version becomes odd before anything else changes, and even afterwards.
    fn write(&self, line: u32, words: [u64; LINE_WORDS], body: Option<(u32, [u64; BODY_WORDS])>) {
        let hot = &self.reader.memory.hot;
        let Some(to) = hot.lines.words(line as usize * LINE_WORDS, LINE_WORDS) else {
            return;
        };
        let old = to[0].load(Ordering::Relaxed);
        let version = old as u32;
        to[0].store(
            old & !0xFFFF_FFFF | u64::from(version.wrapping_add(1)),
            Ordering::Relaxed,
        );
        fence(Ordering::Release);
        if let Some((slot, body)) = body
            && let Some(to) = hot.bodies.words(slot as usize * BODY_WORDS, BODY_WORDS)
        {
            for (to, word) in to.iter().zip(body) {
                to.store(word, Ordering::Relaxed);
            }
        }
        for (to, word) in to.iter().zip(words).skip(1) {
            to.store(word, Ordering::Relaxed);
        }
        to[0].store(words[0] | u64::from(version.wrapping_add(2)), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    fn asked_word(&self, line: u32) -> Option<&AtomicU64> {
        self.reader.memory.hot.asked.words(line as usize, 1)?.first()
    }
}

/// The flags and words of an answer that is nothing but addresses, as many as a line has room for.
fn inline(answer: &HotAnswer<'_>) -> Option<(u32, [u64; 2])> {
    let (bytes, flags) = match answer.qtype {
        A if answer.body.len() <= MOST_INLINE * A_BYTES => {
            (A_BYTES, u32::from(answer.counts[0]) << flag::INLINE_A_SHIFT)
        }
        AAAA if answer.body.len() == AAAA_BYTES => (AAAA_BYTES, flag::INLINE_AAAA),
        _ => return None,
    };
    let is_of_addresses = answer.counts[1] == 0 && !answer.body.is_empty();
    if answer.rcode != 0 || !is_of_addresses || answer.body.len() != bytes * usize::from(answer.counts[0]) {
        return None;
    }
    let mut head = [0; HEAD_BYTES];
    head[..2].copy_from_slice(&[0xC0, 0x0C]);
    head[2..4].copy_from_slice(&answer.qtype.to_be_bytes());
    head[5] = 1;
    head[6..10].copy_from_slice(&answer.ttl.to_be_bytes());
    head[11] = (bytes - HEAD_BYTES) as u8;
    let mut octets = [0; 16];
    for (record, to) in answer
        .body
        .chunks_exact(bytes)
        .zip(octets.chunks_exact_mut(bytes - HEAD_BYTES))
    {
        if record[..HEAD_BYTES] != head {
            return None;
        }
        to.copy_from_slice(&record[HEAD_BYTES..]);
    }
    let (first, second) = octets.split_at(8);
    let [first, second] = [first, second].map(|half| u64::from_le_bytes(half.try_into().unwrap_or_default()));
    // The core has the first two of four A in the last cell, and an AAAA in order.
    Some(if answer.qtype == A {
        (flags, [second, first])
    } else {
        (flags, [first, second])
    })
}

impl HotAnswers for TableReader {
    fn buckets(&self) -> u32 {
        self.memory.hot.buckets()
    }

    fn tag(&self, place: u32) -> u64 {
        let word = self.memory.hot.lines.words(place as usize * LINE_WORDS + 1, 1);
        word.map_or(0, |word| word[0].load(Ordering::Relaxed))
    }

    fn hot_line(&self, place: u32) -> Option<[u64; LINE_WORDS]> {
        self.whole_line(&self.memory.hot.lines, place)
    }

    fn copy_hot_body(&self, slot: u32, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool {
        let from = (self.memory.hot.bodies).words(slot as usize * BODY_WORDS, BODY_WORDS.min(words as usize));
        for (to, word) in to.iter_mut().zip(from.into_iter().flatten()) {
            *to = word.load(Ordering::Relaxed);
        }
        from.is_some()
    }

    fn is_still(&self, place: u32, first: u64) -> bool {
        fence(Ordering::Acquire);
        let word = self.memory.hot.lines.words(place as usize * LINE_WORDS, 1);
        word.is_some_and(|word| word[0].load(Ordering::Relaxed) == first)
    }

    fn generation(&self) -> u32 {
        self.memory.epoch_word(word::GENERATION).load(Ordering::Acquire) as u32
    }

    fn now(&self) -> u64 {
        match self.memory.epoch_word(word::FIXED_NOW).load(Ordering::Relaxed) {
            0 => {
                let now = since_boot();
                now.as_secs() * 1_000_000_000 + u64::from(now.subsec_nanos())
            }
            fixed => fixed,
        }
    }

    fn note_asked(&self, place: u32, asked: u64) {
        if let Some(word) = self.memory.hot.asked.words(place as usize, 1)
            && word[0].load(Ordering::Relaxed) != asked
        {
            word[0].store(asked, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(body: &'a [u8], ttls: &'a [u8], count: u16) -> HotAnswer<'a> {
        HotAnswer {
            name: b"\x01a\0",
            qtype: A,
            dnssec_ok: false,
            checking_disabled: false,
            view: 0,
            came: 5,
            ttl: 300,
            rcode: 0,
            counts: [count, 0],
            body,
            ttls,
            generation: None,
            rule: None,
        }
    }

    #[test]
    fn addresses_alone_need_no_body() {
        let record = |last: u8, ttl: u8| [0xC0, 12, 0, 1, 0, 1, 0, 0, 1, ttl, 0, 4, 192, 0, 2, last];
        let body = [record(1, 44), record(2, 44), record(3, 44)].concat();
        let ttls = [0, 6, 0, 22, 0, 38];
        let (flags, [third, first]) = inline(&answer(&body, &ttls, 3)).expect("addresses");
        assert_eq!(flags, 3 << flag::INLINE_A_SHIFT);
        assert_eq!(first.to_le_bytes(), [192, 0, 2, 1, 192, 0, 2, 2]);
        assert_eq!(third.to_le_bytes(), [192, 0, 2, 3, 0, 0, 0, 0]);
        // Another TTL, one that is missing, an authority section.
        let body = [record(1, 44), record(2, 45)].concat();
        assert_eq!(inline(&answer(&body, &ttls[..4], 2)), None);
        assert_eq!(inline(&answer(&record(1, 44), &ttls[..2], 2)), None);
        let negative = HotAnswer {
            counts: [1, 1],
            ..answer(&body, &ttls[..4], 1)
        };
        assert_eq!(inline(&negative), None);
    }
}
