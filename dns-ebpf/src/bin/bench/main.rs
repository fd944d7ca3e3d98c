//! The load generator of the benchmarks, and what it is measured against.
//!
//! ```text
//!   client's namespace                server's namespace
//!   generate ── query, XDP_TX ──────► bounce   swaps addresses: the limit
//!      ▲                              pass     the sockets behind it answer, or the kernel sends the frame back
//!      └─────── reply, counted ────── hotdns   the program under test
//! ```
//!
//! `generate` turns every reply, in place, into the next query: a random name of a pattern, a random source port, an
//! ID that follows from the name, so that a reply proves which query it answers. The harness puts a few frames in;
//! they keep going round. What is in a query is in `layout.rs`.
//!
//! `flood` makes queries at a rate of the harness, whatever comes back: it is run by `BPF_PROG_TEST_RUN` with live
//! frames.
//! `generate` then counts the replies.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
mod layout;

use aya_ebpf::{
    bindings::xdp_action,
    helpers::bpf_get_prandom_u32,
    macros::{map, xdp},
    maps::{Array, PerCpuArray},
    programs::XdpContext,
};

use crate::frame::{Config, Frame, Stats};
use crate::layout::*;

#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

#[map]
static STATS: PerCpuArray<[u64; STATS_WORDS]> = PerCpuArray::with_max_entries(1, 0);

/// Lets every frame through: XDP_TX on one end of a veth pair needs a program on the other.
#[xdp]
pub(crate) fn pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Sends UDP back where it came from: what the path itself can carry.
#[xdp]
pub(crate) fn bounce(context: XdpContext) -> u32 {
    match Frame::new(&context).swap_addresses() {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_PASS,
    }
}

/// Counts a reply and turns it into the next query.
#[xdp]
pub(crate) fn generate(context: XdpContext) -> u32 {
    let Some(config) = CONFIG.get(0) else {
        return xdp_action::XDP_PASS;
    };
    let Some(mut stats) = STATS.get_ptr_mut(0).map(Stats::new) else {
        return xdp_action::XDP_PASS;
    };
    let frame = Frame::new(&context);
    match frame.ethertype() {
        Some(ethertype) if ethertype == INJECTED_ETHERTYPE.to_be() => {
            stats.count(INJECTED);
            return restart(&context, config, &mut stats);
        }
        Some(ethertype) if u64::from(ethertype) == config[ETHERTYPE] => {}
        _ => return xdp_action::XDP_PASS,
    }
    let Some(reply) = frame.reply(config) else {
        return xdp_action::XDP_PASS;
    };
    stats.count(REPLIES);
    stats.count(RCODES + reply.rcode);
    if reply.has_answers {
        stats.count(ANSWERED);
    }
    if reply.is_truncated {
        stats.count(TRUNCATED);
    }
    if !reply.matches {
        stats.count(MISMATCHED);
    }
    if config[FLAGS] & FLAG_STOPPED != 0 {
        stats.count(DRAINED);
        return xdp_action::XDP_DROP;
    }
    let Some(surplus) = frame.surplus(config).filter(|_| reply.matches) else {
        return restart(&context, config, &mut stats);
    };
    if surplus as u64 > config[TAIL_ROOM] {
        // The buffer becomes what it was, so that the next answer has no more room than this one.
        if frame::shrink_at_head(&context, surplus).is_none() {
            stats.count(LOST);
            return xdp_action::XDP_DROP;
        }
        return restart(&context, config, &mut stats);
    }
    // The question is the one that was sent: what changes are the headers, the digits, and what follows it.
    if frame.write_head(config).is_none()
        || frame.write_tail(config).is_none()
        || frame.write_query(config, draw(config)).is_none()
    {
        stats.count(LOST);
        return xdp_action::XDP_DROP;
    }
    if surplus != 0 && frame::grow(&context, -surplus).is_none() {
        stats.count(LOST);
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_TX
}

/// Makes a query of a frame that has its length.
#[xdp]
pub(crate) fn flood(context: XdpContext) -> u32 {
    let Some(config) = CONFIG.get(0) else {
        return xdp_action::XDP_DROP;
    };
    let Some(mut stats) = STATS.get_ptr_mut(0).map(Stats::new) else {
        return xdp_action::XDP_DROP;
    };
    if frame::store_template(&context, config).is_none()
        || Frame::new(&context).write_query(config, draw(config)).is_none()
    {
        stats.count(LOST);
        return xdp_action::XDP_DROP;
    }
    stats.count(SENT);
    xdp_action::XDP_TX
}

/// Makes a query of a frame with anything in it.
#[inline(always)]
fn restart(context: &XdpContext, config: &Config, stats: &mut Stats) -> u32 {
    if config[FLAGS] & FLAG_STOPPED != 0 {
        stats.count(DRAINED);
        return xdp_action::XDP_DROP;
    }
    let missing = (config[FRAME_LEN] as i32) - (Frame::new(context).length() as i32);
    if (missing != 0 && frame::grow(context, missing).is_none())
        || frame::store_template(context, config).is_none()
        || Frame::new(context).write_query(config, draw(config)).is_none()
    {
        stats.count(LOST);
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_TX
}

/// Random bits: the number of a name (32), and of a source port (16).
#[inline(always)]
fn draw(config: &Config) -> (u32, u16) {
    // SAFETY: the helper has no preconditions.
    let (first, second) = unsafe { (bpf_get_prandom_u32(), bpf_get_prandom_u32()) };
    (((u64::from(first) * config[NAMES]) >> 32) as u32, second as u16)
}

/// There is nothing to run on the host.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("the programs of the benchmarks are built for the kernel: cargo xtask build-ebpf");
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // What is linked in cannot panic: every index is a constant or checked.
    loop {}
}
