//! Names that are not ours: special names, the cache, and upstream servers.
//!
//! ```text
//! client's query ─► Query ─► in the cache ────────────────────────────────────────────► reply, from the worker itself
//!                     └────► Walk: ours, special, cached ─► Flights: equal questions are one ─► Upstream: servers
//!        reply ◄─ write: the client's ID and question, within its limit ◄─ legs: our chain, theirs, ours again …
//! ```
//!
//! A reply is never relayed as bytes: its records are read, names expanded, and written anew, so a client gets what its
//! own query asked for (with or without OPT, of its size) and nothing malformed. RDATA of unknown types is kept octet
//! for octet (RFC 3597).
//!
//! RFC 1035 §7, RFC 5452, RFC 5625, RFC 6891, RFC 8914.

use std::cell::LazyCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::PartialChain;
use crate::config::{Route, UpstreamSet};
use crate::cookies::Cookies;
use crate::message::{Edns, ExtendedError, InfoCode, Mark};
use crate::model::name::{MAX_NAME_BYTES, Name};
use crate::model::record::RecordType;
use crate::observe::figures::Figures;
use crate::observe::metrics::UpstreamMetrics;
use crate::query::{Arrival, Disposition, Job, failure};
use crate::rules::{RuleBook, Verdict};

mod breaker;
mod cache;
mod chain;
mod clock;
mod exchange;
mod explain;
mod failure;
mod flights;
mod notify;
mod pending;
mod persist;
mod reply;
mod routes;
mod secure;
mod servers;
mod special;
mod top;
mod upstream;
mod walk;

pub use cache::{Cache, CachedAnswer, Restored};
use cache::{Candidate, Entry, Given, Key, Look, Question, Ruled};
pub use chain::LocalData;
pub use clock::Clock;
use exchange::Asking;
pub use explain::ForeignName;
use failure::Failure;
use flights::{Answer, Flight, Flights};
use notify::LastFlush;
use pending::Pending;
pub use pending::Permit;
use reply::Query;
use routes::{Routes, Target};
pub use top::TopName;
use top::TopNames;
use upstream::Upstream;
pub use upstream::{ShownServer, ShownUpstream};
use walk::{Progress, Walk};

const SERVFAIL: u8 = 2;
/// A loop is in the log once in this time.
const LOOP_SAID: Duration = Duration::from_secs(60);

/// What a forwarder needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSettings {
    /// Sets of servers. One called [`crate::config::DEFAULT_SET`] is asked for what no route names.
    pub sets: Vec<UpstreamSet>,
    /// Which names go to which set.
    pub routes: Vec<Route>,
    /// Resolvers that are asked for the addresses of servers that are given by name.
    pub bootstrap: Vec<SocketAddr>,
    /// Where we listen: a server that is one of these, at an address of this host, is not asked.
    pub listening: Vec<SocketAddr>,
    /// Our own `edns.udp_payload`: the largest reply to a client over UDP.
    pub udp_payload: u16,
    /// Our own `edns.nsid`.
    pub nsid: Option<Box<str>>,
    /// Queries that may be on their way at once. Each question has a socket.
    pub in_flight: usize,
    /// Those of one client among them.
    pub in_flight_per_client: usize,
    /// `backend.max_cname_depth`: a chain is not followed upstream once it has so many aliases.
    pub max_cname_depth: u8,
}

impl ForwardSettings {
    /// The largest value that `in_flight` has a use for; less where there are fewer descriptors.
    pub const MOST_IN_FLIGHT: usize = 10_000;
    /// `in_flight_per_client`.
    pub const PER_CLIENT: usize = 1000;
}

/// Resolves queries through upstream servers.
#[derive(Debug)]
pub struct Forwarder {
    settings: ForwardSettings,
    sets: Box<[Arc<Upstream>]>,
    routes: Routes,
    cookies: Arc<Cookies>,
    pending: Arc<Pending>,
    flights: Arc<Flights>,
    local: Option<Arc<dyn LocalData>>,
    cache: Option<Arc<Cache>>,
    rules: Arc<RuleBook>,
    figures: Arc<Figures>,
    loop_said: Mutex<Option<Instant>>,
    /// Which names go upstream.
    top: Arc<TopNames>,
    last_flush: LastFlush,
    /// For what goes on though no client waits for it.
    runtime: Option<Handle>,
}

impl Forwarder {
    /// A forwarder with nothing on its way, which knows no data of ours and keeps nothing.
    pub fn new(settings: ForwardSettings, cookies: Arc<Cookies>, clock: &Clock, metrics: &UpstreamMetrics) -> Self {
        let sets = settings.sets.iter();
        let tls = LazyCell::new(secure::client_config);
        let sets = sets.map(|set| Arc::new(Upstream::new(set.clone(), clock.clone(), metrics, || Arc::clone(&tls))));
        let number_of = |name: Option<&str>| {
            let name = name.unwrap_or(crate::config::DEFAULT_SET);
            let place = settings.sets.iter().position(|set| *set.name == *name)?;
            u16::try_from(place).ok()
        };
        Self {
            sets: sets.collect(),
            routes: Routes::new(&settings.routes, number_of),
            cookies,
            pending: Arc::new(Pending::new(settings.in_flight, settings.in_flight_per_client)),
            flights: Arc::default(),
            local: None,
            cache: None,
            rules: Arc::default(),
            figures: Arc::default(),
            loop_said: Mutex::default(),
            top: Arc::default(),
            last_flush: LastFlush::default(),
            runtime: Handle::try_current().ok(),
            settings,
        }
    }

    /// The same, where aliases of upstream into `local` are followed there.
    pub fn beside(self, local: Arc<dyn LocalData>) -> Self {
        Self {
            local: Some(local),
            ..self
        }
    }

    /// The same, keeping answers there.
    pub fn keeping(self, cache: Option<Arc<Cache>>) -> Self {
        Self { cache, ..self }
    }

    /// The same, with these rules.
    pub fn ruled(self, rules: Arc<RuleBook>) -> Self {
        Self { rules, ..self }
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<RuleBook> {
        &self.rules
    }

    /// The same, counting there.
    pub fn counting(self, figures: Arc<Figures>) -> Self {
        Self { figures, ..self }
    }

    /// The cache, where there is one.
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    /// The name of the set with this number.
    pub fn set_name(&self, number: u16) -> &str {
        self.sets.get(usize::from(number)).map_or("?", |set| set.name())
    }

    /// A permit for one more query; `None` where too many are on their way. The caller keeps it until the reply.
    pub fn admit(&self, client: IpAddr) -> Option<Permit> {
        self.pending.admit(client)
    }

    /// Where a name goes (in wire form, in lower case), for the clients of the view with this number.
    fn route_of(&self, name: &[u8], view: u16) -> &Target {
        let local = self.local.as_ref().filter(|_| view > 0 && self.routes.have_views());
        let view = local.and_then(|local| local.view_name(view));
        self.routes.of(name, view.as_deref())
    }

    /// Takes on a client's `query`, or the end of the `chain` that began with us: the reply is in `out` where upstream
    /// need not be asked, or where too many are on their way; else it is a job.
    pub fn take_on(
        self: &Arc<Self>,
        query: &[u8],
        chain: Option<PartialChain>,
        arrival: &Arrival,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let &Arrival { client, limit, .. } = arrival;
        let Some(parsed) = Query::read(query) else {
            return failure(query, SERVFAIL, out);
        };
        let octets = parsed.limit(limit, self.settings.udp_payload);
        let mut walk = Walk::new(self, &parsed, client, octets, chain.as_ref());
        let stale = match walk.advance(self) {
            Ok(Progress::Done) => {
                self.note_ruled(&walk, &parsed, client);
                *out = self.write(&parsed, Ok(walk), client, octets);
                return Disposition::Reply;
            }
            Err(Failure::Dropped) => return Disposition::Silence,
            Err(failure) => {
                *out = self.write(&parsed, Err(failure), client, octets);
                return Disposition::Reply;
            }
            Ok(Progress::Ask(stale)) => stale,
        };
        let Some(permit) = self.admit(client) else {
            self.figures.forward_overflow.fetch_add(1, Ordering::Relaxed);
            *out = self.write(&parsed, Err(Failure::Overloaded), client, octets);
            return Disposition::Reply;
        };
        let (forwarder, query) = (Arc::clone(self), query.to_vec());
        let reply = async move {
            let Some(parsed) = Query::read(&query) else {
                return Some(bare_servfail(&query));
            };
            let walked = forwarder.go_on(walk, stale, &parsed, client).await;
            drop(permit);
            // A rule may drop what an alias leads to.
            let is_dropped = matches!(walked, Err(Failure::Dropped));
            (!is_dropped).then(|| forwarder.write(&parsed, walked, client, octets))
        };
        Disposition::Later(Job::many(stream::once(reply).filter_map(future::ready)))
    }

    /// Writes the reply to a client's `query` to `out` where the cache has it as it is to be given. The name is known
    /// to be none of ours.
    pub fn answer_at_once(&self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> bool {
        let Some(parsed) = Query::read(query).filter(|_| self.cache.is_some()) else {
            return false;
        };
        let octets = parsed.limit(arrival.limit, self.settings.udp_payload);
        self.answer_from_cache(&parsed, arrival.client, octets, out)
    }

    fn answer_from_cache(&self, query: &Query<'_>, client: IpAddr, limit: usize, out: &mut Vec<u8>) -> bool {
        let Some(cache) = &self.cache else {
            return false;
        };
        let qtype = RecordType(query.qtype);
        if !self.rules.is_empty() && self.rules.evaluate(query.name, qtype, client, true) != Verdict::Pass {
            return false;
        }
        let mut name = [0; MAX_NAME_BYTES];
        let Some(name) = name.get_mut(..query.name.len()) else {
            return false;
        };
        name.copy_from_slice(query.name);
        name.make_ascii_lowercase();
        let view = self.local.as_ref().map_or(0, |local| local.view_of(client));
        let Target::Set(set) = *self.route_of(name, view) else {
            return false;
        };
        let key = Key::new(
            name,
            query.qtype,
            query.qclass,
            query.dnssec_ok(),
            query.checking_disabled,
            view,
            set,
        );
        let now = cache.now();
        let Look::Fresh(entry, is_due) = cache.look(key.octets(), now) else {
            return false;
        };
        if is_due {
            let mut asking = self.asking(query, client, limit, None);
            asking.set = set;
            self.prefetch(&asking);
        }
        let leaves = |target: &[u8]| {
            Name::from_wire(target).map_or(true, |target| self.is_elsewhere(&target, qtype, set, client))
        };
        if entry.alias_targets().any(leaves) {
            return false;
        }
        let edns = self.edns(query, client, None);
        let is_written = entry.write(query, Given::Aged(entry.age(now)), edns, limit, out);
        if is_written {
            cache.count(true);
            cache.note(key.octets(), &entry, client, now);
        }
        is_written
    }

    /// Promotes answers of the cache that are asked for often, demotes others, and has fetched anew what is soon over;
    /// to be called every moment.
    pub fn tend_hot(&self) {
        let Some(cache) = &self.cache else { return };
        let may = |candidate: Candidate<'_>| self.may_be_promoted(&candidate);
        let fetch = |question: Question<'_>| Asking {
            name: question.name.into(),
            qtype: question.qtype,
            qclass: question.qclass,
            checking_disabled: question.checking_disabled,
            authentic_data: false,
            dnssec_ok: question.dnssec_ok,
            // What is larger than that has no room there.
            whole: false,
            view: question.view,
            set: question.set,
        };
        let rule = |question: Question<'_>, client| self.said_by_rules(question, client);
        for asking in cache.tend(may, rule, fetch) {
            self.prefetch(&asking);
        }
    }

    /// Notes where a rule gave the whole answer: it may be asked for often.
    fn note_ruled(&self, walk: &Walk, query: &Query<'_>, client: IpAddr) {
        if let Some(cache) = self.cache.as_ref().filter(|_| walk.is_ruled) {
            let question = Question {
                name: query.name,
                qtype: query.qtype,
                qclass: query.qclass,
                dnssec_ok: query.dnssec_ok(),
                checking_disabled: query.checking_disabled,
                view: walk.asking.view,
                set: 0,
            };
            cache.note_ruled(question, client);
        }
    }

    /// What the rules say to a question, where they say that to all clients of its view.
    fn said_by_rules(&self, question: Question<'_>, client: IpAddr) -> Option<Ruled> {
        let view = self.local.as_ref().map_or(0, |local| local.view_of(client));
        let qtype = RecordType(question.qtype);
        if view != question.view || !qtype.is_data() {
            return None;
        }
        let (message, info_code) = match self.rules.verdict_for_all(question.name, qtype, client, view)? {
            Verdict::Blocked(message) => (message, InfoCode::Blocked as u8),
            Verdict::Answer(message) => (message, 0),
            Verdict::Pass | Verdict::Drop | Verdict::Rewritten(_) | Verdict::Search(_) => return None,
        };
        Ruled::of(question.name, question.qtype, &message, info_code)
    }

    /// Whether an answer may be given to all clients of its view without asking the rules, the routes, or whose the
    /// names are to which it leads.
    fn may_be_promoted(&self, candidate: &Candidate<'_>) -> bool {
        let &Candidate {
            question,
            entry,
            client,
        } = candidate;
        let (qtype, view) = (
            RecordType(question.qtype),
            self.local.as_ref().map_or(0, |local| local.view_of(client)),
        );
        let leaves = |target: &[u8]| {
            let elsewhere = |target: &Name| self.is_elsewhere(target, qtype, question.set, client);
            Name::from_wire(target).map_or(true, |target| elsewhere(&target))
                || self.rules.concern(&target.to_ascii_lowercase(), qtype)
        };
        view == question.view
            && *self.route_of(question.name, view) == Target::Set(question.set)
            && !self.rules.concern(question.name, qtype)
            && !entry.alias_targets().any(leaves)
    }

    fn write(&self, query: &Query<'_>, walked: Result<Walk, Failure>, client: IpAddr, limit: usize) -> Vec<u8> {
        match walked {
            Ok(walk) => {
                let edns = self.edns(query, client, walk.note.map(InfoCode::alone));
                let begins_here = walk.begins_here;
                reply::write(query, &walk.named_as_asked(), SERVFAIL, begins_here, edns, limit)
            }
            Err(failure) => {
                let edns = self.edns(query, client, failure.extended_error());
                reply::write(query, &[], failure.rcode(), false, edns, limit)
            }
        }
    }

    /// Our OPT, where the client has one.
    fn edns<'a>(&'a self, query: &Query<'_>, client: IpAddr, error: Option<ExtendedError<'a>>) -> Option<Edns<'a>> {
        let asked = query.edns.as_ref()?;
        let client_cookie = asked.options.client_cookie;
        Some(Edns {
            udp_payload: self.settings.udp_payload,
            dnssec_ok: asked.dnssec_ok,
            extended_rcode: 0,
            cookie: client_cookie.map(|cookie| self.cookies.source(client).cookie(cookie)),
            nsid: self.settings.nsid.as_deref().filter(|_| asked.options.nsid),
            error,
        })
    }

    /// Goes on with a walk that needs upstream, to its end.
    async fn go_on(
        &self,
        mut walk: Walk,
        mut stale: Option<Arc<Entry>>,
        query: &Query<'_>,
        client: IpAddr,
    ) -> Result<Walk, Failure> {
        let deadline = Instant::now() + walk.timeout(self);
        let mark = query.mark().unwrap_or_else(new_mark);
        if self.flights.is_loop(mark) {
            self.report_loop(client, query);
            return Err(Failure::Loop);
        }
        let mut is_first = true;
        loop {
            let flight = self.fetch(&walk.asking, mark);
            let goes_on = match stale {
                Some(entry) => match self.wait_beside(flight, deadline).await {
                    Some(message) => walk.accept(self, message)?,
                    None => walk.accept_stale(self, &entry)?,
                },
                // A question on its way has a time of its own, which began no later than the client's.
                None if is_first => walk.accept(self, flight.await?)?,
                None => {
                    let message = timeout_at(deadline, flight).await.unwrap_or(Err(Failure::Silence))?;
                    walk.accept(self, message)?
                }
            };
            is_first = false;
            if !goes_on {
                return Ok(walk);
            }
            match walk.advance(self)? {
                Progress::Done => return Ok(walk),
                Progress::Ask(next) => stale = next,
            }
        }
    }

    /// Upstream's answer, if it comes before the client is to get what is over. It is fetched to its end in any case.
    async fn wait_beside(&self, flight: Flight, deadline: Instant) -> Option<Arc<crate::message::Message>> {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(flight.clone());
        }
        let wait = self.cache.as_ref().map_or(Duration::ZERO, |cache| cache.client_wait());
        let wait = wait.min(deadline.saturating_duration_since(Instant::now()));
        timeout(wait, flight).await.ok()?.ok()
    }

    /// The question, on its way to its set of servers. The answer is kept.
    fn fetch(&self, asking: &Asking, mark: Mark) -> Flight {
        let upstream = Arc::clone(&self.sets[usize::from(asking.set)]);
        let (cache, kept) = (self.cache.clone(), asking.clone());
        let (rules, top) = (Arc::clone(&self.rules), Arc::clone(&self.top));
        let asked = upstream.resolve(asking.clone(), mark);
        self.flights.join(asking, mark, async move {
            top.count(&kept.name);
            let answer: Answer = asked.await.map(|message| rules.treat(&kept.name, kept.view, message));
            if let Some(cache) = cache {
                match &answer {
                    Ok(message) => cache.keep(&kept, message),
                    Err(failure) => cache.keep_failure(&kept, failure),
                }
            }
            answer
        })
    }

    /// Fetches an answer anew; nobody waits for it.
    fn prefetch(&self, asking: &Asking) {
        let (Some(runtime), Some(cache)) = (&self.runtime, &self.cache) else {
            return;
        };
        // It takes the place of a query, but of no client's.
        let Some(permit) = self.pending.admit_nobody() else {
            return;
        };
        cache.count_prefetch();
        let flight = self.fetch(asking, new_mark());
        runtime.spawn(async move {
            drop(flight.await);
            drop(permit);
        });
    }

    fn max_aliases(&self) -> usize {
        usize::from(self.settings.max_cname_depth)
    }

    fn report_loop(&self, client: IpAddr, query: &Query<'_>) {
        self.figures.forward_loops.fetch_add(1, Ordering::Relaxed);
        let mut said = self.loop_said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|said| said.elapsed() < LOOP_SAID) {
            return;
        }
        *said = Some(Instant::now());
        let name = Name::from_wire(query.name)
            .map(|name| name.to_string())
            .unwrap_or_default();
        tracing::warn!(
            from = %client, name,
            "a forwarding loop: a query that this server sent upstream came back; it is answered SERVFAIL: see \
             `backend.upstream.servers` here and there"
        );
    }
}

/// The mark of a query that no forwarder has sent yet.
fn new_mark() -> Mark {
    Mark {
        trace: rand::random(),
        hops: 0,
    }
}

fn bare_servfail(query: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    failure(query, SERVFAIL, &mut reply);
    reply
}

#[cfg(test)]
mod tests;
