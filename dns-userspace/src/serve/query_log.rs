//! The query log, dnstap and what is asked most: what becomes known of single queries beside their answers.
//!
//! ```text
//! worker: wanted by whom? ─► answer ─► copy of query and reply ─ its queue ─┐  thread `query-log`
//!                                                    └─ full: counted       ├─► read, filter ─┬─► lines ─► sink
//! XDP program ─ its ring ───────────────────────────────────────────────────┘                 ├─► dnstap
//!                  └─ full: counted      both are read every few milliseconds                 └─► top
//! ```
//!
//! A worker never waits: what the threads do not keep up with is counted and lost. The sink has a thread of its own,
//! since it may block, fill up, vanish and come back.

mod collector;
mod entry;
mod line;
mod outlet;
mod place;
mod queue;
mod sink;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use dns_common::order::next;
use dns_common::reason::PassReason;
use dns_common::tap::TapSettings;
use ipnet::IpNet;

use self::collector::Collector;
use self::entry::{Entry, Head, Wants};
use self::outlet::Outlet;
use self::queue::{Queue, Queues};
use super::xdp::Taps;
use crate::config::{Config, DnstapConfig, QueryLogConfig};
use crate::host::privileges;
use crate::observe::dnstap::Dnstap;
use crate::observe::figures::Figures;
use crate::observe::latency::Plane;
use crate::observe::top::Top;
use crate::publish::Served;
use crate::query::Arrival;

/// Where workers put what they have answered; each has its own.
pub struct QueryLog {
    queue: Arc<Queue>,
    queues: Arc<Queues>,
    wishes: Arc<Wishes>,
    figures: Arc<Figures>,
    random: u64,
}

/// What is wanted of queries, by whom.
struct Wishes {
    /// For lines, and for dnstap: one of so many, none being none at all.
    log: Option<u32>,
    clients: Vec<IpNet>,
    dnstap: Option<u32>,
    top: Arc<Top>,
}

/// What the thread works with.
#[derive(Clone)]
pub(crate) struct QueryLogParts {
    pub(crate) figures: Arc<Figures>,
    /// What views, zones and sources are looked up in.
    pub(crate) served: Arc<Served>,
    /// What XDP programs show.
    pub(crate) taps: Taps,
    pub(crate) dnstap: Option<Dnstap>,
    pub(crate) top: Arc<Top>,
}

/// A query that is to be logged once it is answered.
pub struct Begun {
    queue: Arc<Queue>,
    figures: Arc<Figures>,
    started: Instant,
    head: Head,
}

/// What the XDP program is to show of its answers, so that the query log and dnstap get what they want.
pub(crate) fn tap_settings(log: &QueryLogConfig, dnstap: &DnstapConfig) -> TapSettings {
    let logged = (log.to.is_some() && log.xdp).then_some(log.sample);
    let shown = (dnstap.to.is_some() && dnstap.xdp).then_some(dnstap.sample);
    TapSettings {
        one_in: logged.into_iter().chain(shown).min().unwrap_or(0),
        whole: u32::from(shown.is_some()),
    }
}

impl QueryLog {
    /// Starts the threads, which end when the last worker's log is dropped.
    pub(crate) fn start(config: &Config, parts: QueryLogParts) -> io::Result<Self> {
        let (log, dnstap) = (&config.query_log, &config.dnstap);
        let outlet = match log.to.clone() {
            Some(sink) => Some(Outlet::start(sink, Arc::clone(&parts.figures))?),
            None => None,
        };
        let wishes = Arc::new(Wishes {
            log: log.to.is_some().then_some(log.sample),
            clients: log.clients.clone(),
            dnstap: dnstap.to.is_some().then_some(dnstap.sample),
            top: Arc::clone(&parts.top),
        });
        let queues = Arc::new(Queues::default());
        // Before the thread begins, which ends where there is none.
        let queue = queues.add();
        let figures = Arc::clone(&parts.figures);
        let collector = Collector::new(Arc::clone(&queues), config, parts, outlet, Arc::clone(&wishes));
        let thread = std::thread::Builder::new().name("query-log".into());
        thread.spawn(move || {
            privileges::keep_nothing();
            collector.run();
        })?;
        Ok(Self {
            queue,
            queues,
            wishes,
            figures,
            random: rand::random(),
        })
    }

    /// The log of another worker.
    pub fn another(&self) -> Self {
        Self {
            queue: self.queues.add(),
            queues: Arc::clone(&self.queues),
            wishes: Arc::clone(&self.wishes),
            figures: Arc::clone(&self.figures),
            random: rand::random(),
        }
    }

    /// Whether somebody wants to know of this query, and then what is known of it before it is answered.
    pub fn begin(&mut self, arrival: &Arrival) -> Option<Begun> {
        let wants = self.wishes.of(arrival.client, 1, &mut self.random);
        if wants.is_empty() {
            return None;
        }
        Some(Begun {
            queue: Arc::clone(&self.queue),
            figures: Arc::clone(&self.figures),
            started: Instant::now(),
            head: Head {
                wants,
                weight: 1,
                time: SystemTime::now(),
                took: None,
                client: arrival.client,
                port: arrival.port,
                server: arrival.at.map(|(_, address)| (address, 0)),
                transport: arrival.protocol.label(),
                plane: Plane::Reference,
                passed: None,
                size: 0,
            },
        })
    }
}

impl Wishes {
    /// Who wants to know of a query of this client's, which was drawn from `one_in` already.
    fn of(&self, client: IpAddr, one_in: u32, random: &mut u64) -> Wants {
        let mut wants = Wants::default();
        let mut draws = |sample: u32| sample <= one_in || next(random) % u64::from(sample) < u64::from(one_in);
        if let Some(sample) = self.log
            && draws(sample)
            && (self.clients.is_empty() || self.clients.iter().any(|prefix| prefix.contains(&client)))
        {
            wants.log = true;
        }
        if let Some(sample) = self.dnstap {
            wants.dnstap = draws(sample);
        }
        wants.top = self.top.is_wanted();
        wants
    }
}

impl Begun {
    /// The same, with the reason for which the fast path has passed it.
    pub fn passed(mut self, reason: Option<PassReason>) -> Self {
        self.head.passed = reason;
        self
    }

    /// Hands on what is known now; never waits.
    pub fn answered(self, plane: Plane, query: &[u8], reply: &[u8]) {
        let head = Head {
            took: Some(self.started.elapsed()),
            plane,
            size: reply.len(),
            ..self.head
        };
        let entry = Entry {
            head: &head,
            query,
            reply,
        };
        if !self.queue.put(entry) && head.wants.log {
            self.figures.query_log_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DnstapTarget, Sink};

    #[test]
    fn the_program_shows_what_the_one_who_wants_most_needs() {
        let log = |sample, xdp| QueryLogConfig {
            to: Some(Sink::Stdout),
            sample,
            xdp,
            ..QueryLogConfig::default()
        };
        let dnstap = DnstapConfig {
            to: Some(DnstapTarget::Tcp("x:1".into())),
            sample: 10,
            xdp: true,
            ..DnstapConfig::default()
        };
        let none = DnstapConfig::default();
        assert_eq!(tap_settings(&QueryLogConfig::default(), &none), TapSettings::OFF);
        assert_eq!(tap_settings(&log(100, false), &none), TapSettings::OFF);
        assert_eq!(
            tap_settings(&log(100, true), &none),
            TapSettings { one_in: 100, whole: 0 }
        );
        assert_eq!(
            tap_settings(&log(100, true), &dnstap),
            TapSettings { one_in: 10, whole: 1 }
        );
    }

    #[test]
    fn each_gets_its_own_share_of_what_was_drawn() {
        let wishes = Wishes {
            log: Some(100),
            clients: vec!["192.0.2.0/24".parse().expect("a prefix")],
            dnstap: Some(10),
            top: Arc::default(),
        };
        let [ours, other]: [IpAddr; 2] = ["192.0.2.1", "198.51.100.1"].map(|text| text.parse().expect("an address"));
        let (mut logged, mut random) = (0, 1);
        for _ in 0..10_000 {
            let wants = wishes.of(ours, 10, &mut random);
            assert!(wants.dnstap && !wants.top);
            logged += u32::from(wants.log);
            assert!(!wishes.of(other, 10, &mut random).log);
        }
        assert!((800..1200).contains(&logged), "{logged}");
    }
}
