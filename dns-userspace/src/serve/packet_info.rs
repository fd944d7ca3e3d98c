//! Which address of ours a datagram was sent to, and a reply that leaves from there (RFC 3542 §6.2).
//!
//! | system | IPv4 | IPv6 |
//! |---|---|---|
//! | Linux, macOS | `IP_PKTINFO`, both ways | `IPV6_PKTINFO` |
//! | the BSDs | `IP_RECVDSTADDR`, and `IP_SENDSRCADDR` in a reply; the interface is not told | `IPV6_PKTINFO` |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, RecvMsg, SockaddrStorage, setsockopt, sockopt};

/// The address of ours that a datagram was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The one the socket is bound to.
    Bound,
    V4(Ipv4Addr),
    /// With the interface, where the address means nothing without it.
    V6(Ipv6Addr, u32),
}

impl Asked {
    /// Calls `send` with the control messages that make a reply leave from this address.
    pub(super) fn with_control<R>(self, send: impl FnOnce(&[ControlMessage<'_>]) -> R) -> R {
        match self {
            Self::Bound => send(&[]),
            Self::V4(address) => from_v4(address, send),
            Self::V6(address, interface) => send(&[ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: interface,
            })]),
        }
    }
}

/// Has the kernel tell of each datagram where it was sent to, from now on.
pub(super) fn ask_for(socket: &impl AsFd, bound: IpAddr) -> nix::Result<()> {
    match bound {
        IpAddr::V4(_) => ask_for_v4(socket),
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
    }
}

/// Room for what the kernel tells of one datagram: exactly the size of that one message, since all of it is read when
/// it is sent.
pub(super) fn room(bound: IpAddr) -> Vec<u8> {
    match bound {
        IpAddr::V4(_) => room_v4(),
        IpAddr::V6(_) => cmsg_space!(libc::in6_pktinfo),
    }
}

/// Where a reply leaves from; interface and destination of the datagram.
pub(super) fn read(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<(Asked, (u32, IpAddr))> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = if address.is_unicast_link_local() {
                info.ipi6_ifindex
            } else {
                0
            };
            Some((Asked::V6(address, interface), (info.ipi6_ifindex, address.into())))
        }
        control => read_v4(&control),
    })
}

fn shown(address: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(address.s_addr.to_ne_bytes())
}

fn raw(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from_ne_bytes(address.octets()),
    }
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod v4 {
    use super::*;

    pub(super) fn from_v4<R>(address: Ipv4Addr, send: impl FnOnce(&[ControlMessage<'_>]) -> R) -> R {
        send(&[ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: raw(address),
            ipi_addr: libc::in_addr { s_addr: 0 },
        })])
    }

    pub(super) fn ask_for_v4(socket: &impl AsFd) -> nix::Result<()> {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)
    }

    pub(super) fn room_v4() -> Vec<u8> {
        cmsg_space!(libc::in_pktinfo)
    }

    pub(super) fn read_v4(control: &ControlMessageOwned) -> Option<(Asked, (u32, IpAddr))> {
        let ControlMessageOwned::Ipv4PacketInfo(info) = control else {
            return None;
        };
        let address = shown(info.ipi_addr);
        // The local address that a reply would have: for a broadcast that is not the destination. macOS does not say
        // it, and what was sent to one host is answered from its address.
        let own = match shown(info.ipi_spec_dst) {
            Ipv4Addr::UNSPECIFIED if cfg!(not(target_os = "linux")) && !address.is_broadcast() => address,
            own => own,
        };
        Some((Asked::V4(own), (info.ipi_ifindex as u32, address.into())))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod v4 {
    use super::*;

    pub(super) fn from_v4<R>(address: Ipv4Addr, send: impl FnOnce(&[ControlMessage<'_>]) -> R) -> R {
        send(&[ControlMessage::Ipv4SendSrcAddr(&raw(address))])
    }

    pub(super) fn ask_for_v4(socket: &impl AsFd) -> nix::Result<()> {
        setsockopt(socket, sockopt::Ipv4RecvDstAddr, &true)
    }

    pub(super) fn room_v4() -> Vec<u8> {
        cmsg_space!(libc::in_addr)
    }

    pub(super) fn read_v4(control: &ControlMessageOwned) -> Option<(Asked, (u32, IpAddr))> {
        let ControlMessageOwned::Ipv4RecvDstAddr(address) = control else {
            return None;
        };
        let address = shown(*address);
        Some((Asked::V4(address), (0, address.into())))
    }
}

use v4::{ask_for_v4, from_v4, read_v4, room_v4};
