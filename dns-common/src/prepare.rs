//! The last step before a body is sent: pointers that move with the question's length, and the zone's serial.
//!
//! Most bodies need neither, and are sent as they lie in their slot. A few places are patched where the body is sent
//! ([`patch`]); a stored answer is never written. What has many, or an order, is copied into the scratch and made final
//! there ([`prepare`]).

use crate::checksum;
use crate::order::{WEIGHT_NUMBERS, kind};
use crate::reason::PassReason;
use crate::reply::{INLINE, PREPARED, Reply};
use crate::scratch::{PREPARED_CLASSES, PREPARED_WORDS, Scratch};
use crate::slot::{MAX_POINTERS, PLACES, SlotHeader};
use crate::table::Table;

/// A body that is being sent, wherever it lies.
pub trait Body {
    /// Adds to the number of two octets at `at`, in network order. `None` where the body does not reach so far.
    fn add(&mut self, at: usize, by: u16) -> Option<()>;
    /// Writes four octets at `at`.
    fn set(&mut self, at: usize, octets: [u8; 4]) -> Option<()>;
}

/// Makes a reply's body final, which was copied as it lies in its slot, and gives its sum, which is not folded.
#[inline(always)]
pub fn patch<B: Body>(reply: &Reply, body: &mut B) -> Option<u64> {
    let header = &reply.header;
    let mut sum = header.sum as u64;
    if reply.raise != 0 && header.has_places() {
        let by = reply.raise as u16;
        let mut places = header.places;
        for index in 0..PLACES {
            if index >= header.pointers as usize {
                break;
            }
            let at = places as usize & 0xFF;
            places >>= 8;
            body.add(at, by)?;
            sum += raised(at, by);
        }
    }
    if header.has_serial() {
        let at = header.serial_at() as usize;
        let octets = reply.serial.to_be_bytes();
        body.set(at, octets)?;
        sum += serial_sum(at, octets);
    }
    Some(sum)
}

/// What the sum of a body grows by where a pointer at `at` is raised.
#[inline(always)]
fn raised(at: usize, by: u16) -> u64 {
    checksum::shift_if(at & 1 == 0, by as u64)
}

/// What it grows by where the serial is written: there the compiled body has zeros.
#[inline(always)]
fn serial_sum(at: usize, octets: [u8; 4]) -> u64 {
    checksum::shift_if(at & 1 != 0, u32::from_le_bytes(octets) as u64)
}

/// Whether the reply's body cannot be patched where it is sent.
#[inline(always)]
pub fn needs_preparation(scratch: &Scratch) -> bool {
    let reply = &scratch.reply;
    let moves = reply.raise != 0 && reply.header.pointers != 0;
    reply.source != INLINE && (reply.header.order != kind::FIXED || (moves && !reply.header.has_places()))
}

/// Makes the reply's body final, where it needs that. Afterwards `reply.source` says where it is, and
/// `reply.header.sum` is its sum.
#[inline(always)]
pub fn prepare<T: Table>(scratch: &mut Scratch, table: &T) -> Result<(), PassReason> {
    let reply = scratch.reply;
    let moves = reply.raise != 0 && reply.header.pointers != 0;
    let has_serial = reply.header.has_serial();
    if !needs_preparation(scratch) {
        return Ok(());
    }
    let list = list_at(&reply.header);
    let pointers = if moves { reply.header.pointers as usize } else { 0 };
    let mut octets = list + 2 * pointers;
    if reply.header.order == kind::WEIGHTED {
        octets = list + 2 * (reply.header.pointers as usize + WEIGHT_NUMBERS);
    }
    // The larger classes do not fit the scratch; what is in one of them may be shorter, but for its pointers.
    if reply.source > PREPARED_CLASSES || octets > 8 * PREPARED_WORDS {
        return Err(PassReason::TooLarge);
    }
    let words = octets.div_ceil(8);
    if !table.copy_body(reply.source - 1, reply.slot, words as u32, &mut scratch.prepared) {
        return Err(PassReason::Internal);
    }
    let mut sum = reply.header.sum as u64;
    for index in 0..MAX_POINTERS {
        if index >= pointers {
            break;
        }
        let at = half(scratch, list + 2 * index) as usize;
        let raised_to =
            u16::from_be_bytes([octet(scratch, at), octet(scratch, at + 1)]).wrapping_add(reply.raise as u16);
        let [high, low] = raised_to.to_be_bytes();
        set_octet(scratch, at, high);
        set_octet(scratch, at + 1, low);
        sum += raised(at, reply.raise as u16);
    }
    if has_serial {
        let at = reply.header.serial_at() as usize;
        let [a, b, c, d] = reply.serial.to_be_bytes();
        set_octet(scratch, at, a);
        set_octet(scratch, at + 1, b);
        set_octet(scratch, at + 2, c);
        set_octet(scratch, at + 3, d);
        sum += serial_sum(at, [a, b, c, d]);
    }
    scratch.reply.header.sum = checksum::fold(sum);
    scratch.reply.source = PREPARED;
    // Nothing is left to be patched.
    scratch.reply.raise = 0;
    scratch.reply.header.clear_serial();
    Ok(())
}

/// Where the list of pointers lies, and that of weights behind it: behind the body, at an even offset.
#[inline(always)]
pub(crate) const fn list_at(header: &SlotHeader) -> usize {
    (header.body_bytes as usize + 1) & !1
}

/// The prepared body and what lies behind it.
#[inline(always)]
pub fn prepared_octets(scratch: &Scratch) -> &[u8; 8 * PREPARED_WORDS] {
    bytemuck::cast_ref(&scratch.prepared)
}

/// One octet of the prepared body.
#[inline(always)]
pub(crate) fn octet(scratch: &Scratch, at: usize) -> u8 {
    prepared_octets(scratch)[at & (8 * PREPARED_WORDS - 1)]
}

#[inline(always)]
pub(crate) fn set_octet(scratch: &mut Scratch, at: usize, value: u8) {
    let octets: &mut [u8; 8 * PREPARED_WORDS] = bytemuck::cast_mut(&mut scratch.prepared);
    octets[at & (8 * PREPARED_WORDS - 1)] = value;
}

/// Two octets in host order, as the writer of the slot put them.
#[inline(always)]
pub(crate) fn half(scratch: &Scratch, at: usize) -> u16 {
    u16::from_le_bytes([octet(scratch, at), octet(scratch, at + 1)])
}
