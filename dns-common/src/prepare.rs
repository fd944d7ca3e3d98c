//! The last step before a body is sent: pointers that move with the question's length, and the zone's serial.
//!
//! Most bodies need neither, and are sent as they lie in their slot. The others are copied into the scratch and
//! patched there: a stored answer is never written, and neither is a packet before it is complete.

use crate::checksum;
use crate::order::{WEIGHT_NUMBERS, kind};
use crate::reason::PassReason;
use crate::reply::{INLINE, PREPARED};
use crate::scratch::{PREPARED_CLASSES, PREPARED_WORDS, Scratch};
use crate::slot::{MAX_POINTERS, NO_SERIAL, SlotHeader};
use crate::table::Table;

/// Whether the reply's body is not final as it lies.
#[inline(always)]
pub fn needs_preparation(scratch: &Scratch) -> bool {
    let reply = &scratch.reply;
    reply.source != INLINE
        && (reply.header.serial_at != NO_SERIAL
            || reply.header.order != kind::FIXED
            || (reply.raise != 0 && reply.header.pointers != 0))
}

/// Makes the reply's body final. Afterwards `reply.source` says where it is, and `reply.header.sum` is its sum.
#[inline(always)]
pub fn prepare<T: Table>(scratch: &mut Scratch, table: &T) -> Result<(), PassReason> {
    let reply = scratch.reply;
    let moves = reply.raise != 0 && reply.header.pointers != 0;
    let has_serial = reply.header.serial_at != NO_SERIAL;
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
        let raised = u16::from_be_bytes([octet(scratch, at), octet(scratch, at + 1)]).wrapping_add(reply.raise as u16);
        let [high, low] = raised.to_be_bytes();
        set_octet(scratch, at, high);
        set_octet(scratch, at + 1, low);
        sum += checksum::swap_if(at & 1 == 0, reply.raise as u16) as u64;
    }
    if has_serial {
        let at = reply.header.serial_at as usize;
        let [a, b, c, d] = reply.serial.to_be_bytes();
        set_octet(scratch, at, a);
        set_octet(scratch, at + 1, b);
        set_octet(scratch, at + 2, c);
        set_octet(scratch, at + 3, d);
        // It stands where the compiled body has zeros.
        let serial = checksum::fold(u32::from_le_bytes([a, b, c, d]) as u64);
        sum += checksum::swap_if(at & 1 != 0, serial) as u64;
    }
    scratch.reply.header.sum = checksum::fold(sum);
    scratch.reply.source = PREPARED;
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
