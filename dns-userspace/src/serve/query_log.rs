//! The query log: one JSON object for each query that sockets answer.
//!
//! ```text
//! worker: sampled? of such a client? ─► answer ─► copy of query and reply ─ try_send ─► thread: read, filter, write
//!                                                                             └─ full: counted, and not written
//! ```
//!
//! A worker never waits: what the thread does not keep up with is counted and lost. The thread alone reads messages,
//! and writes to a sink that may block, fill up, vanish and come back.

mod entry;
mod sink;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use dns_common::order::next;
use ipnet::IpNet;

use self::entry::Entry;
use self::sink::Output;
use crate::config::QueryLogConfig;
use crate::observe::figures::Figures;
use crate::observe::latency::Plane;
use crate::query::Arrival;

/// Entries that wait for the thread. An entry is a few hundred octets.
const WAITING: usize = 8192;
/// How long the thread keeps lines to itself where no more come.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines are handed on at this many octets, or where no more wait.
const BATCH_BYTES: usize = 64 << 10;

/// Where workers put what they have answered; each has its own.
pub struct QueryLog {
    sender: SyncSender<Entry>,
    sample: u32,
    clients: Arc<[IpNet]>,
    figures: Arc<Figures>,
    random: u64,
}

/// A query that is to be logged once it is answered.
pub struct Begun {
    sender: SyncSender<Entry>,
    figures: Arc<Figures>,
    started: Instant,
    entry: Entry,
}

impl QueryLog {
    /// Starts the thread, which ends when the last worker's log is dropped; `None` where nothing is to be logged.
    pub fn start(config: &QueryLogConfig, figures: Arc<Figures>) -> io::Result<Option<Self>> {
        let Some(sink) = config.to.clone() else {
            return Ok(None);
        };
        let (sender, receiver) = sync_channel(WAITING);
        let writer = Writer {
            receiver,
            output: Output::new(sink),
            config: config.clone(),
            figures: Arc::clone(&figures),
        };
        let thread = std::thread::Builder::new().name("query-log".into());
        thread.spawn(move || writer.run())?;
        Ok(Some(Self {
            sender,
            sample: config.sample,
            clients: config.clients.clone().into(),
            figures,
            random: rand::random(),
        }))
    }

    /// The log of another worker.
    pub fn another(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            clients: Arc::clone(&self.clients),
            figures: Arc::clone(&self.figures),
            random: rand::random(),
            sample: self.sample,
        }
    }

    /// Whether this query is logged, and then what is known of it before it is answered.
    pub fn begin(&mut self, query: &[u8], arrival: &Arrival) -> Option<Begun> {
        if self.sample > 1 && !next(&mut self.random).is_multiple_of(u64::from(self.sample)) {
            return None;
        }
        let is_of = |client: IpAddr| self.clients.iter().any(|prefix| prefix.contains(&client));
        if !self.clients.is_empty() && !is_of(arrival.client) {
            return None;
        }
        Some(Begun {
            sender: self.sender.clone(),
            figures: Arc::clone(&self.figures),
            started: Instant::now(),
            entry: Entry {
                time: SystemTime::now(),
                took: Duration::ZERO,
                client: arrival.client,
                port: arrival.port,
                protocol: arrival.protocol,
                plane: Plane::Reference,
                query: query.into(),
                reply: Box::default(),
            },
        })
    }
}

impl Begun {
    /// Hands on what is known now; never waits.
    pub fn answered(self, plane: Plane, reply: &[u8]) {
        let Self {
            sender,
            figures,
            started,
            entry,
        } = self;
        let entry = Entry {
            took: started.elapsed(),
            plane,
            reply: reply.into(),
            ..entry
        };
        if sender.try_send(entry).is_err() {
            figures.query_log_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread.
struct Writer {
    receiver: Receiver<Entry>,
    output: Output,
    config: QueryLogConfig,
    figures: Arc<Figures>,
}

impl Writer {
    fn run(mut self) {
        let (mut lines, mut count) = (Vec::new(), 0);
        loop {
            let ended = match self.receiver.recv_timeout(PAUSE) {
                Ok(entry) => {
                    self.take(&entry, &mut lines, &mut count);
                    while lines.len() < BATCH_BYTES
                        && let Ok(entry) = self.receiver.try_recv()
                    {
                        self.take(&entry, &mut lines, &mut count);
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if count > 0 {
                let written = self.output.write(&lines);
                let figure = if written {
                    &self.figures.query_log_written
                } else {
                    &self.figures.query_log_dropped
                };
                figure.fetch_add(count, Ordering::Relaxed);
                lines.clear();
                count = 0;
            }
            if ended {
                return;
            }
        }
    }

    fn take(&self, entry: &Entry, lines: &mut Vec<u8>, count: &mut u64) {
        if let Some(line) = entry.line(&self.config) {
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
            *count += 1;
        }
    }
}
