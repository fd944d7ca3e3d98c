//! A set of upstream servers: which of them is asked, and after what the next one.
//!
//! ```text
//! sequential   a ─► b ─► c         as configured
//! random       c ─► a ─► b         drawn for each query
//! fastest      b ─► a ─► c         by what their replies took lately; now and then another order, to learn
//! parallel     a, b, c at once     the first answer
//! ```
//!
//! Servers that rest (see [`super::breaker`]) come last. The time-out is the whole budget of a query: each server in
//! turn may use an equal share of what is left, so a dead first server does not use up the time of the second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::seq::SliceRandom;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::breaker::{Breaker, Health};
use super::clock::Clock;
use super::exchange::{self, Asking, Channel, Failed};
use super::failure::Failure;
use super::flights::Answer;
use super::tls::TlsServer;
use crate::config::{Policy, UpstreamServer, UpstreamSet, UpstreamTransport};
use crate::host::addresses::HostAddresses;
use crate::message::{Mark, Message};
use crate::observe::metrics::{UpstreamMetrics, UpstreamServerMetrics};

const SERVFAIL: u16 = 2;
/// Of so many queries to the fastest server one goes to whichever, so that another can become the fastest.
const EXPLORE: u32 = 32;
/// A reply's share in the average of a server's times.
const RTT_SHARE: u64 = 8;

/// The servers that are asked for the same names.
#[derive(Debug)]
pub(super) struct Upstream {
    config: UpstreamSet,
    servers: Box<[Server]>,
    clock: Clock,
}

#[derive(Debug)]
struct Server {
    config: UpstreamServer,
    /// Whether it is this server itself, as far as is known.
    is_ourselves: AtomicBool,
    breaker: Breaker,
    /// The average time of its replies in microseconds; 0 where it has sent none.
    rtt: AtomicU64,
    metrics: UpstreamServerMetrics,
    channel: Channel,
}

/// What a server's reply means for the query.
enum Judged {
    /// It is what the client gets.
    Final(Answer),
    /// The next server is asked.
    Next(Failure),
}

impl Upstream {
    /// `tls` is asked for what servers over TLS need.
    pub(super) fn new(
        config: UpstreamSet,
        clock: Clock,
        metrics: &UpstreamMetrics,
        tls: impl Fn() -> Arc<ClientConfig>,
    ) -> Self {
        let servers = config.servers.iter().map(|server| Server {
            metrics: metrics.of(&config.name, &server.to_string()),
            config: server.clone(),
            is_ourselves: AtomicBool::new(false),
            breaker: Breaker::default(),
            rtt: AtomicU64::new(0),
            channel: match &server.transport {
                UpstreamTransport::Plain => Channel::Plain(server.address),
                UpstreamTransport::Tls(name) => Channel::Tls(TlsServer::new(server.address, name.as_deref(), tls())),
            },
        });
        Self {
            servers: servers.collect(),
            config,
            clock,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Asks no server that is ourselves, now that this host has these addresses, and says what has changed. Whether a
    /// server is left to be asked.
    pub(super) fn follow(&self, host: &HostAddresses, listening: &[SocketAddr]) -> bool {
        let mut is_any_left = false;
        for server in &self.servers {
            let address = server.config.address;
            let is_plain = server.config.transport == UpstreamTransport::Plain;
            let is_ourselves = is_plain && host.is_ourselves(address, listening);
            is_any_left |= !is_ourselves;
            let key = self.key();
            match (server.is_ourselves.swap(is_ourselves, Ordering::Relaxed), is_ourselves) {
                (false, true) => tracing::warn!(
                    "`{key}` names {address}, which is this server now: it is not asked as long as that is so"
                ),
                (true, false) => tracing::info!("{address} of `{key}` is not this server any more: it is asked again"),
                _ => {}
            }
        }
        is_any_left
    }

    /// Where the configuration has its servers.
    pub(super) fn key(&self) -> &'static str {
        if *self.config.name == *crate::config::DEFAULT_SET {
            "backend.upstream.servers"
        } else {
            "forward.upstreams"
        }
    }

    /// The first good reply: an answer, or that there is none (NXDOMAIN is final).
    pub(super) async fn resolve(self: Arc<Self>, asking: Asking, mark: Mark) -> Answer {
        let mark = Mark {
            hops: mark.hops.saturating_add(1),
            ..mark
        };
        let (order, trials) = self.order();
        for server in trials {
            // Nobody waits for it: it is asked to learn whether it answers again.
            let (upstream, asking) = (Arc::clone(&self), asking.clone());
            tokio::spawn(async move { drop(upstream.ask(server, &asking, mark, upstream.config.timeout).await) });
        }
        if order.is_empty() {
            return Err(Failure::Ourselves);
        }
        if self.config.policy == Policy::Parallel {
            return self.ask_all(&order, &asking, mark).await;
        }
        let mut failure = Failure::Silence;
        let deadline = Instant::now() + self.config.timeout;
        for (place, &server) in order.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(order.len() - place).unwrap_or(u32::MAX);
            match self.ask(server, &asking, mark, share).await {
                Judged::Final(answer) => return answer,
                Judged::Next(next) => failure = failure.or_rather(next),
            }
        }
        Err(failure)
    }

    async fn ask_all(&self, servers: &[usize], asking: &Asking, mark: Mark) -> Answer {
        let asked = servers
            .iter()
            .map(|&server| self.ask(server, asking, mark, self.config.timeout));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut failure = Failure::Silence;
        while let Some(judged) = asked.next().await {
            match judged {
                Judged::Final(answer) => return answer,
                Judged::Next(next) => failure = failure.or_rather(next),
            }
        }
        Err(failure)
    }

    /// The servers in the order in which they are to be asked, and those that are to be tried beside.
    fn order(&self) -> (Vec<usize>, Vec<usize>) {
        let now = self.clock.now();
        let (mut good, mut resting, mut trials) = (Vec::new(), Vec::new(), Vec::new());
        for (number, server) in self.servers.iter().enumerate() {
            if server.is_ourselves.load(Ordering::Relaxed) {
                continue;
            }
            match server.breaker.health(now) {
                Health::Good => good.push(number),
                Health::Resting => resting.push(number),
                Health::Trial => {
                    resting.push(number);
                    trials.push(number);
                }
            }
        }
        match self.config.policy {
            Policy::Sequential | Policy::Parallel => {}
            Policy::Random => good.shuffle(&mut rand::rng()),
            Policy::Fastest if rand::random_range(0..EXPLORE) == 0 => good.shuffle(&mut rand::rng()),
            // One that has sent no reply yet comes first, so that it is known.
            Policy::Fastest => good.sort_by_key(|&number| self.servers[number].rtt.load(Ordering::Relaxed)),
        }
        if good.is_empty() {
            return (resting, Vec::new());
        }
        if self.config.policy != Policy::Parallel {
            good.extend(resting);
        }
        (good, trials)
    }

    async fn ask(&self, number: usize, asking: &Asking, mark: Mark, time: Duration) -> Judged {
        let server = &self.servers[number];
        server.metrics.queries.inc();
        let start = Instant::now();
        let result = exchange::ask(&server.channel, asking, mark, time).await;
        let took = start.elapsed();
        match &result {
            Err(error @ (Failed::Network(_) | Failed::TimedOut)) => {
                tracing::debug!(server = %server.config, %error, "an upstream server failed");
                if server.breaker.fail(self.clock.now()) {
                    server.metrics.up.set(0);
                    tracing::warn!(
                        upstream = self.name(), server = %server.config, %error,
                        "an upstream server does not reply: the others are asked first until it does"
                    );
                }
            }
            replied => {
                server.metrics.seconds.observe(took.as_secs_f64());
                server.note_time(took);
                if server.breaker.succeed() {
                    server.metrics.up.set(1);
                    tracing::info!(upstream = self.name(), server = %server.config, "an upstream server replies again");
                }
                if let Err(error) = replied {
                    tracing::debug!(server = %server.config, %error, "an upstream server failed");
                }
            }
        }
        let judged = self.judge(result);
        if !matches!(judged, Judged::Final(Ok(_))) {
            server.metrics.failures.inc();
        }
        judged
    }

    fn judge(&self, result: Result<Message, Failed>) -> Judged {
        let on = self.config.failover_on;
        let (failure, is_next) = match result {
            Ok(message) if message.is_answer() => return Judged::Final(Ok(Arc::new(message))),
            Ok(message) => {
                let rcode = message.rcode();
                let is_next = if rcode == SERVFAIL { on.servfail } else { on.refused };
                (if is_next { Failure::Error } else { Failure::Rcode(rcode) }, is_next)
            }
            Err(error) => (error.failure(), on.network),
        };
        if is_next {
            Judged::Next(failure)
        } else {
            Judged::Final(Err(failure))
        }
    }
}

impl Server {
    fn note_time(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = self.rtt.load(Ordering::Relaxed);
        let average = match before {
            0 => took,
            before => before - before / RTT_SHARE + took / RTT_SHARE,
        };
        self.rtt.store(average.max(1), Ordering::Relaxed);
    }
}
