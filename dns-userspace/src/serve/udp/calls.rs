//! The system calls of a batch. Linux takes and sends many datagrams with one; elsewhere each has a call of its own.

#[cfg(target_os = "linux")]
use std::array;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, RecvMsg, SockaddrStorage};
#[cfg(target_os = "linux")]
use nix::sys::socket::{MultiHeaders, recvmmsg, sendmmsg};
#[cfg(not(target_os = "linux"))]
use nix::sys::socket::{recvmsg, sendmsg};

use super::{BATCH, SLOT_BYTES};

/// The headers of a batch, used again for each.
pub(super) struct Calls {
    /// Room for what the kernel tells of a datagram, where it is to tell something.
    control: Option<Vec<u8>>,
    #[cfg(target_os = "linux")]
    incoming: MultiHeaders<SockaddrStorage>,
    #[cfg(target_os = "linux")]
    outgoing: MultiHeaders<SockaddrStorage>,
}

#[cfg(target_os = "linux")]
impl Calls {
    /// With this room for what comes in; `has_control`: replies have as much.
    pub(super) fn new(control: Option<Vec<u8>>, has_control: bool) -> Self {
        Self {
            incoming: MultiHeaders::preallocate(BATCH, control.clone()),
            outgoing: MultiHeaders::preallocate(BATCH, control.clone().filter(|_| has_control)),
            control,
        }
    }

    /// Takes what is there, up to a batch, into the slots of `queries`, and shows each message with the number of its
    /// slot. `take` says false where what was to be told was not.
    pub(super) fn receive(
        &mut self,
        socket: RawFd,
        queries: &mut [u8],
        mut take: impl FnMut(usize, &RecvMsg<'_, '_, SockaddrStorage>) -> bool,
    ) -> Result<usize, Errno> {
        let mut chunks = queries.chunks_exact_mut(SLOT_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(chunks.next().expect("one chunk per slot"))]);
        let (flags, room) = (MsgFlags::MSG_DONTWAIT, slices.iter_mut());
        let (mut received, mut was_told) = (0, true);
        for message in recvmmsg(socket, &mut self.incoming, room, flags, None)? {
            was_told &= take(received, &message);
            received += 1;
        }
        if !was_told {
            // The headers keep the size of what came last, so a datagram without control data would be followed by
            // more.
            self.incoming = MultiHeaders::preallocate(BATCH, self.control.clone());
        }
        Ok(received)
    }

    /// Sends each to its client, as far as the kernel takes them; how many it has taken. The error concerns the first.
    pub(super) fn send(
        &mut self,
        socket: RawFd,
        replies: &[[IoSlice<'_>; 1]],
        clients: &[Option<SockaddrStorage>],
        control: &[ControlMessage<'_>],
    ) -> Result<usize, Errno> {
        let (headers, flags) = (&mut self.outgoing, MsgFlags::MSG_DONTWAIT);
        sendmmsg(socket, headers, replies, clients, control, flags).map(Iterator::count)
    }
}

#[cfg(not(target_os = "linux"))]
impl Calls {
    /// With this room for what comes in.
    pub(super) fn new(control: Option<Vec<u8>>, _has_control: bool) -> Self {
        Self { control }
    }

    /// Takes what is there, up to a batch, into the slots of `queries`, and shows each message with the number of its
    /// slot. `take` says false where what was to be told was not.
    pub(super) fn receive(
        &mut self,
        socket: RawFd,
        queries: &mut [u8],
        mut take: impl FnMut(usize, &RecvMsg<'_, '_, SockaddrStorage>) -> bool,
    ) -> Result<usize, Errno> {
        for (number, slot) in queries.chunks_exact_mut(SLOT_BYTES).take(BATCH).enumerate() {
            let mut slices = [IoSliceMut::new(slot)];
            match recvmsg(socket, &mut slices, self.control.as_deref_mut(), MsgFlags::MSG_DONTWAIT) {
                Ok(message) => drop(take(number, &message)),
                Err(error) if number == 0 => return Err(error),
                Err(_) => return Ok(number),
            }
        }
        Ok(BATCH)
    }

    /// Sends the first to its client. The error concerns it.
    pub(super) fn send(
        &mut self,
        socket: RawFd,
        replies: &[[IoSlice<'_>; 1]],
        clients: &[Option<SockaddrStorage>],
        control: &[ControlMessage<'_>],
    ) -> Result<usize, Errno> {
        let (Some(reply), Some(client)) = (replies.first(), clients.first()) else {
            return Ok(0);
        };
        sendmsg(socket, reply, control, MsgFlags::MSG_DONTWAIT, client.as_ref()).map(|_| 1)
    }
}
