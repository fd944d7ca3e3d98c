//! Names that are not ours: upstream servers, asked in order.
//!
//! ```text
//! client's query ─► Query ─► Flights: equal questions are one ─► for each server: UDP, twice ─TC─► TCP ─► Message
//!                                                                error, time-out, bad rcode: the next
//!        reply ◄─ write: the client's ID and question, within its limit ◄─ legs: our chain, theirs, ours again …
//! ```
//!
//! A reply is never relayed as bytes: its records are read, names expanded, and written anew, so a client gets what its
//! own query asked for (with or without OPT, of its size) and nothing malformed. RDATA of unknown types is kept octet
//! for octet (RFC 3597).
//!
//! The time-out is the whole budget of a query. Each server in turn may use an equal share of what is left, so a dead
//! first server does not use up the time of the second. RFC 1035 §7, RFC 5452, RFC 5625, RFC 6891, RFC 8914.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::answer::{PartialChain, Resumed};
use crate::cookies::Cookies;
use crate::host::addresses::HostAddresses;
use crate::message::{Edns, Limit, Mark, Message};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::observe::figures::Figures;
use crate::query::{Arrival, Disposition, Job, failure};

mod chain;
mod exchange;
mod failure;
mod flights;
mod reply;

pub use chain::LocalData;
use chain::{Leg, leg_of};
use exchange::Asking;
use failure::Failure;
use flights::{Answer, Flights};
use reply::Query;

const SERVFAIL: u8 = 2;
const CLASS_IN: u16 = 1;
/// A loop is in the log once in this time.
const LOOP_SAID: Duration = Duration::from_secs(60);

/// What a forwarder needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSettings {
    /// Asked in this order; never empty.
    pub servers: Vec<SocketAddr>,
    /// Where we listen: a server that is one of these, at an address of this host, is not asked.
    pub listening: Vec<SocketAddr>,
    /// For a query as a whole, over all servers.
    pub timeout: Duration,
    /// Our own `edns.udp_payload`: the largest reply to a client over UDP.
    pub udp_payload: u16,
    /// Our own `edns.nsid`.
    pub nsid: Option<Box<str>>,
    /// Queries that may be on their way at once. Each question has a socket.
    pub in_flight: usize,
    /// `backend.max_cname_depth`: a chain is not followed upstream once it has so many aliases.
    pub max_cname_depth: u8,
}

impl ForwardSettings {
    /// The largest value that `in_flight` has a use for; less where there are fewer descriptors.
    pub const MOST_IN_FLIGHT: usize = 10_000;
}

/// Resolves queries through upstream servers.
#[derive(Debug)]
pub struct Forwarder {
    settings: ForwardSettings,
    upstream: Arc<Upstream>,
    cookies: Arc<Cookies>,
    slots: Arc<Semaphore>,
    flights: Arc<Flights>,
    local: Option<Arc<dyn LocalData>>,
    figures: Arc<Figures>,
    loop_said: Mutex<Option<Instant>>,
}

/// The servers that are asked.
#[derive(Debug)]
struct Upstream {
    servers: Box<[Server]>,
    timeout: Duration,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Whether it is this server itself, as far as is known.
    is_ourselves: AtomicBool,
}

/// The right to one query on its way; gives it back when dropped.
#[derive(Debug)]
pub struct Permit {
    _slot: OwnedSemaphorePermit,
}

impl Forwarder {
    /// A forwarder with nothing on its way, which knows no data of ours.
    pub fn new(settings: ForwardSettings, cookies: Arc<Cookies>) -> Self {
        let slots = Arc::new(Semaphore::new(settings.in_flight.min(Semaphore::MAX_PERMITS)));
        let servers = settings.servers.iter().map(|&address| Server {
            address,
            is_ourselves: AtomicBool::new(false),
        });
        let upstream = Upstream {
            servers: servers.collect(),
            timeout: settings.timeout,
        };
        Self {
            settings,
            upstream: Arc::new(upstream),
            cookies,
            slots,
            flights: Arc::default(),
            local: None,
            figures: Arc::default(),
            loop_said: Mutex::default(),
        }
    }

    /// The same, where aliases of upstream into `local` are followed there.
    pub fn beside(self, local: Arc<dyn LocalData>) -> Self {
        Self {
            local: Some(local),
            ..self
        }
    }

    /// The same, counting there.
    pub fn counting(self, figures: Arc<Figures>) -> Self {
        Self { figures, ..self }
    }

    /// Asks no server that is ourselves, now that this host has these addresses, and says what has changed. Whether a
    /// server is left to be asked.
    pub fn follow(&self, host: &HostAddresses) -> bool {
        let mut is_any_left = false;
        for server in &self.upstream.servers {
            let address = server.address;
            let is_ourselves = host.is_ourselves(address, &self.settings.listening);
            is_any_left |= !is_ourselves;
            match (server.is_ourselves.swap(is_ourselves, Ordering::Relaxed), is_ourselves) {
                (false, true) => tracing::warn!(
                    "`backend.upstream.servers` names {address}, which is this server now: it is not asked as long as \
                     that is so"
                ),
                (true, false) => tracing::info!(
                    "{address} of `backend.upstream.servers` is not this server any more: it is asked again"
                ),
                _ => {}
            }
        }
        is_any_left
    }

    /// A permit for one more query; `None` where too many are on their way. The caller keeps it until the reply.
    pub fn admit(&self) -> Option<Permit> {
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .ok()
            .map(|slot| Permit { _slot: slot })
    }

    /// Takes on a client's `query`, or the end of the `chain` that began with us: a job, or SERVFAIL in `out` where too
    /// many are on their way.
    pub fn take_on(
        self: &Arc<Self>,
        query: &[u8],
        chain: Option<PartialChain>,
        arrival: &Arrival,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let &Arrival { client, limit, .. } = arrival;
        let Some(permit) = self.admit() else {
            self.figures.forward_overflow.fetch_add(1, Ordering::Relaxed);
            out.clear();
            out.extend_from_slice(&self.decline(query, client));
            return if out.is_empty() {
                Disposition::Silence
            } else {
                Disposition::Reply
            };
        };
        let (forwarder, query) = (Arc::clone(self), query.to_vec());
        Disposition::Later(Job::one(async move {
            let reply = match chain {
                Some(chain) => forwarder.complete(&query, &chain, client, limit).await,
                None => forwarder.forward(&query, client, limit).await,
            };
            drop(permit);
            reply
        }))
    }

    /// The reply to a client's `query`, as upstream has it, or SERVFAIL. RA=1 and AA=0.
    pub async fn forward(&self, query: &[u8], client: IpAddr, limit: Limit) -> Vec<u8> {
        self.reply(query, client, limit, None).await
    }

    /// As [`Forwarder::forward`], for a chain that began with us: upstream resolves its target, and its sections follow
    /// ours. AA=1: it tells of the first owner name in the answer section (RFC 1035 §4.1.1).
    pub async fn complete(&self, query: &[u8], chain: &PartialChain, client: IpAddr, limit: Limit) -> Vec<u8> {
        self.reply(query, client, limit, Some(chain)).await
    }

    /// The reply to a `query` that cannot be sent upstream now: SERVFAIL.
    pub fn decline(&self, query: &[u8], client: IpAddr) -> Vec<u8> {
        match Query::read(query) {
            Some(query) => {
                let edns = self.edns(&query, client, Some(&Failure::Overloaded));
                reply::write(&query, &[], false, edns, usize::from(u16::MAX))
            }
            None => bare_servfail(query),
        }
    }

    async fn reply(&self, query: &[u8], client: IpAddr, limit: Limit, chain: Option<&PartialChain>) -> Vec<u8> {
        let Some(query) = Query::read(query) else {
            return bare_servfail(query);
        };
        let limit = query.limit(limit, self.settings.udp_payload);
        let legs = self.legs(&query, client, limit, chain).await;
        let edns = self.edns(&query, client, legs.as_ref().err());
        let legs = legs.as_deref().unwrap_or_default();
        reply::write(&query, legs, chain.is_some(), edns, limit)
    }

    /// Our OPT, where the client has one.
    fn edns<'a>(&'a self, query: &Query<'_>, client: IpAddr, failure: Option<&'a Failure>) -> Option<Edns<'a>> {
        let asked = query.edns.as_ref()?;
        let client_cookie = asked.options.client_cookie;
        Some(Edns {
            udp_payload: self.settings.udp_payload,
            dnssec_ok: asked.dnssec_ok,
            extended_rcode: 0,
            cookie: client_cookie.map(|cookie| self.cookies.source(client).cookie(cookie)),
            nsid: self.settings.nsid.as_deref().filter(|_| asked.options.nsid),
            error: failure.and_then(Failure::extended_error),
        })
    }

    /// The answer, from upstream and from us in turn, where a chain of aliases leads to and fro.
    async fn legs(
        &self,
        query: &Query<'_>,
        client: IpAddr,
        limit: usize,
        chain: Option<&PartialChain>,
    ) -> Result<Vec<Leg>, Failure> {
        let deadline = Instant::now() + self.settings.timeout;
        let mark = query.mark().unwrap_or_else(|| Mark {
            trace: rand::random(),
            hops: 0,
        });
        if self.flights.is_loop(mark) {
            self.report_loop(client, query);
            return Err(Failure::Loop);
        }
        let mut asking = Asking {
            name: chain.map_or(query.name, |chain| chain.target.as_wire()).into(),
            qtype: query.qtype,
            qclass: query.qclass,
            checking_disabled: query.checking_disabled,
            authentic_data: query.authentic_data,
            dnssec_ok: query.dnssec_ok(),
            // Where the client could not be given more than a truncated reply has, it asks again over TCP itself.
            whole: limit > usize::from(exchange::UDP_PAYLOAD),
        };
        let mut legs: Vec<Leg> = chain.map(|chain| Leg::of_ours(chain, query.name)).into_iter().collect();
        let mut asked = Vec::new();
        loop {
            // A question on its way has a time of its own, which began no later than the client's.
            let flight = self.flights.join(&asking, mark, self.upstream.resolve(&asking, mark));
            let message = if asked.is_empty() {
                flight.await?
            } else {
                timeout_at(deadline, flight).await.unwrap_or(Err(Failure::Silence))?
            };
            let Some(next) = self.go_on(message, &asking, client, &mut legs)? else {
                return Ok(legs);
            };
            asked.push(asking.in_lower_case().name);
            asking.name = next.as_wire().into();
            let aliases: usize = legs.iter().map(Leg::aliases).sum();
            // A circle ends at its last new alias, a long chain at the last permitted one: as in our own data.
            if asked.contains(&asking.in_lower_case().name) || aliases >= usize::from(self.settings.max_cname_depth) {
                return Ok(legs);
            }
        }
    }

    /// Adds upstream's message to the legs, and our data where its chain leads to them; the name that upstream is to be
    /// asked for then, if the chain leaves our data again.
    fn go_on(
        &self,
        message: Arc<Message>,
        asking: &Asking,
        client: IpAddr,
        legs: &mut Vec<Leg>,
    ) -> Result<Option<Name>, Failure> {
        let qtype = RecordType(asking.qtype);
        let local = self
            .local
            .as_ref()
            .filter(|_| asking.qclass == CLASS_IN && !matches!(qtype, RecordType::CNAME | RecordType::ANY));
        let Some(local) = local else {
            legs.push(Leg::new(message));
            return Ok(None);
        };
        let (leg, target) = leg_of(message, &asking.name, &mut |name| local.is_ours(name, qtype, client));
        legs.push(leg);
        let Some(target) = target else {
            return Ok(None);
        };
        let mut ours = Vec::new();
        match local.answer(&target, qtype, client, &mut ours) {
            Resumed::Answered(next) => {
                // It is of our making, so it can be read.
                let message = Message::read(&ours).ok_or(Failure::Malformed)?;
                legs.push(Leg::new(Arc::new(message)));
                Ok(next)
            }
            // It has changed this very moment: upstream is asked.
            Resumed::NotOurs => Ok(Some(target)),
            Resumed::Failed(code, text) => Err(Failure::OurData(code, text)),
        }
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

impl Upstream {
    /// The first good reply: an answer, or that there is none (NXDOMAIN is final).
    fn resolve(self: &Arc<Self>, asking: &Asking, mark: Mark) -> impl Future<Output = Answer> + Send + 'static {
        let (upstream, asking) = (Arc::clone(self), asking.clone());
        let mark = Mark {
            hops: mark.hops.saturating_add(1),
            ..mark
        };
        async move {
            let servers: Vec<SocketAddr> = upstream
                .servers
                .iter()
                .filter(|server| !server.is_ourselves.load(Ordering::Relaxed))
                .map(|server| server.address)
                .collect();
            if servers.is_empty() {
                return Err(Failure::Ourselves);
            }
            let mut failure = Failure::Silence;
            let deadline = Instant::now() + upstream.timeout;
            for (place, server) in servers.iter().enumerate() {
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(servers.len() - place).unwrap_or(u32::MAX);
                match exchange::ask(*server, &asking, mark, share).await {
                    Ok(message) if message.is_answer() => return Ok(Arc::new(message)),
                    Ok(message) => {
                        failure = Failure::Error;
                        tracing::debug!(%server, rcode = message.rcode(), "an upstream server has no answer");
                    }
                    Err(error) => {
                        tracing::debug!(%server, %error, "an upstream server failed");
                        // What a server has said says more than that another said nothing.
                        if error.failure() != Failure::Silence {
                            failure = error.failure();
                        }
                    }
                }
            }
            Err(failure)
        }
    }
}

fn bare_servfail(query: &[u8]) -> Vec<u8> {
    let mut reply = Vec::new();
    failure(query, SERVFAIL, &mut reply);
    reply
}

#[cfg(test)]
mod tests;
