//! Answers of upstream servers, and of rules, that are asked for often: ready to be given with what is left of their
//! TTLs.
//!
//! ```text
//! the table says "not ours", the client may use the upstream
//!    └─► name, type, DO, CD, view ─► bucket of four lines ─ the tag is there, its time is not over ─► the answer, aged
//!                                            └ else ─► passes, as before
//!          line
//! word 0   version (32, odd while it is written) │ generation (32)
//! word 1   tag: which question
//! word 2   when the answer came, in nanoseconds
//! word 3   for how many seconds it holds (32) │ flags (32)
//! word 4   ANCOUNT │ NSCOUNT │ 0 │ rcode and AA, as a slot has them │ TTLs (8 each)
//! word 5   slot of the body (32) │ octets of the body (16) │ its sum (16)
//! word 6   addresses: cells 2 and 3 of an [`Occupant`], for A and AAAA answers without anything else
//! word 7
//!          body
//! octets   what follows the question; behind it, at an even offset, where its TTLs stand: 2 octets each, host order
//! ```
//!
//! They are asked for once the table has said, over one state of it, that a name is not ours: so what becomes ours
//! later wins, from the moment when its own line passes. An answer may lead on to other names, by aliases. Of these the
//! table is not asked. Such an answer has the *generation* in which none of them was ours, and holds as long as this
//! one lasts.
//!
//! What a rule says has come at the end of all time: it does not age, and is there until somebody takes it away.
//!
//! A line is copied under its version, and so is its body: that is looked at again once the body has been copied.

use crate::checksum;
use crate::decide::{check, inline};
use crate::hash::NameHash;
use crate::line::{LINE_WORDS, NO_ZONE, Occupant, flag};
use crate::prepare::{half, octet, set_octet};
use crate::reason::PassReason;
use crate::reply::{CACHED, PREPARED, RULED};
use crate::scratch::{PREPARED_WORDS, Scratch};
use crate::search::hash_with;
use crate::table::Table;
use crate::wire::flags;

/// Lines of a bucket.
pub const WAYS: u32 = 4;
/// Words of a body.
pub const BODY_WORDS: usize = 64;
/// The most TTLs of a body.
pub const MOST_TTLS: usize = 16;
/// Views have numbers below this one; what is for others is userspace's.
pub const VIEWS: u32 = 1 << 14;
/// The time is counted in such parts of nanoseconds, two to the power of this: about a second.
pub const ASKED_SHIFT: u32 = 30;

/// Flags of a line.
pub mod hot_flag {
    /// It leads on to other names: it holds in its generation alone.
    pub const ALIASED: u32 = 1;
    /// It is a rule's.
    pub const RULED: u32 = super::RULED;
    /// Where among the flags the INFO-CODE of its extended error is, in eight bits.
    pub const INFO_CODE_SHIFT: u32 = 24;
}

/// When what does not age came.
pub const NO_AGE: u64 = u64::MAX;

const _: () = assert!(BODY_WORDS <= PREPARED_WORDS);
const NANOSECONDS: u64 = 1_000_000_000;
/// Stands for a line that is not there.
const NOWHERE: u32 = u32::MAX;

/// What a plane's memory must give, beside [`Table`]. Each method may be called while the one writer changes it.
pub trait HotAnswers {
    /// Number of buckets; 0 where there is nothing.
    fn buckets(&self) -> u32;
    /// The tag of the line at `place`.
    fn tag(&self, place: u32) -> u64;
    /// A whole copy of the line at `place`, of one version; `None` while it is written.
    fn hot_line(&self, place: u32) -> Option<[u64; LINE_WORDS]>;
    /// Copies the first `words` words of a body.
    fn copy_hot_body(&self, slot: u32, words: u32, to: &mut [u64; PREPARED_WORDS]) -> bool;
    /// Whether the line's first word still is this one, after all that was read before.
    fn is_still(&self, place: u32, first: u64) -> bool;
    /// See [`crate::table::word::GENERATION`].
    fn generation(&self) -> u32;
    /// The time since the machine was started, in nanoseconds, with the time for which it was suspended.
    fn now(&self) -> u64;
    /// Notes when a line was asked for.
    fn note_asked(&self, place: u32, asked: u64);
}

/// What goes into the hash of a question beside its name: never 0.
#[inline(always)]
pub const fn key(qtype: u16, dnssec_ok: bool, checking_disabled: bool, view: u32) -> u32 {
    qtype as u32 | (dnssec_ok as u32) << 16 | (checking_disabled as u32) << 17 | view << 18
}

/// The first line of a question's bucket.
#[inline(always)]
pub const fn bucket(hash: NameHash, buckets: u32) -> u32 {
    hash.home(buckets) * WAYS
}

/// Answers the question in the scratch, whose name is not ours, for a client of this view that may use the upstream.
/// Where there is no answer it stays [`PassReason::Foreign`].
#[inline(always)]
pub fn answer<T: Table + HotAnswers>(
    scratch: &mut Scratch,
    table: &T,
    view: u32,
    udp_payload: u16,
) -> Result<(), PassReason> {
    let buckets = table.buckets();
    if buckets == 0 || view >= VIEWS {
        return Err(PassReason::Foreign);
    }
    let checking_disabled = scratch.query_flags as u16 & flags::CD;
    let key = key(
        scratch.qtype as u16,
        scratch.edns_do != 0 && scratch.has_opt != 0,
        checking_disabled != 0,
        view,
    );
    let hash = hash_with(scratch, table, key);
    let first = bucket(hash, buckets);
    let mut place = NOWHERE;
    for way in 0..WAYS {
        if table.tag(first + way) == hash.tag {
            place = first + way;
            break;
        }
    }
    if place == NOWHERE {
        return Err(PassReason::Foreign);
    }
    let Some(line) = table.hot_line(place) else {
        return Err(PassReason::Torn);
    };
    let now = table.now();
    // What came just now, by another processor's clock, is new.
    let age = if now > line[2] {
        (now - line[2]) / NANOSECONDS
    } else {
        0
    };
    let ttl = line[3] as u32;
    let marks = (line[3] >> 32) as u32;
    if line[1] != hash.tag || age >= ttl as u64 {
        return Err(PassReason::Foreign);
    }
    if marks & hot_flag::ALIASED != 0 && (line[0] >> 32) as u32 != table.generation() {
        return Err(PassReason::Foreign);
    }
    let age = age as u32;
    // The name has no line of a zone.
    scratch.found = Occupant {
        flags: marks & (flag::INLINE_AAAA | 7 << flag::INLINE_A_SHIFT),
        zone: NO_ZONE,
        ttl: ttl - age,
        ..Occupant::NONE
    };
    scratch.found.cells[2] = line[6];
    scratch.found.cells[3] = line[7];
    let found = scratch.found;
    if inline(scratch, &found) {
        scratch.reply.header.marks = (line[4] >> 24) as u8;
    } else {
        from_body(scratch, table, place, &line, age)?;
    }
    scratch.reply.extra = CACHED | marks & hot_flag::RULED | checking_disabled as u32;
    scratch.reply.info_code = marks >> hot_flag::INFO_CODE_SHIFT;
    table.note_asked(place, now >> ASKED_SHIFT);
    // That the name is not ours was said by several lines, mostly.
    scratch.lines_read = 2;
    check(scratch, table, udp_payload)
}

/// Copies the body, lowers its TTLs, and makes it the reply's.
#[inline(always)]
fn from_body<T: HotAnswers>(
    scratch: &mut Scratch,
    table: &T,
    place: u32,
    line: &[u64; LINE_WORDS],
    age: u32,
) -> Result<(), PassReason> {
    let body_bytes = (line[5] >> 32) as usize & 0xFFFF;
    let list = (body_bytes + 1) & !1;
    let ttls = (line[4] >> 32) as usize & 0xFF;
    let words = (list + 2 * ttls).div_ceil(8);
    if words > BODY_WORDS || !table.copy_hot_body(line[5] as u32, words as u32, &mut scratch.prepared) {
        return Err(PassReason::Internal);
    }
    if !table.is_still(place, line[0]) {
        return Err(PassReason::Torn);
    }
    let mut sum = line[5] >> 48;
    for index in 0..MOST_TTLS {
        if index >= ttls {
            break;
        }
        let at = half(scratch, list + 2 * index) as usize;
        let old = [
            octet(scratch, at),
            octet(scratch, at + 1),
            octet(scratch, at + 2),
            octet(scratch, at + 3),
        ];
        let new = u32::from_be_bytes(old).saturating_sub(age).to_be_bytes();
        set_octet(scratch, at, new[0]);
        set_octet(scratch, at + 1, new[1]);
        set_octet(scratch, at + 2, new[2]);
        set_octet(scratch, at + 3, new[3]);
        // RFC 1624: taking a number away is adding its complement.
        let changed = !u32::from_le_bytes(old) as u64 + u32::from_le_bytes(new) as u64;
        sum += checksum::shift_if(at & 1 != 0, changed);
    }
    let reply = &mut scratch.reply;
    reply.source = PREPARED;
    reply.slot = 0;
    reply.raise = 0;
    reply.serial = 0;
    reply.info_code = 0;
    let body = (body_bytes as u64) << 32 | (checksum::fold(sum) as u64) << 48;
    reply.header = bytemuck::cast([body, line[4] & 0xFFFF_FFFF, 0]);
    Ok(())
}
