//! How the core reads a DNS message, wherever it lies: a socket's buffer, or a packet.

use crate::scratch::MESSAGE_BYTES;

/// A message of at most [`MESSAGE_BYTES`] octets. What is read beyond its end is any value: the caller knows its
/// length.
pub trait Message {
    /// Eight octets from `at`, little-endian.
    fn word(&self, at: usize) -> u64;
    /// Four octets from `at`, little-endian.
    fn half(&self, at: usize) -> u32;
    /// Two octets from `at`, a number in network order.
    fn number(&self, at: usize) -> u16;
    /// One octet.
    fn octet(&self, at: usize) -> u8;
}

/// A message in memory, with room for a whole word behind it. Longer messages never come to the core.
#[derive(Debug, Clone)]
pub struct Buffer([u8; MESSAGE_BYTES + 8]);

impl Buffer {
    /// All zero.
    pub const fn new() -> Self {
        Self([0; MESSAGE_BYTES + 8])
    }

    /// Puts a message of at most [`MESSAGE_BYTES`] octets here, or gives `None`.
    pub fn fill(&mut self, message: &[u8]) -> Option<()> {
        if message.len() > MESSAGE_BYTES {
            return None;
        }
        self.0.get_mut(..message.len())?.copy_from_slice(message);
        Some(())
    }

    fn octets<const N: usize>(&self, at: usize) -> [u8; N] {
        let at = at & (MESSAGE_BYTES - 1);
        let mut octets = [0; N];
        octets.copy_from_slice(&self.0[at..at + N]);
        octets
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Message for Buffer {
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.octets(at))
    }

    fn half(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.octets(at))
    }

    fn number(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.octets(at))
    }

    fn octet(&self, at: usize) -> u8 {
        let [octet] = self.octets(at);
        octet
    }
}
