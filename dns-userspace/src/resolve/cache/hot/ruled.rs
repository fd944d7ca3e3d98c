//! What rules say to names that are asked for often: blocked names, templates.
//!
//! ```text
//! a rule gave the whole answer ─► Heat: counted by the question's hash ─ often ─► wanted ─► said to all of the view?
//!                                                                                             └ yes ─► promoted
//! ```
//!
//! There is no entry in the cache that could count: a list may have a million names. So questions are counted in a few
//! places, each for the question that is asked for most there. That one may be lost, or counted for another by chance,
//! does no harm: what is promoted is asked of the rules anew.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::entry::{HEAT_SECONDS, HOT_FROM};
use super::super::key::hot_question;
use crate::message::{HEADER_BYTES, Message, QUESTION_TAIL_BYTES, RecordWriter};
use crate::table::HotAnswer;

/// Places of [`Heat`]: 32 KiB.
const PLACES: usize = 4096;
/// The least TTL of an answer without records, which has none.
const ANY_TTL: u32 = 1;

/// What the rules say to a question, whoever of a view asks.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::resolve) struct Ruled {
    rcode: u8,
    /// INFO-CODE of the extended error that goes with it, or 0.
    info_code: u8,
    answers: u16,
    /// The least TTL.
    ttl: u32,
    /// What follows the question.
    body: Box<[u8]>,
}

impl Ruled {
    /// A rule's answer to the question with this name, in lower case. `None` where it has records of other names or
    /// types, whose place in the message depends on how the question is written, or that lead on to other names.
    pub(in crate::resolve) fn of(name: &[u8], qtype: u16, message: &Message, info_code: u8) -> Option<Self> {
        let records = &message.answer;
        let is_own = records
            .iter()
            .all(|record| record.rtype == qtype && record.owner.eq_ignore_ascii_case(name));
        let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(ANY_TTL);
        // A TTL of 0 says that it is not to be kept.
        if !is_own || ttl == 0 || !message.authority.is_empty() {
            return None;
        }
        let body_at = HEADER_BYTES + name.len() + QUESTION_TAIL_BYTES;
        let mut head = vec![0; HEADER_BYTES];
        head.extend_from_slice(name);
        head.resize(body_at, 0);
        let mut writer = RecordWriter::new(head, name);
        records.iter().for_each(|record| writer.record(record));
        Some(Self {
            rcode: message.rcode() as u8,
            info_code,
            answers: u16::try_from(records.len()).ok()?,
            ttl,
            body: writer.out.split_off(body_at).into(),
        })
    }

    pub(super) fn hot_answer<'a>(&'a self, key: &'a [u8]) -> Option<HotAnswer<'a>> {
        Some(HotAnswer {
            ttl: self.ttl,
            rcode: self.rcode,
            counts: [self.answers, 0],
            body: &self.body,
            rule: Some(self.info_code),
            ..hot_question(key)?
        })
    }
}

/// How often questions are asked for.
///
/// ```text
/// place   part of the question's hash (32) │ window of the clock (16) │ count (16)
/// ```
pub(super) struct Heat {
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Heat {
    pub(super) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Counts that a question was asked; true once in a while where that is often. Another question in the same place
    /// counts against it: so one that is asked for often stays, and a flood of others does not become hot.
    pub(super) fn is_hot(&self, key: &[u8], now: Duration) -> bool {
        let hash = self.hasher.hash_one(key);
        let Some(place) = self.places.get(hash as usize % PLACES) else {
            return false;
        };
        let window = (now.as_secs() / HEAT_SECONDS) & 0xFFFF;
        let ours = hash >> 32 << 16 | window;
        let found = place.load(Ordering::Relaxed);
        let (of, count) = (found >> 16, found & 0xFFFF);
        let next = if of == ours {
            (count + 1).min(0xFFFF)
        } else if of & 0xFFFF == window && count > 1 {
            place.store(found - 1, Ordering::Relaxed);
            return false;
        } else {
            1
        };
        place.store(ours << 16 | next, Ordering::Relaxed);
        of == ours && next == HOT_FROM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_often_within_a_window_is_hot_once() {
        let heat = Heat::new();
        let now = Duration::from_secs(1000);
        let hot = (0..100).filter(|_| heat.is_hot(b"a", now)).count();
        assert_eq!(hot, 1);
        for second in 0..100 {
            assert!(!heat.is_hot(b"b", now + Duration::from_secs(2 * second)));
        }
    }

    #[test]
    fn a_flood_of_other_names_does_not_become_hot_and_does_not_hide_one_that_is() {
        let heat = Heat::new();
        let now = Duration::from_secs(1000);
        let mut is_hot = false;
        for number in 0..100_000u32 {
            assert!(!heat.is_hot(&number.to_be_bytes(), now));
            if number % 100 == 0 {
                is_hot |= heat.is_hot(b"asked for often", now);
            }
        }
        assert!(is_hot);
    }
}
