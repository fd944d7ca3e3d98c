//! The one place of the load generator that touches packets through pointers.
//!
//! Every access is at an offset that was compared with the end of the frame before it, as the verifier wants to see;
//! it proves each of them again when the program is loaded. Words are stored unaligned in one instruction: BPF
//! programs run with packets that are aligned to two bytes, and the kernel only lets them load where the processor
//! does not mind.

use aya_ebpf::{
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_store_bytes},
    programs::XdpContext,
};

use crate::layout::*;

/// What the harness has configured.
pub(crate) type Config = [u64; CONFIG_WORDS];

const IPV4: u16 = 0x0800u16.to_be();
const IPV6: u16 = 0x86DDu16.to_be();
const VLAN: u16 = 0x8100u16.to_be();
const UDP: u8 = 17;

/// Counters of this processor.
pub(crate) struct Stats(*mut [u64; STATS_WORDS]);

impl Stats {
    /// Takes the element of this processor.
    #[inline(always)]
    pub(crate) fn new(words: *mut [u64; STATS_WORDS]) -> Self {
        Self(words)
    }

    /// Adds one to a counter.
    #[inline(always)]
    pub(crate) fn count(&mut self, index: usize) {
        // SAFETY: the element is this processor's own and lives as long as the map; the index is masked into it.
        unsafe { (*self.0)[index & (STATS_WORDS - 1)] += 1 };
    }
}

/// What a reply says.
pub(crate) struct Reply {
    pub(crate) rcode: usize,
    pub(crate) has_answers: bool,
    pub(crate) is_truncated: bool,
    pub(crate) matches: bool,
}

/// A frame's bytes, from `data` to before `end`.
pub(crate) struct Frame {
    data: usize,
    end: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            data: context.data(),
            end: context.data_end(),
        }
    }

    #[inline(always)]
    pub(crate) fn length(&self) -> usize {
        // The compiler would compare `data + x` with `end` instead, with an `x` that the verifier knows no bound of.
        core::hint::black_box(self.end - self.data)
    }

    /// The place of a `T` at `offset`, if it lies within the frame.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let place = self.data + offset;
        (place + size_of::<T>() <= self.end).then_some(place as *mut T)
    }

    #[inline(always)]
    pub(crate) fn ethertype(&self) -> Option<u16> {
        // SAFETY: `at` has checked the bounds.
        self.at::<u16>(12).map(|place| unsafe { *place })
    }

    /// Swaps MAC addresses, IP addresses and UDP ports.
    #[inline(always)]
    pub(crate) fn swap_addresses(&self) -> Option<()> {
        let macs = self.at::<[u16; 6]>(0)?;
        let mut ethertype = self.ethertype()?;
        let mut ip = 14;
        if ethertype == VLAN {
            // SAFETY: `at` has checked the bounds.
            ethertype = unsafe { *self.at::<u16>(16)? };
            ip = 18;
        }
        let ports = match ethertype {
            IPV4 => {
                let header = self.at::<[u32; 7]>(ip)?;
                // SAFETY: `at` has checked the bounds of the header and of the eight bytes after it.
                unsafe {
                    if (*header.cast::<[u8; 20]>())[9] != UDP {
                        return None;
                    }
                    (*header).swap(3, 4);
                }
                header.wrapping_byte_add(20).cast::<[u16; 2]>()
            }
            IPV6 => {
                let header = self.at::<[u32; 12]>(ip)?;
                // SAFETY: as above.
                unsafe {
                    if (*header.cast::<[u8; 40]>())[6] != UDP {
                        return None;
                    }
                    for word in 2..6 {
                        (*header).swap(word, word + 4);
                    }
                }
                header.wrapping_byte_add(40).cast::<[u16; 2]>()
            }
            _ => return None,
        };
        // SAFETY: both were checked above.
        unsafe {
            (*ports).swap(0, 1);
            for word in 0..3 {
                (*macs).swap(word, word + 3);
            }
        }
        Some(())
    }

    /// Reads a reply to one of our queries.
    #[inline(always)]
    pub(crate) fn reply(&self, config: &Config) -> Option<Reply> {
        let udp = self.at::<[u16; 10]>(udp_at(config)?)?;
        // SAFETY: `at` has checked the bounds.
        let header = unsafe { &*udp };
        // Both are read before one is chosen: the compiler would choose an address, of which the verifier knows too
        // little.
        let (source, destination) = core::hint::black_box((header[0], header[1]));
        let (server, client) = match config[FLAGS] & FLAG_ECHOES {
            0 => (source, destination),
            _ => (destination, source),
        };
        let port = u64::from(u16::from_be(client)).wrapping_sub(config[PORT_BASE]);
        if u64::from(server) != config[SERVER_PORT] || port >= config[PORT_COUNT] {
            return None;
        }
        let flags = u16::from_be(header[5]);
        let expected = match self.at::<u64>((config[DIGITS_AT] & 0x1FF) as usize) {
            // SAFETY: `at` has checked the bounds.
            Some(digits) => id_of(unsafe { *digits }),
            None => !header[4],
        };
        let is_reply = flags & 0x8000 != 0;
        Some(Reply {
            rcode: usize::from(flags & 15),
            has_answers: header[7] != 0,
            is_truncated: flags & 0x0200 != 0,
            matches: header[4] == expected && is_reply == (config[FLAGS] & FLAG_REPLIES != 0),
        })
    }

    /// How much longer than a query the frame is; none where it is shorter.
    #[inline(always)]
    pub(crate) fn surplus(&self, config: &Config) -> Option<i32> {
        let surplus = self.length() as i64 - config[FRAME_LEN] as i64;
        (surplus >= 0).then_some(surplus as i32)
    }

    /// Writes all headers, and the first bytes of the question where they end within a word.
    #[inline(always)]
    pub(crate) fn write_head(&self, config: &Config) -> Option<()> {
        let head = self.at::<[u64; 9]>(0)?;
        // SAFETY: `at` has checked the bounds.
        unsafe {
            #[expect(
                clippy::manual_memcpy,
                reason = "a copy of slices would be a call, with a check of its bounds"
            )]
            for word in 0..9 {
                (*head)[word] = config[TEMPLATE + word];
            }
            if config[FLAGS] & FLAG_IPV6 != 0 {
                *self.at::<u64>(72)? = config[TEMPLATE + 9];
            }
        }
        Some(())
    }

    /// Writes what follows the question.
    #[inline(always)]
    pub(crate) fn write_tail(&self, config: &Config) -> Option<()> {
        let words = config[TAIL_WORDS];
        if words == 0 {
            return Some(());
        }
        let from = (config[FRAME_LEN].wrapping_sub(words * 8) & 0x1FF) as usize;
        for word in 0..TAIL_MAX {
            if word as u64 >= words {
                break;
            }
            // SAFETY: `at` has checked the bounds.
            unsafe { *self.at::<u64>(from + word * 8)? = config[TAIL + word] };
        }
        Some(())
    }

    /// Writes ID, source port, digits and, for IPv6, the checksum over a query that is otherwise the template's.
    #[inline(always)]
    pub(crate) fn write_query(&self, config: &Config, (number, port): (u32, u16)) -> Option<()> {
        let udp = self.at::<[u16; 5]>(udp_at(config)?)?;
        let place = self.at::<u64>((config[DIGITS_AT] & 0x1FF) as usize)?;
        let digits = hex_digits(number);
        let id = id_of(digits);
        let port = ((config[PORT_BASE] + (u64::from(port) & (config[PORT_COUNT] - 1))) as u16).to_be();
        let checksum = if config[FLAGS] & FLAG_IPV6 != 0 {
            let mut sum = fold((digits & 0xFFFF_FFFF) + (digits >> 32));
            if config[FLAGS] & FLAG_DIGITS_ODD != 0 {
                sum = sum.swap_bytes();
            }
            // RFC 8200 §8.1: never zero.
            match !fold(config[CHECKSUM_BASE] + u64::from(sum) + u64::from(id) + u64::from(port)) {
                0 => 0xFFFF,
                sum => sum,
            }
        } else {
            0
        };
        // SAFETY: `at` has checked the bounds.
        unsafe {
            *place = digits;
            (*udp)[0] = port;
            (*udp)[3] = checksum;
            (*udp)[4] = id;
            if config[SECOND_DIGITS_AT] != 0 {
                *self.at::<u64>((config[SECOND_DIGITS_AT] & 0x1FF) as usize)? = digits;
            }
        }
        Some(())
    }
}

/// Makes the frame longer, or shorter where `by` is negative.
#[inline(always)]
pub(crate) fn grow(context: &XdpContext, by: i32) -> Option<()> {
    // SAFETY: the context is the one the program was called with.
    (unsafe { bpf_xdp_adjust_tail(context.ctx, by) } == 0).then_some(())
}

/// Takes octets away from the front of the frame.
#[inline(always)]
pub(crate) fn shrink_at_head(context: &XdpContext, by: i32) -> Option<()> {
    // SAFETY: the context is the one the program was called with.
    (unsafe { bpf_xdp_adjust_head(context.ctx, by) } == 0).then_some(())
}

/// Writes the whole template over a frame that has its length.
#[inline(always)]
pub(crate) fn store_template(context: &XdpContext, config: &Config) -> Option<()> {
    let length = core::hint::black_box(config[FRAME_LEN]);
    if length == 0 || length > TEMPLATE_BYTES as u64 {
        return None;
    }
    let template = (&raw const config[TEMPLATE]).cast_mut().cast();
    // SAFETY: the helper reads `length` bytes of the template, which is that long at least, and checks the frame's end.
    (unsafe { bpf_xdp_store_bytes(context.ctx, 0, template, length as u32) } == 0).then_some(())
}

#[inline(always)]
fn udp_at(config: &Config) -> Option<usize> {
    let udp_at = config[UDP_AT];
    (34..=58).contains(&udp_at).then_some(udp_at as usize)
}

/// The one's-complement sum in 16 bits.
#[inline(always)]
fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
    sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum as u16
}
