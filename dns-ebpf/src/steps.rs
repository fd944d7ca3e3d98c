//! The core's steps as global functions: the verifier checks each once, whatever its callers know.
//!
//! They take and give plain numbers, and fetch the scratch themselves. 0 is success; else one more than the index of
//! a [`PassReason`].

use core::hint::black_box;

use aya_ebpf::programs::XdpContext;
use dns_common::cookie::server_cookie;
use dns_common::decide::decide;
use dns_common::prepare::{needs_preparation, prepare};
use dns_common::reason::PassReason;
use dns_common::scan::scan;
use dns_common::scratch::{MESSAGE_BYTES, Scratch};
use dns_common::search::{Prober, probe, probed};
use dns_common::table::Table;
use dns_common::wire::HEADER_BYTES;

use crate::maps::{KernelTable, cookie_source, settings, state};
use crate::packet::{Packet, Word};
use crate::parse::Frame;

/// Copies the message into the scratch.
#[inline(always)]
pub fn load(ctx: &XdpContext, frame: &Frame) -> Result<(), PassReason> {
    let Some(state) = state() else {
        return Err(PassReason::Internal);
    };
    let length = frame.payload as u32;
    if length < HEADER_BYTES as u32 {
        return Err(PassReason::Short);
    }
    if length > MESSAGE_BYTES as u32 {
        return Err(PassReason::Long);
    }
    state.scratch.length = length;
    copy_message(&Packet::new(ctx), frame.message(), length as usize, &mut state.scratch).ok_or(PassReason::Internal)
}

/// Copies the message word by word, the last word ending where the message ends: for so few octets a helper costs more.
#[inline(always)]
fn copy_message(packet: &Packet, from: usize, length: usize, scratch: &mut Scratch) -> Option<()> {
    for index in 0..MESSAGE_BYTES / 8 {
        if 8 * index + 8 > length {
            break;
        }
        let word: &Word = packet.header(from + 8 * index)?;
        scratch.set_word(8 * index, word.word);
    }
    // A message has a header of twelve octets, so a word ends anywhere behind it.
    let last = black_box(length - 8) & (MESSAGE_BYTES - 1);
    let word: &Word = packet.header(from + last)?;
    scratch.set_word(last, word.word);
    Some(())
}

/// Scans the message in the scratch and decides on it.
#[inline(always)]
pub fn scan_and_decide() -> Result<(), PassReason> {
    unpack(hotdns_scan())?;
    unpack(hotdns_decide())
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

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_scan() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    pack(scan(&mut state.scratch, KernelTable.keys(), settings().has_nsid != 0))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_decide() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    let mut prober = KernelProber {
        scratch: &mut state.scratch,
    };
    let decided = decide(&mut prober, &KernelTable, settings().udp_payload);
    if decided.is_ok() && needs_preparation(prober.scratch) {
        hotdns_prepare()
    } else {
        pack(decided)
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
