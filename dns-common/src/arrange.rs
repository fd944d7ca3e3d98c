//! The RRs of an answer put into the order that is drawn for it, in the scratch.
//!
//! What the RRs of one RRset differ in is their RDATA, so only these change places. They are of one even length, so
//! the sum of the body stays.

use crate::order::{MOST, Nibbles, arrange, kind};
use crate::prepare::{half, list_at, octet, set_octet};
use crate::reply::INLINE;
use crate::scratch::{INLINE_WORDS, Scratch};
use crate::slot::RR_HEAD_BYTES;

/// Octets of an IPv4 address.
const SHORT: usize = 4;
/// Octets of an IPv6 address.
const LONG: usize = 16;

/// Whether the reply has RRs whose order is to be drawn.
#[inline(always)]
pub fn needs_arranging(scratch: &Scratch) -> bool {
    scratch.reply.header.order != kind::FIXED
}

/// Puts the RRs of the reply, which is prepared, into the order that the scratch's random number draws.
#[inline(always)]
pub fn arrange_rrs(scratch: &mut Scratch) {
    let header = scratch.reply.header;
    let count = header.order_count as u32;
    let weights = list_at(&header) + 2 * header.pointers as usize;
    let mut places = Nibbles::AS_GIVEN;
    let reader = &*scratch;
    arrange(&mut places, header.order, (count, MOST), scratch.random, |place| {
        half(reader, weights + 2 * place as usize)
    });
    if scratch.reply.source == INLINE {
        arrange_inline(scratch, places, count);
    } else if header.order_step as usize == RR_HEAD_BYTES + SHORT {
        arrange_prepared::<SHORT>(scratch, places, count, header.order_at as usize);
    } else {
        arrange_prepared::<LONG>(scratch, places, count, header.order_at as usize);
    }
}

/// A RRs of two words each, with the address in the second.
#[inline(always)]
fn arrange_inline(scratch: &mut Scratch, places: Nibbles, count: u32) {
    const RRS: usize = INLINE_WORDS / 2;
    let mut tails = [0; RRS];
    for (place, tail) in tails.iter_mut().enumerate() {
        *tail = scratch.inline[(2 * places.at(place as u32) as usize + 1) & (INLINE_WORDS - 1)];
    }
    for (place, tail) in tails.into_iter().enumerate() {
        if (place as u32) < count {
            scratch.inline[2 * place + 1] = tail;
        }
    }
}

/// RDATA of `OCTETS` octets each, the first one at `at` in the prepared body.
#[inline(always)]
fn arrange_prepared<const OCTETS: usize>(scratch: &mut Scratch, places: Nibbles, count: u32, at: usize) {
    let step = RR_HEAD_BYTES + OCTETS;
    for place in 0..MOST {
        if place >= count {
            break;
        }
        let from = at + step * places.at(place) as usize;
        for index in 0..OCTETS {
            scratch.arranged[place as usize * LONG + index] = octet(scratch, from + index);
        }
    }
    for place in 0..MOST {
        if place >= count {
            break;
        }
        let to = at + step * place as usize;
        for index in 0..OCTETS {
            set_octet(scratch, to + index, scratch.arranged[place as usize * LONG + index]);
        }
    }
}
