//! DNS over UDP: batches in, batches out.
//!
//! ```text
//! recvmmsg (64 slots) ─► SharedAnswerer::answer for each ─► sendmmsg, one call per address that was asked
//!                              └─ Later: a job of the same thread, which replies through the same socket
//! ```
//!
//! All buffers belong to the socket's task and are used again: a query that is answered from here allocates nothing and
//! takes no lock. On a wildcard address each datagram tells which address was asked (`IP_PKTINFO`, RFC 3542 §6.2), and
//! the reply leaves from there. What was sent to a group is nobody's here, and a broadcast, of which every worker's
//! socket gets a copy, is the first worker's. What the kernel does not take at once is dropped and counted; the client
//! asks again.

mod calls;

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{array, cell::RefCell};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendmsg};
use tokio::io::Interest;

use self::calls::Calls;
use super::job::RunningJob;
use super::packet_info::{self, Asked};
use super::worker::{Shared, SharedAnswerer};
use crate::message::Protocol;
use crate::query::{Arrival, Disposition};

/// Datagrams per system call.
const BATCH: usize = 64;
/// Room for one query. Not a power of two, so that the slots do not all fall on the same cache lines.
const SLOT_BYTES: usize = 4096 + 128;

/// How much a worker that stops still answers, however much comes: about what the receive buffer holds.
const LAST_BATCHES: usize = 128;

/// Answers what comes in on `socket` until the plane stops, and then what has already come.
pub(super) async fn serve(socket: Arc<UdpSocket>, answerer: Rc<RefCell<SharedAnswerer>>) -> io::Result<()> {
    let (stop, wants_interfaces) = {
        let shared = &answerer.borrow().shared;
        (shared.stop.clone(), shared.wants_interfaces)
    };
    let bound = socket.local_addr()?.ip();
    if wants_interfaces {
        // What has come before is told without its interface.
        packet_info::ask_for(&socket, bound)?;
    }
    let mut batch = Batch::new(bound, wants_interfaces);
    let ready = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
    loop {
        tokio::select! {
            ready = ready.readable() => ready?,
            () = stop.cancelled() => break,
        }
        let received = ready.try_io(Interest::READABLE, || match batch.receive(socket.as_raw_fd()) {
            Ok(BATCH) | Err(Errno::EINTR) => Ok(()),
            // Fewer than asked for: the queue is empty. Saying so here spares a call, and epoll tells of what has come
            // since.
            Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        });
        match received {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => batch.answer_and_send(&socket, &answerer),
        }
        tokio::task::yield_now().await;
    }
    for _ in 0..LAST_BATCHES {
        match batch.receive(socket.as_raw_fd()) {
            Ok(received) if received > 0 => batch.answer_and_send(&socket, &answerer),
            Ok(_) | Err(_) => break,
        }
    }
    Ok(())
}

/// To how many hosts a datagram was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cast {
    /// This one.
    Unicast,
    /// All of a network: each socket of the port has a copy of its own.
    Broadcast,
    /// A group, which nobody here has joined for the sake of DNS. The same holds for copies.
    Multicast,
}

impl Cast {
    /// Of a datagram to `address`, with the address that a reply would leave from. The two differ where the first is no
    /// host's: for a broadcast, of a network or limited (RFC 1122 §3.2.1.3).
    fn of(asked: Asked, address: IpAddr) -> Self {
        match (asked, address) {
            (_, address) if address.is_multicast() => Self::Multicast,
            (_, IpAddr::V4(Ipv4Addr::BROADCAST)) => Self::Broadcast,
            // The kernel may not know; that is before the socket has asked it to tell.
            (Asked::V4(own), IpAddr::V4(address)) if own != address && !own.is_unspecified() => Self::Broadcast,
            _ => Self::Unicast,
        }
    }
}

/// One slot of a batch, from query to reply.
#[derive(Clone, Copy)]
struct Slot {
    length: usize,
    client: Option<SockaddrStorage>,
    asked: Asked,
    /// Interface and address at which it came in.
    at: Option<(u32, IpAddr)>,
    cast: Cast,
    cut_off: bool,
    has_reply: bool,
}

struct Batch {
    /// Whether replies must be told where to leave from.
    is_wildcard: bool,
    /// Whether the kernel tells of each datagram where it was sent to.
    is_told: bool,
    calls: Calls,
    queries: Box<[u8]>,
    replies: Vec<Vec<u8>>,
    slots: [Slot; BATCH],
    received: usize,
}

impl Batch {
    fn new(bound: IpAddr, wants_interfaces: bool) -> Self {
        let is_wildcard = bound.is_unspecified();
        let control = (is_wildcard || wants_interfaces).then(|| packet_info::room(bound));
        Self {
            is_told: control.is_some(),
            calls: Calls::new(control, is_wildcard),
            is_wildcard,
            queries: vec![0; BATCH * SLOT_BYTES].into(),
            replies: (0..BATCH).map(|_| Vec::with_capacity(512)).collect(),
            slots: [Slot {
                length: 0,
                client: None,
                asked: Asked::Bound,
                at: None,
                cast: Cast::Unicast,
                cut_off: false,
                has_reply: false,
            }; BATCH],
            received: 0,
        }
    }

    fn receive(&mut self, socket: RawFd) -> Result<usize, Errno> {
        let (slots, is_told, is_wildcard) = (&mut self.slots, self.is_told, self.is_wildcard);
        self.received = 0;
        self.received = self.calls.receive(socket, &mut self.queries, |number, message| {
            let told = if is_told { packet_info::read(message) } else { None };
            let asked = match told {
                Some((asked, _)) if is_wildcard => Some(asked),
                None if is_wildcard => None,
                _ => Some(Asked::Bound),
            };
            slots[number] = Slot {
                length: message.bytes.min(SLOT_BYTES),
                // Without the address no reply could leave from it.
                client: message.address.filter(|_| asked.is_some()),
                asked: asked.unwrap_or(Asked::Bound),
                at: told.map(|(_, at)| at),
                cast: told.map_or(Cast::Unicast, |(asked, (_, address))| Cast::of(asked, address)),
                cut_off: message.flags.contains(MsgFlags::MSG_TRUNC),
                has_reply: false,
            };
            told.is_some() || !is_told
        })?;
        Ok(self.received)
    }

    fn answer_and_send(&mut self, socket: &Arc<UdpSocket>, answerer: &RefCell<SharedAnswerer>) {
        let mut answerer = answerer.borrow_mut();
        self.answer(socket, &mut answerer);
        self.send(socket.as_raw_fd(), &answerer.shared);
    }

    fn answer(&mut self, socket: &Arc<UdpSocket>, answerer: &mut SharedAnswerer) {
        let queries = self.queries.chunks_exact(SLOT_BYTES);
        for ((slot, query), reply) in self.slots[..self.received]
            .iter_mut()
            .zip(queries)
            .zip(&mut self.replies)
        {
            let Some((client, address)) = slot.client.and_then(|client| Some((client, client_ip(&client)?))) else {
                continue;
            };
            match slot.cast {
                Cast::Unicast => {}
                Cast::Broadcast if answerer.shared.takes_broadcasts => {}
                Cast::Broadcast | Cast::Multicast => continue,
            }
            // No client is at such an address, and a reply to one would go to who knows whom.
            if address.is_unspecified() || address.is_multicast() {
                continue;
            }
            let query = &query[..slot.length];
            let arrival = Arrival {
                port: client_port(&client),
                at: slot.at,
                is_cut_off: slot.cut_off,
                ..Arrival::by(Protocol::Udp, address)
            };
            match answerer.answer(query, &arrival, reply) {
                Disposition::Reply => slot.has_reply = true,
                Disposition::Silence | Disposition::Denied => {}
                Disposition::Later(job) => {
                    let shared = &answerer.shared;
                    let job = shared.run(job, query);
                    let task = reply_later(job, Arc::clone(socket), client, slot.asked, shared.clone());
                    shared.jobs.spawn(task);
                }
            }
        }
    }

    fn send(&mut self, socket: RawFd, shared: &Shared) {
        let mut pending = 0;
        for (number, slot) in self.slots[..self.received].iter().enumerate() {
            pending |= u64::from(slot.has_reply) << number;
        }
        while pending != 0 {
            let asked = self.slots[pending.trailing_zeros() as usize].asked;
            let mut group = [0; BATCH];
            let mut members = 0;
            for (number, slot) in self.slots[..self.received].iter().enumerate() {
                if pending & (1 << number) != 0 && slot.asked == asked {
                    group[members] = number;
                    members += 1;
                    pending &= !(1 << number);
                }
            }
            self.send_group(socket, shared, asked, &group[..members]);
        }
    }

    /// Sends the replies of the slots in `group`, which were all asked at `asked`.
    fn send_group(&mut self, socket: RawFd, shared: &Shared, asked: Asked, group: &[usize]) {
        let reply = |place: usize| group.get(place).map_or(&[][..], |&number| &self.replies[number][..]);
        let slices: [[IoSlice<'_>; 1]; BATCH] = array::from_fn(|place| [IoSlice::new(reply(place))]);
        let clients: [Option<SockaddrStorage>; BATCH] =
            array::from_fn(|place| group.get(place).and_then(|&number| self.slots[number].client));
        let mut done = 0;
        while done < group.len() {
            let left = done..group.len();
            let sent =
                asked.with_control(|control| self.calls.send(socket, &slices[left.clone()], &clients[left], control));
            match sent {
                Ok(sent) => {
                    group[done..done + sent]
                        .iter()
                        .for_each(|&number| shared.count(Protocol::Udp, &self.replies[number]));
                    done += sent.max(1);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                    shared
                        .figures
                        .udp_unsent
                        .fetch_add((group.len() - done) as u64, Ordering::Relaxed);
                    return;
                }
                // It concerns the first of them alone, say a client at port 0 or without a route.
                Err(_) => {
                    shared.figures.udp_unsent.fetch_add(1, Ordering::Relaxed);
                    done += 1;
                }
            }
        }
    }
}

fn client_ip(client: &SockaddrStorage) -> Option<IpAddr> {
    match (client.as_sockaddr_in(), client.as_sockaddr_in6()) {
        (Some(v4), _) => Some(v4.ip().into()),
        (None, Some(v6)) => Some(v6.ip().into()),
        (None, None) => None,
    }
}

fn client_port(client: &SockaddrStorage) -> u16 {
    match (client.as_sockaddr_in(), client.as_sockaddr_in6()) {
        (Some(v4), _) => v4.port(),
        (None, Some(v6)) => v6.port(),
        (None, None) => 0,
    }
}

async fn reply_later(
    mut job: RunningJob,
    socket: Arc<UdpSocket>,
    client: SockaddrStorage,
    asked: Asked,
    shared: Shared,
) {
    let Some(reply) = job.next().await else {
        return;
    };
    // A datagram is the whole reply.
    drop(job);
    let sent = asked.with_control(|control| {
        sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&reply)],
            control,
            MsgFlags::MSG_DONTWAIT,
            Some(&client),
        )
    });
    match sent {
        Ok(_) => shared.count(Protocol::Udp, &reply),
        Err(_) => drop(shared.figures.udp_unsent.fetch_add(1, Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests;
