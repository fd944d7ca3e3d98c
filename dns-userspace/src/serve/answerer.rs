//! How a socket's query is answered: the fast path first, then the reference answerer, then a job of the forwarder's;
//! and how a chain that comes back from there goes on.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dns_common::order::next;
use dns_common::reason::PassReason;

use super::gate::Denied;
use super::policy::{Policies, Policy};
use super::query_log::{Begun, QueryLog};
use crate::answer::{
    Admission, Environment, Outcome, PartialChain, Resumed, is_dropped_by_zone, is_ours, respond, resume, zone_asked,
};
use crate::cookies::Cookies;
use crate::message::{HEADER_BYTES, Protocol};
use crate::model::access::Access;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::views::ViewName;
use crate::observe::latency::{Latency, ONE_IN, Plane};
use crate::publish::{Served, ZoneCounter};
use crate::query::{Answerer, Arrival, Disposition, failure};
use crate::resolve::LocalData;
use crate::serve::fastpath::{Fast, Worker};

const FORMERR: u8 = 1;
const SERVFAIL: u8 = 2;

/// The answerer of one worker.
pub struct LocalAnswerer {
    served: Arc<Served>,
    fast: Worker,
    policies: Arc<Policies>,
    /// The one in force, as it was at the last query.
    policy: Arc<Policy>,
    cookies: Arc<Cookies>,
    /// Where answers are counted for each zone, if they are.
    counter: Option<ZoneCounter>,
    /// The policy's log, for this worker.
    log: Option<QueryLog>,
    /// Where it is noted how long answers take.
    latency: Option<Arc<Latency>>,
    /// Queries since one was timed.
    since_timed: u8,
    /// What answered last.
    plane: Plane,
    /// Why the fast path passed it, where it did.
    passed: Option<PassReason>,
    /// From which the order of RRs is drawn.
    random: u64,
}

impl LocalAnswerer {
    /// Answers from what is served, by the policy in force.
    pub fn new(served: Arc<Served>, policies: Arc<Policies>, cookies: Arc<Cookies>) -> Self {
        let fast = Worker::new(Arc::clone(&served));
        let policy = policies.current();
        Self {
            served,
            fast,
            log: log_of(&policy),
            policy,
            policies,
            cookies,
            counter: None,
            latency: None,
            since_timed: 0,
            plane: Plane::Reference,
            passed: None,
            random: rand::random(),
        }
    }

    /// The same, with its answers counted for each zone.
    pub fn counting(self, counter: Option<ZoneCounter>) -> Self {
        Self { counter, ..self }
    }
}

/// The log of one more worker.
fn log_of(policy: &Policy) -> Option<QueryLog> {
    policy.log.as_deref().map(QueryLog::another)
}

impl LocalAnswerer {
    /// The same, with some of its answers timed.
    pub fn timing(self, latency: Arc<Latency>) -> Self {
        Self {
            latency: Some(latency),
            ..self
        }
    }

    /// Obeys the policy that is in force by now.
    fn follow_policy(&mut self) {
        let current = self.policies.load();
        if !Arc::ptr_eq(&current, &self.policy) {
            self.policy = arc_swap::Guard::into_inner(current);
            self.log = log_of(&self.policy);
        }
    }

    /// Whether this query is timed, and then since when.
    fn begin_timing(&mut self) -> Option<(Instant, Arc<Latency>)> {
        let latency = self.latency.as_ref()?;
        self.since_timed = (self.since_timed + 1) % ONE_IN;
        (self.since_timed == 0).then(|| (Instant::now(), Arc::clone(latency)))
    }

    /// What is not ours, or the end of `chain`.
    fn resolve(&self, query: &[u8], chain: Option<PartialChain>, arrival: &Arrival, out: &mut Vec<u8>) -> Disposition {
        match &self.policy.forwarder {
            Some(forwarder) => forwarder.take_on(query, chain, arrival, out),
            None => failure(query, SERVFAIL, out),
        }
    }

    /// No query is that long. Over the limit it gets nothing, as all that is malformed, nor where the zone's list says
    /// so.
    fn answer_cut_off(&self, query: &[u8], environment: &Environment<'_>, out: &mut Vec<u8>) -> Disposition {
        if environment.admission == Admission::Truncated {
            return Disposition::Silence;
        }
        if environment.admission == Admission::Admitted
            && is_dropped_by_zone(query, &self.served.snapshot_guard(), environment)
        {
            self.policy.gate.figures.acl_dropped.fetch_add(1, Ordering::Relaxed);
            return Disposition::Denied;
        }
        // The header is all that can be trusted to be there.
        failure(&query[..query.len().min(HEADER_BYTES)], FORMERR, out)
    }
}

/// What is served, for chains of aliases that lead from an upstream server into it.
pub struct LocalChains {
    served: Arc<Served>,
    environment: Environment<'static>,
}

impl LocalChains {
    /// The client and the random number of `environment` are set for each name.
    pub fn new(served: Arc<Served>, environment: Environment<'static>) -> Self {
        Self { served, environment }
    }

    fn environment(&self, client: IpAddr) -> Environment<'static> {
        let mut environment = self.environment;
        environment.cookies.client = client;
        environment.random = rand::random();
        environment
    }
}

impl fmt::Debug for LocalChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalChains").finish_non_exhaustive()
    }
}

impl LocalData for LocalChains {
    fn is_ours(&self, name: &Name, qtype: RecordType, client: IpAddr) -> bool {
        is_ours(name, qtype, &self.served.snapshot_guard(), &self.environment(client))
    }

    fn may_ask(&self, name: &Name, qtype: RecordType, client: IpAddr) -> bool {
        self.served.snapshot_guard().access(name, qtype, client) == Access::Allowed
    }

    fn view_of(&self, client: IpAddr) -> u16 {
        self.served.snapshot_guard().views.clients.view_of(client)
    }

    fn view_name(&self, view: u16) -> Option<ViewName> {
        let place = usize::from(view).checked_sub(1)?;
        let snapshot = self.served.snapshot_guard();
        snapshot.views.list.get(place).map(|view| view.name.clone())
    }

    fn answer(&self, name: &Name, qtype: RecordType, client: IpAddr, out: &mut Vec<u8>) -> Resumed {
        let (snapshot, environment) = (self.served.snapshot_guard(), self.environment(client));
        resume(name, qtype, &snapshot, &*self.served, &environment, out)
    }
}

impl Answerer for LocalAnswerer {
    fn answer(&mut self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> Disposition {
        self.follow_policy();
        let logged = self.log.as_mut().and_then(|log| log.begin(arrival));
        let timed = self.begin_timing();
        if logged.is_none() && timed.is_none() {
            return self.decide(query, arrival, out);
        }
        let disposition = self.decide(query, arrival, out);
        let watched = Watched {
            logged: logged.map(|logged| logged.passed(self.passed)),
            timed,
            protocol: arrival.protocol,
        };
        match disposition {
            Disposition::Reply => watched.answered(self.plane, query, out),
            Disposition::Later(job) => {
                // Who logs it sees it later.
                let query: Box<[u8]> = if watched.logged.is_some() {
                    query.into()
                } else {
                    Box::default()
                };
                let observe = move |reply: &[u8]| watched.answered(Plane::Upstream, &query, reply);
                return Disposition::Later(job.observed(observe));
            }
            // Nothing is sent; what lists and limits drop is counted.
            Disposition::Silence | Disposition::Denied => {}
        }
        disposition
    }
}

/// A query whose answer is logged or timed.
struct Watched {
    logged: Option<Begun>,
    timed: Option<(Instant, Arc<Latency>)>,
    protocol: Protocol,
}

impl Watched {
    fn answered(self, plane: Plane, query: &[u8], reply: &[u8]) {
        if let Some((started, latency)) = self.timed {
            latency.observe(plane, self.protocol.label(), reply, started.elapsed());
        }
        if let Some(logged) = self.logged {
            logged.answered(plane, query, reply);
        }
    }
}

impl LocalAnswerer {
    fn decide(&mut self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> Disposition {
        let client = arrival.client;
        (self.plane, self.passed) = (Plane::Reference, None);
        let policy = &*self.policy;
        let admission = match policy.gate.admit(arrival, &self.served.table().memory.buckets) {
            Ok(Some(admission)) => admission,
            Ok(None) => return Disposition::Silence,
            Err(Denied) => return Disposition::Denied,
        };
        let environment = Environment {
            limit: arrival.limit,
            is_proven: arrival.is_proven,
            recursion_available: policy.recursion.iter().any(|prefix| prefix.contains(&client)),
            admission,
            cookies: self.cookies.source(client),
            identity: Some(&policy.identity),
            random: next(&mut self.random),
            ..policy.environment
        };
        if arrival.is_cut_off {
            return self.answer_cut_off(query, &environment, out);
        }
        // What was not admitted was not looked up.
        let counter = self.counter.as_ref().filter(|_| admission == Admission::Admitted);
        match self.fast.answer(query, &environment, out) {
            Fast::Answered => {
                self.plane = Plane::FastPath;
                if self.fast.is_ruled() {
                    return Disposition::Reply;
                }
                if self.fast.is_cached() {
                    self.plane = Plane::Cache;
                    if let Some(cache) = policy.forwarder.as_ref().and_then(|forwarder| forwarder.cache()) {
                        cache.count(true);
                    }
                    return Disposition::Reply;
                }
                if let Some(counter) = counter {
                    counter.count(arrival.protocol, self.fast.zone(), out);
                }
                return Disposition::Reply;
            }
            // None of our names, recursion is desired, and this client may have it.
            Fast::Pass(PassReason::Foreign)
                if admission == Admission::Admitted
                    && let Some(forwarder) = &policy.forwarder =>
            {
                self.passed = Some(PassReason::Foreign);
                if forwarder.answer_at_once(query, arrival, out) {
                    self.plane = Plane::Cache;
                    return Disposition::Reply;
                }
                // The reference answerer would say no more.
                return forwarder.take_on(query, None, arrival, out);
            }
            Fast::Pass(reason) => self.passed = Some(reason),
        }
        // The fast path answers no NOTIFY.
        if admission == Admission::Admitted
            && let Some(forwarder) = &policy.forwarder
            && forwarder.take_notify(query, client, out)
        {
            return Disposition::Reply;
        }
        let snapshot = self.served.snapshot_guard();
        match respond(query, &snapshot, &*self.served, &environment, out) {
            Outcome::Reply => {
                if let Some(counter) = counter
                    && let Some(zone) = zone_asked(query, &snapshot)
                {
                    counter.count(arrival.protocol, zone, out);
                }
                Disposition::Reply
            }
            Outcome::Silence => Disposition::Silence,
            Outcome::Denied => {
                policy.gate.figures.acl_dropped.fetch_add(1, Ordering::Relaxed);
                Disposition::Denied
            }
            Outcome::Forward => self.resolve(query, None, arrival, out),
            Outcome::CompleteUpstream(chain) => self.resolve(query, Some(chain), arrival, out),
        }
    }
}
