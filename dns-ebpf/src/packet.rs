//! The one place with packet pointers: bounds-checked views of headers, and the helpers that take a context.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes};
use aya_ebpf::programs::XdpContext;

/// A header that may lie at any address and whose every bit pattern is a value.
///
/// # Safety
/// Only for `repr(C, packed)` structs of integers and arrays of octets.
pub unsafe trait Header: Copy {}

/// Ethernet II.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Ethernet {
    /// The first four octets of the destination, then the last two; the source alike.
    pub destination: (u32, u16),
    pub source: (u32, u16),
    pub ethertype: u16,
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
    pub source: (u64, u64),
    pub destination: (u64, u64),
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

/// An OPT RR without options (RFC 6891 §6.1.2), as three words that overlap nothing.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Opt {
    pub head: u64,
    pub middle: u16,
    pub last: u8,
}

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

/// Copies `length` octets of the frame from `offset` to `to`. False where the frame has fewer.
///
/// # Safety
/// `to` must be valid for writes of `length` octets.
#[inline(always)]
pub unsafe fn load(ctx: &XdpContext, offset: u32, to: *mut u8, length: u32) -> bool {
    // SAFETY: the context is the program's own; `to` by the caller.
    unsafe { bpf_xdp_load_bytes(ctx.ctx, offset, to.cast(), length) == 0 }
}

/// Copies `length` octets from `from` into the frame at `offset`. False where the frame has no room there.
///
/// # Safety
/// `from` must be valid for reads of `length` octets.
#[inline(always)]
pub unsafe fn store(ctx: &XdpContext, offset: u32, from: *const u8, length: u32) -> bool {
    // SAFETY: the context is the program's own; `from` by the caller. The helper only reads from it.
    unsafe { bpf_xdp_store_bytes(ctx.ctx, offset, from.cast_mut().cast(), length) == 0 }
}

/// Moves the end of the frame by `by` octets. False where there is no room; then nothing has changed.
#[inline(always)]
pub fn adjust_tail(ctx: &XdpContext, by: i32) -> bool {
    // SAFETY: the context is the program's own, and every `Packet` is taken anew afterwards.
    unsafe { bpf_xdp_adjust_tail(ctx.ctx, by) == 0 }
}
