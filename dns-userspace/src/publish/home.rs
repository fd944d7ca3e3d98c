//! Where a table lives beside the process's own memory: the XDP program, whose maps hold it.
//!
//! Publishing knows what a home does, not what it is: only `serve/xdp` names the library that loads programs.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dns_common::counters::RCODE_CLASSES;
use dns_common::hash::Keys;

use super::error::Cause;
use crate::model::access::AccessList;
use crate::model::views::Clients;
use crate::table::{Memory, Sizes};

/// Access lists of zones, by the zone's index; `None`: it has none any more.
pub type ZoneAccess = BTreeMap<u32, Option<Arc<AccessList>>>;

/// A home of tables that answers from them.
pub trait Home: Send + Sized + 'static {
    /// What can be wrong with it.
    type Error: Error + Send + Sync + 'static;

    /// Which clients are in which view.
    fn set_clients(&mut self, clients: &Clients) -> Result<(), Self::Error>;

    /// The access lists of these zones. What finds no room is left to userspace.
    fn set_zone_access(&mut self, lists: ZoneAccess);

    /// Answers in the place of `old` from now on. On an error nothing has changed.
    fn take_over(&mut self, old: &mut Self) -> Result<(), Self::Error>;

    /// Whether it has no room for all own addresses, and a new one would have.
    fn lacks_room(&self) -> bool;

    /// What it has answered for a zone, by class of RCODE.
    fn zone_counters(&self, zone: u32) -> Result<[u64; RCODE_CLASSES], Self::Error>;

    /// Counts for that zone from zero.
    fn forget_zone(&mut self, zone: u32) -> Result<(), Self::Error>;
}

/// Makes empty tables with these secrets and sizes: in a home, or in the process's memory alone (`None`).
pub type Loader<H> = Box<dyn Fn(&Keys, Sizes) -> Result<(Option<H>, Memory), Cause> + Send>;

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
    fn zone_counters(&self, zone: u32) -> Option<Result<[u64; RCODE_CLASSES], Cause>>;

    /// [`Home::forget_zone`].
    fn forget_zone(&self, zone: u32) -> Result<(), Cause>;
}

impl<H: Home> CountsByZone for SharedHome<H> {
    fn zone_counters(&self, zone: u32) -> Option<Result<[u64; RCODE_CLASSES], Cause>> {
        // For a moment, so that publishing does not wait for all of them.
        let counts = self.lock().as_ref().map(|home| home.zone_counters(zone));
        counts.map(|counts| counts.map_err(Cause::from))
    }

    fn forget_zone(&self, zone: u32) -> Result<(), Cause> {
        let forgotten = self.lock().as_mut().map_or(Ok(()), |home| home.forget_zone(zone));
        forgotten.map_err(Cause::from)
    }
}
