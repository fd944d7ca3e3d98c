//! Shows answers to userspace, where the query log or dnstap wants them ([`dns_common::tap`]).
//!
//! The reader is not woken: that would cost more than the record. It looks by itself, every few milliseconds while
//! there is something.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use aya_ebpf::programs::XdpContext;
use dns_common::opaque::opaque_ref;
use dns_common::scratch::{Scratch, State};
use dns_common::tap::{HEAD_BYTES, RECORD_BYTES, TapSettings, Tapped};
use dns_common::wire::{HEADER_BYTES, QUESTION_TAIL_BYTES};

use crate::maps::now_ns;
use crate::packet::{self, Ipv4, Ipv6, Packet, Udp};
use crate::parse::{Frame, UDP_BYTES, mapped};

// The size is set when the object is loaded.
#[map]
static TAP: RingBuf = RingBuf::with_byte_size(4096, 0);
/// Records that found no room, per processor.
#[map]
static TAP_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What is shown; set when the object is loaded.
#[unsafe(no_mangle)]
static TAP_SETTINGS: TapSettings = TapSettings::OFF;

/// A record as it lies in the ring.
#[repr(C)]
struct Record<const KEPT: usize> {
    head: Tapped,
    reply: [u8; KEPT],
}

/// Opaque, which keeps the compiler from folding in what the object file has.
#[inline(always)]
fn settings() -> &'static TapSettings {
    opaque_ref(&TAP_SETTINGS)
}

/// Whether the answer that was just made is to be shown.
#[inline(always)]
pub fn is_due(state: &mut State) -> bool {
    let one_in = settings().one_in;
    if one_in <= 1 {
        return one_in == 1;
    }
    if state.until_tapped > 1 {
        state.until_tapped -= 1;
        return false;
    }
    // SAFETY: the helper takes nothing and gives a number.
    let random = unsafe { bpf_get_prandom_u32() };
    state.until_tapped = TapSettings::gap(one_in, random);
    true
}

/// Shows the reply that the frame now is.
#[inline(always)]
pub fn show(ctx: &XdpContext, frame: &Frame, scratch: &Scratch) {
    let Some((head, kept)) = describe(ctx, frame, scratch) else {
        return;
    };
    let at = frame.message() as u32;
    let is_shown = if kept as usize <= RECORD_BYTES[0] - HEAD_BYTES {
        put::<{ RECORD_BYTES[0] - HEAD_BYTES }>(ctx, head, at, kept)
    } else if kept as usize <= RECORD_BYTES[1] - HEAD_BYTES {
        put::<{ RECORD_BYTES[1] - HEAD_BYTES }>(ctx, head, at, kept)
    } else if kept as usize <= RECORD_BYTES[2] - HEAD_BYTES {
        put::<{ RECORD_BYTES[2] - HEAD_BYTES }>(ctx, head, at, kept)
    } else {
        put::<{ RECORD_BYTES[3] - HEAD_BYTES }>(ctx, head, at, kept)
    };
    if !is_shown && let Some(lost) = TAP_LOST.get_ptr_mut(0) {
        // SAFETY: the value is this processor's alone, and no reference to it is kept.
        unsafe { *lost += 1 };
    }
}

/// The head of the record, and how many octets of the reply are to follow. Client and server have changed places.
#[inline(always)]
fn describe(ctx: &XdpContext, frame: &Frame, scratch: &Scratch) -> Option<(Tapped, u32)> {
    let packet = Packet::new(ctx);
    let (server, client) = if frame.is_ipv6 {
        let ip: &Ipv6 = packet.header(frame.ip)?;
        (ip.source, ip.destination)
    } else {
        let ip: &Ipv4 = packet.header(frame.ip)?;
        (mapped(ip.source), mapped(ip.destination))
    };
    let udp: &Udp = packet.header(frame.udp)?;
    let message = (u16::from_be(udp.bytes) as u32).wrapping_sub(UDP_BYTES as u32);
    let front = HEADER_BYTES as u32 + (scratch.name_bytes & 0xFF) + QUESTION_TAIL_BYTES as u32;
    let most = (RECORD_BYTES[3] - HEAD_BYTES) as u32;
    let kept = if settings().whole != 0 {
        message.min(most)
    } else {
        front
    };
    let head = Tapped {
        time_ns: now_ns(),
        client,
        server,
        client_port: udp.destination.to_ne_bytes(),
        server_port: udp.source.to_ne_bytes(),
        message_bytes: message as u16,
        kept_bytes: kept as u16,
    };
    Some((head, kept))
}

/// False where the ring has no room.
#[inline(always)]
fn put<const KEPT: usize>(ctx: &XdpContext, head: Tapped, at: u32, kept: u32) -> bool {
    let Some(mut entry) = TAP.reserve::<Record<KEPT>>(0) else {
        return false;
    };
    let record: *mut Record<KEPT> = entry.as_mut_ptr();
    // SAFETY: the record is ours until it is submitted, and every bit pattern is a value of it. What is not written of
    // the octets is what was there before; readers look at `kept_bytes` of them.
    let reply = unsafe {
        (&raw mut (*record).head).write(head);
        &mut (*record).reply
    };
    if packet::load_from(ctx, at, reply, kept, HEADER_BYTES as u32) {
        entry.submit(BPF_RB_NO_WAKEUP as u64);
        true
    } else {
        entry.discard(BPF_RB_NO_WAKEUP as u64);
        false
    }
}
