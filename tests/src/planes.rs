//! The socket fast path and the reference answerer side by side, on one store.
//!
//! ```text
//!  changes ─► Store ─ Plan ─► Publisher ─► Served ─┬─ table ────► Worker::answer ──┐
//!                                                  └─ snapshot ─► answer::respond ─┴─► equal, or passed
//! ```

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use dns_common::reason::PassReason;
use dns_userspace::answer::{CookieSource, Environment, Outcome, Serials, respond};
use dns_userspace::lines::CompileOptions;
use dns_userspace::model::snapshot::Snapshot;
use dns_userspace::publish::{Moment, Served};
use dns_userspace::serve::fastpath::{Fast, Worker};
use dns_userspace::serve::xdp::{Loader, Publisher};
use dns_userspace::store::{Change, Plan, Store, ZoneChange};
use dns_userspace::table::Memory;
use hickory_proto::op::Message;
use hickory_proto::serialize::binary::BinDecodable;

use crate::differential::Sum;

/// A store with everything that is made from it.
pub struct Planes {
    /// What the sources said.
    pub store: Store,
    /// What writes the table.
    pub publisher: Publisher,
    /// What is served.
    pub served: Arc<Served>,
    /// The environment of all queries.
    pub environment: Environment<'static>,
    worker: Worker,
    serials: HashMap<u32, u32>,
    reply: Vec<u8>,
    expected: Vec<u8>,
}

/// What cookies are made of in tests.
pub const COOKIES: CookieSource = CookieSource {
    secret: *b"a secret of ours",
    seconds: 1_700_000_000,
    client: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
};

/// The time in the server cookie of a reply that ends in one.
pub fn cookie_seconds(reply: &[u8]) -> Option<u32> {
    let end: &[u8; 30] = reply.last_chunk()?;
    let has_cookie = end[..6] == [0, 28, 0, 10, 0, 24];
    has_cookie.then(|| u32::from_be_bytes([end[18], end[19], end[20], end[21]]))
}

/// A table on the heap.
pub fn on_heap() -> Loader {
    Box::new(|_, sizes| Ok((None, Memory::on_heap(sizes)?)))
}

/// What the fast path did with a query that it did not answer wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Both gave these octets.
    Equal,
    /// The fast path passed.
    Passed(PassReason),
}

/// Two replies to one query that should be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The message that was asked.
    pub query: Vec<u8>,
    /// The fast path's reply.
    pub fast: Vec<u8>,
    /// The reference answerer's; `None` where it would send none itself.
    pub reference: Option<Vec<u8>>,
}

impl Planes {
    /// Nothing served yet.
    pub fn new(loader: Loader, environment: Environment<'static>, has_upstream: bool) -> Result<Self> {
        let options = CompileOptions::of(&environment, has_upstream);
        let publisher = Publisher::new(loader, options)?;
        let served = publisher.served();
        Ok(Self {
            store: Store::new(),
            worker: Worker::new(Arc::clone(&served)),
            served,
            publisher,
            environment,
            serials: HashMap::new(),
            reply: Vec::new(),
            expected: Vec::new(),
        })
    }

    /// A socket worker of its own on what is served, for a thread.
    pub fn worker(&self) -> Worker {
        Worker::new(Arc::clone(&self.served))
    }

    /// Makes changes, and publishes them. An error where a larger table was wanted and could not be had.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        let plan = self.store.plan(changes);
        let serials = self.next_serials(&plan);
        self.apply_observed(&plan, &serials, &mut |_| {})
    }

    /// The same, with a look at every stage of the publication.
    pub fn apply_observed(
        &mut self,
        plan: &Plan,
        serials: &[(u32, u32)],
        observe: &mut dyn FnMut(Moment),
    ) -> Result<()> {
        let figures = self.publisher.figures();
        let refused = || figures.refused.load(Ordering::Relaxed);
        let before = refused();
        self.publisher
            .publish_observed(&plan.snapshot, &plan.delta, serials, observe);
        self.store.commit(plan);
        ensure!(refused() == before, "a table could not be had");
        Ok(())
    }

    /// The serials that go with a plan: one more for each zone that changes (RFC 1982).
    pub fn next_serials(&mut self, plan: &Plan) -> Vec<(u32, u32)> {
        let mut serials = Vec::new();
        for delta in &plan.delta.zones {
            if delta.change == ZoneChange::Removed {
                self.serials.remove(&delta.index);
                continue;
            }
            let own = plan.snapshot.zones.get(&delta.apex).and_then(|zone| zone.soa_serial());
            let next = match self.serials.get(&delta.index) {
                Some(serial) if delta.change == ZoneChange::Changed => serial.wrapping_add(1),
                _ => own.unwrap_or(1),
            };
            self.serials.insert(delta.index, next);
            serials.push((delta.index, next));
        }
        serials
    }

    /// Asks both planes, over the environment's transport, from a client that is told RA as it says.
    pub fn compare(&mut self, query: &[u8]) -> Result<Compared, Box<Difference>> {
        match self.worker.answer(query, &self.environment, &mut self.reply) {
            Fast::Pass(reason) => Ok(Compared::Passed(reason)),
            Fast::Answered => {
                let snapshot = self.served.snapshot_guard();
                let outcome = respond(query, &snapshot, &*self.served, &self.environment, &mut self.expected);
                let is_reply = matches!(outcome, Outcome::Reply);
                if is_reply && self.expected == self.reply {
                    return Ok(Compared::Equal);
                }
                Err(Box::new(Difference {
                    query: query.to_vec(),
                    fast: self.reply.clone(),
                    reference: is_reply.then(|| self.expected.clone()),
                }))
            }
        }
    }

    /// What the reference answerer replies; `None` where it would send nothing itself.
    pub fn reference(&self, query: &[u8]) -> Option<Vec<u8>> {
        reference(query, &self.served.snapshot(), &*self.served, &self.environment)
    }

    /// The same to a client at this address.
    pub fn reference_to(&self, client: IpAddr, query: &[u8]) -> Option<Vec<u8>> {
        let environment = Environment {
            cookies: CookieSource {
                client,
                ..self.environment.cookies
            },
            ..self.environment
        };
        reference(query, &self.served.snapshot(), &*self.served, &environment)
    }
}

/// What the reference answerer replies on a snapshot; `None` where it would send nothing itself.
pub fn reference(
    query: &[u8],
    snapshot: &Snapshot,
    serials: &dyn Serials,
    environment: &Environment<'_>,
) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    let outcome = respond(query, snapshot, serials, environment, &mut reply);
    matches!(outcome, Outcome::Reply).then_some(reply)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "query:     {}", message(&self.query))?;
        writeln!(f, "fast path: {}", message(&self.fast))?;
        match &self.reference {
            Some(reference) => writeln!(f, "reference: {}", message(reference)),
            None => writeln!(f, "reference: sends nothing itself"),
        }
    }
}

/// A message for a person: the octets, and what an independent reader makes of them.
pub fn message(octets: &[u8]) -> String {
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    match Message::from_bytes(octets).context("unreadable") {
        Ok(message) => format!("{hex}\n{message}"),
        Err(error) => format!("{hex}\n{error:#}"),
    }
}

/// How many queries were answered, and why the others passed.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Equal in both planes.
    pub equal: u64,
    /// By reason.
    pub passed: [u64; PassReason::ALL.len()],
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, compared: Compared) {
        match compared {
            Compared::Equal => self.equal += 1,
            Compared::Passed(reason) => self.passed[reason.index()] += 1,
        }
    }

    /// How many of a hundred passed for a reason.
    pub fn percent(&self, reason: PassReason) -> f64 {
        100.0 * self.passed[reason.index()] as f64 / self.total().max(1) as f64
    }

    /// How many of a hundred were answered.
    pub fn percent_equal(&self) -> f64 {
        100.0 * self.equal as f64 / self.total().max(1) as f64
    }
}

impl Sum for Tally {
    fn total(&self) -> u64 {
        self.equal + self.passed.iter().sum::<u64>()
    }

    fn add(&mut self, other: &Tally) {
        self.equal += other.equal;
        for (sum, one) in self.passed.iter_mut().zip(other.passed) {
            *sum += one;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases: {:.2} % equal", self.total(), self.percent_equal())?;
        for &reason in PassReason::ALL {
            if self.passed[reason.index()] > 0 {
                write!(f, ", {} {:.3} %", reason.label(), self.percent(reason))?;
            }
        }
        Ok(())
    }
}
