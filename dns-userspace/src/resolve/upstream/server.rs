//! One server of a set: its addresses, how it does, and a question to it.
//!
//! ```text
//! addresses: [2001:db8::1]:53, 192.0.2.1:53      the one that answered last comes first
//!            no reply in its share of the time ─► the next one
//! ```
//!
//! A server that is given by name has the addresses that [`super::names`] finds. Until there are some, a question waits
//! for them within its time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::super::breaker::Breaker;
use super::super::clock::Clock;
use super::super::exchange::{self, Asking, Channel, EdnsMemory, Failed};
use super::super::secure::SecureServer;
use crate::config::{UpstreamServer, UpstreamTransport};
use crate::host::addresses::HostAddresses;
use crate::message::{Mark, Message};
use crate::observe::metrics::{UpstreamMetrics, UpstreamServerMetrics};

/// A reply's share in the average of a server's times.
const RTT_SHARE: u64 = 8;

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: UpstreamServer,
    /// The set that it is in.
    upstream: Arc<str>,
    /// Its addresses that are none of ours.
    addresses: watch::Sender<Arc<[SocketAddr]>>,
    known: Mutex<Known>,
    /// Whether all its addresses are ours, as far as is known.
    is_ourselves: AtomicBool,
    /// Which address is asked first.
    first: AtomicUsize,
    pub(super) breaker: Breaker,
    /// The average time of its replies in microseconds; 0 where it has sent none.
    rtt: AtomicU64,
    /// When it has replied last, in milliseconds of the clock.
    replied: AtomicU64,
    clock: Clock,
    pub(super) metrics: UpstreamServerMetrics,
    channel: Channel,
    /// Told where its name is worth another look.
    pub(super) look_up: Notify,
}

/// From what its usable addresses follow.
#[derive(Debug, Default)]
struct Known {
    resolved: Arc<[SocketAddr]>,
    host: HostAddresses,
    listening: Vec<SocketAddr>,
}

impl Server {
    /// `tls` is asked for what a server over TLS needs.
    pub(super) fn new(
        config: UpstreamServer,
        upstream: &Arc<str>,
        clock: Clock,
        metrics: &UpstreamMetrics,
        tls: &impl Fn() -> Arc<ClientConfig>,
    ) -> Self {
        let resolved: Arc<[SocketAddr]> = config.address().into_iter().collect();
        let channel = SecureServer::new(&config, tls);
        Self {
            metrics: metrics.of(upstream, &config.to_string()),
            upstream: Arc::clone(upstream),
            addresses: watch::Sender::new(Arc::clone(&resolved)),
            known: Mutex::new(Known {
                resolved,
                ..Known::default()
            }),
            is_ourselves: AtomicBool::new(false),
            first: AtomicUsize::new(0),
            breaker: Breaker::default(),
            rtt: AtomicU64::new(0),
            replied: AtomicU64::new(0),
            clock,
            channel: channel.map_or_else(|| Channel::Plain(EdnsMemory::default()), Channel::Secure),
            look_up: Notify::new(),
            config,
        }
    }

    pub(super) fn is_ourselves(&self) -> bool {
        self.is_ourselves.load(Ordering::Relaxed)
    }

    /// The average time of its replies in microseconds; 0 where it has sent none.
    pub(super) fn rtt(&self) -> u64 {
        self.rtt.load(Ordering::Relaxed)
    }

    /// Where it is asked at present.
    pub(super) fn addresses(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.addresses.borrow())
    }

    /// How long ago it has replied last.
    pub(super) fn silent_for(&self) -> Duration {
        let replied = Duration::from_millis(self.replied.load(Ordering::Relaxed));
        self.clock.now().saturating_sub(replied)
    }

    /// The addresses that its name has now; whether they are others than before.
    pub(super) fn resolve_to(&self, resolved: Arc<[SocketAddr]>) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = known.resolved != resolved;
        known.resolved = resolved;
        self.apply(&known);
        is_other
    }

    /// Asks none of its addresses that is ourselves, now that this host has these, and says what has changed. Whether
    /// one is left, or none is known.
    pub(super) fn follow(&self, host: &HostAddresses, listening: &[SocketAddr], key: &str) -> bool {
        let before = self.is_ourselves();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.host = host.clone();
            known.listening = listening.to_vec();
            self.apply(&known);
        }
        let server = &self.config;
        match (before, self.is_ourselves()) {
            (false, true) => tracing::warn!(
                "`{key}` names {server}, which is this server now: it is not asked as long as that is so"
            ),
            (true, false) => tracing::info!("{server} of `{key}` is not this server any more: it is asked again"),
            _ => {}
        }
        !self.is_ourselves()
    }

    fn apply(&self, known: &Known) {
        let is_plain = self.config.transport == UpstreamTransport::Plain;
        let is_other = |address: &&SocketAddr| !(is_plain && known.host.is_ourselves(**address, &known.listening));
        let usable: Arc<[SocketAddr]> = known.resolved.iter().filter(is_other).copied().collect();
        let is_ourselves = usable.is_empty() && !known.resolved.is_empty();
        self.is_ourselves.store(is_ourselves, Ordering::Relaxed);
        self.addresses.send_if_modified(|addresses| {
            let is_other = *addresses != usable;
            *addresses = usable;
            is_other
        });
    }

    /// Asks it, for `time` at most. What that says of the server is noted.
    pub(super) async fn ask(&self, asking: &Asking, mark: Mark, time: Duration) -> Result<Message, Failed> {
        let start = Instant::now();
        let result = self.ask_addresses(asking, mark, start + time).await;
        match &result {
            Err(error) if error.is_silence() => {
                tracing::debug!(server = %self.config, %error, "an upstream server failed");
                self.look_up.notify_one();
                if self.breaker.fail(self.clock.now()) {
                    self.metrics.up.set(0);
                    tracing::warn!(
                        upstream = &*self.upstream, server = %self.config, %error,
                        "an upstream server does not reply: the others are asked first until it does"
                    );
                }
            }
            replied => {
                let took = start.elapsed();
                self.metrics.seconds.observe(took.as_secs_f64());
                self.note_time(took);
                if self.breaker.succeed() {
                    self.metrics.up.set(1);
                    let upstream = &*self.upstream;
                    tracing::info!(upstream, server = %self.config, "an upstream server replies again");
                }
                if let Err(error) = replied {
                    tracing::debug!(server = %self.config, %error, "an upstream server failed");
                }
            }
        }
        result
    }

    async fn ask_addresses(&self, asking: &Asking, mark: Mark, deadline: Instant) -> Result<Message, Failed> {
        let mut watched = self.addresses.subscribe();
        let is_there = watched.wait_for(|addresses| !addresses.is_empty());
        let addresses = match timeout_at(deadline, is_there).await {
            Ok(Ok(addresses)) => Arc::clone(&addresses),
            _ => return Err(Failed::Unresolved),
        };
        let first = self.first.load(Ordering::Relaxed);
        let mut failed = Failed::TimedOut;
        for place in 0..addresses.len() {
            let number = first.wrapping_add(place) % addresses.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - place).unwrap_or(u32::MAX);
            match exchange::ask(&self.channel, addresses[number], asking, mark, share).await {
                Err(error @ (Failed::Network(_) | Failed::TimedOut)) => failed = error,
                replied => {
                    self.first.store(number, Ordering::Relaxed);
                    return replied;
                }
            }
        }
        Err(failed)
    }

    fn note_time(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = self.rtt.load(Ordering::Relaxed);
        let average = match before {
            0 => took,
            before => before - before / RTT_SHARE + took / RTT_SHARE,
        };
        self.rtt.store(average.max(1), Ordering::Relaxed);
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        self.replied.store(now, Ordering::Relaxed);
    }
}
