//! From workers to the thread that reads: each worker has a queue of its own, which is taken whole.
//!
//! ```text
//! worker ─ put: head, octets ─► its queue ◄─ swapped with an empty one ─ the thread, every few milliseconds
//!            └─ full: refused       └─ the thread sleeps long: it is woken, once
//! ```
//!
//! A queue's lock is the worker's alone but for the moment of the swap. Nothing is allocated once a queue has grown to
//! what it needs, and nobody is woken for a line while lines come.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::entry::{Entry, Head};

/// Entries of a queue.
const MOST: usize = 16_384;
/// Octets of their messages.
const MOST_BYTES: usize = 4 << 20;
/// A pause of this length is ended by what comes.
const LONG: Duration = Duration::from_millis(10);

/// What waits.
#[derive(Default)]
pub(super) struct Waiting {
    /// With the lengths of query and reply, which lie behind one another.
    heads: Vec<(Head, usize, usize)>,
    octets: Vec<u8>,
}

/// One worker's.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Arc<Bell>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Queues {
    all: Mutex<Vec<Arc<Queue>>>,
    bell: Arc<Bell>,
}

/// What wakes the thread.
#[derive(Default)]
struct Bell {
    sleeps: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Queue {
    /// Adds an entry; false where there is no room. Never waits for more than a swap.
    pub(super) fn put(&self, entry: Entry<'_>) -> bool {
        let is_put = lock(&self.waiting).put(entry);
        self.bell.ring();
        is_put
    }
}

impl Waiting {
    fn put(&mut self, entry: Entry<'_>) -> bool {
        let Entry { head, query, reply } = entry;
        if self.heads.len() >= MOST || self.octets.len() + query.len() + reply.len() > MOST_BYTES {
            return false;
        }
        self.heads.push((*head, query.len(), reply.len()));
        self.octets.extend_from_slice(query);
        self.octets.extend_from_slice(reply);
        true
    }

    fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Hands on all, and keeps the room for others.
    fn empty(&mut self, mut each: impl FnMut(Entry<'_>)) -> usize {
        let mut rest = &self.octets[..];
        for (head, query, reply) in &self.heads {
            let (query, behind) = rest.split_at(*query);
            let (reply, behind) = behind.split_at(*reply);
            rest = behind;
            each(Entry { head, query, reply });
        }
        let count = self.heads.len();
        self.heads.clear();
        self.octets.clear();
        count
    }
}

impl Queues {
    /// One more.
    pub(super) fn add(&self) -> Arc<Queue> {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            bell: Arc::clone(&self.bell),
        });
        lock(&self.all).push(Arc::clone(&queue));
        queue
    }

    /// Hands on all that waits. `spare` is what a queue is swapped with. How many entries that were; `None` once there
    /// is nobody who could put any.
    pub(super) fn take(&self, spare: &mut Waiting, mut each: impl FnMut(Entry<'_>)) -> Option<usize> {
        let all = lock(&self.all).clone();
        let mut count = 0;
        for queue in &all {
            mem::swap(spare, &mut *lock(&queue.waiting));
            count += spare.empty(&mut each);
        }
        drop(all);
        let mut all = lock(&self.all);
        // Nobody but this list has it: what was put last is handed on by now, or is the next time.
        all.retain(|queue| Arc::strong_count(queue) > 1 || !lock(&queue.waiting).is_empty());
        (!all.is_empty() || count > 0).then_some(count)
    }

    /// Waits for so long; where that is long, until something comes. For one thread, always the same.
    pub(super) fn pause(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        if time < LONG {
            thread::sleep(time);
            return;
        }
        self.bell.thread.get_or_init(thread::current);
        self.bell.sleeps.store(true, Ordering::SeqCst);
        // What was put before is seen here; who puts something later sees that the thread sleeps.
        if lock(&self.all).iter().all(|queue| lock(&queue.waiting).is_empty()) {
            thread::park_timeout(time);
        }
        self.bell.sleeps.store(false, Ordering::SeqCst);
    }
}

impl Bell {
    fn ring(&self) {
        if self.sleeps.load(Ordering::SeqCst)
            && self.sleeps.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::super::entry::Wants;
    use super::*;
    use crate::observe::latency::Plane;

    fn head(port: u16) -> Head {
        Head {
            wants: Wants::default(),
            weight: 1,
            time: SystemTime::UNIX_EPOCH,
            took: None,
            client: "192.0.2.1".parse().expect("an address"),
            port,
            server: None,
            transport: "udp",
            plane: Plane::Reference,
            passed: None,
            size: 0,
        }
    }

    fn put(queue: &Queue, port: u16, query: &[u8], reply: &[u8]) -> bool {
        queue.put(Entry {
            head: &head(port),
            query,
            reply,
        })
    }

    /// Port, query and reply.
    type Taken = (u16, Vec<u8>, Vec<u8>);

    fn take(queues: &Queues) -> (Option<usize>, Vec<Taken>) {
        let mut taken = Vec::new();
        let count = queues.take(&mut Waiting::default(), |entry| {
            taken.push((entry.head.port, entry.query.to_vec(), entry.reply.to_vec()));
        });
        (count, taken)
    }

    #[test]
    fn what_was_put_comes_out_and_the_end_is_told_behind_it() {
        let queues = Queues::default();
        let (one, other) = (queues.add(), queues.add());
        assert!(put(&one, 1, b"q", b"reply") && put(&other, 2, b"", b"x") && put(&one, 3, b"", b""));
        let (count, taken) = take(&queues);
        assert_eq!(count, Some(3));
        assert_eq!(
            taken,
            [
                (1, b"q".to_vec(), b"reply".to_vec()),
                (3, vec![], vec![]),
                (2, vec![], b"x".to_vec())
            ]
        );
        assert_eq!(take(&queues), (Some(0), vec![]));
        drop(one);
        assert!(put(&other, 4, b"", b""));
        drop(other);
        assert_eq!(take(&queues).0, Some(1));
        assert_eq!(take(&queues).0, None);
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again() {
        let queues = Queues::default();
        let queue = queues.add();
        let put_all = || (0..MOST + 9).filter(|_| put(&queue, 1, b"", b"x")).count();
        assert_eq!((put_all(), take(&queues).0, put_all()), (MOST, Some(MOST), MOST));
        assert!(take(&queues).0.is_some());
        let much = vec![0; MOST_BYTES];
        assert!(put(&queue, 1, b"", &much) && !put(&queue, 1, b"", b"x"));
    }

    #[test]
    fn who_sleeps_long_is_woken() {
        let queues = Arc::new(Queues::default());
        let queue = queues.add();
        let sleeper = Arc::clone(&queues);
        let started = Instant::now();
        let thread = thread::spawn(move || {
            while sleeper.take(&mut Waiting::default(), |_| ()) == Some(0) {
                sleeper.pause(Duration::from_secs(60));
            }
        });
        thread::sleep(Duration::from_millis(20));
        assert!(put(&queue, 1, b"", b""));
        thread.join().expect("it ends");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
