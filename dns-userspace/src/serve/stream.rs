//! Sessions: DNS messages on a stream of octets, each behind its length (RFC 1035 §4.2.2, RFC 7766).
//!
//! ```text
//! stream ─ read ─► input ─ split by length ─► SharedAnswerer::answer ─► output ─ write ─► stream
//!                                                  └─ Later: a job ─► its messages, in any order with other replies
//!                                                                     (RFC 7766 §7)
//! ```
//!
//! A session knows nothing of what carries its octets: whatever is `Octets`, such as a TCP connection.
//!
//! What a client may cost is bounded: an idle session is a task without buffers; a message must be whole within the
//! idle time-out of the last one; a client that does not read stops being read from once 16 KiB wait for
//! it, and is cut off where it takes too little of them for [`StreamSettings::write_timeout`]. While a session waits
//! its buffers have no room to spare, and what is in them counts in a sum over all sessions, above which each gets
//! less. How long the connection may be idle is told to clients that ask (RFC 7828).

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::worker::SharedAnswerer;
use crate::message::{HEADER_BYTES, Protocol};
use crate::query::{Arrival, Disposition, failure};

mod admission;
mod buffers;
mod jobs;
mod keepalive;

pub(super) use admission::{Admission, Admissions};
use buffers::Buffers;
use jobs::Jobs;

/// Octets of replies that may wait for a client before no more of its queries are answered or read. Some hundred
/// answers of the usual size: few enough system calls.
const OUTPUT_BYTES: usize = 16 << 10;
/// What a client must take of waiting output within the write time-out, unless less is waiting.
const PROGRESS_BYTES: usize = 4096;
/// Jobs of one session that may be under way.
const JOBS: usize = 128;
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

/// Limits and times of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
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

impl StreamSettings {
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

/// A stream of octets that a session is served on.
pub(super) trait Octets: AsyncRead + AsyncWrite + Unpin {
    /// Whether the client is known to send nothing more, though not all that it has sent was read.
    fn is_read_closed(&self) -> bool;
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    /// Never an IPv4-mapped address.
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

/// Serves one session until the client or a time-out ends it, or the plane stops.
pub(super) async fn serve(
    stream: impl Octets,
    client: Client,
    admission: Admission,
    answerer: Rc<RefCell<SharedAnswerer>>,
) {
    let (stop, write_timeout) = {
        let shared = &answerer.borrow().shared;
        (shared.stop.clone(), shared.streams.write_timeout)
    };
    let mut session = Session {
        buffers: Buffers::new(stream),
        client,
        answerer,
        admission,
        write_timeout,
        counted: 0,
        jobs: Jobs::default(),
        is_denied: false,
        idle_deadline: Instant::now(),
        write_deadline: None,
    };
    session.run(&stop).await;
}

struct Session<S> {
    buffers: Buffers<S>,
    client: Client,
    answerer: Rc<RefCell<SharedAnswerer>>,
    admission: Admission,
    write_timeout: Duration,
    /// What of the buffers is in the sum over all sessions.
    counted: usize,
    jobs: Jobs,
    /// This client gets nothing more, whatever it has asked.
    is_denied: bool,
    idle_deadline: Instant,
    write_deadline: Option<Instant>,
}

impl<S: Octets> Session<S> {
    async fn run(&mut self, stop: &CancellationToken) {
        self.idle_deadline = Instant::now() + self.idle_timeout();
        let mut timer = pin!(tokio::time::sleep_until(self.idle_deadline));
        let mut told_to_stop = false;
        loop {
            if self.answer() {
                self.idle_deadline = Instant::now() + self.idle_timeout();
            }
            if self.buffers.write_now().await.is_err() {
                return;
            }
            self.buffers.shrink_input();
            self.account();
            if self.buffers.is_blocked && self.admission.admissions.is_too_much() {
                return;
            }
            self.watch_writes(timer.as_mut());
            self.jobs.reap();
            let has_room = self.has_room();
            let may_answer = has_room && self.jobs.under_way() < JOBS;
            if may_answer && split(&self.buffers.input).is_some() {
                tokio::task::yield_now().await;
                continue;
            }
            let may_read = may_answer && !self.buffers.is_ended && self.may_read();
            if may_answer && !self.buffers.is_ended && !may_read {
                let soon = Instant::now() + SCARCE_PAUSE;
                if soon < timer.deadline() {
                    timer.as_mut().reset(soon);
                }
            }
            let waits = self.buffers.has_output();
            if self.buffers.is_ended && !waits && self.jobs.is_empty() {
                return;
            }
            let most = self.read_bytes();
            tokio::select! {
                biased;
                moved = poll_fn(|context| self.buffers.poll_move(context, may_read.then_some(most))),
                    if waits || may_read => if moved.is_err() { return },
                queued = self.jobs.next(), if has_room && !self.jobs.is_empty() => {
                    if let Some(queued) = queued {
                        self.buffers.push(&queued.message);
                    }
                    self.idle_deadline = Instant::now() + self.idle_timeout();
                }
                () = stop.cancelled(), if !told_to_stop => {
                    told_to_stop = true;
                    // What has already come is still answered.
                    for _ in 0..LAST_READS {
                        if !self.buffers.is_ended && self.buffers.read_now(self.read_bytes()).await.is_err() {
                            return;
                        }
                    }
                    self.buffers.is_ended = true;
                }
                () = timer.as_mut() => if !self.has_time_left(timer.as_mut()) { return },
            }
        }
    }

    fn idle_timeout(&self) -> Duration {
        self.admission.admissions.idle_timeout()
    }

    /// Whether the client has taken enough of its replies to be given more. While the stream takes none, it has enough
    /// to send: what is answered then only waits here.
    fn has_room(&self) -> bool {
        let waiting = self.buffers.unwritten();
        waiting < SCARCE_BYTES
            || (waiting < OUTPUT_BYTES && !self.buffers.is_blocked && !self.admission.admissions.is_scarce())
    }

    /// Whether more may be read of a message that is not whole. Of a client that sends nothing more, in any case: that
    /// ends the session.
    fn may_read(&self) -> bool {
        self.buffers.input.len() < SCARCE_BYTES
            || !self.admission.admissions.is_scarce()
            || self.buffers.stream.is_read_closed()
    }

    /// Octets of one read.
    fn read_bytes(&self) -> usize {
        let is_scarce = self.admission.admissions.is_scarce();
        if is_scarce { SCARCE_BYTES } else { READ_BYTES }
    }

    /// Brings the sum over all sessions up to date.
    fn account(&mut self) {
        let waiting = self.buffers.unwritten() + self.buffers.input.len();
        if waiting != self.counted {
            let sum = &self.admission.admissions.waiting;
            sum.fetch_add(waiting, Ordering::Relaxed);
            sum.fetch_sub(self.counted, Ordering::Relaxed);
            self.counted = waiting;
        }
    }

    /// Answers whole messages of the input, up to a turn's worth; whether one of them was a query.
    fn answer(&mut self) -> bool {
        let (mut taken, mut has_query) = (0, false);
        let mut used = 0;
        let input = std::mem::take(&mut self.buffers.input);
        let mut reply = std::mem::take(&mut self.answerer.borrow_mut().reply);
        while taken < TURN && self.has_room() && self.jobs.under_way() < JOBS {
            let Some(query) = split(&input[used..]) else {
                break;
            };
            used += 2 + query.len();
            taken += 1;
            if query.len() < HEADER_BYTES {
                // Whatever this is, it is not DNS.
                self.buffers.is_ended = true;
                used = input.len();
                break;
            }
            has_query |= self.answer_one(query, &mut reply);
            if self.is_denied {
                used = input.len();
                break;
            }
        }
        self.answerer.borrow_mut().reply = reply;
        self.buffers.input = input;
        self.buffers.input.drain(..used);
        has_query
    }

    /// Whether it was a query: what is none does not keep a session from being idle.
    fn answer_one(&mut self, query: &[u8], reply: &mut Vec<u8>) -> bool {
        let Client {
            address,
            port,
            protocol,
        } = self.client;
        let answerer = Rc::clone(&self.answerer);
        let mut answerer = answerer.borrow_mut();
        let wants_idle_timeout = protocol.has_keepalive() && keepalive::is_asked_for(query);
        let idle_timeout = wants_idle_timeout.then(|| self.idle_timeout());
        let arrival = Arrival {
            port,
            ..Arrival::by(protocol, address)
        };
        match answerer.answer(query, &arrival, reply) {
            Disposition::Reply => {
                if reply.len() > usize::from(u16::MAX) {
                    failure(query, 2, reply);
                }
                if let Some(idle_timeout) = idle_timeout {
                    keepalive::grant(reply, idle_timeout);
                }
                answerer.shared.count(protocol, reply);
                self.buffers.push(reply);
                true
            }
            Disposition::Silence => false,
            Disposition::Denied => {
                self.buffers.is_ended = true;
                self.is_denied = true;
                false
            }
            Disposition::Later(job) => {
                let shared = &answerer.shared;
                let job = shared.run(job, query);
                let admissions = &self.admission.admissions;
                self.jobs.start(job, protocol, idle_timeout, admissions, shared);
                true
            }
        }
    }

    /// Sets, moves or clears the time by which the client must have taken something.
    fn watch_writes(&mut self, timer: Pin<&mut Sleep>) {
        if !self.buffers.has_output() {
            if self.write_deadline.take().is_some() {
                self.idle_deadline = self.idle_deadline.max(Instant::now() + self.idle_timeout());
            }
            self.buffers.progress = 0;
        } else if self.write_deadline.is_none() || self.buffers.progress >= PROGRESS_BYTES {
            let deadline = Instant::now() + self.write_timeout;
            self.write_deadline = Some(deadline);
            self.buffers.progress = 0;
            if deadline < timer.deadline() {
                timer.reset(deadline);
            }
        }
    }

    /// Sets the timer to what is due next; false where the session's time is up.
    fn has_time_left(&mut self, timer: Pin<&mut Sleep>) -> bool {
        let now = Instant::now();
        let due = match self.write_deadline {
            Some(deadline) => deadline,
            // RFC 7766 §6.2.3: a connection with queries outstanding is not idle.
            None if !self.jobs.is_empty() => now + self.idle_timeout(),
            None => self.idle_deadline,
        };
        timer.reset(due);
        due > now
    }
}

impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        let sum = &self.admission.admissions.waiting;
        sum.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

/// The whole message at the start of `input`, without its length.
fn split(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests;
