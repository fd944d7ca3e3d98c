//! From a decision to a reply: grow the frame, then write it.
//!
//! A frame grows at its tail. Where there is no room behind it, as in the small buffers that sockets make on veth, it
//! grows at its head (`grow`), and headers and question move to the new front.
//!
//! The checksum of the UDP datagram is taken from scratch (what came in may be partial on veth): the sums of the
//! question and of the body are known, the rest is added as it is written.

use aya_ebpf::programs::XdpContext;
use dns_common::checksum;
use dns_common::decide::message_bytes;
use dns_common::opaque::opaque;
use dns_common::prepare::{Body, patch, prepared_octets};
use dns_common::reason::{DropReason, PassReason};
use dns_common::reply::{CACHED, DENIED, INLINE, PREPARED, error_bytes, extended_error, header_tail, opt, opt_cookie};
use dns_common::scratch::{INLINE_WORDS, Scratch, State};
use dns_common::slot::Slot;
use dns_common::wire::{HEADER_BYTES, QUESTION_TAIL_BYTES};

use crate::Verdict;
use crate::grow::grow;
use crate::maps::{self, may_recurse, settings, slot_word};
use crate::packet::{
    self, Dns, Ethernet, ExtendedError, Half, Ipv4, Ipv6, Number, Opt, OptWithCookie, Packet, TwoWords, Udp, Word,
    WordAndHalf, adjust_tail,
};
use crate::parse::{Frame, IPV4_BYTES, UDP_BYTES, ipv4_sum, mapped};

/// TTL and hop limit of our packets.
const HOPS: u8 = 64;
/// The lowest two bits of the IPv4 TOS octet (RFC 3168 §5).
const ECN: u8 = 0x03;
/// Don't fragment; such a packet may have any identification (RFC 6864 §4.1).
const DONT_FRAGMENT: u16 = 0x4000;

/// The smallest RR: root, type, class, TTL, no RDATA.
const RR_BYTES: u32 = 11;

/// The frame has been changed: it can only be dropped.
struct Unfinished;

/// Turns the frame into the reply that the scratch holds.
#[inline(always)]
pub fn respond(ctx: &XdpContext, frame: &Frame, state: &mut State) -> Result<(), Verdict> {
    let scratch = &state.scratch;
    let message = message_bytes(scratch) as usize;
    let ip_bytes = frame.message() - frame.ip + message;
    if ip_bytes > frame.mtu {
        return Err(Verdict::Pass(PassReason::Mtu));
    }
    let now = Packet::new(ctx).length();
    let by = (frame.ip + ip_bytes) as i32 - now as i32;
    if by != 0 && !adjust_tail(ctx, by) {
        let front = frame.message() + HEADER_BYTES + scratch.name_bytes as usize + QUESTION_TAIL_BYTES;
        grow(ctx, by, front)?;
    }
    let room = (&mut state.client_key, &mut state.lacking);
    write(ctx, frame, scratch, room, message).map_err(|Unfinished| Verdict::Drop(DropReason::HalfWritten))
}

/// The client's address, as it lies in memory.
#[inline(always)]
pub fn client(ctx: &XdpContext, frame: &Frame) -> Option<[u64; 2]> {
    let packet = Packet::new(ctx);
    if frame.is_ipv6 {
        let ip: &Ipv6 = packet.header(frame.ip)?;
        Some(ip.source)
    } else {
        let ip: &Ipv4 = packet.header(frame.ip)?;
        Some(mapped(ip.source))
    }
}

#[inline(always)]
fn write(
    ctx: &XdpContext,
    frame: &Frame,
    scratch: &Scratch,
    (room, forgotten): (&mut [u32; 5], &mut u64),
    message: usize,
) -> Result<(), Unfinished> {
    let reply = &scratch.reply;
    let name_bytes = scratch.name_bytes as usize & 0xFF;
    let body_at = frame.message() + HEADER_BYTES + name_bytes + QUESTION_TAIL_BYTES;
    let body_bytes = reply.header.body_bytes as usize & 0xFFF;
    let is_inline = reply.source == INLINE;
    if !is_inline && !store_body(ctx, scratch, body_at as u32) {
        return Err(Unfinished);
    }

    let mut packet = Packet::new(ctx);
    if is_inline {
        write_inline(&mut packet, scratch, body_at, body_bytes)?;
    }
    let ethernet: &mut Ethernet = packet.header_mut(0).ok_or(Unfinished)?;
    ethernet.swap();
    let udp_bytes = UDP_BYTES + message;
    let (client, mut sum) = if frame.is_ipv6 {
        ipv6(packet.header_mut(frame.ip).ok_or(Unfinished)?, udp_bytes)
    } else {
        ipv4(packet.header_mut(frame.ip).ok_or(Unfinished)?, udp_bytes)
    };

    // The header: the ID stays.
    let has_opt = scratch.has_opt != 0;
    // Who gets an answer of an upstream server may use it.
    let mut available = (reply.extra & CACHED != 0) as u64;
    if reply.extra & (CACHED | DENIED) == 0 {
        available = may_recurse(client, room) as u64;
    }
    let available = maps::forget(forgotten, available) as u16 & 1;
    let dns: &mut Dns = packet.header_mut(frame.message()).ok_or(Unfinished)?;
    let tail = header_tail(scratch.query_flags as u16, reply, available, has_opt);
    dns.tail = tail;
    sum += dns.id as u64 + tail[0] as u64 + tail[1] as u64 + tail[2] as u64 + tail[3] as u64 + tail[4] as u64;

    // Question and body start at offsets of the same parity: that of the name's length.
    let mut body = InBody {
        packet: &mut packet,
        from: body_at,
    };
    let body_sum = patch(reply, &mut body).ok_or(Unfinished)?;
    sum += checksum::shift_if(name_bytes & 1 != 0, scratch.question_sum + body_sum);

    let opt_at = body_at + body_bytes;
    let mut error_at = opt_at + size_of::<Opt>();
    if scratch.has_cookie != 0 {
        error_at = opt_at + size_of::<OptWithCookie>();
        let to: &mut OptWithCookie = packet.header_mut(opt_at).ok_or(Unfinished)?;
        let (head, _) = opt(settings().udp_payload, scratch.edns_do as u16);
        let error_bytes = error_bytes(reply.info_code);
        let [first, second, third, fourth] = opt_cookie(scratch.client_cookie, scratch.server_cookie, error_bytes);
        *to = OptWithCookie {
            head,
            words: [first, second, third],
            half: fourth as u32,
            quarter: (fourth >> 32) as u16,
            last: (fourth >> 48) as u8,
        };
        let text = [head, first, second, third, fourth].into_iter().fold(0, checksum::add);
        sum += checksum::shift_if((name_bytes + body_bytes) & 1 != 0, text);
    } else if has_opt {
        let to: &mut Opt = packet.header_mut(opt_at).ok_or(Unfinished)?;
        let (head, middle) = opt(settings().udp_payload, scratch.edns_do as u16);
        let last = error_bytes(reply.info_code) as u8;
        *to = Opt { head, middle, last };
        let text = checksum::add(middle as u64 + last as u64, head);
        sum += checksum::shift_if((name_bytes + body_bytes) & 1 != 0, text);
    }
    if has_opt && reply.info_code != 0 {
        let words = extended_error(reply.info_code);
        let to: &mut ExtendedError = packet.header_mut(error_at & 0x1FFF).ok_or(Unfinished)?;
        *to = ExtendedError { words };
        let [code, length, info_code] = words;
        let text = code as u64 + length as u64 + info_code as u64;
        // Both lengths of an OPT RR are odd.
        sum += checksum::shift_if((name_bytes + body_bytes) & 1 == 0, text);
    }

    // Opaque: that the frame reaches beyond this header was seen above, but of another pointer to the verifier.
    let udp: &mut Udp = packet
        .header_mut(opaque(frame.udp as u64) as usize & 0x3F)
        .ok_or(Unfinished)?;
    (udp.source, udp.destination) = (udp.destination, udp.source);
    udp.bytes = (udp_bytes as u16).to_be();
    sum += udp.source as u64 + udp.destination as u64 + udp.bytes as u64;
    // RFC 768: a checksum of zero means none, so zero is sent as all ones.
    udp.checksum = match !checksum::fold(sum) {
        0 => 0xFFFF,
        checksum => checksum,
    };
    Ok(())
}

/// A body in the packet.
struct InBody<'a> {
    packet: &'a mut Packet,
    from: usize,
}

impl Body for InBody<'_> {
    #[inline(always)]
    fn add(&mut self, at: usize, by: u16) -> Option<()> {
        let to: &mut Number = self.packet.header_mut(self.from + (at & 0xFFF))?;
        to.number = u16::from_be(to.number).wrapping_add(by).to_be();
        Some(())
    }

    #[inline(always)]
    fn set(&mut self, at: usize, octets: [u8; 4]) -> Option<()> {
        let to: &mut Half = self.packet.header_mut(self.from + (at & 0xFFF))?;
        to.half = u32::from_ne_bytes(octets);
        Some(())
    }
}

/// Writes the IPv4 header; gives the client's address and the sum of the pseudo-header (RFC 768).
#[inline(always)]
fn ipv4(ip: &mut Ipv4, udp_bytes: usize) -> ([u64; 2], u64) {
    let client = ip.source;
    (ip.source, ip.destination) = (ip.destination, client);
    ip.tos &= !ECN;
    ip.total_bytes = ((IPV4_BYTES + udp_bytes) as u16).to_be();
    ip.identification = 0;
    ip.fragment = DONT_FRAGMENT.to_be();
    ip.ttl = HOPS;
    ip.checksum = 0;
    ip.checksum = !checksum::fold(ipv4_sum(ip));
    (
        mapped(client),
        pseudo(ip.source as u64 + ip.destination as u64, udp_bytes),
    )
}

/// Writes the IPv6 header; gives the client's address and the sum of the pseudo-header (RFC 8200 §8.1).
#[inline(always)]
fn ipv6(ip: &mut Ipv6, udp_bytes: usize) -> ([u64; 2], u64) {
    let client = ip.source;
    let ours = ip.destination;
    ip.source = ours;
    ip.destination = client;
    // The ECN bits of the traffic class are bits 4 and 5 of the second octet.
    ip.class_flow &= !(ECN << 4);
    ip.payload_bytes = (udp_bytes as u16).to_be();
    ip.hop_limit = HOPS;
    let clients = checksum::add(checksum::add(0, client[0]), client[1]);
    let addresses = checksum::add(checksum::add(clients, ours[0]), ours[1]);
    (client, pseudo(addresses, udp_bytes))
}

/// Addresses, protocol and length.
#[inline(always)]
fn pseudo(addresses: u64, udp_bytes: usize) -> u64 {
    addresses + (17u16.to_be() as u64) + ((udp_bytes as u16).to_be() as u64)
}

/// Copies the body behind the question.
#[inline(always)]
fn store_body(ctx: &XdpContext, scratch: &Scratch, at: u32) -> bool {
    let reply = &scratch.reply;
    let length = reply.header.body_bytes as u32;
    if length == 0 {
        return true;
    }
    match reply.source {
        1 => store_inline(ctx, maps::SLOTS_0.get(reply.slot), at, length).is_some(),
        2 => store_inline(ctx, maps::SLOTS_1.get(reply.slot), at, length).is_some(),
        3 => store_inline(ctx, maps::SLOTS_2.get(reply.slot), at, length).is_some(),
        4 => store_slot(ctx, maps::SLOTS_3.get(reply.slot), at, length),
        5 => store_slot(ctx, maps::SLOTS_4.get(reply.slot), at, length),
        6 => store_slot(ctx, maps::SLOTS_5.get(reply.slot), at, length),
        7 => store_slot(ctx, maps::SLOTS_6.get(reply.slot), at, length),
        PREPARED => packet::store(ctx, at, prepared_octets(scratch), length, RR_BYTES),
        _ => false,
    }
}

/// Writes the inline answers, 16 octets at a time; the last 12 of an AAAA's 28.
#[inline(always)]
fn write_inline(packet: &mut Packet, scratch: &Scratch, at: usize, body_bytes: usize) -> Result<(), Unfinished> {
    for pair in 0..INLINE_WORDS / 2 {
        if 16 * (pair + 1) > body_bytes {
            break;
        }
        let to: &mut TwoWords = packet.header_mut(at + 16 * pair).ok_or(Unfinished)?;
        *to = TwoWords {
            first: scratch.inline[2 * pair],
            second: scratch.inline[2 * pair + 1],
        };
    }
    if body_bytes & 15 != 0 {
        let to: &mut WordAndHalf = packet.header_mut(at + 16).ok_or(Unfinished)?;
        *to = WordAndHalf {
            word: scratch.inline[2],
            half: scratch.inline[3] as u32,
        };
    }
    Ok(())
}

/// The same as [`store_slot`] without a call: sixteen octets at a time, the last sixteen over some of those before.
#[inline(always)]
fn store_inline<const BODY: usize>(ctx: &XdpContext, slot: Option<&Slot<BODY>>, at: u32, length: u32) -> Option<()> {
    let octets = &slot?.octets;
    let mut packet = Packet::new(ctx);
    let (at, length) = (at as usize, length as usize);
    if length < 16 {
        let last = opaque(length.checked_sub(8)? as u64 & 0x07) as usize;
        packet.header_mut::<Word>(at)?.word = slot_word(octets, 0)?;
        packet.header_mut::<Word>(at + last)?.word = slot_word(octets, last)?;
        return Some(());
    }
    for index in 0..BODY / 16 {
        if 16 * (index + 1) > length {
            break;
        }
        *packet.header_mut(at + 16 * index)? = two_words(octets, 16 * index)?;
    }
    if length & 15 != 0 {
        let last = opaque((length - 16) as u64 & 0xFF) as usize;
        *packet.header_mut(at + last)? = two_words(octets, last)?;
    }
    Some(())
}

#[inline(always)]
fn two_words<const BODY: usize>(octets: &[u8; BODY], at: usize) -> Option<TwoWords> {
    Some(TwoWords {
        first: slot_word(octets, at)?,
        second: slot_word(octets, at + 8)?,
    })
}

#[inline(always)]
fn store_slot<const BODY: usize>(ctx: &XdpContext, slot: Option<&Slot<BODY>>, at: u32, length: u32) -> bool {
    slot.is_some_and(|slot| packet::store(ctx, at, &slot.octets, length, RR_BYTES))
}
