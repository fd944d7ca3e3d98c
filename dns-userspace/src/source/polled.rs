//! Worlds that have no way to wait for a change: they are asked every few seconds, and what they say is compared.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;

use super::{Change, Event, Listing, Object, World, WorldError};

/// Objects by their keys.
pub(super) type Objects = BTreeMap<Arc<str>, Object>;

/// What can be read whole, again and again.
pub(super) trait Readable: Send + 'static {
    /// All objects, as they are now.
    fn read(&mut self) -> impl Future<Output = Result<Objects, WorldError>> + Send;

    /// Waits until it is worth reading again. Dropping the future loses nothing.
    fn pause(&mut self) -> impl Future<Output = ()> + Send;
}

/// The world of what can be read whole.
pub(super) struct Polling<R> {
    readable: R,
    polled: Polled,
}

impl<R> Polling<R> {
    pub(super) fn new(readable: R) -> Self {
        Self {
            readable,
            polled: Polled::default(),
        }
    }
}

impl<R: Readable> World for Polling<R> {
    async fn list(&mut self) -> Result<Listing, WorldError> {
        let now = self.readable.read().await?;
        Ok(self.polled.list(now))
    }

    async fn next(&mut self) -> Result<Event, WorldError> {
        loop {
            if let Some(event) = self.polled.next() {
                return Ok(event);
            }
            self.readable.pause().await;
            let now = self.readable.read().await?;
            self.polled.take(now);
        }
    }
}

/// What a world said last, and what of it is still to be told.
#[derive(Debug, Default)]
pub(super) struct Polled {
    known: Objects,
    news: VecDeque<Event>,
}

impl Polled {
    /// These are all objects, as a list.
    pub(super) fn list(&mut self, now: Objects) -> Listing {
        self.news.clear();
        self.known = now;
        Listing {
            objects: self.known.values().cloned().collect(),
            resume: None,
        }
    }

    /// These are all objects now: what differs is told.
    pub(super) fn take(&mut self, now: Objects) {
        let has_names = |objects: &Objects| {
            let mut claims = objects.values().filter_map(|object| object.claims.as_ref().ok());
            claims.any(|claims| !claims.is_empty())
        };
        let changes: Vec<Change> = match has_names(&self.known) && !has_names(&now) {
            // One that starts has nothing yet: the driver doubts such a list.
            true => vec![Change::Relist],
            false => {
                let gone = self.known.keys().filter(|key| !now.contains_key(*key)).cloned();
                let other = now
                    .values()
                    .filter(|object| self.known.get(&object.key) != Some(*object));
                gone.map(Change::Deleted)
                    .chain(other.cloned().map(Change::Applied))
                    .collect()
            }
        };
        self.known = now;
        self.news = changes
            .into_iter()
            .map(|change| Event { change, resume: None })
            .collect();
    }

    /// The next thing to be told.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.news.pop_front()
    }
}
