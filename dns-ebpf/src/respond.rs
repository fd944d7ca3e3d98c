//! From a decision to a reply: grow the frame, then write it.
//!
//! The checksum of the UDP datagram is taken from scratch (what came in may be partial on veth): the sums of the
//! question and of the body are known, the rest is added as it is written.

use core::hint::black_box;

use aya_ebpf::programs::XdpContext;
use dns_common::address::mapped;
use dns_common::checksum;
use dns_common::decide::message_bytes;
use dns_common::reason::{DropReason, PassReason};
use dns_common::reply::{Reply, header_tail, opt};
use dns_common::scratch::{INLINE_WORDS, Scratch};
use dns_common::slot::{CLASS_BYTES, MAX_POINTERS, NO_SERIAL, SLOT_HEADER_BYTES, Slot};
use dns_common::wire::{HEADER_BYTES, OPT_BYTES, QUESTION_TAIL_BYTES};

use crate::Verdict;
use crate::maps::{self, may_recurse, settings, state};
use crate::packet::{self, Packet, adjust_tail};
use crate::parse::{Frame, IPV4_BYTES, IPV6_BYTES, UDP_BYTES};

/// TTL and hop limit of our packets.
const HOPS: u8 = 64;
/// The lowest two bits of the IPv4 TOS octet (RFC 3168 §5).
const ECN: u8 = 0x03;
/// Don't fragment; such a packet may have any identification (RFC 6864 §4.1).
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

/// The frame has been changed: it can only be dropped.
struct Unfinished;

/// Turns the frame into the reply that the scratch holds.
#[inline(always)]
pub fn respond(ctx: &XdpContext, frame: &Frame) -> Result<(), Verdict> {
    let Some(state) = state() else {
        return Err(Verdict::Pass(PassReason::Internal));
    };
    let scratch = &mut state.scratch;
    let message = message_bytes(scratch) as usize;
    let ip_bytes = frame.message() - frame.ip + message;
    if ip_bytes > frame.mtu {
        return Err(Verdict::Pass(PassReason::Mtu));
    }
    let now = Packet::new(ctx).length();
    let by = (frame.ip + ip_bytes) as i32 - now as i32;
    if by != 0 && !adjust_tail(ctx, by) {
        return Err(Verdict::Pass(PassReason::NoRoom));
    }
    write(ctx, frame, scratch, message).map_err(|Unfinished| Verdict::Drop(DropReason::HalfWritten))
}

#[inline(always)]
fn write(ctx: &XdpContext, frame: &Frame, scratch: &Scratch, message: usize) -> Result<(), Unfinished> {
    let reply = &scratch.reply;
    let name_bytes = scratch.name_bytes as usize & 0xFF;
    let body = HEADER_BYTES + name_bytes + QUESTION_TAIL_BYTES;
    let body_bytes = reply.header.body_bytes as usize & 0xFFF;
    let body_at = frame.message() + body;
    store_body(ctx, scratch, body_at as u32)?;

    let mut packet = Packet::new(ctx);
    swap_macs(&mut packet)?;
    let udp_bytes = UDP_BYTES + message;
    let (client, mut sum) = if frame.is_ipv6 {
        ipv6(&mut packet, frame.ip, udp_bytes)?
    } else {
        ipv4(&mut packet, frame.ip, udp_bytes)?
    };

    let udp: [u8; UDP_BYTES] = packet.read(frame.udp()).ok_or(Unfinished)?;
    let length = (udp_bytes as u16).to_be_bytes();
    let ports = [udp[2], udp[3], udp[0], udp[1], length[0], length[1], 0, 0];
    sum = checksum::add(sum, u64::from_le_bytes(ports));

    // The header: the ID stays.
    let id: [u8; 2] = packet.read(frame.message()).ok_or(Unfinished)?;
    let has_opt = scratch.has_opt != 0;
    let tail = header_tail(scratch.query_flags as u16, &reply.header, may_recurse(client), has_opt);
    packet.write(frame.message() + 2, tail).ok_or(Unfinished)?;
    sum += u16::from_le_bytes(id) as u64;
    for pair in 0..5 {
        sum += u16::from_le_bytes([tail[2 * pair], tail[2 * pair + 1]]) as u64;
    }

    // Question and body start at offsets of the same parity: that of the name's length.
    let mut text = checksum::add(scratch.question_sum, reply.header.sum as u64);
    text += raise_pointers(&mut packet, reply, body_at)?;
    text += patch_serial(&mut packet, reply, body_at)?;
    sum += checksum::swap_if(name_bytes & 1 != 0, checksum::fold(text)) as u64;

    if has_opt {
        let opt = opt(settings().udp_payload, scratch.edns_do as u16);
        packet.write(body_at + body_bytes, opt).ok_or(Unfinished)?;
        let mut text = 0u64;
        for pair in 0..OPT_BYTES / 2 {
            text += u16::from_le_bytes([opt[2 * pair], opt[2 * pair + 1]]) as u64;
        }
        text += opt[OPT_BYTES - 1] as u64;
        sum += checksum::swap_if((name_bytes + body_bytes) & 1 != 0, checksum::fold(text)) as u64;
    }

    // RFC 768: a checksum of zero means none, so zero is sent as all ones.
    let checksum = match !checksum::fold(sum) {
        0 => 0xFFFF,
        checksum => checksum,
    };
    let check = checksum.to_le_bytes();
    packet
        .write(
            frame.udp(),
            [
                ports[0], ports[1], ports[2], ports[3], length[0], length[1], check[0], check[1],
            ],
        )
        .ok_or(Unfinished)
}

#[inline(always)]
fn swap_macs(packet: &mut Packet) -> Result<(), Unfinished> {
    let macs: [u8; 12] = packet.read(0).ok_or(Unfinished)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = macs;
    packet
        .write(0, [s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5])
        .ok_or(Unfinished)
}

/// Writes the IPv4 header; gives the client's address and the sum of the pseudo-header (RFC 768).
#[inline(always)]
fn ipv4(packet: &mut Packet, ip: usize, udp_bytes: usize) -> Result<([u8; 16], u64), Unfinished> {
    let mut header: [u8; IPV4_BYTES] = packet.read(ip).ok_or(Unfinished)?;
    let client = [header[12], header[13], header[14], header[15]];
    let ours = [header[16], header[17], header[18], header[19]];
    let total = ((IPV4_BYTES + udp_bytes) as u16).to_be_bytes();
    header[1] &= !ECN;
    header[2] = total[0];
    header[3] = total[1];
    header[4] = 0;
    header[5] = 0;
    header[6] = DONT_FRAGMENT[0];
    header[7] = DONT_FRAGMENT[1];
    header[8] = HOPS;
    header[10] = 0;
    header[11] = 0;
    header[12..16].copy_from_slice(&ours);
    header[16..20].copy_from_slice(&client);
    let mut sum = 0u64;
    for pair in 0..IPV4_BYTES / 2 {
        sum += u16::from_le_bytes([header[2 * pair], header[2 * pair + 1]]) as u64;
    }
    let check = (!checksum::fold(sum)).to_le_bytes();
    header[10] = check[0];
    header[11] = check[1];
    packet.write(ip, header).ok_or(Unfinished)?;
    let addresses = u32::from_le_bytes(client) as u64 + u32::from_le_bytes(ours) as u64;
    Ok((mapped(client), pseudo(addresses, udp_bytes)))
}

/// Writes the IPv6 header; gives the client's address and the sum of the pseudo-header (RFC 8200 §8.1).
#[inline(always)]
fn ipv6(packet: &mut Packet, ip: usize, udp_bytes: usize) -> Result<([u8; 16], u64), Unfinished> {
    let header: [u8; IPV6_BYTES] = packet.read(ip).ok_or(Unfinished)?;
    let length = (udp_bytes as u16).to_be_bytes();
    // The ECN bits of the traffic class are bits 4 and 5 of the second octet.
    let start = [
        header[0],
        header[1] & !(ECN << 4),
        header[2],
        header[3],
        length[0],
        length[1],
        header[6],
        HOPS,
    ];
    let mut client = [0; 16];
    client.copy_from_slice(&header[8..24]);
    let mut ours = [0; 16];
    ours.copy_from_slice(&header[24..40]);
    packet.write(ip, start).ok_or(Unfinished)?;
    packet.write(ip + 8, ours).ok_or(Unfinished)?;
    packet.write(ip + 24, client).ok_or(Unfinished)?;
    let mut addresses = 0u64;
    for word in 0..4 {
        let at = 8 + 8 * word;
        let word = u64::from_le_bytes([
            header[at],
            header[at + 1],
            header[at + 2],
            header[at + 3],
            header[at + 4],
            header[at + 5],
            header[at + 6],
            header[at + 7],
        ]);
        addresses = checksum::add(addresses, word);
    }
    Ok((client, pseudo(addresses, udp_bytes)))
}

/// Addresses, protocol and length.
#[inline(always)]
fn pseudo(addresses: u64, udp_bytes: usize) -> u64 {
    addresses + (17u16.to_be() as u64) + ((udp_bytes as u16).to_be() as u64)
}

/// Copies the body behind the question.
#[inline(always)]
fn store_body(ctx: &XdpContext, scratch: &Scratch, at: u32) -> Result<(), Unfinished> {
    let reply = &scratch.reply;
    let length = reply.header.body_bytes as u32;
    if length == 0 {
        return Ok(());
    }
    let stored = match reply.source {
        0 => store_inline(ctx, scratch, at, length),
        1 => maps::SLOTS_0
            .get_ptr(reply.slot)
            .is_some_and(|slot| store_slot(ctx, slot, at, length)),
        2 => maps::SLOTS_1
            .get_ptr(reply.slot)
            .is_some_and(|slot| store_slot(ctx, slot, at, length)),
        3 => maps::SLOTS_2
            .get_ptr(reply.slot)
            .is_some_and(|slot| store_slot(ctx, slot, at, length)),
        4 => maps::SLOTS_3
            .get_ptr(reply.slot)
            .is_some_and(|slot| store_slot(ctx, slot, at, length)),
        5 => maps::SLOTS_4
            .get_ptr(reply.slot)
            .is_some_and(|slot| store_slot(ctx, slot, at, length)),
        6 => maps::SLOTS_5
            .get_ptr(reply.slot)
            .is_some_and(|slot| store_slot(ctx, slot, at, length)),
        _ => false,
    };
    if stored { Ok(()) } else { Err(Unfinished) }
}

#[inline(always)]
fn store_inline(ctx: &XdpContext, scratch: &Scratch, at: u32, length: u32) -> bool {
    let length = black_box(length);
    if length == 0 || length > 8 * INLINE_WORDS as u32 {
        return false;
    }
    // SAFETY: the inline answers have room for `length` octets, as just checked.
    unsafe { packet::store(ctx, at, scratch.inline.as_ptr().cast(), length) }
}

#[inline(always)]
fn store_slot<const BODY: usize>(ctx: &XdpContext, slot: *const Slot<BODY>, at: u32, length: u32) -> bool {
    let length = black_box(length);
    if length == 0 || length > BODY as u32 {
        return false;
    }
    // SAFETY: the slot is the map's, its octets follow its header, and `length` of them are inside, as just checked.
    unsafe { packet::store(ctx, at, slot.cast::<u8>().add(SLOT_HEADER_BYTES), length) }
}

/// Raises the listed pointers by what the question is longer than the base; gives what that adds to the body's sum.
#[inline(always)]
fn raise_pointers(packet: &mut Packet, reply: &Reply, body_at: usize) -> Result<u64, Unfinished> {
    if reply.raise == 0 || reply.header.pointers == 0 {
        return Ok(0);
    }
    let mut added = 0u64;
    let count = reply.header.pointers as usize;
    // Pointers lie behind the body, after a pad octet where its length is odd.
    let list = (reply.header.body_bytes as usize + 1) & !1;
    for index in 0..MAX_POINTERS {
        if index >= count {
            break;
        }
        let at = pointer(reply, list + 2 * index).ok_or(Unfinished)? as usize & 0xFFF;
        let old: [u8; 2] = packet.read(body_at + at).ok_or(Unfinished)?;
        let new = u16::from_be_bytes(old).wrapping_add(reply.raise as u16);
        packet.write(body_at + at, new.to_be_bytes()).ok_or(Unfinished)?;
        added += checksum::swap_if(at & 1 == 0, reply.raise as u16) as u64;
    }
    Ok(added)
}

/// One entry of the slot's list of pointers.
#[inline(always)]
fn pointer(reply: &Reply, at: usize) -> Option<u16> {
    match reply.source {
        1 => entry(maps::SLOTS_0.get_ptr(reply.slot)?, at),
        2 => entry(maps::SLOTS_1.get_ptr(reply.slot)?, at),
        3 => entry(maps::SLOTS_2.get_ptr(reply.slot)?, at),
        4 => entry(maps::SLOTS_3.get_ptr(reply.slot)?, at),
        5 => entry(maps::SLOTS_4.get_ptr(reply.slot)?, at),
        6 => entry(maps::SLOTS_5.get_ptr(reply.slot)?, at),
        _ => None,
    }
}

#[inline(always)]
fn entry<const BODY: usize>(slot: *const Slot<BODY>, at: usize) -> Option<u16> {
    let at = black_box(at);
    if at > BODY - 2 {
        return None;
    }
    // SAFETY: two octets inside the slot's octets, as just checked; the list is at an even offset.
    Some(unsafe { core::ptr::read_volatile(slot.cast::<u8>().add(SLOT_HEADER_BYTES + (at & !1)).cast::<u16>()) })
}

/// Writes the zone's serial where the body has a SOA; gives what that adds to the body's sum.
#[inline(always)]
fn patch_serial(packet: &mut Packet, reply: &Reply, body_at: usize) -> Result<u64, Unfinished> {
    if reply.header.serial_at == NO_SERIAL {
        return Ok(0);
    }
    let at = reply.header.serial_at as usize & 0xFFF;
    let octets = reply.serial.to_be_bytes();
    packet.write(body_at + at, octets).ok_or(Unfinished)?;
    // It stands where the compiled body has zeros.
    let sum = checksum::fold(u32::from_le_bytes(octets) as u64);
    Ok(checksum::swap_if(at & 1 != 0, sum) as u64)
}

const _: () = assert!(CLASS_BYTES[0] > SLOT_HEADER_BYTES);
