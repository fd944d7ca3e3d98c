//! What a source has to be able to do: list the objects of its world, and tell what changes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::claims::Claim;

/// A world of objects that is watched: a cluster, a registry of services, a folder.
///
/// It knows how to talk to its peer and how to read an object, and nothing of records that are served: a driver
/// ([`super::Watcher`]) does the rest, the same for all.
pub trait World: Send + 'static {
    /// Lists every object. Called at the start, after an error, and whenever the watch cannot go on.
    fn list(&mut self) -> impl Future<Output = Result<Listing, WorldError>> + Send;

    /// Waits for what changes next, after the list. Dropping the future loses no change.
    fn next(&mut self) -> impl Future<Output = Result<Event, WorldError>> + Send;

    /// Told before the first list: the place that an earlier process had come to ([`Listing::resume`],
    /// [`Event::resume`]). A world that can say what is new since then may use it to list faster.
    fn was_at(&mut self, place: &str) {
        let _ = place;
    }

    /// What the world calls the state that it has listed last, where it has a name for it: the commit of a repository.
    fn revision(&self) -> Option<Revision> {
        None
    }

    /// After an error another attempt is made after this time at the latest, where the world has a pace of its own.
    fn longest_pause(&self) -> Option<Duration> {
        None
    }
}

/// A state of a world that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its kind and name, as the history shows them: `commit 4f2a…`.
    pub name: Arc<str>,
    /// What whoever made it says of it.
    pub comment: Option<Arc<str>>,
}

/// An object as its world describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What tells it from all others, as people know it: `Ingress monitoring/grafana`.
    pub key: Arc<str>,
    /// When it was made, in seconds of Unix time; 0 where the world does not know.
    pub since: u64,
    /// What it asks for, or what is wrong with it: then it is reported, and what it asked for before stays.
    pub claims: Result<Vec<Claim>, String>,
}

/// Every object of a world.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The objects, in any order.
    pub objects: Vec<Object>,
    /// Where a watch goes on from, in the world's own words.
    pub resume: Option<String>,
}

/// A change, and the place behind it.
#[derive(Debug, Clone)]
pub struct Event {
    /// What has changed.
    pub change: Change,
    /// Where a watch goes on from after it.
    pub resume: Option<String>,
}

/// What has changed in a world.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object has come, or is another one now.
    Applied(Object),
    /// An object is gone, by its key.
    Deleted(Arc<str>),
    /// The watch lost its place: all is to be listed anew.
    Relist,
}

/// Why a world cannot be listed or watched at present.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorldError(pub String);
