//! Frames that their tail gives no room for an answer: small buffers, as sockets make them on veth.
//!
//! ```text
//!            headers, question                        as it came
//!   ┌───────┬──────────────────┐
//!   │       │ headers, question│  grown at the head: what stood there is not looked at
//!   └───────┴──────────────────┘
//!   headers, question │        │  moved to the new front; behind it is room for the answer
//! ```
//!
//! The head is asked first: drivers leave 256 octets there, of which the kernel keeps 40, and growing into it clears
//! nothing. Where that is not enough, the tail gives what it has and the head the rest. Network cards have tails for
//! answers of any size, so that this is for veth and for XDP in generic mode.
//!
//! Until the front is written to its new place the packet is as it came, once both ends are where they were.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use dns_common::reason::{DropReason, PassReason};

use crate::Verdict;
use crate::maps::{forget, state};
use crate::packet::{adjust_tail, grow_head, load, store};

/// Both ends are where they must be, and the front is at the front.
const GROWN: u32 = 0;
/// Neither end has the room; the packet is as it came.
const NO_ROOM: u32 = 1;
/// Nothing was changed, and something failed that does not fail.
const INTERNAL: u32 = 2;

/// The packet is no longer as it came: it can only be dropped.
const CHANGED: u32 = 3;

/// The greatest power of two that a tail is asked for: answers have up to 4,390 octets.
const MOST_STEP: u32 = 12;
/// Octets of the smallest front: Ethernet, IPv4, UDP, and the question for the root.
const LEAST_FRONT: u32 = 14 + 20 + 8 + 12 + 5;

/// Makes the frame longer by `by` octets, where its tail alone does not. Its first `front` octets stay its first.
#[inline(always)]
pub fn grow(ctx: &XdpContext, by: i32, front: usize) -> Result<(), Verdict> {
    match hotdns_grow(ctx.ctx, black_box(by as u32), black_box(front as u32)) {
        GROWN => Ok(()),
        NO_ROOM => Err(Verdict::Pass(PassReason::NoRoom)),
        INTERNAL => Err(Verdict::Pass(PassReason::Internal)),
        _ => Err(Verdict::Drop(DropReason::HalfWritten)),
    }
}

/// The verifier checks it once, apart from the common way, which only has a call more in it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn hotdns_grow(ctx: *mut xdp_md, by: u32, front: u32) -> u32 {
    let ctx = &XdpContext::new(ctx);
    let Some(state) = state() else { return INTERNAL };
    if by as i32 <= 0 || !load(ctx, &mut state.front, front, LEAST_FRONT) {
        return INTERNAL;
    }
    let mut lacking = by as i32;
    if !grow_head(ctx, lacking) {
        // The tail gives so many octets and no more: each power of two that it still has is taken.
        for step in (0..=MOST_STEP).rev() {
            let step = 1 << step;
            if lacking >= step && adjust_tail(ctx, step) {
                lacking -= step;
            }
            // Otherwise the verifier would follow each sum of steps.
            lacking = forget(&mut state.lacking, lacking as u64) as i32;
        }
        if !grow_head(ctx, lacking) {
            let taken = by as i32 - lacking;
            return if taken == 0 || adjust_tail(ctx, -taken) {
                NO_ROOM
            } else {
                CHANGED
            };
        }
    }
    if store(ctx, 0, &state.front, front, LEAST_FRONT) {
        GROWN
    } else {
        CHANGED
    }
}
