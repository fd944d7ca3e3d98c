//! The socket plane: one thread per core, each with its own sockets, answerer and single-threaded runtime.
//!
//! ```text
//! worker thread 0..n   UDP sockets (SO_REUSEPORT) ─┐
//!                      TCP connections ────────────┴─► SharedAnswerer ─► Answerer     no lock
//!                      jobs of queries over UDP ─► their messages, through the same socket
//! main runtime         acceptors ─► workers in turn;  jobs of queries over TCP ─► their messages, through the session
//! ```
//!
//! A job of a query over UDP asks an upstream server one question, most often. It stays in the thread that took the
//! query on: to wake another thread, and to be woken by it, took a third of the time of all. Jobs of different threads
//! may wait for one question, so a worker stays until all jobs are done.
//!
//! A query that makes the answerer panic costs that query: it is answered SERVFAIL, the answerer is built anew, and the
//! log and `Figures` say so. A task that panics elsewhere is started again, and so is a whole worker, without its
//! connections.

#[cfg(target_os = "linux")]
mod place;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::job::{RunningJob, shown};
use super::policy::Policies;
use super::sockets::Endpoint;
use super::stream::{Admissions, StreamSettings};
use super::{tcp, udp};
use crate::host::privileges;
use crate::message::{Protocol, Reader};
use crate::observe::figures::{CountAnswers, Figures};
use crate::query::{Answerer, AnswererFactory, Arrival, Disposition, Job, failure};

/// Before what has failed is started again, so that it does not fill the log.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// What the plane is made of.
pub struct Parts {
    /// The sockets; each endpoint has one UDP socket per worker.
    pub endpoints: Vec<Endpoint>,
    /// Makes answerers.
    pub answerers: AnswererFactory,
    /// Counts answers.
    pub counters: Arc<dyn CountAnswers>,
    /// Counts rare events.
    pub figures: Arc<Figures>,
    /// Limits and times of connections.
    pub streams: StreamSettings,
    /// Whether answerers want to know at which interface a datagram came in.
    pub wants_interfaces: bool,
    /// Which clients' connections are closed at once; answerers ask it by themselves for each query.
    pub policies: Arc<Policies>,
}

/// The running socket plane.
pub struct Plane {
    addresses: Vec<SocketAddr>,
    figures: Arc<Figures>,
    stop: CancellationToken,
    jobs: TaskTracker,
    acceptors: JoinSet<()>,
    threads: Vec<thread::JoinHandle<()>>,
    admissions: Arc<Admissions>,
}

impl Plane {
    /// Starts the workers, as many as each endpoint has UDP sockets; on a tokio runtime, which carries the
    /// jobs.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let Parts {
            endpoints,
            answerers,
            counters,
            figures,
            streams,
            wants_interfaces,
            policies,
        } = parts;
        let stop = CancellationToken::new();
        let jobs = TaskTracker::new();
        let admissions = Arc::new(Admissions::new(&streams, Arc::clone(&figures)));
        let count = endpoints.iter().map(|endpoint| endpoint.udp.len()).max().unwrap_or(0);
        let mut threads = Vec::with_capacity(count);
        let mut workers = Vec::with_capacity(count);
        // Nobody sends anything: the receiver hears when the last sender is dropped.
        let (beginning, all_have_begun) = std::sync::mpsc::channel::<()>();
        for number in 0..count {
            let beginning = beginning.clone();
            let (sender, mut connections) = mpsc::unbounded_channel();
            workers.push(sender);
            let sockets: Vec<_> = endpoints
                .iter()
                .filter_map(|endpoint| endpoint.udp.get(number).cloned())
                .collect();
            let shared = Shared {
                counters: Arc::clone(&counters),
                figures: Arc::clone(&figures),
                jobs: jobs.clone(),
                main: Handle::current(),
                stop: stop.clone(),
                streams: streams.clone(),
                wants_interfaces,
                // Where all share one socket, there is one copy.
                takes_broadcasts: number == 0 || cfg!(not(target_os = "linux")),
            };
            let answerers = Arc::clone(&answerers);
            let first = runtime()?;
            let run = move || {
                #[cfg(target_os = "linux")]
                {
                    place::stay_on_one_processor(number, count);
                    place::come_before_what_comes_in(number);
                }
                privileges::keep_nothing();
                drop(beginning);
                let mut next = Ok(first);
                loop {
                    let worked = next.and_then(|runtime| {
                        let work = work(&sockets, &mut connections, &answerers, &shared);
                        catch_unwind(AssertUnwindSafe(|| runtime.block_on(LocalSet::new().run_until(work))))
                            .map_err(|_| io::Error::other("it panicked"))
                    });
                    match worked {
                        Ok(()) => break,
                        Err(error) => {
                            shared.figures.panics.fetch_add(1, Ordering::Relaxed);
                            tracing::error!(worker = number, %error, "a worker failed; it is started again");
                        }
                    }
                    if shared.stop.is_cancelled() {
                        break;
                    }
                    thread::sleep(RESTART_PAUSE);
                    next = runtime();
                }
            };
            threads.push(thread::Builder::new().name(format!("dns-{number}")).spawn(run)?);
        }
        drop(beginning);
        // Until each has given up its privileges.
        let _ = all_have_begun.recv();
        let mut acceptors = JoinSet::new();
        let mut addresses = Vec::with_capacity(endpoints.len());
        for Endpoint { address, tcp, udp: _ } in endpoints {
            addresses.push(address);
            let listener = tokio::net::TcpListener::from_std(tcp)?;
            acceptors.spawn(tcp::accept(
                listener,
                workers.clone(),
                Arc::clone(&admissions),
                Arc::clone(&policies),
                stop.clone(),
            ));
        }
        Ok(Self {
            addresses,
            figures,
            stop,
            jobs,
            acceptors,
            threads,
            admissions,
        })
    }

    /// The addresses that are served, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections there may be, to be changed while they are served.
    pub fn stream_limits(&self) -> StreamLimits {
        StreamLimits(Arc::clone(&self.admissions))
    }

    /// Rare events so far.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Octets that wait for TCP clients, or of which the rest is waited for.
    #[cfg(test)]
    pub(crate) fn waiting_for_tcp(&self) -> usize {
        self.admissions.waiting()
    }

    /// Takes no more queries, answers those that have come, and returns when all is sent or after `grace`; true where
    /// all of it was done.
    pub async fn shutdown(mut self, grace: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + grace;
        self.stop.cancel();
        self.jobs.close();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let all = async {
            while self.acceptors.join_next().await.is_some() {}
            let _ = joined.await;
            self.jobs.wait().await;
        };
        tokio::time::timeout_at(deadline, all).await.is_ok()
    }
}

/// The limits of TCP connections, in force.
#[derive(Clone)]
pub struct StreamLimits(Arc<Admissions>);

impl StreamLimits {
    /// Puts the numbers of connections and the idle time-out of these settings into force. Connections that are open
    /// stay open.
    pub fn set(&self, settings: &StreamSettings) {
        self.0.set(settings);
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.cancel();
        self.jobs.close();
    }
}

/// One thread's. Few ticks between polls of the sockets: one tick is up to a batch of queries.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(7)
        .build()
}

/// What the tasks of a worker share, and can give to a task of the main runtime.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) counters: Arc<dyn CountAnswers>,
    pub(super) figures: Arc<Figures>,
    /// Jobs over UDP, which are waited for when the plane stops.
    pub(super) jobs: TaskTracker,
    /// Where jobs of sessions run.
    pub(super) main: Handle,
    pub(super) stop: CancellationToken,
    pub(super) streams: StreamSettings,
    pub(super) wants_interfaces: bool,
    /// Each worker's socket gets a copy of a broadcast: one of them answers.
    pub(super) takes_broadcasts: bool,
}

impl Shared {
    /// A job for `query`, to be asked for its messages.
    pub(super) fn run(&self, job: Job, query: &[u8]) -> RunningJob {
        RunningJob::new(job, query, Arc::clone(&self.figures))
    }

    /// Counts a reply by what it says of itself.
    pub(super) fn count(&self, protocol: Protocol, reply: &[u8]) {
        let (qtype, rcode) = describe(reply);
        self.counters.count(protocol, qtype, rcode);
    }
}

/// The one answerer of a worker, which its tasks share and which outlives its panics.
pub(super) struct SharedAnswerer {
    answerer: Box<dyn Answerer>,
    answerers: AnswererFactory,
    pub(super) shared: Shared,
    /// Room for one reply, which a turn of a session borrows.
    pub(super) reply: Vec<u8>,
    last_said: Option<Instant>,
}

impl SharedAnswerer {
    pub(super) fn new(answerers: &AnswererFactory, shared: Shared) -> Self {
        Self {
            answerer: answerers(),
            answerers: Arc::clone(answerers),
            shared,
            reply: Vec::new(),
            last_said: None,
        }
    }

    /// As [`Answerer::answer`], with `out` emptied first; never panics.
    pub(super) fn answer(&mut self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> Disposition {
        out.clear();
        match catch_unwind(AssertUnwindSafe(|| self.answerer.answer(query, arrival, out))) {
            Ok(disposition) => disposition,
            Err(_) => {
                self.recover(query, arrival.client);
                failure(query, 2, out)
            }
        }
    }

    fn recover(&mut self, query: &[u8], client: IpAddr) {
        let panics = self.shared.figures.panics.fetch_add(1, Ordering::Relaxed) + 1;
        if self
            .last_said
            .is_none_or(|said| said.elapsed() >= Duration::from_secs(1))
        {
            self.last_said = Some(Instant::now());
            let query = shown(query);
            tracing::error!(%client, panics, %query, "a query made the answerer panic; it was answered SERVFAIL");
        }
        // Its state may be half changed.
        if let Ok(answerer) = catch_unwind(AssertUnwindSafe(|| (self.answerers)())) {
            self.answerer = answerer;
        }
    }
}

/// A worker's thread: its sockets and connections until it is told to stop and all of them are done.
async fn work(
    sockets: &[Arc<std::net::UdpSocket>],
    connections: &mut mpsc::UnboundedReceiver<tcp::Accepted>,
    answerers: &AnswererFactory,
    shared: &Shared,
) {
    let stop = shared.stop.clone();
    let answerer = Rc::new(RefCell::new(SharedAnswerer::new(answerers, shared.clone())));
    let mut datagrams = JoinSet::new();
    for socket in sockets {
        let socket = Arc::clone(socket);
        let figures = Arc::clone(&shared.figures);
        let answerer = Rc::clone(&answerer);
        let stop = stop.clone();
        datagrams.spawn_local(async move {
            loop {
                let served = tokio::task::spawn_local(udp::serve(Arc::clone(&socket), Rc::clone(&answerer))).await;
                match served {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => tracing::error!(%error, "serving a UDP socket failed; it is started again"),
                    Err(error) => {
                        figures.panics.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(%error, "serving a UDP socket panicked; it is started again");
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(RESTART_PAUSE) => {}
                }
            }
        });
    }
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            // Senders go when the acceptors stop.
            accepted = connections.recv() => match accepted {
                Some(accepted) => drop(open.spawn_local(tcp::serve(accepted, Rc::clone(&answerer)))),
                None => break,
            },
            Some(done) = open.join_next(), if !open.is_empty() => if let Err(error) = done {
                shared.figures.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a TCP connection's task panicked; that connection is closed");
            },
        }
    }
    while open.join_next().await.is_some() {}
    while datagrams.join_next().await.is_some() {}
    // Theirs, and those that wait for a question of theirs.
    shared.jobs.wait().await;
}

/// QTYPE and RCODE of a reply; 0 where it has no question.
fn describe(reply: &[u8]) -> (u16, u8) {
    let rcode = reply.get(3).map_or(0, |flags| flags & 0x0F);
    let has_question = reply.get(4..6).is_some_and(|count| count != [0, 0]);
    let mut qtype = 0;
    if has_question && let Some(question) = Reader::behind_header(reply).question() {
        qtype = question.qtype.0;
    }
    // RFC 6891 §6.1.3: the upper bits are in the OPT, which alone follows the question of a BADVERS.
    if rcode == 0
        && reply.get(6..12) == Some(&[0, 0, 0, 0, 0, 1])
        && let Some([0, 0, 41, _, _, upper, _, _, _, 0, 0]) = reply.last_chunk::<11>()
    {
        return (qtype, upper.wrapping_shl(4));
    }
    (qtype, rcode)
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::describe;
    use super::testing::{query, start_panicking};

    #[tokio::test]
    async fn a_worker_that_panics_is_started_again_and_serves() {
        const PANICS: usize = 3;
        let test = start_panicking(PANICS, &["127.0.0.1:0".parse().unwrap()]);
        let ask = async {
            // To each of the two workers.
            for _ in 0..4 {
                let mut stream = TcpStream::connect(test.plane.addresses()[0]).await.unwrap();
                let query = query(1, "a.test.");
                stream.write_u16(query.len() as u16).await.unwrap();
                stream.write_all(&query).await.unwrap();
                assert_eq!(usize::from(stream.read_u16().await.unwrap()), query.len());
            }
        };
        timeout(Duration::from_secs(20), ask).await.expect("served in time");
        assert_eq!(test.plane.figures().panics.load(Ordering::Relaxed), PANICS as u64);
        assert!(test.plane.shutdown(Duration::from_secs(5)).await);
    }

    #[test]
    fn replies_are_counted_by_type_and_whole_rcode() {
        let mut reply = b"\0\0\x80\x03\0\x01\0\0\0\0\0\0\x01a\0\0\x1c\0\x01".to_vec();
        assert_eq!(describe(&reply), (28, 3));
        reply[3] = 0;
        reply[11] = 1;
        reply.extend_from_slice(b"\0\0\x29\x04\xd0\x01\0\0\0\0\0");
        assert_eq!(describe(&reply), (28, 16), "BADVERS");
        assert_eq!(describe(b"\0\0\x80\x01\0\0\0\0\0\0\0\0"), (0, 1));
        assert_eq!(describe(b"\0\0\x80\x01\0\x01\0\0\0\0\0\0"), (0, 1), "cut off");
    }
}
