//! Why a driver refuses a program, in its own words: they come with the reply to a netlink request
//! (`NLMSGERR_ATTR_MSG`), and
//! `bpf(2)` has no place for them. So what was refused is asked for once more that way.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::link::Way;

const RTM_SETLINK: u16 = 19;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST: u16 = 1 | 4;
const IFLA_XDP: u16 = 43 | 0x8000;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;
const NLMSG_ERROR: u16 = 2;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// A header, the error, and the header of the request.
const ACK_BYTES: usize = 16 + 4 + 16;

/// What the kernel says when the program is attached to the interface of this index: the error, and the words if it has
/// any.
/// `bpf(2)` has one error, EINVAL, for all that netlink tells apart, an interface that is gone among them.
pub(super) fn reason(program: BorrowedFd<'_>, index: u32, way: Way) -> Option<(Errno, Option<String>)> {
    let socket = socket().ok()?;
    let request_to_attach = request(program.as_raw_fd(), index, way as u32 | XDP_FLAGS_UPDATE_IF_NOEXIST);
    let reply = exchange(&socket, &request_to_attach).ok()?;
    let error = i32::from_ne_bytes(reply.get(16..20)?.try_into().ok()?);
    if error == 0 {
        // It is attached now, and not by a link of ours.
        let _ = exchange(&socket, &request(-1, index, way as u32));
        return None;
    }
    Some((Errno::from_raw(-error), message(&reply)))
}

fn request(program: i32, index: u32, flags: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(52u32.to_ne_bytes());
    octets.extend(RTM_SETLINK.to_ne_bytes());
    octets.extend(REQUEST.to_ne_bytes());
    // Sequence number and sender; then `struct ifinfomsg`: family and type, index, flags and their mask.
    for word in [1, 0, 0, index, 0, 0] {
        octets.extend(word.to_ne_bytes());
    }
    for (length, kind, value) in [
        (20u16, IFLA_XDP, None),
        (8, IFLA_XDP_FD, Some(program as u32)),
        (8, IFLA_XDP_FLAGS, Some(flags)),
    ] {
        octets.extend(length.to_ne_bytes());
        octets.extend(kind.to_ne_bytes());
        octets.extend(value.map(u32::to_ne_bytes).into_iter().flatten());
    }
    octets
}

/// The message in the reply to a request that failed.
fn message(reply: &[u8]) -> Option<String> {
    let half = |octets: &[u8], at: usize| Some(u16::from_ne_bytes([*octets.get(at)?, *octets.get(at + 1)?]));
    if half(reply, 4)? != NLMSG_ERROR || half(reply, 6)? & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let mut rest = reply.get(ACK_BYTES..)?;
    loop {
        let (length, kind) = (usize::from(half(rest, 0)?), half(rest, 2)?);
        let value = rest.get(4..length)?;
        if kind == NLMSGERR_ATTR_MSG {
            let text = value.split(|octet| *octet == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned()).filter(|text| !text.is_empty());
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes plain numbers; the descriptor it returns is ours alone.
    let socket = unsafe {
        let descriptor = libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        );
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
        let on: libc::c_int = 1;
        // SAFETY: setsockopt(2) reads the four octets that it is told of.
        let set = unsafe {
            let on = (&raw const on).cast();
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                on,
                size_of::<libc::c_int>() as u32,
            )
        };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(socket)
}

/// The kernel replies to such a request before the call that makes it returns.
fn exchange(socket: &OwnedFd, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut reply = vec![0u8; 4096];
    // SAFETY: send(2) reads and recv(2) writes no more octets than there are.
    let received = unsafe {
        if libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::recv(
            socket.as_raw_fd(),
            reply.as_mut_ptr().cast(),
            reply.len(),
            libc::MSG_DONTWAIT,
        )
    };
    reply.truncate(usize::try_from(received).map_err(|_| io::Error::last_os_error())?);
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut reply = vec![0; ACK_BYTES];
        reply[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        reply[6..8].copy_from_slice(&NLM_F_ACK_TLVS.to_ne_bytes());
        for (kind, value) in attributes {
            reply.extend((4 + value.len() as u16).to_ne_bytes());
            reply.extend(kind.to_ne_bytes());
            reply.extend(*value);
            reply.resize(reply.len().next_multiple_of(4), 0);
        }
        reply
    }

    #[test]
    fn the_kernels_words_are_found() {
        let words = b"Peer MTU is too large to set XDP\0";
        let text = Some("Peer MTU is too large to set XDP".to_owned());
        assert_eq!(message(&reply(&[(1, words)])), text);
        assert_eq!(message(&reply(&[(2, &[0; 5]), (1, words)])), text);
        for none in [
            reply(&[]),
            reply(&[(2, &[0; 4])]),
            reply(&[(1, b"\0")]),
            vec![0; 20],
            Vec::new(),
        ] {
            assert_eq!(message(&none), None);
        }
        let mut cut = reply(&[(1, words)]);
        cut.truncate(50);
        assert_eq!(message(&cut), None);
        assert_eq!(request(-1, 7, 2).len(), 52);
    }
}
