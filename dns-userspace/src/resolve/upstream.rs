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
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::seq::SliceRandom;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::breaker::Health;
use super::clock::Clock;
use super::exchange::{Asking, Failed};
use super::failure::Failure;
use super::flights::Answer;
use crate::config::{Policy, UpstreamSet};
use crate::host::addresses::HostAddresses;
use crate::message::{Mark, Message};
use crate::observe::metrics::UpstreamMetrics;

pub(super) mod names;
pub(super) mod probe;
mod server;
mod shown;

use server::Server;
pub use shown::{ShownServer, ShownUpstream};

const SERVFAIL: u16 = 2;
/// Of so many queries to the fastest server one goes to whichever, so that another can become the fastest.
const EXPLORE: u32 = 32;

/// The servers that are asked for the same names.
#[derive(Debug)]
pub(super) struct Upstream {
    config: UpstreamSet,
    servers: Box<[Server]>,
    clock: Clock,
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
        let servers = config.servers.iter();
        let servers = servers.map(|server| Server::new(server.clone(), &config.name, clock.clone(), metrics, &tls));
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
        let key = self.key();
        let followed = self.servers.iter().map(|server| server.follow(host, listening, key));
        followed.fold(false, |is_any_left, is_left| is_any_left | is_left)
    }

    /// The addresses of all its servers, as far as they are known.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.iter().flat_map(|server| server.addresses().to_vec())
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
            return Box::pin(self.ask_all(&order, &asking, mark)).await;
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
            if server.is_ourselves() {
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
            Policy::Fastest => good.sort_by_key(|&number| self.servers[number].rtt()),
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
        let judged = self.judge(server.ask(asking, mark, time).await);
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
