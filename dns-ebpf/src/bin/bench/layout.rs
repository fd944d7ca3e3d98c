//! What the load generator and its harness agree on: plain 64-bit words, so that neither side needs a cast.
//!
//! The harness includes this file by path; it must need nothing but `core`.

/// The generator's configuration: one array element of this many words.
pub(crate) const CONFIG_WORDS: usize = 80;
/// Bits of `FLAG_*`.
pub(crate) const FLAGS: usize = 0;
/// Length of a query's frame in bytes, 72 to [`TEMPLATE_BYTES`] (80 for IPv6).
pub(crate) const FRAME_LEN: usize = 1;
/// How many names there are: a number below it is drawn for each query (1 to 2^32).
pub(crate) const NAMES: usize = 2;
/// Where in the frame the eight hexadecimal digits of that number go.
pub(crate) const DIGITS_AT: usize = 3;
/// Where in the frame the UDP header begins: 34, 38, 54 or 58.
pub(crate) const UDP_AT: usize = 4;
/// How many words of [`TAIL`] end a frame: what follows the question is written anew, a reply has put its records
/// there.
pub(crate) const TAIL_WORDS: usize = 5;
/// The ethertype at offset 12 of the frame, as the two bytes read on this machine.
pub(crate) const ETHERTYPE: usize = 6;
/// The first source port, and what is added to it: a random number below the (power of two) count.
pub(crate) const PORT_BASE: usize = 7;
/// See [`PORT_BASE`].
pub(crate) const PORT_COUNT: usize = 8;
/// IPv6: the sum of the pseudo-header and of the datagram with ID, source port, checksum and digits zero.
pub(crate) const CHECKSUM_BASE: usize = 9;
/// The server's port, as the two bytes read on this machine.
pub(crate) const SERVER_PORT: usize = 10;
/// Where in the frame the digits stand once more, so that all that is above the first label is random too; 0: nowhere.
pub(crate) const SECOND_DIGITS_AT: usize = 11;
/// What a frame has behind a query, in octets. A reply that is longer by more has grown at the head, and gives back
/// there.
pub(crate) const TAIL_ROOM: usize = 12;
/// The first word of the last `8 * TAIL_WORDS` bytes of the frame.
pub(crate) const TAIL: usize = 16;
/// The most words of a tail.
pub(crate) const TAIL_MAX: usize = 6;
/// The first word of the frame itself.
pub(crate) const TEMPLATE: usize = 24;
/// The most bytes of a query's frame.
pub(crate) const TEMPLATE_BYTES: usize = (CONFIG_WORDS - TEMPLATE) * 8;

/// Swallow what comes in, counting it: the loop drains.
pub(crate) const FLAG_STOPPED: u64 = 1;
/// Replies have QR=1 (those of `bounce` have not).
pub(crate) const FLAG_REPLIES: u64 = 2;
/// The frame is IPv6: ten words of headers instead of nine, and a UDP checksum.
pub(crate) const FLAG_IPV6: u64 = 4;
/// What comes back are the queries, addresses and ports as they were sent.
pub(crate) const FLAG_ECHOES: u64 = 16;
/// The digits begin at an odd offset of the datagram: their sum is swapped.
pub(crate) const FLAG_DIGITS_ODD: u64 = 8;

/// Counters of one processor: one element of this many words.
pub(crate) const STATS_WORDS: usize = 32;
/// Replies that came back.
pub(crate) const REPLIES: usize = 0;
/// Replies with records in the answer section.
pub(crate) const ANSWERED: usize = 1;
/// Replies whose ID does not belong to their question, or whose QR bit is wrong.
pub(crate) const MISMATCHED: usize = 2;
/// Frames that the harness put in.
pub(crate) const INJECTED: usize = 3;
/// Frames that could not be resized and left the loop.
pub(crate) const LOST: usize = 4;
/// Frames swallowed because of [`FLAG_STOPPED`].
pub(crate) const DRAINED: usize = 5;
/// Replies with TC=1.
pub(crate) const TRUNCATED: usize = 6;
/// Queries of a flood.
pub(crate) const SENT: usize = 7;
/// The first of sixteen counters of replies, by RCODE.
pub(crate) const RCODES: usize = 8;

/// The ethertype of frames that the harness puts in (IEEE 802 local experimental 1).
pub(crate) const INJECTED_ETHERTYPE: u16 = 0x88B5;

/// The ID of a query, from the digits of its name: it looks random, and whoever sees a reply can tell its ID.
pub(crate) const fn id_of(digits: u64) -> u16 {
    (digits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u16
}

/// The eight lower-case hexadecimal digits of a number, as the word that a little-endian machine stores.
pub(crate) const fn hex_digits(number: u32) -> u64 {
    // Spread the nibbles, one to a byte, the most significant into the lowest byte: it is stored first.
    let mut word = number.swap_bytes() as u64;
    word = (word | (word << 16)) & 0x0000_FFFF_0000_FFFF;
    word = (word | (word << 8)) & 0x00FF_00FF_00FF_00FF;
    word = ((word >> 4) | (word << 8)) & 0x0F0F_0F0F_0F0F_0F0F;
    // 10 to 15 become letters: adding 6 carries into bit 4, and a letter lies 39 above its digit.
    let letters = ((word + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    word + 0x3030_3030_3030_3030 + letters * 39
}
