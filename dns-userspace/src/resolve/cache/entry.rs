//! One answer: a message's body, ready to be put behind the question that asks for it.
//!
//! The body is what follows the question. Its pointers lead to the question's name at offset 12, whose length does not
//! depend on how it is written, or to places behind it: so the body fits behind the question of every client, in its
//! own case. What is written anew for each client is the header, the question, the TTLs and the OPT.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::exchange::Asking;
use super::super::failure::Failure;
use super::super::reply::Query;
use super::is_kept;
use super::key::hot_question;
use crate::config::CacheConfig;
use crate::message::{Edns, HEADER_BYTES, Message, QUESTION_TAIL_BYTES, Record, RecordWriter};
use crate::model::name::wire_name_length;
use crate::model::record::RecordType;
use crate::table::HotAnswer;

mod kept;

pub(super) use kept::Kept;

const CLASS_IN: u16 = 1;
const CNAME: u16 = RecordType::CNAME.0;
const DNAME: u16 = RecordType::DNAME.0;
const SOA: u16 = RecordType::SOA.0;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
const TC: u16 = 0x0200;
/// Aliases of an answer that is kept.
const MOST_ALIASES: usize = 32;
/// RFC 8767 §4: what is over is given with a TTL of 30 s.
const STALE_TTL: u32 = 30;
/// What is asked for so often within one window is hot.
pub(super) const HOT_FROM: u64 = 10;
/// Seconds of a window.
pub(super) const HEAT_SECONDS: u64 = 10;
/// Octets of an entry besides its body.
const OWN_BYTES: usize = size_of::<Entry>() + 16;

/// An answer, or that there was none.
#[derive(Debug)]
pub(in crate::resolve) struct Entry {
    /// When it came.
    stored: Duration,
    /// For how many seconds it holds.
    ttl: u32,
    failure: Option<Box<Failure>>,
    rcode: u8,
    is_fetched: AtomicBool,
    /// Until when upstream is not asked again where this is over; milliseconds.
    rests: AtomicU64,
    /// How often it was asked for lately: the window (32), the count (32).
    heat: AtomicU64,
    answers: u16,
    authorities: u16,
    body_bytes: u16,
    /// The body; where in it the TTLs stand, two octets each; and the targets of aliases.
    octets: Box<[u8]>,
}

/// How an entry is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::resolve) enum Given {
    /// With what is left of its TTLs, after so many seconds.
    Aged(u32),
    /// After its end.
    Stale,
}

impl Entry {
    /// Upstream's answer to this question; `None` where it is not to be kept.
    pub(super) fn of_answer(asking: &Asking, message: &Message, config: &CacheConfig, now: Duration) -> Option<Self> {
        let is_whole = message.is_answer() && message.flags & TC == 0;
        if !is_whole || asking.qclass != CLASS_IN || !is_kept(RecordType(asking.qtype)) {
            return None;
        }
        let chain = Chain::of(asking, &message.answer)?;
        let rcode = message.rcode();
        let is_positive = chain.is_complete && rcode == 0;
        let authority = if is_positive {
            Vec::new()
        } else {
            // RFC 2308 §5: without an SOA a negative answer is not kept.
            denial(asking, &chain.end, &message.authority)?
        };
        let bounds = if is_positive {
            config.min_ttl..=config.max_ttl
        } else {
            0..=config.negative_max_ttl.min(config.max_ttl)
        };
        // RFC 2181 §8: a TTL with the uppermost bit is zero.
        let bounded = |ttl: u32| {
            let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
            ttl.clamp(*bounds.start(), *bounds.end())
        };
        let ttl = chain.records.iter().map(|record| bounded(record.ttl));
        let ttl = ttl.chain(authority.iter().map(|(_, ttl)| bounded(*ttl))).min()?;
        if ttl == 0 {
            return None;
        }
        let body_at = HEADER_BYTES + asking.name.len() + QUESTION_TAIL_BYTES;
        let mut head = vec![0; HEADER_BYTES];
        head.extend_from_slice(&asking.name);
        head.extend_from_slice(&[0; QUESTION_TAIL_BYTES]);
        let records: Vec<Record> = chain
            .records
            .iter()
            .map(|record| Record {
                ttl: bounded(record.ttl),
                ..(*record).clone()
            })
            .chain(authority.iter().map(|(record, ttl)| Record {
                ttl: bounded(*ttl),
                ..(*record).clone()
            }))
            .collect();
        let mut writer = RecordWriter::new(head, &asking.name);
        let mut places = Vec::with_capacity(2 * records.len());
        for record in &records {
            let start = writer.out.len();
            writer.record(record);
            let place = ttl_in(&writer.out[start..])? + start - body_at;
            places.extend_from_slice(&u16::try_from(place).ok()?.to_be_bytes());
        }
        let mut octets = writer.out.split_off(body_at);
        let body_bytes = u16::try_from(octets.len()).ok()?;
        octets.extend_from_slice(&places);
        let aliases = chain.records.iter().filter(|record| record.rtype == CNAME);
        aliases.for_each(|alias| octets.extend_from_slice(&alias.rdata));
        Some(Self {
            stored: now,
            ttl,
            failure: None,
            rcode: rcode as u8,
            is_fetched: AtomicBool::new(false),
            rests: AtomicU64::new(0),
            heat: AtomicU64::new(0),
            answers: chain.records.len() as u16,
            authorities: authority.len() as u16,
            body_bytes,
            octets: octets.into(),
        })
    }

    pub(super) fn of_failure(failure: Failure, ttl: u32, now: Duration) -> Self {
        Self {
            stored: now,
            ttl,
            failure: Some(Box::new(failure)),
            rcode: 2,
            is_fetched: AtomicBool::new(false),
            rests: AtomicU64::new(0),
            heat: AtomicU64::new(0),
            answers: 0,
            authorities: 0,
            body_bytes: 0,
            octets: Box::default(),
        }
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_deref()
    }

    /// Whether it says that the name that was asked for does not exist.
    pub(super) fn is_denial(&self) -> bool {
        self.failure.is_none() && self.rcode == 3 && !self.has_aliases()
    }

    pub(super) fn bytes(&self) -> usize {
        OWN_BYTES + self.octets.len()
    }

    /// For how many seconds it holds in all.
    pub(super) fn ttl(&self) -> u32 {
        self.ttl
    }

    pub(in crate::resolve) fn rcode(&self) -> u8 {
        self.rcode
    }

    /// Whole seconds since it came.
    pub(in crate::resolve) fn age(&self, now: Duration) -> u32 {
        u32::try_from(now.saturating_sub(self.stored).as_secs()).unwrap_or(u32::MAX)
    }

    /// Seconds for which it still holds; `None` where it is over.
    pub(in crate::resolve) fn left(&self, now: Duration) -> Option<u32> {
        self.ttl.checked_sub(self.age(now)).filter(|left| *left > 0)
    }

    /// How long it has been over.
    pub(super) fn is_over_by(&self, now: Duration) -> Duration {
        now.saturating_sub(self.stored + Duration::from_secs(self.ttl.into()))
    }

    /// Whether whoever asks is to fetch it anew: the first who asks is.
    pub(super) fn claim_prefetch(&self) -> bool {
        !self.is_fetched.swap(true, Ordering::Relaxed)
    }

    pub(super) fn rest_until(&self, until: Duration) {
        self.rests.store(until.as_millis() as u64, Ordering::Relaxed);
        // It may be fetched again then.
        self.is_fetched.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_resting(&self, now: Duration) -> bool {
        (now.as_millis() as u64) < self.rests.load(Ordering::Relaxed)
    }

    /// Counts that it was asked for; true once in a while where that is often. Counts that get lost matter little.
    pub(super) fn is_hot(&self, now: Duration) -> bool {
        let window = (now.as_secs() / HEAT_SECONDS) << 32;
        let heat = self.heat.load(Ordering::Relaxed);
        let next = if heat & !0xFFFF_FFFF == window {
            heat + 1
        } else {
            window + 1
        };
        self.heat.store(next, Ordering::Relaxed);
        next == window + HOT_FROM
    }

    /// The answer as the fast path has it, to the question of this key; `None` where it has none.
    pub(super) fn hot_answer<'a>(&'a self, key: &'a [u8], generation: u32) -> Option<HotAnswer<'a>> {
        let question = hot_question(key).filter(|_| self.failure.is_none())?;
        Some(HotAnswer {
            came: u64::try_from(self.stored.as_nanos()).ok()?,
            ttl: self.ttl,
            rcode: self.rcode,
            counts: [self.answers, self.authorities],
            body: &self.octets[..usize::from(self.body_bytes)],
            ttls: &self.octets[self.places()],
            generation: self.has_aliases().then_some(generation),
            ..question
        })
    }

    /// Whether it leads on to other names.
    pub(super) fn has_aliases(&self) -> bool {
        self.places().end < self.octets.len()
    }

    /// Whether it was given long enough that it is to be fetched anew: when `asked` for in the last part of its time.
    pub(super) fn is_to_be_renewed(&self, now: Duration, part: u32) -> bool {
        self.left(now).is_some_and(|left| left <= self.ttl / part) && !self.is_resting(now)
    }

    /// When so many seconds of its time are left.
    pub(super) fn moment_with_left(&self, left: u32) -> Duration {
        self.stored + Duration::from_secs((self.ttl - left.min(self.ttl)).into())
    }

    /// The targets of its aliases, in wire form.
    pub(in crate::resolve) fn alias_targets(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.octets[self.places().end..];
        std::iter::from_fn(move || {
            let (target, behind) = rest.split_at_checked(wire_name_length(rest)?)?;
            rest = behind;
            Some(target)
        })
    }

    /// Where the places of the TTLs stand.
    fn places(&self) -> Range<usize> {
        let start = usize::from(self.body_bytes);
        start..start + 2 * (usize::from(self.answers) + usize::from(self.authorities))
    }

    /// Writes the reply to `query`, which asks what this answers, to `out`. False, and nothing is written, where it has
    /// more than `limit` octets.
    pub(in crate::resolve) fn write(
        &self,
        query: &Query<'_>,
        given: Given,
        edns: Option<Edns<'_>>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let body_bytes = usize::from(self.body_bytes);
        let length = HEADER_BYTES + query.question.len() + body_bytes + edns.map_or(0, |edns| edns.length());
        if length > limit {
            return false;
        }
        out.clear();
        out.extend_from_slice(&query.head(self.rcode));
        for count in [1, self.answers, self.authorities, u16::from(edns.is_some())] {
            out.extend_from_slice(&count.to_be_bytes());
        }
        out.extend_from_slice(query.question);
        self.write_body(given, out);
        if let Some(edns) = edns {
            edns.write(out);
        }
        true
    }

    fn write_body(&self, given: Given, out: &mut Vec<u8>) {
        let (body, places) = (
            &self.octets[..usize::from(self.body_bytes)],
            &self.octets[self.places()],
        );
        let start = out.len();
        out.extend_from_slice(body);
        for place in places.chunks_exact(2) {
            let at = start + usize::from(u16::from_be_bytes([place[0], place[1]]));
            if let Some(octets) = out.get_mut(at..).and_then(|out| out.first_chunk_mut::<4>()) {
                let ttl = match given {
                    Given::Aged(age) => u32::from_be_bytes(*octets).saturating_sub(age),
                    Given::Stale => STALE_TTL,
                };
                *octets = ttl.to_be_bytes();
            }
        }
    }

    /// The answer as records, for the question with this name.
    pub(in crate::resolve) fn message(&self, name: &[u8], qtype: u16, given: Given) -> Option<Message> {
        let mut octets = vec![0, 0, 0x81, 0x80 | self.rcode];
        for count in [1, self.answers, self.authorities, 0] {
            octets.extend_from_slice(&count.to_be_bytes());
        }
        octets.extend_from_slice(name);
        octets.extend_from_slice(&qtype.to_be_bytes());
        octets.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.write_body(given, &mut octets);
        Message::read(&octets)
    }
}

/// The records of an answer section that lead from the question to its end.
struct Chain<'a> {
    records: Vec<&'a Record>,
    /// The last name, in lower case.
    end: Vec<u8>,
    /// Whether the question's type is there.
    is_complete: bool,
}

impl<'a> Chain<'a> {
    /// `None` where an alias is malformed, or there are more than in any honest answer: each costs a walk over the
    /// section.
    fn of(asking: &Asking, answer: &'a [Record]) -> Option<Self> {
        let mut chain = Self {
            records: Vec::new(),
            end: asking.name.to_ascii_lowercase(),
            is_complete: false,
        };
        let at = |owner: &[u8], rtype: u16| {
            let owner = owner.to_vec();
            answer.iter().filter(move |record| {
                record.class == CLASS_IN && record.rtype == rtype && record.owner.eq_ignore_ascii_case(&owner)
            })
        };
        let signatures = |owner: &[u8], covered: u16| {
            let found: Vec<_> = at(owner, RRSIG)
                .filter(|record| record.rdata.first_chunk() == Some(&covered.to_be_bytes()))
                .collect();
            found
        };
        let mut seen = HashSet::new();
        loop {
            let owner = chain.end.clone();
            let wanted: Vec<_> = at(&owner, asking.qtype).collect();
            if !wanted.is_empty() {
                chain.records.extend(wanted);
                chain.records.extend(signatures(&owner, asking.qtype));
                chain.is_complete = true;
                return Some(chain);
            }
            let Some(alias) = at(&owner, CNAME).next().filter(|_| seen.insert(owner.clone())) else {
                return Some(chain);
            };
            let is_name = wire_name_length(&alias.rdata) == Some(alias.rdata.len());
            if seen.len() > MOST_ALIASES || !is_name {
                return None;
            }
            // RFC 6672 §3.1: the DNAME from which an alias was made stands before it.
            let above = answer.iter().filter(|record| {
                record.rtype == DNAME
                    && record.class == CLASS_IN
                    && super::is_below(&owner, &record.owner.to_ascii_lowercase())
            });
            for dname in above {
                if !chain.records.contains(&dname) {
                    chain.records.push(dname);
                    chain.records.extend(signatures(&dname.owner, DNAME));
                }
            }
            chain.records.push(alias);
            chain.records.extend(signatures(&owner, CNAME));
            chain.end = alias.rdata.to_ascii_lowercase();
        }
    }
}

/// The SOA record that a negative answer for `name` (in lower case) has, each record with its TTL; with DO also what
/// proves it. RFC 2308 §3 and §5: the TTL is the lesser of the SOA's own and MINIMUM.
fn denial<'a>(asking: &Asking, name: &[u8], authority: &'a [Record]) -> Option<Vec<(&'a Record, u32)>> {
    let soa = authority.iter().find(|record| {
        let owner = record.owner.to_ascii_lowercase();
        record.rtype == SOA && record.class == CLASS_IN && (owner == name || super::is_below(name, &owner))
    })?;
    let minimum = u32::from_be_bytes(*soa.rdata.last_chunk()?);
    let ttl = soa.ttl.min(minimum);
    let mut records = vec![(soa, ttl)];
    if asking.dnssec_ok {
        let proofs = authority
            .iter()
            .filter(|record| matches!(record.rtype, RRSIG | NSEC | NSEC3) && record.class == CLASS_IN);
        records.extend(proofs.map(|record| (record, record.ttl.min(ttl))));
    }
    Some(records)
}

/// Where in a record its TTL stands.
fn ttl_in(record: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *record.get(at)? {
            0 => return Some(at + 5),
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => return Some(at + 6),
        }
    }
}
