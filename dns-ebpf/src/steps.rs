//! The core's steps on this program's packet and maps: the common way inline, all else in global functions, which the
//! verifier checks once, whatever their callers know.
//!
//! Global functions take and give plain numbers, and fetch the scratch themselves. 0 is success; else one more than the
//! index of a [`PassReason`].

use core::hint::black_box;

use aya_ebpf::programs::XdpContext;
use dns_common::access::{EXEMPT, SERVER, admission, verdict};
use dns_common::arrange::{arrange_rrs, draw_places};
use dns_common::cookie::server_cookie;
use dns_common::decide::{First, check, decide_further, deny, first_look, refuse, refuse_foreign, truncate};
use dns_common::hot::{HotAnswers, answer};
use dns_common::limit::{Charge, charge};
use dns_common::message::Message;
use dns_common::order::Nibbles;
use dns_common::prepare::{needs_preparation, prepare};
use dns_common::reason::PassReason;
use dns_common::scan::scan;
use dns_common::scratch::{MESSAGE_BYTES, Scratch};
use dns_common::search::{BAD_LIST, Prober, look_in_list, probe, probed};
use dns_common::table::Table;
use dns_common::wire::info_code;

use crate::maps::{self, KernelBuckets, KernelTable, cookie_source, limits, random, settings, state};
use crate::packet::{Half, Header, Number, Octet, Packet, Word};
use crate::parse::Frame;

/// The message where it lies: behind Ethernet, two tags, IPv6 and UDP at most.
struct InPacket {
    packet: Packet,
    from: usize,
}

impl InPacket {
    #[inline(always)]
    fn at<T: Header>(&self, at: usize) -> Option<&T> {
        self.packet.header(self.from + (at & (MESSAGE_BYTES - 1)))
    }
}

impl Message for InPacket {
    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        self.at::<Word>(at).map_or(0, |word| word.word)
    }

    #[inline(always)]
    fn half(&self, at: usize) -> u32 {
        self.at::<Half>(at).map_or(0, |half| half.half)
    }

    #[inline(always)]
    fn number(&self, at: usize) -> u16 {
        self.at::<Number>(at).map_or(0, |number| u16::from_be(number.number))
    }

    #[inline(always)]
    fn octet(&self, at: usize) -> u8 {
        self.at::<Octet>(at).map_or(0, |octet| octet.octet)
    }
}

/// Whether some queries are not answered as they are asked.
#[inline(always)]
pub fn has_admission() -> bool {
    settings().has_access != 0 || limits().is_enabled()
}

/// Charges a query of this client's, and says which [`admission`] it has.
#[inline(always)]
pub fn admit([first, second]: [u64; 2]) -> u32 {
    black_box(hotdns_admit(first, second))
}

/// A client that gets nothing costs nothing; one that is refused is charged like the others, and gets no truncated
/// answers.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_admit(first: u64, second: u64) -> u32 {
    let client = [first, second];
    let Some(state) = state() else {
        return admission::ADMITTED;
    };
    let room = &mut state.access_key;
    let mut admitted = admission::ADMITTED;
    if settings().has_access != 0 {
        match maps::access(SERVER, client, room) {
            Some(verdict::ALLOWED) => {}
            Some(verdict::REFUSED) => admitted = admission::REFUSED,
            _ => return admission::DENIED,
        }
    }
    let limits = limits();
    if !limits.is_enabled() || (limits.has_exempt != 0 && maps::access(EXEMPT, client, room) == Some(verdict::ALLOWED))
    {
        return admitted;
    }
    match charge(&KernelBuckets, limits, client, maps::now_ns()) {
        Charge::Within => admitted,
        Charge::Slip if admitted == admission::ADMITTED => admission::TRUNCATED,
        Charge::Slip | Charge::Over => admission::OVER_LIMIT,
    }
}

/// Asks the list of the zone that answers; the reply becomes REFUSED where it says so.
#[inline(always)]
pub fn guard([first, second]: [u64; 2]) -> u32 {
    black_box(hotdns_guard(first, second))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_guard(first: u64, second: u64) -> u32 {
    let Some(state) = state() else {
        return admission::UNKNOWN;
    };
    let zone = state.scratch.found.zone;
    let found = maps::access(zone, [first, second], &mut state.access_key);
    // While a list is being changed, the lines that it guards pass; this line may have been read before.
    if KernelTable.epoch() != state.scratch.epoch {
        return admission::UNKNOWN;
    }
    match found {
        Some(verdict::ALLOWED) => admission::ADMITTED,
        Some(verdict::REFUSED) => {
            refuse(&mut state.scratch, info_code::PROHIBITED);
            admission::REFUSED
        }
        Some(verdict::DROPPED) => admission::DENIED,
        _ => admission::UNKNOWN,
    }
}

/// Reads the message of the frame and looks its name up, where the query is admitted.
#[inline(always)]
pub fn scan_and_look(
    ctx: &XdpContext,
    frame: &Frame,
    scratch: &mut Scratch,
    admitted: u32,
) -> Result<First, PassReason> {
    let message = InPacket {
        packet: Packet::new(ctx),
        from: frame.message(),
    };
    let has_nsid = settings().has_nsid != 0;
    let hash = scan(&message, frame.payload, scratch, KernelTable.keys(), has_nsid)?;
    match admitted {
        admission::ADMITTED => {}
        admission::TRUNCATED => {
            truncate(scratch);
            return Ok(First::Decided);
        }
        _ => {
            deny(scratch);
            return Ok(First::Decided);
        }
    }
    let first = first_look(scratch, &KernelTable, hash)?;
    if matches!(first, First::Decided) {
        check(scratch, &KernelTable, settings().udp_payload)?;
    }
    Ok(first)
}

/// Decides where the first look did not.
#[inline(always)]
pub fn decide(first: First) -> Result<(), PassReason> {
    unpack(hotdns_decide(black_box(first as u32)))
}

#[inline(always)]
fn pack(result: Result<(), PassReason>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(reason) => reason as u32 + 1,
    }
}

#[inline(always)]
fn unpack(number: u32) -> Result<(), PassReason> {
    if number == 0 {
        return Ok(());
    }
    // A constant index keeps the table of reasons out of the program.
    match PassReason::from_index(number - 1) {
        Some(reason) => Err(reason),
        None => Err(PassReason::Internal),
    }
}

const FOUND: u32 = First::Found as u32;
const ABSENT: u32 = First::Absent as u32;

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_decide(first: u32) -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    let mut prober = KernelProber {
        scratch: &mut state.scratch,
    };
    let first = match first {
        FOUND => First::Found,
        ABSENT => First::Absent,
        _ => First::Overflow,
    };
    let decided = decide_further(&mut prober, &KernelTable, first);
    let may_forward = settings().has_upstream != 0;
    let decided = refuse_foreign(prober.scratch, decided, may_forward);
    if matches!(decided, Err(PassReason::Foreign)) && KernelTable.buckets() != 0 {
        return hotdns_hot();
    }
    let checked = decided.and_then(|()| check(prober.scratch, &KernelTable, settings().udp_payload));
    if checked.is_ok() && needs_preparation(prober.scratch) {
        hotdns_prepare()
    } else {
        pack(checked)
    }
}

/// Looks for a kept answer of an upstream server to the question in the scratch, whose name is not ours.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_hot() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    let scratch = &mut state.scratch;
    if !maps::client_may_recurse(&scratch.client) {
        return pack(Err(PassReason::Foreign));
    }
    let view = if KernelTable.has_views() {
        KernelTable.view(&scratch.client)
    } else {
        0
    };
    pack(answer(scratch, &KernelTable, view, settings().udp_payload))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_prepare() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    pack(prepare(&mut state.scratch, &KernelTable))
}

/// Puts the reply's RRs into an order that is drawn for them.
#[inline(always)]
pub fn arrange() -> Result<(), PassReason> {
    unpack(hotdns_arrange(hotdns_draw()))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_draw() -> u64 {
    let Some(state) = state() else {
        return Nibbles::AS_GIVEN.0;
    };
    state.scratch.random = match settings().fixed_random {
        0 => random(),
        fixed => fixed as u64,
    };
    draw_places(&state.scratch, settings().hash_prefixes).0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_arrange(places: u64) -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    arrange_rrs(&mut state.scratch, Nibbles(places));
    pack(Ok(()))
}

/// Makes the server cookie of the reply, for a client's address as it lies in memory.
#[inline(always)]
pub fn make_cookie([first, second]: [u64; 2]) -> Result<(), PassReason> {
    unpack(hotdns_cookie(first, second))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_cookie(first: u64, second: u64) -> u32 {
    let (Some(state), Some((seconds, secret))) = (state(), cookie_source()) else {
        return pack(Err(PassReason::Internal));
    };
    let scratch = &mut state.scratch;
    scratch.server_cookie = server_cookie(scratch.client_cookie, seconds, [first, second], secret);
    pack(Ok(()))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_probe(offset: u32, wildcard: u32) -> u32 {
    let Some(state) = state() else { return probed::OVERFLOW };
    probe(&mut state.scratch, &KernelTable, offset & 0xFF, wildcard)
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_listed(class: u32, slot: u32, rtype: u32) -> u32 {
    let Some(state) = state() else { return BAD_LIST };
    look_in_list(&mut state.scratch, &KernelTable, class, slot, rtype)
}

struct KernelProber {
    /// This processor's own; the core takes it anew after each probe.
    scratch: &'static mut Scratch,
}

impl Prober for KernelProber {
    #[inline(always)]
    fn probe(&mut self, offset: u32, wildcard: u32) -> u32 {
        black_box(hotdns_probe(black_box(offset), black_box(wildcard)))
    }

    #[inline(always)]
    fn listed(&mut self, class: u32, slot: u32, rtype: u32) -> u32 {
        black_box(hotdns_listed(black_box(class), black_box(slot), black_box(rtype)))
    }

    #[inline(always)]
    fn scratch(&mut self) -> &mut Scratch {
        self.scratch
    }
}
