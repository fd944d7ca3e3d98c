//! Binds the addresses that are served, and refuses to share them with another server.
//!
//! ```text
//! listen ─► for each address:  TCP listener (SO_REUSEADDR only)   the lock, held as long as the process lives
//!                              UDP probe (no SO_REUSEPORT), closed  fails where anything holds the port
//!                              one UDP socket per worker (SO_REUSEPORT)
//! ```
//!
//! Sockets with `SO_REUSEPORT` share a port with any other process of the same user that sets it too, so a second
//! server would silently get half of the queries. The TCP listener has no such option: of two servers exactly one gets
//! to listen, whatever the order of their calls (`listen` checks again what `bind` allowed), and the other stops
//! before it opens a UDP socket. The UDP probe finds servers that have no TCP listener; between the probe and the
//! real sockets such a one could still come, and is then an error of the real `bind` unless it, too, shares its port.
//!
//! IPv6 sockets are always `IPV6_V6ONLY`: an IPv4 client is an IPv4 client. RFC 1035 §4.2, RFC 7766 §5.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

mod holder;

/// Octets that the kernel may hold for one UDP socket while its worker is busy. Less, and queries are lost when the worker is
/// not scheduled for some milliseconds; more, and under a flood each query comes from memory that the caches have lost.
const RECEIVE_BUFFER_BYTES: usize = 2 << 20;
/// Octets of replies that a TCP connection hands to the kernel before they can be sent: a client that does not read costs
/// the kernel little.
const UNSENT_BYTES: u32 = 64 << 10;
/// Connections that wait to be accepted; the kernel bounds it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Attempts to find one number that is free for UDP and TCP, in both families.
const EPHEMERAL_ATTEMPTS: usize = 64;

/// One served address with its sockets, non-blocking.
#[derive(Debug)]
pub struct Endpoint {
    /// The address with the port that was really bound.
    pub address: SocketAddr,
    /// The listener, which is also the lock on the address.
    pub tcp: TcpListener,
    /// One socket per worker; the kernel spreads clients over them.
    pub udp: Vec<Arc<UdpSocket>>,
}

/// Which of the two transports could not be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// DNS over UDP.
    Udp,
    /// DNS over TCP.
    Tcp,
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// Why the addresses cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error("{protocol} {address} is already in use{holder}: stop that server, or give other addresses under `listen`")]
    InUse {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
        /// ` by NAME (process 1) on ADDRESS`, as far as this process may see it; otherwise empty.
        holder: String,
    },
    /// A port below 1024 without the right to it.
    #[error(
        "no permission to bind {protocol} {address}: run as root, or with CAP_NET_BIND_SERVICE, or take a `dns_port` of 1024 or above"
    )]
    NotPermitted {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
    },
    /// No interface has the address.
    #[error("{address} is not an address of this host: correct `listen`, or add the address first")]
    NotOurs {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// One entry of `listen` includes the other.
    #[error("`listen` has both {wide} and {narrow}, and the first includes the second: remove one of them")]
    Overlap {
        /// The wildcard address.
        wide: SocketAddr,
        /// The address that it includes.
        narrow: SocketAddr,
    },
    /// Anything else that the system says.
    #[error("cannot bind {protocol} {address}: {source}")]
    Io {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
        /// What the system says.
        source: io::Error,
    },
}

/// Binds `listen`, or all addresses of this host on `port` where it is empty, for `workers` workers.
///
/// A port 0 becomes one free number, the same for UDP and TCP and, without `listen`, for both families. Without `listen`
/// a host that has no IPv6 is served over IPv4 alone.
pub fn bind(listen: &[SocketAddr], port: u16, workers: usize) -> Result<Vec<Endpoint>, BindError> {
    if listen.is_empty() {
        return bind_all(port, workers);
    }
    let mut wanted: Vec<SocketAddr> = Vec::new();
    for address in listen {
        if !wanted.contains(address) || address.port() == 0 {
            wanted.push(*address);
        }
    }
    for wide in wanted
        .iter()
        .filter(|wide| wide.ip().is_unspecified() && wide.port() != 0)
    {
        let includes = |narrow: &&SocketAddr| {
            *narrow != wide && narrow.port() == wide.port() && narrow.is_ipv4() == wide.is_ipv4()
        };
        if let Some(narrow) = wanted.iter().find(includes) {
            return Err(BindError::Overlap {
                wide: *wide,
                narrow: *narrow,
            });
        }
    }
    wanted
        .into_iter()
        .map(|address| bind_retrying(address, workers))
        .collect()
}

/// Whether `server` is a name for ourselves: one of our ports at an address of this host, or at one we listen on. To
/// forward there would be to ask ourselves until the time is up.
pub fn is_ourselves(server: SocketAddr, listening: &[SocketAddr]) -> bool {
    listening.iter().any(|ours| {
        let same_host = ours.ip() == server.ip() || (ours.ip().is_unspecified() && is_local(server.ip()));
        ours.port() == server.port() && ours.is_ipv4() == server.is_ipv4() && same_host
    })
}

/// Only an address of this host can be bound.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn bind_all(port: u16, workers: usize) -> Result<Vec<Endpoint>, BindError> {
    let attempts = if port == 0 { EPHEMERAL_ATTEMPTS } else { 1 };
    let mut attempt = 1;
    loop {
        let v4 = bind_retrying((Ipv4Addr::UNSPECIFIED, port).into(), workers)?;
        let number = v4.address.port();
        match bind_one((Ipv6Addr::UNSPECIFIED, number).into(), workers) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if has_no_ipv6(&error) => {
                tracing::info!(%error, "this host has no IPv6; serving IPv4 alone");
                return Ok(vec![v4]);
            }
            Err(BindError::InUse { .. }) if attempt < attempts => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn has_no_ipv6(error: &BindError) -> bool {
    match error {
        BindError::NotOurs { .. } => true,
        BindError::Io { source, .. } => source.raw_os_error() == Some(libc::EAFNOSUPPORT),
        BindError::InUse { .. } | BindError::NotPermitted { .. } | BindError::Overlap { .. } => false,
    }
}

/// A port 0 is tried anew where the number that TCP got is taken in UDP.
fn bind_retrying(address: SocketAddr, workers: usize) -> Result<Endpoint, BindError> {
    let attempts = if address.port() == 0 { EPHEMERAL_ATTEMPTS } else { 1 };
    let mut attempt = 1;
    loop {
        match bind_one(address, workers) {
            Err(BindError::InUse { .. }) if attempt < attempts => attempt += 1,
            done => return done,
        }
    }
}

fn bind_one(address: SocketAddr, workers: usize) -> Result<Endpoint, BindError> {
    let explain = |address, protocol| move |source| explain(source, address, protocol);
    let tcp = listen_tcp(address).map_err(explain(address, Protocols::Tcp))?;
    let address = tcp.local_addr().map_err(explain(address, Protocols::Tcp))?;
    let explain = explain(address, Protocols::Udp);
    drop(udp_socket(address, false).map_err(&explain)?);
    let udp = (0..workers.max(1))
        .map(|_| udp_socket(address, true).map(|socket| Arc::new(UdpSocket::from(socket))))
        .collect::<io::Result<_>>()
        .map_err(&explain)?;
    Ok(Endpoint { address, tcp, udp })
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a server that has ended linger in TIME_WAIT; they must not keep us from the address.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // What is accepted inherits these.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_nonblocking(true)?;
        // As root beyond net.core.rmem_max, else as far as that goes.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        }
        if address.ip().is_unspecified() {
            // Before bind, so that no datagram comes in without its address.
            match address {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn explain(source: io::Error, address: SocketAddr, protocol: Protocols) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse {
            address,
            protocol,
            holder: holder::describe(address, protocol),
        },
        io::ErrorKind::PermissionDenied => BindError::NotPermitted { address, protocol },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::Io {
            address,
            protocol,
            source,
        },
    }
}

#[cfg(test)]
mod tests;
