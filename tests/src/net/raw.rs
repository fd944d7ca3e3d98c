//! Whole Ethernet frames in and out of an interface.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

/// A packet socket on one interface; open it inside the namespace.
pub struct RawSocket {
    socket: OwnedFd,
}

impl RawSocket {
    /// Opens a socket on the interface with this number, within the calling thread's namespace.
    pub fn open(index: u32) -> io::Result<Self> {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: socket(2) takes plain numbers; the descriptor it returns is ours alone.
        let socket = unsafe {
            let descriptor = libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from(protocol),
            );
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        // SAFETY: all zeros is a valid sockaddr_ll; bind(2) reads as many bytes as the struct has, setsockopt(2) four.
        let result = unsafe {
            let mut address: libc::sockaddr_ll = mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = protocol;
            address.sll_ifindex = index as i32;
            let on: i32 = 1;
            let on = (&raw const on).cast();
            match libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, on, 4) {
                0 => libc::bind(
                    socket.as_raw_fd(),
                    (&raw const address).cast(),
                    size_of_val(&address) as u32,
                ),
                error => error,
            }
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket })
    }

    /// From now on frames go into the queue of the processor that the thread is on; otherwise their flow's hash says
    /// where, and frames that are alike all come to lie on one processor.
    pub fn use_own_queue(&self) -> io::Result<()> {
        let on: i32 = 1;
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS);
        // SAFETY: setsockopt(2) reads the four bytes that it is told of.
        match unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, option, (&raw const on).cast(), 4) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Puts a frame on the wire.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        nix::unistd::write(&self.socket, frame)?;
        Ok(())
    }

    /// The next frame that came in; none where `limit` passes without one. What was sent is not seen.
    pub fn receive(&self, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        let start = Instant::now();
        loop {
            let rest = limit.saturating_sub(start.elapsed());
            let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            // Rounded up: a rest below a millisecond must not become a busy loop, nor end early.
            let millis = u16::try_from(rest.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
            if poll(&mut descriptors, millis)? == 0 {
                return Ok(None);
            }
            let (frame, kind) = self.receive_now()?;
            if kind != libc::PACKET_OUTGOING {
                return Ok(Some(frame));
            }
        }
    }

    fn receive_now(&self) -> io::Result<(Vec<u8>, u8)> {
        let mut buffer = vec![0u8; 65536];
        let mut control = [0u64; 16];
        // SAFETY: all zeros is valid for these structs; recvmsg(2) writes at most the lengths that it is given, and
        // the pointers live until it returns. The control messages are read where the macros say that they are.
        unsafe {
            let mut address: libc::sockaddr_ll = mem::zeroed();
            let mut part = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            let mut message: libc::msghdr = mem::zeroed();
            message.msg_name = (&raw mut address).cast();
            message.msg_namelen = size_of_val(&address) as u32;
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control);
            let received = libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0);
            let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
            buffer.truncate(received);
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            if !header.is_null()
                && (*header).cmsg_level == libc::SOL_PACKET
                && (*header).cmsg_type == libc::PACKET_AUXDATA
            {
                let auxiliary = libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned();
                // The kernel takes the outermost VLAN tag out of the frame before it hands it on: put it back.
                if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && received >= 12 {
                    let tpid = match auxiliary.tp_status & libc::TP_STATUS_VLAN_TPID_VALID {
                        0 => 0x8100,
                        _ => auxiliary.tp_vlan_tpid,
                    };
                    let tag = [tpid.to_be_bytes(), auxiliary.tp_vlan_tci.to_be_bytes()].concat();
                    buffer.splice(12..12, tag);
                }
            }
            Ok((buffer, address.sll_pkttype))
        }
    }
}
