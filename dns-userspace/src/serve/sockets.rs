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
//! Where the kernel does not spread clients over the sockets of a port, as macOS and the BSDs do not with this option,
//! all workers share one UDP socket.
//!
//! IPv6 sockets are always `IPV6_V6ONLY`: an IPv4 client is an IPv4 client. RFC 1035 §4.2, RFC 7766 §5.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::packet_info;

mod holder;

/// Octets that the kernel may hold for one UDP socket while its worker is busy. Less, and queries are lost when the
/// worker is not scheduled for some milliseconds; more, and under a flood each query comes from memory that the caches
/// have lost.
const RECEIVE_BUFFER_BYTES: usize = 2 << 20;
/// Octets of replies that a TCP connection hands to the kernel before they can be sent: a client that does not read
/// costs the kernel little.
#[cfg(target_os = "linux")]
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
        "no permission to bind {protocol} {address}: run as root, or with CAP_NET_BIND_SERVICE, or take a `dns_port` \
         of 1024 or above"
    )]
    NotPermitted {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
    },
    /// The right to a port is not what is missing.
    #[error(
        "binding {protocol} {address} is forbidden, though any user may use this port: see whether SELinux, AppArmor, \
         a seccomp \
         filter or a cgroup's program stands in the way"
    )]
    Forbidden {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
    },
    /// No interface has the address.
    #[error("{address} is not an address of this host: correct `listen`, or add the address first{}", later(.address))]
    NotOurs {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The host has no such addresses at all.
    #[error("{address}: this host has no {}: switch it on in the kernel, or remove the address from \
             `listen`", family(.address))]
    NoFamily {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The interface of a link-local address is gone.
    #[error("{address}: this host has no interface with the number {}: correct `listen`, or add the interface \
             first", scope(.address))]
    NoInterface {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// No file descriptor is left.
    #[error(
        "cannot bind {protocol} {address}, since the limit of open files is reached: raise it (`ulimit -n`, or \
         `LimitNOFILE=` of \
         systemd)"
    )]
    NoFiles {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
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
    #[error("cannot bind {protocol} {address} ({error}): correct `listen`")]
    Io {
        /// The address that was asked for.
        address: SocketAddr,
        /// UDP or TCP.
        protocol: Protocols,
        /// What the system says. Not the error's source, or it would be said twice.
        error: io::Error,
    },
}

/// Binds `listen`, or all addresses of this host on `port` where it is empty, for `workers` workers.
///
/// A port 0 becomes one free number, the same for UDP and TCP and, without `listen`, for both families. Without
/// `listen` a host that has no IPv6 is served over IPv4 alone.
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
    matches!(error, BindError::NotOurs { .. } | BindError::NoFamily { .. })
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
    let udp = worker_sockets(address, workers.max(1)).map_err(&explain)?;
    Ok(Endpoint { address, tcp, udp })
}

fn worker_sockets(address: SocketAddr, workers: usize) -> io::Result<Vec<Arc<UdpSocket>>> {
    let socket = || udp_socket(address, true).map(|socket| Arc::new(UdpSocket::from(socket)));
    if cfg!(target_os = "linux") {
        return (0..workers).map(|_| socket()).collect();
    }
    Ok(vec![socket()?; workers])
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
    #[cfg(target_os = "linux")]
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
        #[cfg(target_os = "linux")]
        let is_set = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_ok();
        #[cfg(not(target_os = "linux"))]
        let is_set = false;
        if !is_set {
            socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        }
        if address.ip().is_unspecified() {
            // Before bind, so that no datagram comes in without its address.
            packet_info::ask_for(&socket, address.ip())?;
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn explain(error: io::Error, address: SocketAddr, protocol: Protocols) -> BindError {
    match Refusal::of(&error, address) {
        Refusal::InUse => BindError::InUse {
            address,
            protocol,
            holder: holder::describe(address, protocol),
        },
        Refusal::NotPermitted => BindError::NotPermitted { address, protocol },
        Refusal::Forbidden => BindError::Forbidden { address, protocol },
        Refusal::NotOurs => BindError::NotOurs { address },
        Refusal::NoFamily => BindError::NoFamily { address },
        Refusal::NoInterface => BindError::NoInterface { address },
        Refusal::NoFiles => BindError::NoFiles { address, protocol },
        Refusal::Other => BindError::Io {
            address,
            protocol,
            error,
        },
    }
}

/// Why the system does not let an address be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Somebody has it.
    InUse,
    /// It needs a privilege.
    NotPermitted,
    /// It needs no privilege that is known here, and is refused.
    Forbidden,
    /// The host has no such address.
    NotOurs,
    /// The host has no addresses of this family.
    NoFamily,
    /// The host has no such interface.
    NoInterface,
    /// No file descriptor is left.
    NoFiles,
    /// Something else.
    Other,
}

impl Refusal {
    pub(crate) fn of(error: &io::Error, address: SocketAddr) -> Self {
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::InUse,
            // `net.ipv4.ip_unprivileged_port_start` is 1024 unless somebody changed it.
            Some(libc::EACCES | libc::EPERM) if address.port() < 1024 => Self::NotPermitted,
            Some(libc::EACCES | libc::EPERM) => Self::Forbidden,
            Some(libc::EADDRNOTAVAIL) => Self::NotOurs,
            Some(libc::EAFNOSUPPORT) => Self::NoFamily,
            Some(libc::ENODEV | libc::ENXIO) => Self::NoInterface,
            Some(libc::EMFILE | libc::ENFILE) => Self::NoFiles,
            _ => Self::Other,
        }
    }
}

/// Where an address that is not there yet may come from.
fn later(address: &SocketAddr) -> &'static str {
    match address {
        SocketAddr::V4(_) => {
            " (where it comes and goes, as with keepalived, listen on all addresses, or set \
             net.ipv4.ip_nonlocal_bind=1)"
        }
        SocketAddr::V6(_) => {
            " (a new one can be used once it was found to have no duplicate; where it comes and goes, as with \
             keepalived, listen \
             on all addresses, or set net.ipv6.ip_nonlocal_bind=1)"
        }
    }
}

pub(crate) fn family(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

pub(crate) fn scope(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

#[cfg(test)]
mod tests;
