//! The RRs of an answer put into the order that is drawn for it, in the scratch.
//!
//! What the RRs of one RRset differ in is their RDATA, so only these change places. They are of one even length, so
//! the sum of the body stays.

use core::hint::black_box;

use crate::order::{Draw, MOST, Nibbles, Prefixes, arrange, kind};
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

/// Draws the order of the reply's RRs from the scratch's random number, or from the client's prefix, which is one of
/// `prefixes`. The reply is prepared.
#[inline(always)]
pub fn draw_places(scratch: &Scratch, prefixes: Prefixes) -> Nibbles {
    let header = scratch.reply.header;
    let count = header.order_count as u32;
    let weights = list_at(&header) + 2 * header.pointers as usize;
    let draw = Draw {
        random: scratch.random,
        client: scratch.client_words(),
        prefixes,
    };
    let mut places = Nibbles::AS_GIVEN;
    let total = half(scratch, weights) as u32 | (half(scratch, weights + 2) as u32) << 16;
    let weight = |place: u32| half(scratch, weights + 4 + 2 * place as usize);
    arrange(
        &mut places,
        header.order,
        (count, MOST),
        draw.number(header.order),
        (total, weight),
    );
    places
}

/// Puts the RRs of the reply, which is prepared, into this order.
#[inline(always)]
pub fn arrange_rrs(scratch: &mut Scratch, places: Nibbles) {
    if scratch.reply.source == INLINE {
        arrange_inline(scratch, places);
    } else if scratch.reply.header.order_step() as usize == RR_HEAD_BYTES + SHORT {
        gather::<SHORT>(scratch, places);
        // Boxed, here and below: the number of RRs is read again, and verifiers do not remember how far the last loop
        // went.
        put_back::<SHORT>(black_box(scratch));
    } else {
        gather::<LONG>(scratch, places);
        put_back::<LONG>(black_box(scratch));
    }
}

/// A RRs of two words each, with the address in the second.
#[inline(always)]
fn arrange_inline(scratch: &mut Scratch, places: Nibbles) {
    const RRS: usize = INLINE_WORDS / 2;
    let mut tails = [0; RRS];
    for (place, tail) in tails.iter_mut().enumerate() {
        *tail = scratch.inline[(2 * places.at(place as u32) as usize + 1) & (INLINE_WORDS - 1)];
    }
    // What lies behind the last RR is not of the answer.
    for (place, tail) in tails.into_iter().enumerate() {
        scratch.inline[2 * place + 1] = tail;
    }
}

/// Copies RDATA of `OCTETS` octets out of the prepared body, in this order.
#[inline(always)]
fn gather<const OCTETS: usize>(scratch: &mut Scratch, places: Nibbles) {
    let header = scratch.reply.header;
    for place in 0..MOST {
        if place >= header.order_count as u32 {
            break;
        }
        let from = header.order_at() as usize + (RR_HEAD_BYTES + OCTETS) * places.at(place) as usize;
        for index in 0..OCTETS {
            scratch.arranged[place as usize * LONG + index] = octet(scratch, from + index);
        }
    }
}

/// And back into the body.
#[inline(always)]
fn put_back<const OCTETS: usize>(scratch: &mut Scratch) {
    let header = scratch.reply.header;
    for place in 0..MOST {
        if place >= header.order_count as u32 {
            break;
        }
        let to = header.order_at() as usize + (RR_HEAD_BYTES + OCTETS) * place as usize;
        for index in 0..OCTETS {
            set_octet(scratch, to + index, scratch.arranged[place as usize * LONG + index]);
        }
    }
}
