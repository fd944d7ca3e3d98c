//! The one place with packet pointers: bounds-checked views of headers, and the helpers that take a context.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes};
use aya_ebpf::programs::XdpContext;
use dns_common::cookie::OPTION_BYTES;
use dns_common::opaque::opaque;
use dns_common::wire::EXTENDED_ERROR_BYTES;

/// A header that may lie at any address and whose every bit pattern is a value.
///
/// # Safety
/// Only for `repr(C, packed)` structs of integers and arrays of octets.
pub unsafe trait Header: Copy {}

/// Ethernet II.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Ethernet {
    pub destination: Mac,
    pub source: Mac,
    pub ethertype: u16,
}

/// A MAC address, in two words: as octets it would be copied one by one.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Mac {
    pub first: u32,
    pub last: u16,
}

impl Ethernet {
    /// Back to whom it came from.
    #[inline(always)]
    pub fn swap(&mut self) {
        let (first, last) = (self.destination.first, self.destination.last);
        self.destination.first = self.source.first;
        self.destination.last = self.source.last;
        self.source.first = first;
        self.source.last = last;
    }
}

/// An 802.1Q tag and the EtherType behind it.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Vlan {
    pub tag: u16,
    pub ethertype: u16,
}

/// IPv4 without options (RFC 791 §3.1), cut where this program needs it.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    pub total_bytes: u16,
    pub identification: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

/// IPv6 (RFC 8200 §3).
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Ipv6 {
    pub version_class: u8,
    pub class_flow: u8,
    pub flow: u16,
    pub payload_bytes: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: [u64; 2],
    pub destination: [u64; 2],
}

/// UDP (RFC 768).
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Udp {
    pub source: u16,
    pub destination: u16,
    pub bytes: u16,
    pub checksum: u16,
}

/// The header of a DNS message (RFC 1035 §4.1.1).
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Dns {
    pub id: u16,
    /// Flags and the four counts.
    pub tail: [u16; 5],
}

/// Eight octets of a message.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Word {
    pub word: u64,
}

/// Four octets of a message.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Half {
    pub half: u32,
}

/// Two octets of a message.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Number {
    pub number: u16,
}

/// One octet of a message.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Octet {
    pub octet: u8,
}

/// Sixteen octets of a body.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct TwoWords {
    pub first: u64,
    pub second: u64,
}

/// Twelve octets of a body.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct WordAndHalf {
    pub word: u64,
    pub half: u32,
}

/// An OPT RR without options (RFC 6891 §6.1.2), as three words that overlap nothing.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Opt {
    pub head: u64,
    pub middle: u16,
    pub last: u8,
}

/// An OPT RR with the option of cookies (RFC 7873 §4): thirty-nine octets.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct OptWithCookie {
    pub head: u64,
    pub words: [u64; 3],
    pub half: u32,
    pub quarter: u16,
    pub last: u8,
}

/// What IPv6 extension headers begin with (RFC 8200 §4).
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Extension {
    pub next_header: u8,
    /// Groups of eight octets behind the first; nothing in a fragment header.
    pub length: u8,
    /// Of a fragment header: the offset in its upper 13 bits.
    pub fragment: u16,
}

/// An extended error without text (RFC 8914 §2): code, length, INFO-CODE.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct ExtendedError {
    pub words: [u16; 3],
}

// The lengths on the wire.
const _: () = assert!(size_of::<Ethernet>() == 14 && size_of::<Vlan>() == 4 && size_of::<Ipv4>() == 20);
const _: () =
    assert!(size_of::<Ipv6>() == 40 && size_of::<Udp>() == 8 && size_of::<Dns>() == 12 && size_of::<Opt>() == 11);
const _: () = assert!(size_of::<OptWithCookie>() == 11 + OPTION_BYTES);
const _: () = assert!(size_of::<ExtendedError>() == EXTENDED_ERROR_BYTES);

// SAFETY: packed integers all.
unsafe impl Header for Ethernet {}
// SAFETY: packed integers all.
unsafe impl Header for Vlan {}
// SAFETY: packed integers all.
unsafe impl Header for Ipv4 {}
// SAFETY: packed integers all.
unsafe impl Header for Ipv6 {}
// SAFETY: packed integers all.
unsafe impl Header for Udp {}
// SAFETY: packed integers all.
unsafe impl Header for Dns {}
// SAFETY: packed integers all.
unsafe impl Header for Opt {}
// SAFETY: packed integers all.
unsafe impl Header for OptWithCookie {}
// SAFETY: packed integers all.
unsafe impl Header for ExtendedError {}
// SAFETY: packed integers all.
unsafe impl Header for Extension {}
// SAFETY: packed integers all.
unsafe impl Header for Word {}
// SAFETY: a packed integer.
unsafe impl Header for Half {}
// SAFETY: a packed integer.
unsafe impl Header for Number {}
// SAFETY: an octet.
unsafe impl Header for Octet {}
// SAFETY: packed integers all.
unsafe impl Header for TwoWords {}
// SAFETY: packed integers all.
unsafe impl Header for WordAndHalf {}

/// A packet that came in: where it lies, and the interface that it came in by.
pub trait Received {
    /// The frame as it is now.
    fn packet(&self) -> Packet;
    /// Index of the interface.
    fn interface(&self) -> u32;
}

impl Received for XdpContext {
    #[inline(always)]
    fn packet(&self) -> Packet {
        Packet::new(self)
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.ingress_ifindex() as u32
    }
}

/// The frame between the two pointers of the context. Any helper that changes the frame makes it stale: take a new
/// one.
pub struct Packet {
    start: usize,
    end: usize,
}

impl Packet {
    /// The frame as it is now.
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }

    /// A frame in the memory of a test, which outlives what is taken of it.
    #[cfg(test)]
    pub fn of(frame: &[u8]) -> Self {
        let start = frame.as_ptr() as usize;
        let end = start + frame.len();
        Self { start, end }
    }

    /// Octets of the frame.
    #[inline(always)]
    pub fn length(&self) -> usize {
        self.end - self.start
    }

    /// The header at `at`, if the frame has all of it. `at` must be known to be small (at most 0xFFFF).
    #[inline(always)]
    pub fn header<T: Header>(&self, at: usize) -> Option<&T> {
        let from = self.start + at;
        if from + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: all of it lies between the packet's pointers, as just checked (and as the verifier checks again);
        // a `Header` has no alignment and no invalid values.
        Some(unsafe { &*(from as *const T) })
    }

    /// The same, to be written.
    #[inline(always)]
    pub fn header_mut<T: Header>(&mut self, at: usize) -> Option<&mut T> {
        let from = self.start + at;
        if from + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: as above; the frame is this program's alone, and `self` is borrowed meanwhile.
        Some(unsafe { &mut *(from as *mut T) })
    }
}

/// A length for a helper, from `least` (at least 2) to `most`, in a form that verifiers before Linux 6.3 follow: the
/// compiler would fold two comparisons of one value into one of another value, and from `!= 0` they learn nothing.
#[inline(always)]
fn bounded(length: u32, least: u32, most: u32) -> Option<u32> {
    let length = opaque(length as u64);
    if length > most as u64 {
        return None;
    }
    let length = opaque(length);
    if length < least as u64 {
        None
    } else {
        Some(length as u32)
    }
}

/// Copies the first `length` octets of `from` into the frame at `offset`. False where the frame has no room there, or
/// `from` has fewer, or `length` is below `least` (at least 2).
#[inline(always)]
pub fn store<const N: usize>(ctx: &XdpContext, offset: u32, from: &[u8; N], length: u32, least: u32) -> bool {
    let Some(length) = bounded(length, least, N as u32) else {
        return false;
    };
    // SAFETY: the context is the program's own, and `from` has `length` octets, as just checked. The helper only
    // reads from it.
    unsafe { bpf_xdp_store_bytes(ctx.ctx, offset, from.as_ptr().cast_mut().cast(), length) == 0 }
}

/// Copies the first `length` octets of the frame into `to`. False where the frame has fewer, or `to`, or `length` is
/// below `least` (at least 2).
#[inline(always)]
pub fn load<const N: usize>(ctx: &XdpContext, to: &mut [u8; N], length: u32, least: u32) -> bool {
    let Some(length) = bounded(length, least, N as u32) else {
        return false;
    };
    // SAFETY: the context is the program's own, and `to` has room for `length` octets, as just checked.
    unsafe { bpf_xdp_load_bytes(ctx.ctx, 0, to.as_mut_ptr().cast(), length) == 0 }
}

/// Puts `by` octets of whatever there was before the frame in front of it; takes them away where `by` is negative.
/// False where there is no room; then nothing has changed.
#[inline(always)]
pub fn grow_head(ctx: &XdpContext, by: i32) -> bool {
    // SAFETY: the context is the program's own, and every `Packet` is taken anew afterwards.
    unsafe { bpf_xdp_adjust_head(ctx.ctx, -by) == 0 }
}

/// Moves the end of the frame by `by` octets. False where there is no room; then nothing has changed.
#[inline(always)]
pub fn adjust_tail(ctx: &XdpContext, by: i32) -> bool {
    // SAFETY: the context is the program's own, and every `Packet` is taken anew afterwards.
    unsafe { bpf_xdp_adjust_tail(ctx.ctx, by) == 0 }
}

/// The same from `at` on, for memory that the program was lent.
#[inline(always)]
pub fn load_from<const N: usize>(ctx: &XdpContext, at: u32, to: &mut [u8; N], length: u32, least: u32) -> bool {
    let Some(length) = bounded(length, least, N as u32) else {
        return false;
    };
    // SAFETY: the context is the program's own, and `to` has room for `length` octets, as just checked.
    unsafe { bpf_xdp_load_bytes(ctx.ctx, at, to.as_mut_ptr().cast(), length) == 0 }
}
