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
    match lengthen(ctx, by as i32, &mut state.lacking) {
        GROWN => {}
        failed => return failed,
    }
    if store(ctx, 0, &state.front, front, LEAST_FRONT) {
        GROWN
    } else {
        CHANGED
    }
}

/// The two ends of a frame.
trait Ends {
    /// See [`grow_head`].
    fn grow_head(&self, by: i32) -> bool;
    /// See [`adjust_tail`].
    fn adjust_tail(&self, by: i32) -> bool;
}

impl Ends for XdpContext {
    #[inline(always)]
    fn grow_head(&self, by: i32) -> bool {
        grow_head(self, by)
    }

    #[inline(always)]
    fn adjust_tail(&self, by: i32) -> bool {
        adjust_tail(self, by)
    }
}

/// Makes a frame longer by `by` octets: at the head, or at both ends. For example by 300, where the head has 216 octets
/// and the tail 100: the tail gives 64, 32 and 4, the head the other 200.
#[inline(always)]
fn lengthen(ends: &impl Ends, by: i32, room: &mut u64) -> u32 {
    let mut lacking = by;
    if !ends.grow_head(lacking) {
        // The tail gives so many octets and no more: each power of two that it still has is taken.
        for step in (0..=MOST_STEP).rev() {
            let step = 1 << step;
            if lacking >= step && ends.adjust_tail(step) {
                lacking -= step;
            }
            // Otherwise the verifier would follow each sum of steps.
            lacking = forget(room, lacking as u64) as i32;
        }
        if !ends.grow_head(lacking) {
            let taken = by - lacking;
            return if taken == 0 || ends.adjust_tail(-taken) {
                NO_ROOM
            } else {
                CHANGED
            };
        }
    }
    GROWN
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A frame with so many octets of room at its ends, and how much longer it is.
    struct Model {
        head: Cell<i32>,
        tail: Cell<i32>,
        longer: Cell<i32>,
        /// Whether the tail can be taken back.
        can_shrink: bool,
    }

    impl Model {
        fn new(head: i32, tail: i32) -> Self {
            Self {
                head: Cell::new(head),
                tail: Cell::new(tail),
                longer: Cell::new(0),
                can_shrink: true,
            }
        }

        fn take(&self, room: &Cell<i32>, by: i32) -> bool {
            let has_room = by <= room.get();
            if has_room {
                room.set(room.get() - by);
                self.longer.set(self.longer.get() + by);
            }
            has_room
        }
    }

    impl Ends for Model {
        fn grow_head(&self, by: i32) -> bool {
            self.take(&self.head, by)
        }

        fn adjust_tail(&self, by: i32) -> bool {
            (by > 0 || self.can_shrink) && self.take(&self.tail, by)
        }
    }

    #[test]
    fn a_frame_grows_as_far_as_both_ends_have_room() {
        for head in [0, 1, 55, 56, 216, 4390] {
            for tail in [0, 1, 63, 64, 100, 192, 3000, 4389, 4390, 9000] {
                for by in [1, 2, 64, 255, 256, 1000, 4095, 4096, 4390] {
                    let model = Model::new(head, tail);
                    let outcome = lengthen(&model, by, &mut 0);
                    // What the steps can take from the tail: all of it, as far as it is wanted.
                    let has_room = by <= head + tail;
                    let expected = if has_room { (GROWN, by) } else { (NO_ROOM, 0) };
                    assert_eq!((outcome, model.longer.get()), expected, "{head}, {tail}, {by}");
                }
            }
        }
    }

    #[test]
    fn the_head_is_asked_first() {
        let model = Model::new(216, 1000);
        assert_eq!(lengthen(&model, 216, &mut 0), GROWN);
        assert_eq!(model.tail.get(), 1000);
        assert_eq!(lengthen(&model, 300, &mut 0), GROWN);
        assert_eq!((model.head.get(), model.tail.get()), (0, 700));
    }

    #[test]
    fn a_frame_that_cannot_be_as_it_came_is_dropped() {
        let model = Model {
            can_shrink: false,
            ..Model::new(10, 10)
        };
        assert_eq!(lengthen(&model, 21, &mut 0), CHANGED);
    }
}
