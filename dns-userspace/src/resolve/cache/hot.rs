//! Answers that are asked for often: put beside the table that is served, where the fast path and XDP give them.
//!
//! ```text
//! hit ─► counted in its entry ─ often ─► wanted ─► tend: may it? ─► promoted ─┬─ upstream has a new one ─► replaced
//!                                                   ▲        │                ├─ over, unasked for, flushed ─► demoted
//!                                                   └────────┴─ a new table, ─┴─ names became ours: looked at again
//! ```
//!
//! A lookup in the cache takes no lock; all here is under one, which no query takes. What is in the table is always
//! what the cache has: the cache changes first, then what is promoted, under the lock under which answers are promoted
//! from it.
//!
//! The fast path asks no rule. So an answer is promoted only where no rule has anything to say to its names, whoever
//! asks; and rules are replaced and paused under the lock, with nothing promoted ([`Cache::fence`]). Whether a name is
//! ours the table says itself, but for those that aliases lead to: see [`dns_common::hot`].
//!
//! What a rule says to all clients of a view is promoted in the same way ([`ruled`]). It is there until the rules
//! change, or nobody asks for it any more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dns_common::hot::ASKED_SHIFT;

use super::key::{Key, name_of, tail_of, view_of};
use super::{Cache, Entry, PREFETCH_LEAST_TTL, PREFETCH_PART};
use crate::publish::Served;
use crate::table::{HotAnswer, HotPlace, HotWriter, TableReader};

mod ruled;

use ruled::Heat;
pub(in crate::resolve) use ruled::Ruled;

/// Answers that wait to be promoted.
const MOST_WANTED: usize = 4096;
/// What was not asked for so long is demoted: many times the time within which it had to be asked for often.
const IDLE: Duration = Duration::from_secs(60);
/// The set of servers in the keys of what rules say: none has this number.
const NO_SET: u16 = u16::MAX;

/// What is promoted.
pub(super) struct HotSet {
    served: Arc<Served>,
    state: Mutex<State>,
    wanted: SyncSender<Wanted>,
    /// How often what rules say is asked for.
    heat: Heat,
}

struct State {
    writer: HotWriter,
    promoted: HashMap<Box<[u8]>, Promoted>,
    inbox: Receiver<Wanted>,
    /// What was taken back for a change that may leave it as it was.
    again: Vec<Wanted>,
    /// When it was looked after, as lines count it.
    tended: u64,
    /// Whether another cache is in force.
    is_over: bool,
}

/// An answer that is asked for often, by its key.
struct Wanted {
    key: Box<[u8]>,
    /// One of those who ask.
    client: IpAddr,
}

struct Promoted {
    place: HotPlace,
    giver: Giver,
    client: IpAddr,
    generation: u32,
}

/// Whose answer it is.
enum Giver {
    Upstream(Arc<Entry>),
    Rule(Ruled),
}

impl Giver {
    fn hot_answer<'a>(&'a self, key: &'a [u8], generation: u32) -> Option<HotAnswer<'a>> {
        match self {
            Self::Upstream(entry) => entry.hot_answer(key, generation),
            Self::Rule(ruled) => ruled.hot_answer(key),
        }
    }
}

/// The question of an answer, from its key.
#[derive(Debug, Clone, Copy)]
pub(in crate::resolve) struct Question<'a> {
    /// In wire form and lower case.
    pub(in crate::resolve) name: &'a [u8],
    pub(in crate::resolve) qtype: u16,
    pub(in crate::resolve) qclass: u16,
    pub(in crate::resolve) dnssec_ok: bool,
    pub(in crate::resolve) checking_disabled: bool,
    pub(in crate::resolve) view: u16,
    pub(in crate::resolve) set: u16,
}

impl<'a> Question<'a> {
    fn of(key: &'a [u8]) -> Option<Self> {
        let (qtype, qclass, dnssec_ok, checking_disabled, set) = tail_of(key)?;
        Some(Self {
            name: name_of(key),
            qtype,
            qclass,
            dnssec_ok,
            checking_disabled,
            view: view_of(key),
            set,
        })
    }
}

/// An answer that may be promoted, if nobody but its upstream servers has something to say to its names.
pub(in crate::resolve) struct Candidate<'a> {
    pub(in crate::resolve) question: Question<'a>,
    pub(in crate::resolve) entry: &'a Entry,
    /// One of the clients that ask.
    pub(in crate::resolve) client: IpAddr,
}

impl HotSet {
    pub(super) fn new(served: Arc<Served>) -> Self {
        let (wanted, inbox) = sync_channel(MOST_WANTED);
        let state = State {
            writer: HotWriter::new(TableReader::clone(&served.table())),
            promoted: HashMap::new(),
            inbox,
            again: Vec::new(),
            tended: 0,
            is_over: false,
        };
        Self {
            served,
            state: Mutex::new(state),
            wanted,
            heat: Heat::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: &[u8], promoted: Promoted, asked: u64) -> bool {
        let answer = promoted.giver.hot_answer(key, promoted.generation);
        let Some(place) = answer.and_then(|answer| self.writer.put(&answer, asked)) else {
            return false;
        };
        self.promoted.insert(key.into(), Promoted { place, ..promoted });
        true
    }

    fn remove(&mut self, key: &[u8]) -> Option<(Promoted, u64)> {
        let promoted = self.promoted.remove(key)?;
        let asked = self.writer.asked(promoted.place);
        self.writer.remove(promoted.place);
        Some((promoted, asked))
    }
}

impl Cache {
    /// Notes that the answer with this key was given to a client.
    pub(in crate::resolve) fn note(&self, key: &[u8], entry: &Entry, client: IpAddr, now: Duration) {
        if let Some(hot) = &self.hot
            && entry.is_hot(now)
        {
            // Where it finds no room it is asked for again.
            let _ = hot.wanted.try_send(Wanted {
                key: key.into(),
                client,
            });
        }
    }

    /// Notes that a rule gave the whole answer to this question, of class IN, to a client.
    pub(in crate::resolve) fn note_ruled(&self, question: Question<'_>, client: IpAddr) {
        let Some(hot) = &self.hot else { return };
        let Question {
            name,
            qtype,
            qclass,
            dnssec_ok,
            checking_disabled,
            view,
            ..
        } = question;
        let key = Key::new(name, qtype, qclass, dnssec_ok, checking_disabled, view, NO_SET);
        if hot.heat.is_hot(key.octets(), self.now()) {
            let _ = hot.wanted.try_send(Wanted {
                key: key.into_boxed(),
                client,
            });
        }
    }

    /// Makes a change of what is said before the cache is asked, with nothing promoted. What was is looked at again
    /// afterwards.
    pub(crate) fn fence(&self, change: &mut dyn FnMut()) {
        let Some(hot) = &self.hot else {
            return change();
        };
        let mut state = hot.lock();
        let State { promoted, again, .. } = &mut *state;
        again.extend(promoted.iter().map(|(key, promoted)| Wanted {
            key: key.clone(),
            client: promoted.client,
        }));
        self.demote_in(&mut state, |_| true);
        change();
    }

    /// Makes the change that puts another cache into force, with nothing promoted from this one, then or later.
    pub(crate) fn cease_promoting(&self, change: &mut dyn FnMut()) {
        let Some(hot) = &self.hot else {
            return change();
        };
        let mut state = hot.lock();
        state.is_over = true;
        self.demote_in(&mut state, |_| true);
        change();
    }

    /// Answers may be promoted from this cache again: it comes into force.
    pub(crate) fn go_on_promoting(&self) {
        if let Some(hot) = &self.hot {
            hot.lock().is_over = false;
        }
    }

    /// Says that the cache has another answer for this key, or none.
    pub(super) fn renew(&self, key: &[u8], entry: Option<&Arc<Entry>>) {
        let Some(hot) = &self.hot else { return };
        let mut state = hot.lock();
        let Some((old, asked)) = state.remove(key) else {
            return;
        };
        if let (Some(entry), Giver::Upstream(old_entry)) = (entry, &old.giver) {
            let client = old.client;
            // Where it leads elsewhere, that has to be looked at.
            let is_known = entry.alias_targets().eq(old_entry.alias_targets());
            let renewed = Promoted {
                giver: Giver::Upstream(Arc::clone(entry)),
                ..old
            };
            if !is_known || !state.put(key, renewed, asked) {
                let _ = hot.wanted.try_send(Wanted {
                    key: key.into(),
                    client,
                });
            }
        }
        self.count_hot(&state);
    }

    /// Demotes the answers with such keys: no query that comes from now on gets them from the table.
    pub(super) fn demote(&self, is_meant: impl Fn(&[u8]) -> bool) {
        if let Some(hot) = &self.hot {
            self.demote_in(&mut hot.lock(), is_meant);
        }
    }

    fn demote_in(&self, state: &mut State, is_meant: impl Fn(&[u8]) -> bool) {
        let keys: Vec<_> = state.promoted.keys().filter(|key| is_meant(key)).cloned().collect();
        for key in keys {
            state.remove(&key);
        }
        self.count_hot(state);
    }

    /// Promotes what is wanted, demotes what is over or no more asked for, and gives the questions whose answers are to
    /// be fetched anew. `may`: whether nobody else has something to say to the names of an answer. `rule`: what the
    /// rules say to a question, for all clients of the view that this one is in.
    pub(in crate::resolve) fn tend<T>(
        &self,
        may: impl Fn(Candidate<'_>) -> bool,
        rule: impl Fn(Question<'_>, IpAddr) -> Option<Ruled>,
        fetch: impl Fn(Question<'_>) -> T,
    ) -> Vec<T> {
        let Some(hot) = &self.hot else {
            return Vec::new();
        };
        let now = self.now();
        let mut state = hot.lock();
        if state.is_over {
            return Vec::new();
        }
        // Before the snapshot is looked at that `may` asks: what becomes ours later raises the generation.
        let table = TableReader::clone(&hot.served.table());
        let mut wanted = std::mem::take(&mut state.again);
        if !state.writer.is_of(&table) {
            // What was in the old table went with it.
            state.writer = HotWriter::new(table);
            let before = state.promoted.drain();
            wanted.extend(before.map(|(key, Promoted { client, .. })| Wanted { key, client }));
        }
        let generation = state.writer.generation();
        let mut due = Vec::new();
        for (key, again) in self.look_after(&mut state, generation, now, &mut due) {
            if let Some((Promoted { client, .. }, _)) = state.remove(&key)
                && again
            {
                wanted.push(Wanted { key, client });
            }
        }
        let due = due.iter().filter_map(|key| Question::of(key)).map(fetch).collect();
        wanted.extend(state.inbox.try_iter());
        for Wanted { key, client } in wanted {
            if state.promoted.contains_key(&key) || state.promoted.len() >= state.writer.capacity() {
                continue;
            }
            let Some(question) = Question::of(&key) else { continue };
            let giver = if question.set == NO_SET {
                rule(question, client).map(Giver::Rule)
            } else {
                self.giver_of(&key, question, client, generation, now, &may)
            };
            let Some(giver) = giver else { continue };
            let promoted = Promoted {
                place: HotPlace::NOWHERE,
                giver,
                client,
                generation,
            };
            if state.put(&key, promoted, asked_at(now)) {
                self.figures.promoted.fetch_add(1, Ordering::Relaxed);
            }
        }
        state.tended = asked_at(now);
        self.count_hot(&state);
        due
    }

    /// The kept answer with this key, where it may be promoted.
    fn giver_of(
        &self,
        key: &[u8],
        question: Question<'_>,
        client: IpAddr,
        generation: u32,
        now: Duration,
        may: &impl Fn(Candidate<'_>) -> bool,
    ) -> Option<Giver> {
        let entry = self.store.get(key).filter(|entry| entry.left(now).is_some())?;
        // While names become ours, nothing is known of those that it leads to.
        let is_known = generation & 1 == 0 || !entry.has_aliases();
        let candidate = Candidate {
            question,
            entry: &entry,
            client,
        };
        (is_known && may(candidate)).then(|| Giver::Upstream(Arc::clone(&entry)))
    }

    /// The keys of what is to be demoted, and whether it is to be promoted again where it may; those that are to be
    /// fetched anew come into `due`.
    fn look_after(
        &self,
        state: &mut State,
        generation: u32,
        now: Duration,
        due: &mut Vec<Box<[u8]>>,
    ) -> Vec<(Box<[u8]>, bool)> {
        let mut leaving = Vec::new();
        for (
            key,
            Promoted {
                place,
                giver,
                generation: of,
                ..
            },
        ) in &state.promoted
        {
            let asked = state.writer.asked(*place);
            let is_idle = asked < asked_at(now.saturating_sub(IDLE));
            let Giver::Upstream(entry) = giver else {
                if is_idle {
                    leaving.push((key.clone(), false));
                }
                continue;
            };
            if entry.left(now).is_none() || is_idle {
                leaving.push((key.clone(), false));
                continue;
            }
            if asked >= state.tended {
                // So the cache knows that it was asked for.
                match self.store.get(&key[..]) {
                    Some(kept) if Arc::ptr_eq(&kept, entry) => {}
                    kept => {
                        leaving.push((key.clone(), kept.is_some()));
                        continue;
                    }
                }
            }
            if entry.has_aliases() && *of != generation {
                leaving.push((key.clone(), true));
                continue;
            }
            let last_part = entry.moment_with_left(entry.ttl() / PREFETCH_PART);
            let is_due = self.config.prefetch
                && entry.ttl() >= PREFETCH_LEAST_TTL
                && entry.is_to_be_renewed(now, PREFETCH_PART)
                && asked >= asked_at(last_part);
            if is_due && entry.claim_prefetch() {
                due.push(key.clone());
            }
        }
        leaving
    }

    fn count_hot(&self, state: &State) {
        let count = state.promoted.len() as u64;
        self.figures.hot_entries.store(count, Ordering::Relaxed);
    }
}

/// A moment, as lines count it.
fn asked_at(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) >> ASKED_SHIFT
}
