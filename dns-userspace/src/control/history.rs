//! Publications for those who follow them: in order, bounded, and never in the writer's way.
//!
//! ```text
//! writer ─ push ─► ring of publications ◄─ next ─ subscribers, each at its own version
//! ```
//!
//! The ring keeps the latest publications, up to a number of changed names. A subscriber whose next publication is no
//! longer there is told to begin anew from the present snapshot. A slow subscriber holds nothing up: it is the ring
//! that forgets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imbl::OrdMap;
use tokio::sync::watch;

use super::publication::Publication;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;

/// Publications that are kept at most.
const MOST_PUBLICATIONS: usize = 1024;
/// Changed names of all publications that are kept at most; the latest publication is always kept.
const MOST_NAMES: usize = 100_000;

/// The latest publications.
pub struct History {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    disabled: Mutex<Disabled>,
}

/// RRsets that the API keeps and that are not served, by view, owner and type, with their owners as they are written.
pub type Disabled = OrdMap<(Option<ViewName>, NameKey, RecordType), (Name, Arc<RrSet>)>;

#[derive(Default)]
struct Ring {
    publications: VecDeque<Arc<Publication>>,
    names: usize,
    present: Arc<Snapshot>,
    /// The version of the latest change, seen or not.
    version: u64,
}

/// What a subscriber is told.
pub enum Event {
    /// The next publication: it begins where the one before ended.
    Published(Arc<Publication>),
    /// The subscriber is new, or fell behind: this is what is served now.
    Reset(Arc<Snapshot>),
}

/// One that follows the publications.
pub struct Subscription {
    history: Arc<History>,
    /// The version that the subscriber knows; `None`: none yet.
    known: Option<u64>,
    newest: watch::Receiver<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            ring: Mutex::default(),
            newest: watch::Sender::new(0),
            disabled: Mutex::default(),
        }
    }
}

impl History {
    /// Follows publications from after `version`; without one, from what is served now.
    pub fn subscribe(self: &Arc<Self>, version: Option<u64>) -> Subscription {
        Subscription {
            history: Arc::clone(self),
            known: version,
            newest: self.newest.subscribe(),
        }
    }

    /// What is kept and not served. A clone costs nothing.
    pub fn disabled(&self) -> Disabled {
        self.disabled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is kept and not served.
    pub(super) fn change_disabled(&self, change: impl FnOnce(&mut Disabled)) {
        change(&mut self.disabled.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is served now.
    pub fn present(&self) -> Arc<Snapshot> {
        Arc::clone(&self.ring().present)
    }

    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.ring().version
    }

    /// Adds the latest publication.
    pub(super) fn push(&self, publication: Arc<Publication>) {
        let version = publication.version();
        let mut ring = self.ring();
        ring.version = version;
        if !publication.is_visible() {
            drop(ring);
            self.newest.send_replace(version);
            return;
        }
        ring.present = publication.new.clone();
        ring.names += names_of(&publication);
        ring.publications.push_back(publication);
        while ring.publications.len() > MOST_PUBLICATIONS || (ring.names > MOST_NAMES && ring.publications.len() > 1) {
            let Some(oldest) = ring.publications.pop_front() else {
                break;
            };
            ring.names -= names_of(&oldest);
        }
        drop(ring);
        self.newest.send_replace(version);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names_of(publication: &Publication) -> usize {
    let delta = &publication.delta;
    delta.names.len() + delta.views.iter().map(Vec::len).sum::<usize>() + delta.zones.len()
}

impl Subscription {
    /// The next event; waits for it. `None` once the writer has ended and all was told.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.poll() {
                return Some(event);
            }
            self.newest.changed().await.ok()?;
        }
    }

    /// The next event, if it is there already.
    pub fn poll(&mut self) -> Option<Event> {
        let ring = self.history.ring();
        let (seen, latest) = (ring.present.version, ring.version);
        let event = match self.known {
            Some(known) if (seen..=latest).contains(&known) => return None,
            Some(known) => {
                let holds = |next: &&Arc<Publication>| (next.old.version..next.version()).contains(&known);
                let next = ring.publications.iter().find(holds);
                next.map(|next| Event::Published(Arc::clone(next)))
            }
            None => None,
        };
        let event = event.unwrap_or_else(|| Event::Reset(ring.present.clone()));
        drop(ring);
        self.known = Some(match &event {
            Event::Published(publication) => publication.version(),
            Event::Reset(snapshot) => snapshot.version.max(latest),
        });
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Delta;

    fn publication(from: u64, names: usize) -> Arc<Publication> {
        let snapshot = |version| {
            Arc::new(Snapshot {
                version,
                ..Snapshot::default()
            })
        };
        let names = (0..names).map(|number| format!("n{number}.x.").parse::<Name>().expect("a name").key());
        Arc::new(Publication {
            causes: Vec::new(),
            version: from + 1,
            time: std::time::SystemTime::UNIX_EPOCH,
            old: snapshot(from),
            new: snapshot(from + 1),
            delta: Delta {
                names: names.collect(),
                ..Delta::default()
            },
            serials: Vec::new(),
            unsaved: Vec::new(),
            is_start: false,
            edited: Vec::new(),
            past: Arc::default(),
        })
    }

    fn told(subscription: &mut Subscription) -> Vec<(char, u64)> {
        std::iter::from_fn(|| subscription.poll())
            .map(|event| match event {
                Event::Published(publication) => ('p', publication.version()),
                Event::Reset(snapshot) => ('r', snapshot.version),
            })
            .collect()
    }

    #[test]
    fn a_subscriber_gets_each_publication_once_and_in_order() {
        let history = Arc::new(History::default());
        let mut new = history.subscribe(None);
        assert_eq!(told(&mut new), [('r', 0)]);
        for version in 0..3 {
            history.push(publication(version, 1));
        }
        assert_eq!(told(&mut new), [('p', 1), ('p', 2), ('p', 3)]);
        assert_eq!(told(&mut new), []);
        assert_eq!(told(&mut history.subscribe(Some(2))), [('p', 3)]);
        assert_eq!(told(&mut history.subscribe(Some(3))), []);
    }

    #[test]
    fn a_subscriber_that_fell_behind_begins_anew() {
        let history = Arc::new(History::default());
        let mut slow = history.subscribe(Some(0));
        for version in 0..=MOST_PUBLICATIONS as u64 {
            history.push(publication(version, 1));
        }
        assert_eq!(told(&mut slow), [('r', MOST_PUBLICATIONS as u64 + 1)]);
        let mut unknown = history.subscribe(Some(u64::MAX));
        assert_eq!(told(&mut unknown).len(), 1, "a version that never was");
    }

    #[test]
    fn many_changed_names_push_out_what_is_older() {
        let history = Arc::new(History::default());
        history.push(publication(0, 10));
        history.push(publication(1, MOST_NAMES));
        assert_eq!(told(&mut history.subscribe(Some(1))), [('p', 2)], "the latest is kept");
        assert_eq!(told(&mut history.subscribe(Some(0))), [('r', 2)]);
    }

    #[tokio::test]
    async fn a_subscriber_waits_for_the_next_one() {
        let history = Arc::new(History::default());
        let mut waiting = history.subscribe(Some(0));
        let task = tokio::spawn(async move { waiting.next().await.is_some() });
        tokio::task::yield_now().await;
        history.push(publication(0, 1));
        assert!(task.await.expect("no panic"));
    }
}
