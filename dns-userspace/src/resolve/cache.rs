//! Answers of upstream servers, kept for as long as their TTLs say.
//!
//! ```text
//! name, type, class, DO, CD, view, set ─► Key ─► Entry: a ready message body, and where its TTLs stand
//!                                                  │ within its TTL       ─► Fresh: copied, TTLs lowered
//!                                                  │ over, within max_age ─► Stale: given if upstream fails or is slow
//!                                                  └ a failure            ─► Failed: upstream is not asked again yet
//! ```
//!
//! An entry answers exactly the question that it was the answer to. It has the question's RRset and the aliases that
//! lead there, or the SOA of a negative answer (and with DO what proves it). What an upstream server puts beside that
//! is never kept, so it can never answer anything. ECS is not sent upstream, so no answer is for a part of the clients.
//!
//! An NXDOMAIN is there under a second key too, without a type: it answers for all types, and for all names below.
//!
//! RFC 2308 (negative answers), RFC 8020 (nothing is below them), RFC 8767 (stale ones), RFC 9520 (failures).

use std::collections::hash_map::RandomState;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Store;

use super::clock::Clock;
use super::exchange::Asking;
use super::failure::Failure;
use crate::config::CacheConfig;
use crate::message::Message;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::observe::figures::CacheFigures;
use crate::publish::Served;
use crate::rules::suffixes;

mod entry;
mod hot;
mod key;
mod persist;
mod shown;

pub(super) use entry::{Entry, Given};
use hot::HotSet;
pub(super) use hot::{Candidate, Question, Ruled};
pub(super) use key::Key;
pub(super) use persist::Numbering;
pub use persist::Restored;
pub use shown::CachedAnswer;

/// RFC 8767 §5: after a refresh has failed, what is over is given at once for so long.
const FAILURE_RECHECK: Duration = Duration::from_secs(30);
/// RFC 9520 §3.2: at least 1 s. No server replied: that is over as soon as one is back.
const SILENCE_TTL: u32 = 1;
/// RFC 9520 §3.2: 5 s are recommended. A server said that it failed.
const ERROR_TTL: u32 = 5;
/// An answer is fetched anew when less than this part of its TTL is left.
const PREFETCH_PART: u32 = 10;
/// And it has lived so long in all: what is kept for a few seconds is not worth it.
const PREFETCH_LEAST_TTL: u32 = 10;
/// Octets of the store for an entry, besides its own: a slot of its table, the key's and the entry's allocations.
const SLOT_BYTES: usize = 96;
/// How many octets an entry has, as a guess for the store's table.
const USUAL_BYTES: u64 = 320;

/// The cache.
pub struct Cache {
    store: Store<Box<[u8]>, Arc<Entry>, Weight, RandomState, Evictions>,
    config: CacheConfig,
    clock: Clock,
    figures: Arc<CacheFigures>,
    /// The answers that the fast path and XDP give.
    hot: Option<HotSet>,
}

/// What the cache says to a question.
#[derive(Debug)]
pub(super) enum Look {
    /// An answer. `is_due`: it is to be fetched anew, by whoever is told so.
    Fresh(Arc<Entry>, bool),
    /// An answer that is over. `at_once`: upstream has just failed to give a new one.
    Stale(Arc<Entry>, bool),
    /// Upstream has just failed to answer, in this way.
    Failed(Failure),
    /// Nothing.
    Nothing,
}

impl Cache {
    /// An empty cache, which counts there.
    pub fn new(config: CacheConfig, clock: Clock, figures: Arc<CacheFigures>) -> Self {
        let bytes = config.max_bytes.0;
        let items = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        let evictions = Evictions(Arc::clone(&figures));
        Self {
            store: Store::with(items.min(1 << 20), bytes, Weight, RandomState::new(), evictions),
            config,
            clock,
            figures,
            hot: None,
        }
    }

    /// The same, where answers that are asked for often are put into the table that is served.
    pub fn promoting(self, served: Arc<Served>) -> Self {
        Self {
            hot: Some(HotSet::new(served)),
            ..self
        }
    }

    /// The time by which entries age.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// How long a client waits for upstream where there is an answer that is over.
    pub(super) fn client_wait(&self) -> Duration {
        self.config.stale.client_wait
    }

    /// What there is for this question; not counted.
    pub(super) fn look(&self, key: &[u8], now: Duration) -> Look {
        let Some(entry) = self.store.get(key) else {
            return Look::Nothing;
        };
        if let Some(failure) = entry.failure() {
            return if entry.left(now).is_some() {
                Look::Failed(failure.clone())
            } else {
                Look::Nothing
            };
        }
        if let Some(left) = entry.left(now) {
            let ttl = entry.ttl();
            let is_due = self.config.prefetch
                && ttl >= PREFETCH_LEAST_TTL
                && left <= ttl / PREFETCH_PART
                && entry.claim_prefetch();
            return Look::Fresh(entry, is_due);
        }
        if entry.is_over_by(now) <= self.config.stale.max_age {
            let at_once = entry.is_resting(now);
            return Look::Stale(entry, at_once);
        }
        Look::Nothing
    }

    /// Counts what was looked up.
    pub(crate) fn count(&self, is_hit: bool) {
        let figure = if is_hit {
            &self.figures.hits
        } else {
            &self.figures.misses
        };
        figure.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that was over and was given.
    pub(super) fn count_stale(&self) {
        self.figures.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that is fetched anew.
    pub(super) fn count_prefetch(&self) {
        self.figures.prefetch.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps upstream's answer, where it can be kept.
    pub(super) fn keep(&self, asking: &Asking, message: &Message) {
        let key = Key::of(asking);
        match Entry::of_answer(asking, message, &self.config, self.now()) {
            Some(entry) => {
                let entry = Arc::new(entry);
                self.store.insert(key.octets().into(), Arc::clone(&entry));
                self.renew(key.octets(), Some(&entry));
                self.note_denial(asking, &entry);
            }
            // What was there is no more what upstream says.
            None => {
                drop(self.store.remove(key.octets()));
                self.renew(key.octets(), None);
            }
        }
    }

    /// Notes that a name is denied; or that it is there, and so are all above it.
    fn note_denial(&self, asking: &Asking, entry: &Arc<Entry>) {
        if !self.config.below_nxdomain {
            return;
        }
        let name = asking.name.to_ascii_lowercase();
        if entry.is_denial() {
            let key = key::of_denial(&name, asking);
            self.store.insert(key.into_boxed(), Arc::clone(entry));
            return;
        }
        for name in not_the_root(&name) {
            self.store.remove(key::of_denial(name, asking).octets());
        }
    }

    /// That a name is denied, as upstream said of it for another type (RFC 2308 §5), or of a name above it (RFC 8020
    /// §2).
    pub(super) fn denial(&self, asking: &Asking, now: Duration) -> Option<Message> {
        if !self.config.below_nxdomain {
            return None;
        }
        let name = asking.name.to_ascii_lowercase();
        not_the_root(&name).find_map(|name| {
            let entry = self.store.get(key::of_denial(name, asking).octets())?;
            entry.left(now)?;
            entry.message(name, asking.qtype, Given::Aged(entry.age(now)))
        })
    }

    /// Keeps that upstream did not answer. An answer that may still be given stays.
    pub(super) fn keep_failure(&self, asking: &Asking, failure: &Failure) {
        let ttl = match failure {
            Failure::Silence => SILENCE_TTL,
            Failure::Error | Failure::Truncated | Failure::Malformed | Failure::Rcode(_) => ERROR_TTL,
            // They say something of us, or of one client's query.
            Failure::Loop
            | Failure::Ourselves
            | Failure::Overloaded
            | Failure::NotForwarded
            | Failure::Dropped
            | Failure::Prohibited
            | Failure::OurData(..) => {
                return;
            }
        };
        let now = self.now();
        let key = Key::of(asking);
        if let Some(entry) = self.store.peek(key.octets())
            && entry.failure().is_none()
            && entry.is_over_by(now) <= self.config.stale.max_age
        {
            entry.rest_until(now + FAILURE_RECHECK);
            return;
        }
        let entry = Entry::of_failure(failure.clone(), ttl, now);
        self.store.insert(key.into_boxed(), Arc::new(entry));
    }

    /// All entries for a name that can be given; for all names where there is none.
    pub fn list(&self, name: Option<&Name>, set_name: impl Fn(u16) -> String) -> Vec<CachedAnswer> {
        let now = self.now();
        let wanted = name.map(|name| name.as_wire().to_ascii_lowercase());
        let entries = self.store.iter();
        let wanted =
            |key: &[u8]| !key::is_of_denial(key) && wanted.as_ref().is_none_or(|name| key::name_of(key) == &name[..]);
        let shown = entries
            .filter(|(key, _)| wanted(key))
            .filter_map(|(key, entry)| shown::show(&key, &entry, now, self.config.stale.max_age, &set_name));
        shown.collect()
    }

    /// Takes the entries for this name out, with those for names below it where `with_tree` says so. How many.
    pub fn flush(&self, name: &Name, with_tree: bool) -> usize {
        let name = name.as_wire().to_ascii_lowercase();
        let mut keys = Vec::new();
        for (key, _) in self.store.iter() {
            let found = key::name_of(&key);
            if found == &name[..] || (with_tree && is_below(found, &name)) {
                keys.push(key);
            }
        }
        let removed = keys.iter().filter(|key| self.store.remove(&key[..]).is_some());
        let count = removed.filter(|key| !key::is_of_denial(key)).count();
        self.demote(|key| {
            let found = key::name_of(key);
            found == &name[..] || (with_tree && is_below(found, &name))
        });
        count
    }

    /// Takes all entries out. How many.
    pub fn clear(&self) -> usize {
        let count = self.store.iter().filter(|(key, _)| !key::is_of_denial(key)).count();
        self.store.clear();
        self.demote(|_| true);
        count
    }

    /// The figures, with the levels as they are now.
    pub fn figures(&self) -> &Arc<CacheFigures> {
        self.figures.bytes.store(self.store.weight(), Ordering::Relaxed);
        self.figures.entries.store(self.store.len() as u64, Ordering::Relaxed);
        &self.figures
    }
}

/// A name in wire form, and the names above it without the root.
fn not_the_root(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    suffixes(name).take_while(|name| name.len() > 1)
}

/// Whether a name in wire form is below another.
fn is_below(name: &[u8], above: &[u8]) -> bool {
    let mut rest = name;
    while let Some((&length, below)) = rest.split_first() {
        if rest == above {
            return true;
        }
        let Some(below) = below.get(usize::from(length)..).filter(|_| length > 0) else {
            return false;
        };
        rest = below;
    }
    false
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.store.len())
            .finish_non_exhaustive()
    }
}

/// Octets of an entry in memory.
#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry>) -> u64 {
        (SLOT_BYTES + key.len() + entry.bytes()) as u64
    }
}

/// Counts what goes for want of room.
#[derive(Clone)]
struct Evictions(Arc<CacheFigures>);

impl quick_cache::Lifecycle<Box<[u8]>, Arc<Entry>> for Evictions {
    type RequestState = ();

    fn begin_request(&self) {}

    fn on_evict(&self, (): &mut (), _key: Box<[u8]>, _entry: Arc<Entry>) {
        self.0.evictions.fetch_add(1, Ordering::Relaxed);
    }
}

/// Types that are not kept: they ask for whatever there is.
fn is_kept(qtype: RecordType) -> bool {
    qtype.is_data()
}
