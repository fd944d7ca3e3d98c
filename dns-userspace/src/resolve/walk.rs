//! The way from a question to its answer: our data, special names, the cache, and upstream, for each name of a chain.
//!
//! ```text
//! name ─► ours? ─► a rule? ─► special? ─► in the cache? ─► Ask: the caller asks upstream, goes on with what it says
//!   ▲       └─────────┴──────────┴──────────────┴─ the chain leads to another name ─┐
//!   └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing here waits: as long as upstream need not be asked, a worker has the answer at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Forwarder;
use super::cache::{Entry, Given, Key, Look};
use super::chain::{Leg, leg_of};
use super::exchange::{self, Asking};
use super::failure::Failure;
use super::reply::Query;
use super::routes::Target;
use super::special;
use crate::answer::{PartialChain, Resumed};
use crate::message::{InfoCode, Message};
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::rules::{Search, Verdict, alias};

const CLASS_IN: u16 = 1;

/// What there is of an answer, and what is looked for.
pub(super) struct Walk {
    /// The question that is looked up now.
    pub(super) asking: Asking,
    client: IpAddr,
    /// The parts of the answer.
    pub(super) legs: Vec<Leg>,
    /// Whether the first part is ours.
    pub(super) begins_here: bool,
    /// What the client is told beside the answer.
    pub(super) note: Option<InfoCode>,
    /// Names that were looked up, in lower case.
    seen: Vec<Box<[u8]>>,
    /// Whether the name may be one of ours: the first is not.
    may_be_ours: bool,
    /// Names that were looked up in the place of others.
    renamed: Vec<Renamed>,
    /// Whether the name is such a one: it is not replaced again.
    is_rewritten: bool,
    /// Whether a rule gave all of the answer.
    pub(super) is_ruled: bool,
}

/// How far a walk is.
#[derive(Debug)]
pub(super) enum Progress {
    /// The legs are the answer.
    Done,
    /// Upstream is to be asked. The entry is over, and can be given if upstream does not answer.
    Ask(Option<Arc<Entry>>),
}

/// A name that was looked up in the place of another; both in wire form.
struct Renamed {
    found: Box<[u8]>,
    asked: Box<[u8]>,
}

/// What the rules say.
enum Ruled {
    Nothing,
    /// Another name is to be looked up.
    GoesOn,
    Done,
}

/// What the cache has.
enum Found {
    /// An answer that holds.
    Answer(Arc<Message>),
    /// One that is over; whether it is given at once.
    Over(Arc<Entry>, bool),
    Nothing,
}

impl Walk {
    pub(super) fn new(
        forwarder: &Forwarder,
        query: &Query<'_>,
        client: IpAddr,
        limit: usize,
        chain: Option<&PartialChain>,
    ) -> Self {
        Self {
            asking: forwarder.asking(query, client, limit, chain.map(|chain| chain.target.as_wire())),
            client,
            legs: chain.map(|chain| Leg::of_ours(chain, query.name)).into_iter().collect(),
            begins_here: chain.is_some(),
            note: None,
            seen: Vec::new(),
            may_be_ours: false,
            renamed: Vec::new(),
            is_rewritten: false,
            is_ruled: false,
        }
    }

    /// Goes on as far as that needs nobody else.
    pub(super) fn advance(&mut self, forwarder: &Forwarder) -> Result<Progress, Failure> {
        loop {
            if self.may_be_ours
                && let Some(next) = self.look_at_ours(forwarder)?
            {
                match next {
                    Some(next) if self.go_to(forwarder, &next) => continue,
                    _ => return Ok(Progress::Done),
                }
            }
            match self.ask_rules(forwarder)? {
                Ruled::Nothing => {}
                Ruled::GoesOn => continue,
                Ruled::Done => return Ok(Progress::Done),
            }
            let name = self.asking.name.to_ascii_lowercase();
            match forwarder.route_of(&name, self.asking.view) {
                Target::Special(apex, special) if self.asking.qclass == CLASS_IN => {
                    let message = special::answer(*special, apex, &self.asking.name, self.asking.qtype);
                    self.push_ours(message);
                    return Ok(Progress::Done);
                }
                Target::Set(set) => self.asking.set = *set,
                // A chain ends at its last alias.
                Target::Special(..) | Target::Nobody if !self.legs.is_empty() => return Ok(Progress::Done),
                Target::Special(..) | Target::Nobody => return Err(Failure::NotForwarded),
            }
            let goes_on = match self.look_in_cache(forwarder)? {
                Found::Answer(message) => self.accept(forwarder, message)?,
                // Upstream has just failed to give a new one.
                Found::Over(entry, true) => self.accept_stale(forwarder, &entry)?,
                Found::Over(entry, false) => return Ok(Progress::Ask(Some(entry))),
                Found::Nothing => return Ok(Progress::Ask(None)),
            };
            if !goes_on {
                return Ok(Progress::Done);
            }
        }
    }

    /// Takes upstream's answer to what was asked; whether there is another name to look up.
    pub(super) fn accept(&mut self, forwarder: &Forwarder, message: Arc<Message>) -> Result<bool, Failure> {
        if !self.follows_aliases() {
            self.legs.push(Leg::new(message));
            return Ok(false);
        }
        let qtype = RecordType(self.asking.qtype);
        let (set, client) = (self.asking.set, self.client);
        let mut is_elsewhere = |name: &Name| forwarder.is_elsewhere(name, qtype, set, client);
        let (leg, target) = leg_of(message, &self.asking.name, &mut is_elsewhere);
        self.legs.push(leg);
        Ok(target.is_some_and(|target| self.go_to(forwarder, &target)))
    }

    /// What is over is taken in the place of an answer.
    pub(super) fn accept_stale(&mut self, forwarder: &Forwarder, entry: &Entry) -> Result<bool, Failure> {
        let message = entry.message(&self.asking.name, self.asking.qtype, Given::Stale);
        let message = message.ok_or(Failure::Malformed)?;
        self.note = Some(if entry.rcode() == 3 {
            InfoCode::StaleNxdomain
        } else {
            InfoCode::StaleAnswer
        });
        if let Some(cache) = &forwarder.cache {
            cache.count_stale();
        }
        self.accept(forwarder, Arc::new(message))
    }

    /// What the rules say to the name.
    fn ask_rules(&mut self, forwarder: &Forwarder) -> Result<Ruled, Failure> {
        if self.asking.qclass != CLASS_IN || forwarder.rules.is_empty() {
            return Ok(Ruled::Nothing);
        }
        let qtype = RecordType(self.asking.qtype);
        let may_rewrite = !std::mem::take(&mut self.is_rewritten);
        let message = match forwarder
            .rules
            .evaluate(&self.asking.name, qtype, self.client, may_rewrite)
        {
            Verdict::Pass => return Ok(Ruled::Nothing),
            Verdict::Drop => return Err(Failure::Dropped),
            Verdict::Rewritten(name) => {
                self.renamed.push(Renamed {
                    found: name.as_wire().into(),
                    asked: self.asking.name.clone(),
                });
                self.asking.name = name.as_wire().into();
                self.is_rewritten = true;
                self.may_be_ours = true;
                return Ok(Ruled::GoesOn);
            }
            Verdict::Blocked(message) => {
                self.note = Some(InfoCode::Blocked);
                message
            }
            Verdict::Answer(message) => message,
            Verdict::Search(Search(names)) => match self.first_of_ours(forwarder, names) {
                Some(target) => {
                    self.may_be_ours = true;
                    alias(&self.asking.name, &target)
                }
                None => return Ok(Ruled::Nothing),
            },
        };
        let mut aliases = message
            .answer
            .iter()
            .filter(|record| record.rtype == RecordType::CNAME.0);
        let target = aliases.next_back().and_then(|alias| Name::from_wire(&alias.rdata).ok());
        let target = target.filter(|_| self.follows_aliases());
        self.is_ruled = self.legs.is_empty() && self.renamed.is_empty() && target.is_none();
        self.push_ours(message);
        Ok(if target.is_some_and(|target| self.go_to(forwarder, &target)) {
            Ruled::GoesOn
        } else {
            Ruled::Done
        })
    }

    /// The first name that is ours, or the last one.
    fn first_of_ours(&self, forwarder: &Forwarder, mut names: Vec<Name>) -> Option<Name> {
        let last = names.pop();
        let qtype = RecordType(self.asking.qtype);
        let is_ours = |name: &Name| {
            let local = forwarder.local.as_ref();
            local.is_some_and(|local| local.is_ours(name, qtype, self.client))
        };
        names.into_iter().find(is_ours).or(last)
    }

    /// The legs, with the names that were replaced as they were asked.
    pub(super) fn named_as_asked(self) -> Vec<Leg> {
        let mut legs = self.legs;
        for Renamed { found, asked } in self.renamed.iter().rev() {
            legs = legs.into_iter().map(|leg| leg.renamed(found, asked)).collect();
        }
        legs
    }

    /// QTYPE CNAME and ANY ask for the alias itself.
    fn follows_aliases(&self) -> bool {
        let qtype = RecordType(self.asking.qtype);
        self.asking.qclass == CLASS_IN && !matches!(qtype, RecordType::CNAME | RecordType::ANY)
    }

    /// Our own answer to the name, and where it leads. `None`: the name is not ours.
    fn look_at_ours(&mut self, forwarder: &Forwarder) -> Result<Option<Option<Name>>, Failure> {
        let Some(local) = forwarder.local.as_ref().filter(|_| self.follows_aliases()) else {
            return Ok(None);
        };
        let Ok(name) = Name::from_wire(&self.asking.name) else {
            return Ok(None);
        };
        let qtype = RecordType(self.asking.qtype);
        // A rule or an alias leads nobody past the access list of a zone.
        if !local.may_ask(&name, qtype, self.client) {
            return Err(Failure::Prohibited);
        }
        let mut ours = Vec::new();
        match local.answer(&name, qtype, self.client, &mut ours) {
            Resumed::Answered(next) => {
                // It is of our making, so it can be read.
                let message = Message::read(&ours).ok_or(Failure::Malformed)?;
                self.push_ours(message);
                Ok(Some(next))
            }
            Resumed::NotOurs => Ok(None),
            Resumed::Failed(code, text) => Err(Failure::OurData(code, text)),
        }
    }

    fn push_ours(&mut self, message: Message) {
        self.begins_here |= self.legs.is_empty();
        self.legs.push(Leg::new(Arc::new(message)));
    }

    fn look_in_cache(&mut self, forwarder: &Forwarder) -> Result<Found, Failure> {
        let Some(cache) = &forwarder.cache else {
            return Ok(Found::Nothing);
        };
        let now = cache.now();
        let found = match cache.look(Key::of(&self.asking).octets(), now) {
            Look::Fresh(entry, is_due) => {
                if is_due {
                    forwarder.prefetch(&self.asking);
                }
                let given = Given::Aged(entry.age(now));
                let message = entry.message(&self.asking.name, self.asking.qtype, given);
                message.map_or(Found::Nothing, |message| Found::Answer(Arc::new(message)))
            }
            Look::Failed(failure) => {
                cache.count(true);
                return Err(failure);
            }
            Look::Stale(entry, at_once) => Found::Over(entry, at_once),
            Look::Nothing => match cache.denial(&self.asking, now) {
                Some(message) => Found::Answer(Arc::new(message)),
                None => Found::Nothing,
            },
        };
        cache.count(matches!(found, Found::Answer(_)));
        Ok(found)
    }

    /// Looks up this name next; false where the chain ends before it: in a circle at its last new alias, a long chain
    /// at the last permitted one, as in our own data.
    fn go_to(&mut self, forwarder: &Forwarder, name: &Name) -> bool {
        self.seen.push(self.asking.name.to_ascii_lowercase().into());
        let lower = name.as_wire().to_ascii_lowercase();
        let aliases: usize = self.legs.iter().map(Leg::aliases).sum();
        if self.seen.iter().any(|seen| **seen == lower[..]) || aliases >= forwarder.max_aliases() {
            return false;
        }
        self.asking.name = name.as_wire().into();
        self.may_be_ours = true;
        true
    }

    /// The time that the query may take.
    pub(super) fn timeout(&self, forwarder: &Forwarder) -> Duration {
        forwarder.sets[usize::from(self.asking.set)].timeout()
    }
}

impl Forwarder {
    /// What upstream is asked for this query, or for the name that its chain leads to.
    pub(super) fn asking(&self, query: &Query<'_>, client: IpAddr, limit: usize, target: Option<&[u8]>) -> Asking {
        Asking {
            name: target.unwrap_or(query.name).into(),
            qtype: query.qtype,
            qclass: query.qclass,
            checking_disabled: query.checking_disabled,
            authentic_data: query.authentic_data,
            dnssec_ok: query.dnssec_ok(),
            // Where the client could not be given more than a truncated reply has, it asks again over TCP itself.
            whole: limit > usize::from(exchange::UDP_PAYLOAD),
            view: self.local.as_ref().map_or(0, |local| local.view_of(client)),
            set: 0,
        }
    }

    /// Whether somebody else than this set of servers answers for the name: our data, a special zone, or another set.
    pub(super) fn is_elsewhere(&self, name: &Name, qtype: RecordType, set: u16, client: IpAddr) -> bool {
        let is_ours = self
            .local
            .as_ref()
            .is_some_and(|local| local.is_ours(name, qtype, client));
        let is_ruled = || self.rules.evaluate(name.as_wire(), qtype, client, true) != Verdict::Pass;
        let view = || self.local.as_ref().map_or(0, |local| local.view_of(client));
        is_ours || is_ruled() || *self.route_of(&name.as_wire().to_ascii_lowercase(), view()) != Target::Set(set)
    }
}
