//! Who is connected: how many in all and of one client, and who goes where there is no room.
//!
//! ```text
//! a new connection ─ room, in all and for its client ──► admitted
//!                  ├ none ► the one that waits for its client the longest goes, of the same client or, where all
//!                  │        room is taken, of the client that has the most
//!                  └ none waits, all have work in hand ► a spare place: the probes and the metrics alone
//! ```
//!
//! A connection waits for its client while it has no request, reads one, or has an answer that is not taken. So
//! whoever opens connections and does nothing loses the oldest of them to whoever has something to ask, on the same
//! address too, and a request that is being worked on is never cut off.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::observe::figures::HttpFigures;

/// The most connections, spare places included.
pub(super) const MAX_CONNECTIONS: usize = 1024;
/// Room before it is known how many descriptors there are, and the least there is.
pub(super) const MIN_CONNECTIONS: usize = 6;
/// Spare places at most: one of eight, up to this.
const MAX_SPARE: usize = 16;

/// All connections.
#[derive(Debug)]
pub(super) struct Admissions {
    room: AtomicUsize,
    /// One permit for each connection that may be open. What was displaced keeps its own until it is closed.
    sockets: Arc<Semaphore>,
    open: Mutex<Open>,
    ticks: Arc<AtomicU64>,
    figures: Arc<HttpFigures>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, Entry>,
    /// Without those in spare places.
    by_client: HashMap<IpAddr, usize>,
    spare: usize,
}

#[derive(Debug)]
struct Entry {
    client: IpAddr,
    is_spare: bool,
    activity: Arc<Activity>,
}

impl Admissions {
    pub(super) fn new(figures: Arc<HttpFigures>) -> Self {
        Self {
            room: AtomicUsize::new(MIN_CONNECTIONS),
            sockets: Arc::new(Semaphore::new(MIN_CONNECTIONS)),
            open: Mutex::default(),
            ticks: Arc::new(AtomicU64::new(FIRST_TICK)),
            figures,
        }
    }

    /// Makes room for so many connections; it never gets less.
    pub(super) fn raise(&self, connections: usize) {
        let connections = connections.min(MAX_CONNECTIONS);
        let before = self.room.fetch_max(connections, Ordering::Relaxed);
        self.sockets.add_permits(connections.saturating_sub(before));
    }

    /// Connections with work in hand.
    #[cfg(test)]
    pub(super) fn busy(&self) -> usize {
        let open = self.lock();
        let entries = open.connections.values();
        entries.filter(|entry| entry.activity.waits_since().is_none()).count()
    }

    /// Finds a place for a connection, if need be another one's; waits until that one is closed. `None` where there is
    /// none: all have work in hand.
    pub(super) async fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admission> {
        let (id, activity, is_spare) = self.enter(client_key(client)).or_else(|| {
            self.figures.full.fetch_add(1, Ordering::Relaxed);
            None
        })?;
        self.figures.connections.fetch_add(1, Ordering::Relaxed);
        let mut admission = Admission {
            admissions: Arc::clone(self),
            id,
            activity,
            is_spare,
            _socket: None,
        };
        admission._socket = Arc::clone(&self.sockets).acquire_owned().await.ok();
        Some(admission)
    }

    fn enter(&self, client: IpAddr) -> Option<(u64, Arc<Activity>, bool)> {
        let room = self.room.load(Ordering::Relaxed);
        let most_spare = (room / 8).clamp(1, MAX_SPARE);
        let usual = room - most_spare;
        let per_client = (usual / 4).max(MIN_CONNECTIONS - 1).min(usual);
        let mut open = self.lock();
        let of_client = open.by_client.get(&client).copied().unwrap_or(0);
        let is_placed = if of_client >= per_client {
            self.displace(&mut open, |entry| !entry.is_spare && entry.client == client)
        } else if open.connections.len() - open.spare >= usual {
            let most = open.by_client.iter().max_by_key(|(_, connections)| **connections);
            let most = most.map(|(client, _)| *client);
            self.displace(&mut open, |entry| !entry.is_spare && Some(entry.client) == most)
                || self.displace(&mut open, |entry| !entry.is_spare)
        } else {
            true
        };
        let is_spare = !is_placed;
        if is_spare && open.spare >= most_spare && !self.displace(&mut open, |entry| entry.is_spare) {
            return None;
        }
        open.last += 1;
        let id = open.last;
        let activity = Arc::new(Activity::new(Arc::clone(&self.ticks)));
        let entry = Entry {
            client,
            is_spare,
            activity: Arc::clone(&activity),
        };
        open.add(id, entry);
        Some((id, activity, is_spare))
    }

    /// Closes the one of `those` that waits the longest; whether there was one.
    fn displace(&self, open: &mut Open, those: impl Fn(&Entry) -> bool) -> bool {
        loop {
            let waiting = open.connections.iter().filter(|(_, entry)| those(entry));
            let waiting = waiting.filter_map(|(id, entry)| Some((entry.activity.waits_since()?, *id)));
            let Some((since, id)) = waiting.min() else {
                return false;
            };
            let activity = open.connections.get(&id).map(|entry| Arc::clone(&entry.activity));
            if activity.is_some_and(|activity| activity.displace(since)) {
                open.remove(id);
                self.figures.displaced.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn add(&mut self, id: u64, entry: Entry) {
        if entry.is_spare {
            self.spare += 1;
        } else {
            *self.by_client.entry(entry.client).or_default() += 1;
        }
        self.connections.insert(id, entry);
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.connections.remove(&id) else {
            return;
        };
        if entry.is_spare {
            self.spare -= 1;
        } else if let Some(connections) = self.by_client.get_mut(&entry.client) {
            *connections -= 1;
            if *connections == 0 {
                self.by_client.remove(&entry.client);
            }
        }
    }
}

/// The holder of an IPv6 /64 has all of its addresses.
fn client_key(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

/// One admitted connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    admissions: Arc<Admissions>,
    id: u64,
    /// What it does.
    pub(super) activity: Arc<Activity>,
    /// Whether it is there for the probes and the metrics alone.
    pub(super) is_spare: bool,
    _socket: Option<OwnedSemaphorePermit>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.admissions.lock().remove(self.id);
        self.admissions.figures.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request is being worked on.
const WORKING: u64 = 0;
/// Another connection has its place.
const DISPLACED: u64 = 1;
/// From here on: the connection waits for its client, since that tick.
const FIRST_TICK: u64 = 2;

/// Whether a connection waits for its client, and since when: in ticks, which only have an order.
#[derive(Debug)]
pub(super) struct Activity {
    state: AtomicU64,
    ticks: Arc<AtomicU64>,
    displaced: CancellationToken,
}

impl Activity {
    fn new(ticks: Arc<AtomicU64>) -> Self {
        let now = ticks.fetch_add(1, Ordering::Relaxed);
        Self {
            state: AtomicU64::new(now),
            ticks,
            displaced: CancellationToken::new(),
        }
    }

    /// Of a connection that nothing displaces.
    #[cfg(test)]
    pub(super) fn alone() -> Arc<Self> {
        Arc::new(Self::new(Arc::new(AtomicU64::new(FIRST_TICK))))
    }

    /// Until the guard is dropped the connection keeps its place; `None` where it has lost it.
    pub(super) fn work(self: &Arc<Self>) -> Option<Work> {
        let begin = |state| (state >= FIRST_TICK).then_some(WORKING);
        let begun = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin);
        begun.is_ok().then(|| Work(Arc::clone(self)))
    }

    /// Waits for the client, or for others, in the midst of work; `None` where the place is lost.
    pub(super) async fn pause<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        self.rest();
        let result = wait.await;
        let resume = |state| (state >= FIRST_TICK).then_some(WORKING);
        let resumed = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, resume);
        resumed.is_ok().then_some(result)
    }

    /// The client has taken something: it waits anew.
    pub(super) fn progress(&self) {
        let again = |state| (state >= FIRST_TICK).then(|| self.ticks.fetch_add(1, Ordering::Relaxed));
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, again);
    }

    /// Ends when another connection has the place of this one.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    fn rest(&self) {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed);
        let _ = self
            .state
            .compare_exchange(WORKING, now, Ordering::AcqRel, Ordering::Acquire);
    }

    fn waits_since(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Acquire);
        (state >= FIRST_TICK).then_some(state)
    }

    /// Takes the place, if it waits still as it did.
    fn displace(&self, since: u64) -> bool {
        let taken = self
            .state
            .compare_exchange(since, DISPLACED, Ordering::AcqRel, Ordering::Acquire);
        if taken.is_ok() {
            self.displaced.cancel();
        }
        taken.is_ok()
    }
}

/// A request is being worked on for as long as this lives.
#[derive(Debug)]
pub(super) struct Work(Arc<Activity>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.rest();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admissions(room: usize) -> Arc<Admissions> {
        let admissions = Arc::new(Admissions::new(Arc::default()));
        admissions.raise(room);
        admissions
    }

    fn client(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    async fn admitted(admissions: &Arc<Admissions>, client: IpAddr) -> Admission {
        admissions.admit(client).await.expect("a place")
    }

    fn is_displaced(admission: &Admission) -> bool {
        admission.activity.displaced.is_cancelled()
    }

    /// Admits one more while another is displaced, which is closed then.
    async fn admitted_for(admissions: &Arc<Admissions>, from: IpAddr, goes: Admission) -> Admission {
        let waiting = admissions.admit(from);
        let closing = async {
            let patience = tokio::time::timeout(Duration::from_secs(20), goes.activity.displaced());
            patience.await.expect("displaced");
            drop(goes);
        };
        tokio::join!(waiting, closing).0.expect("a place")
    }

    #[tokio::test]
    async fn a_client_over_its_share_loses_the_one_that_waits_the_longest() {
        let admissions = admissions(80);
        let mut open = Vec::new();
        for _ in 0..17 {
            open.push(admitted(&admissions, client(1)).await);
        }
        assert!(open.iter().all(|one| !is_displaced(one) && !one.is_spare));
        // The first has work in hand, the second was given something just now.
        let _work = open[0].activity.work().expect("it has its place");
        open[1].activity.progress();
        let third = open.remove(2);
        open.push(admitted(&admissions, client(2)).await);
        open.push(admitted_for(&admissions, client(1), third).await);
        assert!(open.iter().all(|one| !is_displaced(one) && !one.is_spare));
        assert_eq!(admissions.figures.displaced.load(Ordering::Relaxed), 1);
        assert_eq!(admissions.figures.connections.load(Ordering::Relaxed), 18);
    }

    #[tokio::test]
    async fn where_all_room_is_taken_the_client_with_the_most_gives_way() {
        let admissions = admissions(8);
        let mut open = Vec::new();
        for number in [1, 2, 2, 2, 3, 4, 5] {
            open.push(admitted(&admissions, client(number)).await);
        }
        let second = open.remove(1);
        open.push(admitted_for(&admissions, client(6), second).await);
        assert!(open.iter().all(|one| !is_displaced(one) && !one.is_spare));
    }

    #[tokio::test]
    async fn where_all_have_work_in_hand_there_are_spare_places() {
        let admissions = admissions(8);
        let mut open = Vec::new();
        for number in 1..=7 {
            open.push(admitted(&admissions, client(number)).await);
        }
        let works: Vec<_> = open.iter().map(|one| one.activity.work().expect("its place")).collect();
        let spare = admitted(&admissions, client(8)).await;
        assert!(spare.is_spare);
        // One that waits in a spare place gives way as others do.
        let spare = admitted_for(&admissions, client(1), spare).await;
        assert!(spare.is_spare && open.iter().all(|one| !is_displaced(one)));
        let work = spare.activity.work().expect("its place");
        assert!(admissions.admit(client(9)).await.is_none());
        assert_eq!(admissions.figures.full.load(Ordering::Relaxed), 1);
        drop((works, work));
    }

    #[tokio::test]
    async fn who_waits_in_the_midst_of_work_can_lose_the_place_and_learns_of_it() {
        let admissions = admissions(MIN_CONNECTIONS);
        let mut open = Vec::new();
        for _ in 1..MIN_CONNECTIONS {
            open.push(admitted(&admissions, client(1)).await);
        }
        let first = open.remove(0);
        let activity = Arc::clone(&first.activity);
        let work = activity.work().expect("its place");
        let others: Vec<_> = open.iter().map(|one| one.activity.work().expect("its place")).collect();
        assert_eq!(activity.pause(async { 7 }).await, Some(7));
        let (result, new) = tokio::join!(activity.pause(activity.displaced()), async {
            let new = admissions.admit(client(1));
            let closing = async {
                first.activity.displaced().await;
                drop(first);
            };
            tokio::join!(new, closing).0
        });
        assert!(result.is_none() && new.is_some_and(|new| !new.is_spare));
        drop((work, others));
        assert!(activity.work().is_none(), "the place is lost for good");
    }

    #[tokio::test]
    async fn a_place_is_given_again_once_the_one_before_is_closed() {
        let admissions = admissions(MIN_CONNECTIONS);
        let mut open = Vec::new();
        for _ in 1..MIN_CONNECTIONS {
            open.push(admitted(&admissions, client(1)).await);
        }
        // One socket is left for the spare place; the next connection takes it while another closes.
        let first = admitted(&admissions, client(1)).await;
        assert!(is_displaced(&open[0]) && !first.is_spare);
        let next = tokio::spawn({
            let admissions = Arc::clone(&admissions);
            async move { admissions.admit(client(1)).await }
        });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(!next.is_finished(), "there is no socket yet");
        open.remove(0);
        assert!(next.await.expect("no panic").is_some());
    }

    #[tokio::test]
    async fn clients_are_addresses_or_networks_of_64_bits() {
        let key = |text: &str| client_key(text.parse().expect("an address"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("::ffff:192.0.2.1"), key("::ffff:192.0.2.2"));
    }
}
