//! What one query needs while it is answered: per processor in the XDP program, per worker on sockets.

use bytemuck::{Pod, Zeroable};

use crate::address::OwnKey;
use crate::counters::Counters;
use crate::hash::{MAX_WORDS, Sums};
use crate::line::Occupant;
use crate::order::MOST;
use crate::reply::Reply;

/// The longest message that the fast path reads. A power of two, so that a mask keeps offsets inside.
pub const MESSAGE_BYTES: usize = 512;
/// Octets of the inline answers: four A, or one AAAA and slack for whole words.
pub const INLINE_WORDS: usize = 8;

/// Octets of a body that is patched, in words: the largest class but two. A power of two.
pub const PREPARED_WORDS: usize = 128;
/// How many of the size classes hold bodies that can be patched.
pub const PREPARED_CLASSES: u32 = 5;

/// Room for the RDATA of RRs that change places.
pub const ARRANGED_BYTES: usize = 16 * MOST as usize;

/// Room for the front of a frame: Ethernet, two tags, IPv6, UDP, and of the message the header and the longest
/// question, 345 octets, in whole words.
pub const FRONT_BYTES: usize = 352;

/// What the XDP program keeps per processor.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct State {
    /// What it has counted.
    pub counters: Counters,
    /// The query it works on.
    pub scratch: Scratch,
    /// The key of a look-up of one of our addresses. Here and not on the stack, where every access must be aligned.
    pub own_key: OwnKey,
    /// The key of a look-up of a client: the number of bits, then the address.
    pub client_key: [u32; 5],
    /// The key of a look-up of what a client may: the number of bits, the group, then the address.
    pub access_key: [u32; 6],
    /// How many answers there are until the next one that is shown ([`crate::tap`]).
    pub until_tapped: u32,
    /// What is known of the frame, in one word of the program's own layout.
    pub frame: u64,
    /// Zero, which zero is added to: an atomic instruction that gives what was there orders all loads before it and
    /// after it.
    pub barrier: u64,
    /// How many octets a frame still lacks while it grows at both ends.
    pub lacking: u64,
    /// Headers and question, while they move to the front of a frame that grew there.
    pub front: [u8; FRONT_BYTES],
}

/// Working memory of the answering core. Never needs clearing between queries.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Scratch {
    /// The name, letters folded, in words from its end; the frontmost padded with zeros.
    pub words: [u64; MAX_WORDS],
    /// Kept sums: before each of these words.
    pub sums: [Sums; MAX_WORDS],
    /// Where each label starts in the name, by label from the left.
    pub offsets: [u8; 128],
    /// What the last successful probe found.
    pub found: Occupant,
    /// Inline answers, ready to be sent.
    pub inline: [u64; INLINE_WORDS],
    /// A body that is patched before it is sent.
    pub prepared: [u64; PREPARED_WORDS],
    /// RDATA in the order that was drawn, sixteen octets for each.
    pub arranged: [u8; ARRANGED_BYTES],
    /// Sum of the question's octets, as if it started at an even offset.
    pub question_sum: u64,
    /// The table's epoch when the search began.
    pub epoch: u64,
    /// The client's cookie where there is one, little-endian.
    pub client_cookie: u64,
    /// The server cookie of the reply, likewise. The plane makes it.
    pub server_cookie: [u64; 2],
    /// What the order of RRs is drawn from. The plane sets it.
    pub random: u64,
    /// The client as a key of a table of prefixes: 128, the address as it lies in memory (IPv4-mapped, where it is
    /// IPv4), 0. Set by the plane where the first look does not decide.
    pub client: [u32; 6],
    /// Octets of the question's name, root label included.
    pub name_bytes: u32,
    /// Labels of the question's name, root left out.
    pub labels: u32,
    /// QTYPE.
    pub qtype: u32,
    /// Flags word of the query's header.
    pub query_flags: u32,
    /// 1 where the query has an OPT.
    pub has_opt: u32,
    /// 1 where the OPT has a cookie.
    pub has_cookie: u32,
    /// UDP payload size of the OPT.
    pub client_payload: u32,
    /// DO, in place ([`crate::wire::EDNS_DO`]).
    pub edns_do: u32,
    /// Offset in the name of the closest encloser, after a search that did not find the name itself.
    pub encloser_at: u32,
    /// How many lines the search looked at.
    pub lines_read: u32,
    /// What a probe found in the default's line, while it asks for that of the client's view.
    pub seen: u32,
    /// That view, 0 before it is known. Both here and not on the stack, which Linux 6.1 counts strictly.
    pub view: u32,
    /// What to send.
    pub reply: Reply,
}

impl Scratch {
    /// Says who asks: an address as it lies in memory.
    #[inline(always)]
    pub fn set_client(&mut self, [first, second]: [u64; 2]) {
        self.client = [
            128,
            first as u32,
            (first >> 32) as u32,
            second as u32,
            (second >> 32) as u32,
            0,
        ];
    }

    /// Who asks, as an address that lies in memory.
    #[inline(always)]
    pub const fn client_words(&self) -> [u64; 2] {
        let [_, a, b, c, d, _] = self.client;
        [a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32]
    }

    /// All zero.
    pub const fn new() -> Self {
        Self {
            words: [0; MAX_WORDS],
            sums: [Sums { first: 0, second: 0 }; MAX_WORDS],
            offsets: [0; 128],
            found: Occupant::NONE,
            inline: [0; INLINE_WORDS],
            prepared: [0; PREPARED_WORDS],
            arranged: [0; ARRANGED_BYTES],
            question_sum: 0,
            epoch: 0,
            client_cookie: 0,
            server_cookie: [0; 2],
            random: 0,
            client: [0; 6],
            name_bytes: 0,
            labels: 0,
            qtype: 0,
            query_flags: 0,
            has_opt: 0,
            has_cookie: 0,
            client_payload: 0,
            edns_do: 0,
            encloser_at: 0,
            lines_read: 0,
            seen: 0,
            view: 0,
            reply: Reply::NONE,
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_has_no_padding() {
        let fields = MAX_WORDS * 8
            + MAX_WORDS * 16
            + 128
            + size_of::<Occupant>()
            + INLINE_WORDS * 8
            + PREPARED_WORDS * 8
            + ARRANGED_BYTES
            + 6 * 8
            + 18 * 4
            + size_of::<Reply>();
        assert_eq!(size_of::<Scratch>(), fields);
        assert!(size_of::<Scratch>().is_multiple_of(8));
    }
}
