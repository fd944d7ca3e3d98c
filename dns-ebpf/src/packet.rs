//! The one place with packet pointers: bounds-checked reads and writes, and the helpers that take a context.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes};
use aya_ebpf::programs::XdpContext;

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

    /// `N` octets from `at`, if the frame has them. `at` must be known to be small (at most 0xFFFF).
    #[inline(always)]
    pub fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let from = self.start + at;
        if from + N > self.end {
            return None;
        }
        // SAFETY: `from` to `from + N` lies between the packet's pointers, as just checked (and as the verifier
        // checks again); `[u8; N]` has no alignment.
        Some(unsafe { *(from as *const [u8; N]) })
    }

    /// Writes `N` octets at `at`, if the frame has room.
    #[inline(always)]
    pub fn write<const N: usize>(&mut self, at: usize, octets: [u8; N]) -> Option<()> {
        let to = self.start + at;
        if to + N > self.end {
            return None;
        }
        // SAFETY: as in `read`; the frame is this program's alone.
        unsafe { *(to as *mut [u8; N]) = octets };
        Some(())
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
