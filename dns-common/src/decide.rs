//! What to do with a question: an answer with its place, or a pass with its reason.
//!
//! ```text
//! found the name ── cut ─► referral     type listed ─► answer    CNAME ─► its chain    else NODATA
//! found an encloser ── cut ─► referral  wildcard child ─► as above   else NXDOMAIN
//! ```
//!
//! The decision is data ([`crate::reply::Reply`]); the plane performs it. RFC 1034 §4.3.2, RFC 2308 §2, RFC 4592 §3.3.

use crate::checksum;
use crate::cookie;
use crate::hash::NameHash;
use crate::line::{MOST_LISTED, NO_REFERENCE, Occupant, REFERRAL, Reference, flag};
use crate::prepare::needs_preparation;
use crate::reason::PassReason;
use crate::reply::{DENIED, error_bytes};
use crate::scratch::Scratch;
use crate::search::{NOT_LISTED, Prober, find_encloser, look_up, parent, probed, reason_of};
use crate::slot::name_tag;
use crate::table::Table;
use crate::wire::{CLASS_IN, HEADER_BYTES, MIN_UDP_PAYLOAD, OPT_BYTES, QUESTION_TAIL_BYTES, flags, info_code, rtype};

/// How far the first look got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum First {
    /// To the reply.
    Decided,
    /// To the line of the name.
    Found,
    /// The name is not there.
    Absent,
    /// The home of the name cannot say.
    Overflow,
}

/// Decides on the question in the prober's scratch, whose name has this hash, and leaves the reply there.
///
/// `udp_payload` is our own limit on a message, in octets. `may_forward`: names that are not ours go upstream for this
/// client.
#[inline(always)]
pub fn decide<P: Prober, T: Table>(
    prober: &mut P,
    table: &T,
    hash: NameHash,
    udp_payload: u16,
    may_forward: bool,
) -> Result<(), PassReason> {
    let first = first_look(prober.scratch(), table, hash)?;
    let decided = decide_further(prober, table, first);
    let decided = refuse_foreign(prober.scratch(), decided, may_forward);
    if decided == Err(PassReason::Foreign) {
        // Whoever goes upstream with the name relies on it.
        is_settled(prober.scratch(), table)?;
    }
    decided?;
    if is_guarded(prober.scratch()) {
        return Err(PassReason::Access);
    }
    check(prober.scratch(), table, udp_payload)
}

/// Looks the name up, and decides where its line has the addresses that are asked for, or where a ready answer is said
/// at once by its line, or, if the name is not there, by that of the name above it: the shortest way.
#[inline(always)]
pub fn first_look<T: Table>(scratch: &mut Scratch, table: &T, hash: NameHash) -> Result<First, PassReason> {
    scratch.lines_read = 0;
    scratch.epoch = table.epoch();
    if scratch.epoch & 1 != 0 {
        // This table is being replaced.
        return Err(PassReason::Torn);
    }
    let mut undecided = First::Found;
    let mut probed = look_up(scratch, table, hash);
    if probed == probed::ABSENT {
        // Then the name above it mostly is there, and says what is below it.
        undecided = First::Absent;
        if scratch.labels > 1 && scratch.labels <= table.depth() + 1 {
            let parent = parent(scratch, table);
            probed = look_up(scratch, table, parent);
        }
    }
    match probed {
        probed::FOUND => {}
        probed::OVERFLOW if matches!(undecided, First::Found) => return Ok(First::Overflow),
        probed::ABSENT | probed::OVERFLOW => return Ok(First::Absent),
        fault => return Err(reason_of(fault)),
    }
    let line = scratch.found;
    let qtype = scratch.qtype as u16;
    let exists = matches!(undecided, First::Found);
    let mut special = flag::PASS_SELF | flag::NOT_OURS | flag::GUARDED | flag::VIEWED | flag::GHOST;
    special |= if exists {
        flag::ORDERED
    } else {
        flag::PASS_BELOW | flag::DNAME | flag::WILDCARD_CHILD
    };
    if line.flags & special != 0 {
        return Ok(undecided);
    }
    let mut word = NO_REFERENCE;
    if line.flags & flag::CUT != 0 {
        word = line.reference(REFERRAL);
        if word == NO_REFERENCE || exists && qtype == rtype::DS {
            return Ok(undecided);
        }
    } else if exists {
        if inline(scratch, &line) {
            return Ok(First::Decided);
        }
        if line.flags & (flag::LISTS | flag::INCOMPLETE) != 0 || qtype == rtype::DS {
            return Ok(undecided);
        }
        word = line.reference(qtype);
        if word == NO_REFERENCE && line.flags & flag::CNAME != 0 {
            word = line.cells[0];
            if word as u16 != 0 {
                return Ok(undecided);
            }
        }
    }
    if word == NO_REFERENCE {
        negative(scratch, table, &line, exists)?;
    } else {
        from_slot(scratch, table, Reference::from_word(word), line.tag)?;
    }
    Ok(if needs_preparation(scratch) {
        undecided
    } else {
        First::Decided
    })
}

/// Goes on where the first look ended.
#[inline(always)]
pub fn decide_further<P: Prober, T: Table>(prober: &mut P, table: &T, first: First) -> Result<(), PassReason> {
    let mut is_found = matches!(first, First::Found);
    let mut is_unsure = matches!(first, First::Overflow);
    if is_found && table.has_views() {
        // Then it says who sees the name, or another line of it.
        is_unsure = prober.scratch().found.flags & (flag::VIEWED | flag::GHOST) != 0;
    }
    if is_unsure {
        is_found = match prober.probe(0, 0) {
            probed::FOUND => true,
            probed::ABSENT => false,
            fault => return Err(reason_of(fault)),
        };
    }
    if matches!(first, First::Decided) {
        return Ok(());
    }
    let next = if is_found {
        decide_on_name(prober.scratch(), table)?
    } else {
        decide_without_name(prober, table)?
    };
    match next {
        Next::Reply => Ok(()),
        Next::Types => answer_from(prober, table),
    }
}

/// Where the answer is, once it is known who answers.
#[derive(Clone, Copy)]
enum Next {
    /// In the reply.
    Reply,
    /// Among the types of what was found.
    Types,
}

/// Decides where the line in the scratch is that of the name.
#[inline(always)]
fn decide_on_name<T: Table>(scratch: &mut Scratch, table: &T) -> Result<Next, PassReason> {
    let line = scratch.found;
    let flags = line.flags;
    if flags & flag::PASS_SELF != 0 {
        return Err(PassReason::Marked);
    }
    if flags & flag::NOT_OURS != 0 {
        return Err(PassReason::Foreign);
    }
    if scratch.qtype as u16 == rtype::DS && flags & (flag::CUT | flag::APEX) != 0 {
        // RFC 4035 §3.1.4.1: DS belongs to the parent's side.
        return Err(PassReason::Qtype);
    }
    if flags & flag::CUT != 0 {
        refer(scratch, table, &line)
    } else {
        Ok(Next::Types)
    }
}

/// Decides where the name is not there: by its closest encloser.
#[inline(always)]
fn decide_without_name<P: Prober, T: Table>(prober: &mut P, table: &T) -> Result<Next, PassReason> {
    let labels = find_encloser(prober, table.depth())?;
    let scratch = prober.scratch();
    let line = scratch.found;
    let flags = line.flags;
    if flags & flag::PASS_SELF != 0 {
        return Err(PassReason::Marked);
    }
    if flags & flag::PASS_BELOW != 0 {
        return Err(PassReason::Below);
    }
    if flags & flag::CUT != 0 {
        return refer(scratch, table, &line);
    }
    if flags & flag::DNAME != 0 {
        return Err(PassReason::Dname);
    }
    let is_covered = flags & flag::ONE_LABEL_WILDCARD == 0 || scratch.labels == labels + 1;
    if flags & flag::WILDCARD_CHILD != 0 && is_covered {
        let base = scratch.encloser_at;
        match prober.probe(base, 1) {
            probed::FOUND => {}
            // It came or went just now.
            probed::ABSENT => return Err(PassReason::Torn),
            fault => return Err(reason_of(fault)),
        }
        let wildcard = prober.scratch().found;
        if wildcard.flags & flag::PASS_SELF != 0 {
            return Err(PassReason::Marked);
        }
        return Ok(Next::Types);
    }
    if flags & flag::NOT_OURS != 0 {
        return Err(PassReason::Foreign);
    }
    negative(scratch, table, &line, false)?;
    Ok(Next::Reply)
}

/// REFUSED for a name that is not ours, where it is not forwarded: nothing is without recursion desired.
#[inline(always)]
pub fn refuse_foreign(
    scratch: &mut Scratch,
    decided: Result<(), PassReason>,
    may_forward: bool,
) -> Result<(), PassReason> {
    let is_forwarded = may_forward && scratch.query_flags as u16 & flags::RD != 0;
    match decided {
        Err(PassReason::Foreign) if !is_forwarded => {
            refuse(scratch, info_code::NOT_AUTHORITATIVE);
            Ok(())
        }
        decided => decided,
    }
}

/// Whether the zone of what was decided on has a list of who may ask.
#[inline(always)]
pub fn is_guarded(scratch: &Scratch) -> bool {
    scratch.found.flags & flag::GUARDED != 0
}

/// REFUSED, and why (RFC 8914).
#[inline(always)]
pub fn refuse(scratch: &mut Scratch, info_code: u16) {
    scratch.reply.make(flags::REFUSED, 0, 0, 0);
    scratch.reply.info_code = info_code as u32;
}

/// REFUSED for a client that may ask nothing.
#[inline(always)]
pub fn deny(scratch: &mut Scratch) {
    refuse(scratch, info_code::PROHIBITED);
    scratch.reply.extra = DENIED;
}

/// An empty answer with TC=1: a real client asks again over TCP (RFC 7766 §5).
#[inline(always)]
pub fn truncate(scratch: &mut Scratch) {
    scratch.reply.make(flags::TC, 0, 0, 0);
}

/// Whether the reply in the scratch may be sent.
#[inline(always)]
pub fn check<T: Table>(scratch: &Scratch, table: &T, udp_payload: u16) -> Result<(), PassReason> {
    is_settled(scratch, table)?;
    if message_bytes(scratch) > limit(scratch, udp_payload) {
        return Err(PassReason::TooLarge);
    }
    Ok(())
}

/// A search over several lines saw one state of the table only if no change came between.
#[inline(always)]
pub(crate) fn is_settled<T: Table>(scratch: &Scratch, table: &T) -> Result<(), PassReason> {
    if scratch.lines_read > 1 && table.epoch() != scratch.epoch {
        return Err(PassReason::Torn);
    }
    Ok(())
}

/// Octets of the reply's message.
#[inline(always)]
pub fn message_bytes(scratch: &Scratch) -> u32 {
    let mut opt = if scratch.has_opt != 0 {
        OPT_BYTES as u32 + error_bytes(scratch.reply.info_code)
    } else {
        0
    };
    if scratch.has_cookie != 0 {
        opt += cookie::OPTION_BYTES as u32;
    }
    (HEADER_BYTES + QUESTION_TAIL_BYTES) as u32 + scratch.name_bytes + scratch.reply.header.body_bytes as u32 + opt
}

/// 512 octets without OPT, else what both sides take (RFC 6891 §6.2.3).
#[inline(always)]
fn limit(scratch: &Scratch, udp_payload: u16) -> u32 {
    let least = MIN_UDP_PAYLOAD as u32;
    if scratch.has_opt == 0 {
        return least;
    }
    let smaller = if scratch.client_payload < udp_payload as u32 {
        scratch.client_payload
    } else {
        udp_payload as u32
    };
    if smaller < least { least } else { smaller }
}

/// Answers from the types of what was found.
#[inline(always)]
fn answer_from<P: Prober, T: Table>(prober: &mut P, table: &T) -> Result<(), PassReason> {
    let scratch = prober.scratch();
    let line = &{ scratch.found };
    if inline(scratch, line) {
        if scratch.qtype as u16 == rtype::A {
            scratch.reply.header.order = line.order();
            scratch.reply.header.order_count = line.inline_a() as u8;
        }
        return Ok(());
    }
    let qtype = scratch.qtype as u16;
    let mut word = reference(prober, line, qtype);
    if word == NO_REFERENCE {
        if line.flags & flag::INCOMPLETE != 0 {
            return Err(PassReason::Incomplete);
        }
        if line.flags & flag::CNAME != 0 {
            word = reference(prober, line, 0);
            if word == NO_REFERENCE {
                return Err(PassReason::Incomplete);
            }
        }
    }
    let scratch = prober.scratch();
    match word {
        TORN_LIST => Err(PassReason::Torn),
        NO_REFERENCE => negative(scratch, table, line, true),
        word => from_slot(scratch, table, Reference::from_word(word), line.tag),
    }
}

/// Stands for a reference that could not be read.
const TORN_LIST: u64 = NO_REFERENCE - 1;

/// The word of the reference for a type: in the name's cells, or in the slot of those that have none.
#[inline(always)]
fn reference<P: Prober>(prober: &mut P, line: &Occupant, rtype: u16) -> u64 {
    let word = line.reference(rtype);
    if word != NO_REFERENCE || line.flags & flag::LISTS == 0 {
        return word;
    }
    let more = Reference::from_word(line.cells[0]);
    match prober.listed(more.class as u32, more.slot, rtype as u32) {
        NOT_LISTED => NO_REFERENCE,
        place if place < MOST_LISTED as u32 => prober.scratch().prepared[place as usize & (MOST_LISTED - 1)],
        _ => TORN_LIST,
    }
}

/// Answers with the line's own addresses, if those are asked for.
#[inline(always)]
pub(crate) fn inline(scratch: &mut Scratch, line: &Occupant) -> bool {
    let qtype = scratch.qtype as u16;
    if qtype == rtype::A && line.inline_a() > 0 {
        inline_a(scratch, line);
        true
    } else if qtype == rtype::AAAA && line.flags & flag::INLINE_AAAA != 0 {
        inline_aaaa(scratch, line);
        true
    } else {
        false
    }
}

/// The referral that a cut lists.
#[inline(always)]
fn refer<T: Table>(scratch: &mut Scratch, table: &T, line: &Occupant) -> Result<Next, PassReason> {
    match line.reference(REFERRAL) {
        NO_REFERENCE => Err(PassReason::Incomplete),
        word => {
            from_slot(scratch, table, Reference::from_word(word), line.tag)?;
            Ok(Next::Reply)
        }
    }
}

/// NODATA or NXDOMAIN, with the zone's SOA (RFC 2308 §2.1, §2.2).
#[inline(always)]
fn negative<T: Table>(scratch: &mut Scratch, table: &T, line: &Occupant, exists: bool) -> Result<(), PassReason> {
    let Some(zone) = table.zone(line.zone) else {
        return Err(PassReason::Incomplete);
    };
    let reference = if exists { zone.nodata } else { zone.nxdomain };
    // The tag of a zone's negatives is the zone's number.
    let Some(reference) = reference else {
        return Err(PassReason::Marked);
    };
    take_slot(scratch, table, reference)?;
    if scratch.reply.header.tag != line.zone {
        return Err(PassReason::Torn);
    }
    scratch.reply.serial = zone.serial;
    Ok(())
}

#[inline(always)]
fn from_slot<T: Table>(scratch: &mut Scratch, table: &T, reference: Reference, tag: u64) -> Result<(), PassReason> {
    take_slot(scratch, table, reference)?;
    let reply = &mut scratch.reply;
    if reply.header.has_serial() {
        // Of a chain of ours that ends in a negative, of that one's zone.
        let Some(zone) = table.zone(reply.header.tag) else {
            return Err(PassReason::Internal);
        };
        reply.serial = zone.serial;
    } else if reply.header.tag != name_tag(tag) {
        return Err(PassReason::Torn);
    }
    Ok(())
}

/// Makes a slot's body the reply's. Whose it is, and which serial goes there, is left to the caller.
#[inline(always)]
fn take_slot<T: Table>(scratch: &mut Scratch, table: &T, reference: Reference) -> Result<(), PassReason> {
    // The header goes to its place at once: on the stack there is no room for a copy.
    let reply = &mut scratch.reply;
    if !table.slot_header(reference.class as u32, reference.slot, &mut reply.header) {
        return Err(PassReason::Internal);
    }
    reply.source = reference.class as u32 + 1;
    reply.slot = reference.slot;
    reply.raise = scratch.name_bytes.wrapping_sub(reply.header.base_bytes as u32) & 0xFF;
    reply.info_code = 0;
    reply.extra = 0;
    Ok(())
}

/// `C0 0C`, type, class and the first half of the TTL, as octets in memory order.
#[inline(always)]
const fn rr_head(qtype: u16, ttl: u32) -> u64 {
    let ttl = ttl.to_be_bytes();
    u64::from_le_bytes([0xC0, 0x0C, 0, qtype as u8, 0, CLASS_IN as u8, ttl[0], ttl[1]])
}

/// One to four A RRs of 16 octets each.
#[inline(always)]
fn inline_a(scratch: &mut Scratch, line: &Occupant) {
    let count = line.inline_a();
    let ttl = line.ttl.to_be_bytes();
    let head = rr_head(rtype::A, line.ttl);
    let middle = u32::from_le_bytes([ttl[2], ttl[3], 0, 4]) as u64;
    let (first, second) = line.inline_a_words();
    let addresses = [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32];
    let mut sum = 0;
    for (index, address) in addresses.into_iter().enumerate() {
        if index as u32 >= count {
            break;
        }
        let tail = middle | (address as u64) << 32;
        scratch.inline[2 * index] = head;
        scratch.inline[2 * index + 1] = tail;
        sum = checksum::add(checksum::add(sum, head), tail);
    }
    let sum = checksum::fold(sum);
    scratch.reply.make(flags::AA, count as u8, 16 * count as u16, sum);
}

/// One AAAA RR of 28 octets.
#[inline(always)]
fn inline_aaaa(scratch: &mut Scratch, line: &Occupant) {
    let ttl = line.ttl.to_be_bytes();
    let (high, low) = (line.cells[2], line.cells[3]);
    let words = [
        rr_head(rtype::AAAA, line.ttl),
        u32::from_le_bytes([ttl[2], ttl[3], 0, 16]) as u64 | high << 32,
        high >> 32 | low << 32,
        low >> 32,
    ];
    let mut sum = 0;
    for (index, word) in words.into_iter().enumerate() {
        scratch.inline[index] = word;
        sum = checksum::add(sum, word);
    }
    scratch.reply.make(flags::AA, 1, 28, checksum::fold(sum));
}
