//! Where a name is, or how far it exists: RFC 1034 §4.3.2 and RFC 4592 §3.3.1 on a table of lines.
//!
//! Existence is monotone: every ancestor of a name in the table is in the table, but within areas whose top passes what
//! is below (`flag::SPARSE`). So the closest encloser of a name
//! that is not there is found by bisection on the number of labels, in at most eight probes at any depth. It begins no
//! deeper than the deepest name of the table: a question may have over a hundred labels, and where names have four,
//! what is asked for below them costs no more than what is asked for beside them.
//!
//! The first look, at the name itself and the one above it, asks memory for an answer's slot together with the line.
//!
//! A probe reads the name's home line; the name lives there, or where an entry of the home's directory says. A home
//! that could list no more names overflowed: then the same is done once more from the name's second home. Where that
//! lacks a place for one of its own, nobody can say. Where the line that
//! was found says that some view has another one, or is a ghost, a client of a view probes for that, with its view in
//! the hash.

use crate::hash::{self, MAX_WORDS, NameHash};
use crate::line::{DIRECTORY_ENTRIES, Held, LACKING, Line, MOST_LISTED, OVERFLOW, distance, flag};
use crate::reason::PassReason;
use crate::scratch::Scratch;
use crate::slot::name_tag;
use crate::table::Table;

/// What a probe found, as the plain number that crosses the borders of the kernel's global functions.
pub mod probed {
    /// The name; what its line has of it is in the scratch.
    pub const FOUND: u32 = 0;
    /// Nothing.
    pub const ABSENT: u32 = 1;
    /// A line was being written.
    pub const TORN: u32 = 2;
    /// The homes cannot say.
    pub const OVERFLOW: u32 = 3;
    /// A name that is only in views. It never leaves a probe.
    pub const GHOST: u32 = 4;
}

/// A plane's way to call [`probe`] on its own scratch and table. In the kernel it is a function that the verifier
/// checks once.
pub trait Prober {
    /// Probes the suffix of the question's name that starts at `offset`; `*.` before it where `wildcard` is 1.
    fn probe(&mut self, offset: u32, wildcard: u32) -> u32;
    /// Looks for a type in a slot of references ([`look_in_list`]).
    fn listed(&mut self, class: u32, slot: u32, rtype: u32) -> u32;
    /// The scratch that holds the question, and what was found.
    fn scratch(&mut self) -> &mut Scratch;
}

/// Finds the closest encloser of the question's name, which is not there; what its line has and its offset in the name
/// are left in the scratch. Gives its number of labels. `depth`: of the table, read after the epoch.
#[inline(always)]
pub fn find_encloser<P: Prober>(prober: &mut P, depth: u32) -> Result<u32, PassReason> {
    let labels = prober.scratch().labels & 127;
    // The root has a line always. `exists` and `absent` count labels of suffixes.
    let mut exists = 0;
    let mut absent = if depth < labels { (depth + 1) & 127 } else { labels };
    let mut middle = absent.wrapping_sub(1) & 127;
    for _ in 0..8 {
        if absent - exists <= 1 || absent > 127 {
            break;
        }
        let offset = prober.scratch().offsets[((labels - middle) & 127) as usize] as u32;
        match prober.probe(offset, 0) {
            probed::FOUND => {
                exists = middle;
                prober.scratch().encloser_at = offset;
            }
            probed::ABSENT => absent = middle,
            fault => return Err(reason_of(fault)),
        }
        middle = (exists + absent) / 2;
    }
    if exists == 0 {
        let root = prober.scratch().name_bytes.wrapping_sub(1) & 0xFF;
        prober.scratch().encloser_at = root;
        match prober.probe(root, 0) {
            probed::FOUND => {}
            probed::ABSENT => return Err(PassReason::Internal),
            fault => return Err(reason_of(fault)),
        }
    }
    Ok(exists)
}

/// The reason of a probe that neither found nor missed.
#[inline(always)]
pub const fn reason_of(fault: u32) -> PassReason {
    match fault {
        probed::TORN => PassReason::Torn,
        _ => PassReason::Overflow,
    }
}

/// One probe: hashes the suffix at `offset` (with `*.` before it where `wildcard` is 1), and looks it up, as the client
/// sees it.
#[inline(always)]
pub fn probe<T: Table>(scratch: &mut Scratch, table: &T, offset: u32, wildcard: u32) -> u32 {
    // The default's line first. A ghost leaves what the scratch has.
    scratch.seen = probed::ABSENT;
    scratch.view = 0;
    for _ in 0..2 {
        let hash = hash_suffix(scratch, table, offset as usize, wildcard != 0, scratch.view);
        let found = look_up_seen(scratch, table, hash);
        if scratch.view != 0 {
            // Where the view has no line of its own, the default's counts.
            return if found == probed::ABSENT { scratch.seen } else { found };
        }
        let may_differ = found == probed::GHOST || found == probed::FOUND && scratch.found.flags & flag::VIEWED != 0;
        if !table.has_views() || !may_differ {
            return found;
        }
        scratch.seen = if found == probed::GHOST { probed::ABSENT } else { found };
        scratch.view = table.view(&scratch.client);
        if scratch.view == 0 {
            break;
        }
    }
    scratch.seen
}

/// What [`look_in_list`] gives where the type is not listed, and where the slot is not what was referred to; any other
/// number is a place in the scratch's prepared words.
pub const NOT_LISTED: u32 = 1 << 8;
/// See [`NOT_LISTED`].
pub const BAD_LIST: u32 = 1 << 9;

/// Copies a slot of references of the name that was found into the scratch's prepared words, and gives the place of the
/// one for a type.
#[inline(always)]
pub fn look_in_list<T: Table>(scratch: &mut Scratch, table: &T, class: u32, slot: u32, rtype: u32) -> u32 {
    let header = &mut scratch.reply.header;
    if !table.slot_header(class, slot, header) {
        return BAD_LIST;
    }
    let count = header.body_bytes as u32 / 8;
    if header.tag != name_tag(scratch.found.tag)
        || count as usize > MOST_LISTED
        || !table.copy_body(class, slot, count, &mut scratch.prepared)
    {
        return BAD_LIST;
    }
    for place in 0..MOST_LISTED {
        if place as u32 >= count {
            break;
        }
        if scratch.prepared[place] as u16 as u32 == rtype {
            return place as u32;
        }
    }
    NOT_LISTED
}

/// Looks for the name with this hash from both of its homes. What is there of a ghost does not go to the scratch.
#[inline(always)]
fn look_up_seen<T: Table>(scratch: &mut Scratch, table: &T, hash: NameHash) -> u32 {
    let mut home = hash.home(table.lines());
    let mut unsure = OVERFLOW;
    let mut probed = probed::OVERFLOW;
    for _ in 0..2 {
        probed = find::<T, true>(scratch, table, hash, home, unsure);
        if probed != probed::OVERFLOW {
            break;
        }
        home = hash.second_home(table.lines());
        unsure = LACKING;
    }
    probed
}

/// Looks where the table has the name with this hash, from its first home. What its line has of it goes to the scratch,
/// which otherwise keeps what it had.
#[inline(always)]
pub fn look_up<T: Table>(scratch: &mut Scratch, table: &T, hash: NameHash) -> u32 {
    table.ask_ahead(hash, scratch.qtype as u16);
    find::<T, false>(scratch, table, hash, hash.home(table.lines()), OVERFLOW)
}

#[inline(always)]
fn find<T: Table, const SEEN: bool>(scratch: &mut Scratch, table: &T, hash: NameHash, home: u32, unsure: u64) -> u32 {
    let lines = table.lines();
    scratch.lines_read += 1;
    let Some(words) = table.line(home) else {
        return probed::TORN;
    };
    let but = if SEEN { flag::GHOST } else { 0 };
    let line = Line(words);
    match line.take(hash, but, &mut scratch.found) {
        Held::Taken => return probed::FOUND,
        Held::But => return probed::GHOST,
        Held::Not => {}
    }
    for entry in 0..DIRECTORY_ENTRIES {
        let (fingerprint, step) = line.directory(entry);
        if step == 0 || fingerprint != hash.fingerprint() {
            continue;
        }
        // No farther than the table has lines.
        let mut index = home + distance(step);
        if index >= lines {
            index -= lines;
        }
        scratch.lines_read += 1;
        let Some(words) = table.line(index) else {
            return probed::TORN;
        };
        match Line(words).take(hash, but, &mut scratch.found) {
            Held::Taken => return probed::FOUND,
            Held::But => return probed::GHOST,
            Held::Not => {}
        }
    }
    if line.is_unsure(unsure) {
        probed::OVERFLOW
    } else {
        probed::ABSENT
    }
}

/// The hash of the name above the question's, where that has two labels or more.
#[inline(always)]
pub fn parent<T: Table>(scratch: &Scratch, table: &T) -> NameHash {
    hash_suffix(scratch, table, scratch.offsets[1] as usize, false, 0)
}

/// The hash of the question's whole name, and of a number that goes with it.
#[inline(always)]
pub(crate) fn hash_with<T: Table>(scratch: &Scratch, table: &T, number: u32) -> NameHash {
    hash_suffix(scratch, table, 0, false, number)
}

/// The hash of a suffix out of the kept sums and one masked word.
#[inline(always)]
fn hash_suffix<T: Table>(scratch: &Scratch, table: &T, offset: usize, wildcard: bool, view: u32) -> NameHash {
    let keys = table.keys();
    let name_bytes = scratch.name_bytes as usize & 0xFF;
    let bytes = name_bytes.wrapping_sub(offset) & 0xFF;
    let whole = (bytes / 8) & (MAX_WORDS - 1);
    let rest = (bytes & 7) as u32;
    let mut sums = scratch.sums[whole];
    let mut word = 0;
    if rest != 0 {
        word = hash::keep_last(scratch.words[whole], rest);
    }
    if !wildcard {
        if rest != 0 {
            sums = hash::add_word(sums, word, keys.first[whole], keys.second[whole]);
        }
        return hash::finish(hash::add_view(sums, view, keys), &keys.mix);
    }
    // `01 2A` in front: both octets go into this word, or the first of them into the next.
    word |= (b'*' as u64) << (56 - 8 * rest);
    if rest < 7 {
        word |= 1 << (48 - 8 * rest);
        sums = hash::add_word(sums, word, keys.first[whole], keys.second[whole]);
    } else {
        let next = (whole + 1) & (MAX_WORDS - 1);
        sums = hash::add_word(sums, word, keys.first[whole], keys.second[whole]);
        sums = hash::add_word(sums, 1 << 56, keys.first[next], keys.second[next]);
    }
    hash::finish(hash::add_view(sums, view, keys), &keys.mix)
}
