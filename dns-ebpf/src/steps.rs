//! The core's steps on this program's packet and maps: the common way inline, all else in global functions, which the
//! verifier checks once, whatever their callers know.
//!
//! Global functions take and give plain numbers, and fetch the scratch themselves. 0 is success; else one more than the
//! index of a [`PassReason`].

use core::hint::black_box;

use aya_ebpf::programs::XdpContext;
use dns_common::cookie::server_cookie;
use dns_common::decide::{First, check, decide_further, first_look, refuse_foreign};
use dns_common::message::Message;
use dns_common::prepare::{needs_preparation, prepare};
use dns_common::reason::PassReason;
use dns_common::scan::scan;
use dns_common::scratch::{MESSAGE_BYTES, Scratch};
use dns_common::search::{Prober, probe, probed};
use dns_common::table::Table;

use crate::maps::{KernelTable, cookie_source, settings, state};
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

/// Reads the message of the frame and looks its name up.
#[inline(always)]
pub fn scan_and_look(ctx: &XdpContext, frame: &Frame, scratch: &mut Scratch) -> Result<First, PassReason> {
    let message = InPacket {
        packet: Packet::new(ctx),
        from: frame.message(),
    };
    let has_nsid = settings().has_nsid != 0;
    let hash = scan(&message, frame.payload, scratch, KernelTable.keys(), has_nsid)?;
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
    let checked = decided.and_then(|()| check(prober.scratch, &KernelTable, settings().udp_payload));
    if checked.is_ok() && needs_preparation(prober.scratch) {
        hotdns_prepare()
    } else {
        pack(checked)
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_prepare() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    pack(prepare(&mut state.scratch, &KernelTable))
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
    fn scratch(&mut self) -> &mut Scratch {
        self.scratch
    }
}
