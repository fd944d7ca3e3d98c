//! DNS over TCP (RFC 1035 §4.2.2, RFC 7766).
//!
//! ```text
//! acceptor (main runtime) ─► Gate ─► Admissions: in all, per client ─► a worker, in turn
//! connection (one task)      read ─► split by length ─► Desk::answer ─► output ─► write
//!                                                      └─ forwarded ─► when it is there (RFC 7766 §7: any order)
//! ```
//!
//! What a client may cost is bounded: an idle connection is a task without buffers; a message must be whole within the
//! idle time-out of the last one; a client that does not read stops being read from once 16 KiB wait for
//! it, and is cut off where it takes too little of them for [`TcpSettings::write_timeout`]. While a connection waits
//! its buffers have no room to spare, and what is in them counts in a sum over all connections, above which each gets
//! less. How long the connection may be idle is told to clients that ask (RFC 7828).

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::worker::Desk;
use crate::message::Protocol;
use crate::query::{Arrival, Disposition, failure};

mod admission;
mod keepalive;

use admission::Admission;
pub(super) use admission::Admissions;

/// Octets of replies that may wait for a client before no more of its queries are answered or read. Some hundred
/// answers of the usual size: few enough system calls.
const OUTPUT_BYTES: usize = 16 << 10;
/// What a client must take of waiting output within the write time-out, unless less is waiting.
const PROGRESS_BYTES: usize = 4096;
/// Queries of one connection that may be on their way upstream.
const FORWARDS: usize = 128;
/// Queries answered before other tasks of the worker get their turn.
const TURN: usize = 256;
/// What the buffers of a connection that waits may have to spare.
const SPARE_BYTES: usize = 512;
/// Octets of one read: some hundred queries.
const READ_BYTES: usize = 16 << 10;
/// How much a connection still reads when the plane stops, in reads.
const LAST_READS: usize = 4;
/// What takes the place of `OUTPUT_BYTES` and `READ_BYTES` while too much waits for all clients together.
const SCARCE_BYTES: usize = 4096;
/// How soon a connection that is not read from for that reason is looked at again.
const SCARCE_PAUSE: Duration = Duration::from_millis(100);
/// Room for the shortest message, a header.
const HEADER_BYTES: usize = 12;

/// Limits and times of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSettings {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, or an IPv6 /64.
    pub connections_per_client: usize,
    /// How long a connection may have nothing to do, and how long one message may take to come in. Shorter while more
    /// than three quarters of all connections are in use (RFC 7766 §6.2.3).
    pub idle_timeout: Duration,
    /// How long a client may read next to nothing while replies wait for it.
    pub write_timeout: Duration,
    /// Octets of replies and unanswered input that may wait for all clients together. Above it, each client gets what
    /// it needs to get on; above the double, connections are closed whose replies the kernel does not take at once.
    pub waiting_bytes: usize,
}

impl TcpSettings {
    /// So many connections, or less where there are fewer descriptors for them; three quarters of them for one client
    /// where that is not given. A client has 10 s to take its replies, and 64 MiB may wait for all.
    pub fn new(idle_timeout: Duration, connections: usize, per_client: Option<usize>, descriptors: usize) -> Self {
        let connections = connections.min(descriptors);
        Self {
            connections,
            connections_per_client: per_client
                .unwrap_or_else(|| (connections / 4 * 3).max(1))
                .min(connections),
            idle_timeout,
            write_timeout: Duration::from_secs(10),
            waiting_bytes: 64 << 20,
        }
    }
}

/// A connection on its way to a worker.
pub(super) struct Accepted {
    stream: std::net::TcpStream,
    client: IpAddr,
    admission: Admission,
}

/// Accepts until the plane stops, and hands the connections to the workers in turn.
pub(super) async fn accept(
    listener: TcpListener,
    desks: Vec<mpsc::UnboundedSender<Accepted>>,
    admissions: Arc<Admissions>,
    gate: Arc<Gate>,
    stop: CancellationToken,
) {
    let mut next = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, client) = match accepted {
            Ok((stream, client)) => (stream, client.ip()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // Out of files or memory: that passes, and the backlog waits.
                tracing::warn!(%error, "cannot accept a TCP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A client that gets nothing takes nobody's place meanwhile.
        if gate.drops(client) {
            continue;
        }
        let Some(admission) = admissions.admit(client) else {
            continue;
        };
        if let Ok(stream) = stream.into_std() {
            // The worker is gone only when the plane stops.
            let _ = desks[next].send(Accepted {
                stream,
                client,
                admission,
            });
            next = (next + 1) % desks.len();
        }
    }
}

/// Serves one connection until the client or a time-out ends it, or the plane stops.
pub(super) async fn serve(accepted: Accepted, desk: Rc<RefCell<Desk>>) {
    let Accepted {
        stream,
        client,
        admission,
    } = accepted;
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let (stop, write_timeout) = {
        let desk = desk.borrow();
        (desk.shared.stop.clone(), desk.shared.tcp.write_timeout)
    };
    let mut connection = Connection {
        stream,
        client,
        desk,
        admission,
        write_timeout,
        input: Vec::new(),
        output: Vec::new(),
        written: 0,
        is_blocked: false,
        counted: 0,
        forwards: JoinSet::new(),
        ending: false,
        is_denied: false,
        idle_deadline: Instant::now(),
        write_deadline: None,
        unrewarded: 0,
    };
    connection.run(&stop).await;
}

struct Connection {
    stream: TcpStream,
    client: IpAddr,
    desk: Rc<RefCell<Desk>>,
    admission: Admission,
    write_timeout: Duration,
    /// Octets that are not yet answered.
    input: Vec<u8>,
    /// Replies, of which the first `written` octets are sent.
    output: Vec<u8>,
    written: usize,
    /// The kernel has not taken all of them.
    is_blocked: bool,
    /// What of both is in the sum over all connections.
    counted: usize,
    forwards: JoinSet<Vec<u8>>,
    /// Nothing more is read: the client has finished, broken the protocol, or the plane stops.
    ending: bool,
    /// This client gets nothing more, whatever it has asked.
    is_denied: bool,
    idle_deadline: Instant,
    write_deadline: Option<Instant>,
    /// Octets written since the write deadline was last moved.
    unrewarded: usize,
}

impl Connection {
    async fn run(&mut self, stop: &CancellationToken) {
        self.idle_deadline = Instant::now() + self.idle_timeout();
        let mut timer = pin!(tokio::time::sleep_until(self.idle_deadline));
        let mut told_to_stop = false;
        loop {
            if self.answer() {
                self.idle_deadline = Instant::now() + self.idle_timeout();
            }
            if self.write().is_err() {
                return;
            }
            shrink(&mut self.input);
            self.account();
            if self.is_blocked && self.admission.admissions.is_too_much() {
                return;
            }
            self.watch_writes(timer.as_mut());
            let may_answer = self.may_answer();
            if may_answer && self.has_message() {
                tokio::task::yield_now().await;
                continue;
            }
            let may_read = may_answer && !self.ending && self.may_read();
            if may_answer && !self.ending && !may_read {
                let soon = Instant::now() + SCARCE_PAUSE;
                if soon < timer.deadline() {
                    timer.as_mut().reset(soon);
                }
            }
            let waits = self.written < self.output.len();
            if self.ending && !waits && self.forwards.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                ready = self.stream.writable(), if waits => if ready.is_err() { return },
                ready = self.stream.readable(), if may_read => {
                    if ready.is_err() || self.read().is_err() {
                        return;
                    }
                }
                Some(reply) = self.forwards.join_next(), if !self.forwards.is_empty() => {
                    if let Ok(reply) = reply {
                        self.push(&reply);
                    }
                    self.idle_deadline = Instant::now() + self.idle_timeout();
                }
                () = stop.cancelled(), if !told_to_stop => {
                    told_to_stop = true;
                    // What has already come is still answered.
                    for _ in 0..LAST_READS {
                        if !self.ending && self.read().is_err() {
                            return;
                        }
                    }
                    self.ending = true;
                }
                () = timer.as_mut() => if !self.has_time_left(timer.as_mut()) { return },
            }
        }
    }

    fn idle_timeout(&self) -> Duration {
        self.admission.admissions.idle_timeout()
    }

    /// Whether the client has taken enough of its replies to be given more. While the kernel takes none, it has enough
    /// to send: what is answered then only waits here.
    fn may_answer(&self) -> bool {
        let waiting = self.output.len() - self.written;
        let has_room = waiting < SCARCE_BYTES
            || (waiting < OUTPUT_BYTES && !self.is_blocked && !self.admission.admissions.is_scarce());
        has_room && self.forwards.len() < FORWARDS
    }

    /// Whether more may be read of a message that is not whole. Of a client that sends nothing more, in any case: that
    /// ends the connection.
    fn may_read(&self) -> bool {
        self.input.len() < SCARCE_BYTES || !self.admission.admissions.is_scarce() || self.is_read_closed()
    }

    /// Whether the client is known to send nothing more.
    fn is_read_closed(&self) -> bool {
        let ready = pin!(self.stream.ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Brings the sum over all connections up to date.
    fn account(&mut self) {
        let waiting = self.output.len() - self.written + self.input.len();
        if waiting != self.counted {
            let sum = &self.admission.admissions.waiting;
            sum.fetch_add(waiting, Ordering::Relaxed);
            sum.fetch_sub(self.counted, Ordering::Relaxed);
            self.counted = waiting;
        }
    }

    /// Whether a whole message waits.
    fn has_message(&self) -> bool {
        split(&self.input).is_some()
    }

    /// Answers whole messages of the input, up to a turn's worth; whether one of them was a query.
    fn answer(&mut self) -> bool {
        let (mut taken, mut has_query) = (0, false);
        let mut used = 0;
        let input = std::mem::take(&mut self.input);
        let mut reply = std::mem::take(&mut self.desk.borrow_mut().reply);
        while taken < TURN && self.may_answer() {
            let Some(query) = split(&input[used..]) else {
                break;
            };
            used += 2 + query.len();
            taken += 1;
            if query.len() < HEADER_BYTES {
                // Whatever this is, it is not DNS.
                self.ending = true;
                used = input.len();
                break;
            }
            has_query |= self.answer_one(query, &mut reply);
            if self.is_denied {
                used = input.len();
                break;
            }
        }
        self.desk.borrow_mut().reply = reply;
        self.input = input;
        self.input.drain(..used);
        has_query
    }

    /// Whether it was a query: what is none does not keep a connection from being idle.
    fn answer_one(&mut self, query: &[u8], reply: &mut Vec<u8>) -> bool {
        let desk = Rc::clone(&self.desk);
        let mut desk = desk.borrow_mut();
        let idle_timeout = keepalive::is_asked_for(query).then(|| self.idle_timeout());
        let arrival = Arrival {
            client: self.client,
            protocol: Protocol::Tcp,
            limit: Protocol::Tcp.limit(),
            is_proven: Protocol::Tcp.proves_addresses(),
            at: None,
            is_cut_off: false,
        };
        let chain = match desk.answer(query, &arrival, reply) {
            Disposition::Reply => {
                if reply.len() > usize::from(u16::MAX) {
                    failure(query, 2, reply);
                }
                if let Some(idle_timeout) = idle_timeout {
                    keepalive::grant(reply, idle_timeout);
                }
                desk.shared.count(Protocol::Tcp, reply);
                self.push(reply);
                return true;
            }
            Disposition::Silence => return false,
            Disposition::Denied => {
                self.ending = true;
                self.is_denied = true;
                return false;
            }
            Disposition::Forward => None,
            Disposition::CompleteUpstream(chain) => Some(chain),
        };
        let shared = &desk.shared;
        match shared.upstream(query, chain, self.client, Protocol::Tcp) {
            Ok(work) => {
                let counting = shared.clone();
                let counted = async move {
                    let mut reply = work.await;
                    if let Some(idle_timeout) = idle_timeout {
                        keepalive::grant(&mut reply, idle_timeout);
                    }
                    counting.count(Protocol::Tcp, &reply);
                    reply
                };
                self.forwards.spawn_on(counted, &shared.main);
            }
            Err(declined) => {
                shared.count(Protocol::Tcp, &declined);
                self.push(&declined);
            }
        }
        true
    }

    fn push(&mut self, reply: &[u8]) {
        let Ok(length) = u16::try_from(reply.len()) else {
            return;
        };
        // RFC 7766 §8: length and message in one write.
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(reply);
    }

    fn read(&mut self) -> io::Result<()> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
        }
        let is_scarce = self.admission.admissions.is_scarce();
        let most = if is_scarce { SCARCE_BYTES } else { READ_BYTES };
        SCRATCH.with_borrow_mut(|scratch| match self.stream.try_read(&mut scratch[..most]) {
            Ok(0) => {
                self.ending = true;
                Ok(())
            }
            Ok(length) => {
                // Not the double: most of what comes is answered at once.
                if length > self.input.capacity() - self.input.len() {
                    self.input.reserve_exact(length + SPARE_BYTES);
                }
                self.input.extend_from_slice(&scratch[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Writes what the client takes.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.stream.try_write(&self.output[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.written += length;
                    self.unrewarded += length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Keeps the buffer from growing at its end while its head is done with.
                    self.output.drain(..self.written);
                    self.written = 0;
                    self.is_blocked = true;
                    shrink(&mut self.output);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        self.is_blocked = false;
        self.output.clear();
        shrink(&mut self.output);
        Ok(())
    }

    /// Sets, moves or clears the time by which the client must have taken something.
    fn watch_writes(&mut self, timer: Pin<&mut Sleep>) {
        if self.output.is_empty() {
            if self.write_deadline.take().is_some() {
                self.idle_deadline = self.idle_deadline.max(Instant::now() + self.idle_timeout());
            }
            self.unrewarded = 0;
        } else if self.write_deadline.is_none() || self.unrewarded >= PROGRESS_BYTES {
            let deadline = Instant::now() + self.write_timeout;
            self.write_deadline = Some(deadline);
            self.unrewarded = 0;
            if deadline < timer.deadline() {
                timer.reset(deadline);
            }
        }
    }

    /// Sets the timer to what is due next; false where the connection's time is up.
    fn has_time_left(&mut self, timer: Pin<&mut Sleep>) -> bool {
        let now = Instant::now();
        let due = match self.write_deadline {
            Some(deadline) => deadline,
            // RFC 7766 §6.2.3: a connection with queries outstanding is not idle.
            None if !self.forwards.is_empty() => now + self.idle_timeout(),
            None => self.idle_deadline,
        };
        timer.reset(due);
        due > now
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.admission
            .admissions
            .waiting
            .fetch_sub(self.counted, Ordering::Relaxed);
    }
}

/// Gives back what a buffer has to spare, but for a little: not with every octet that comes or goes.
fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() - buffer.len() > SPARE_BYTES {
        buffer.shrink_to_fit();
    }
}

/// The whole message at the start of `input`, without its length.
fn split(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests;
