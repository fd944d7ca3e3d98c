//! The core's steps as global functions: the verifier checks each once, whatever its callers know.
//!
//! They take and give plain numbers, and fetch the scratch themselves. 0 is success; else one more than the index of
//! a [`PassReason`].

use core::hint::black_box;

use aya_ebpf::programs::XdpContext;
use dns_common::decide::decide;
use dns_common::prepare::prepare;
use dns_common::reason::PassReason;
use dns_common::scan::scan;
use dns_common::scratch::{MESSAGE_BYTES, Scratch};
use dns_common::search::{Prober, probe, probed};
use dns_common::table::Table;
use dns_common::wire::HEADER_BYTES;

use crate::maps::{KernelTable, settings, state};
use crate::packet;
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
    let to = &mut state.scratch.message;
    let loaded = packet::load(
        ctx,
        frame.message() as u32,
        to,
        length,
        HEADER_BYTES as u32,
        MESSAGE_BYTES,
    );
    if loaded { Ok(()) } else { Err(PassReason::Internal) }
}

/// Scans the message in the scratch and decides on it.
#[inline(always)]
pub fn scan_and_decide() -> Result<(), PassReason> {
    unpack(hotdns_scan())?;
    unpack(hotdns_decide())?;
    unpack(hotdns_prepare())
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
    pack(scan(&mut state.scratch, KernelTable.keys()))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_decide() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    pack(decide(
        &mut KernelProber {
            scratch: &mut state.scratch,
        },
        &KernelTable,
        settings().udp_payload,
    ))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_prepare() -> u32 {
    let Some(state) = state() else {
        return pack(Err(PassReason::Internal));
    };
    pack(prepare(&mut state.scratch, &KernelTable))
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
