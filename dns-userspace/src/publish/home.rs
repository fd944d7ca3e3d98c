//! Where a table lives beside the process's own memory: the XDP program, whose maps hold it.
//!
//! Publishing knows what a home does, not what it is: only `serve/xdp` names the library that loads programs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dns_common::counters::RCODE_CLASSES;
use dns_common::hash::Keys;

use crate::model::access::AccessList;
use crate::model::views::Clients;
use crate::table::{Memory, Sizes};

/// A home of tables that answers from them.
pub trait Home: Send + Sized + 'static {
    /// Which clients are in which view.
    fn set_clients(&mut self, clients: &Clients) -> anyhow::Result<()>;

    /// The access lists of zones, by the zone's index. What finds no room is left to userspace.
    fn set_zone_access(&mut self, lists: BTreeMap<u32, Arc<AccessList>>);

    /// Answers in the place of `old` from now on. On an error nothing has changed.
    fn take_over(&mut self, old: &mut Self) -> anyhow::Result<()>;

    /// Whether it has no room for all own addresses, and a new one would have.
    fn lacks_room(&self) -> bool;

    /// What it has answered for a zone, by class of RCODE.
    fn zone_counters(&self, zone: u32) -> anyhow::Result<[u64; RCODE_CLASSES]>;

    /// Counts for that zone from zero.
    fn forget_zone(&mut self, zone: u32) -> anyhow::Result<()>;
}

/// Makes empty tables with these secrets and sizes: in a home, or in the process's memory alone (`None`).
pub type Loader<H> = Box<dyn Fn(&Keys, Sizes) -> anyhow::Result<(Option<H>, Memory)> + Send>;

/// The home, shared with those who attach it and read its counters. `None` where there is none.
pub struct SharedHome<H>(Arc<Mutex<Option<H>>>);

impl<H> SharedHome<H> {
    /// The home, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Option<H>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Home> SharedHome<H> {
    pub(super) fn new(home: Option<H>) -> Self {
        Self(Arc::new(Mutex::new(home)))
    }

    /// Whether it has no room for all own addresses, and a new one would have.
    pub fn lacks_room(&self) -> bool {
        self.lock().as_ref().is_some_and(Home::lacks_room)
    }
}

impl<H> Clone for SharedHome<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Counts by zone, of whatever home there is.
pub(super) trait CountsByZone: Send + Sync {
    /// [`Home::zone_counters`]; `None` without a home.
    fn zone_counters(&self, zone: u32) -> Option<anyhow::Result<[u64; RCODE_CLASSES]>>;

    /// [`Home::forget_zone`].
    fn forget_zone(&self, zone: u32) -> anyhow::Result<()>;
}

impl<H: Home> CountsByZone for SharedHome<H> {
    fn zone_counters(&self, zone: u32) -> Option<anyhow::Result<[u64; RCODE_CLASSES]>> {
        // For a moment, so that publishing does not wait for all of them.
        self.lock().as_ref().map(|home| home.zone_counters(zone))
    }

    fn forget_zone(&self, zone: u32) -> anyhow::Result<()> {
        self.lock().as_mut().map_or(Ok(()), |home| home.forget_zone(zone))
    }
}
