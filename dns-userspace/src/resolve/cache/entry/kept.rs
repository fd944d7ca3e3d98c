//! An entry on its way to disk and back.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Entry;

/// An answer as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::resolve::cache) struct Kept {
    /// Whole seconds since it came.
    age: u32,
    ttl: u32,
    rcode: u8,
    answers: u16,
    authorities: u16,
    body_bytes: u16,
    octets: Vec<u8>,
}

impl Entry {
    /// `None` where it says that upstream has failed.
    pub(in crate::resolve::cache) fn to_kept(&self, now: Duration) -> Option<Kept> {
        if self.failure.is_some() {
            return None;
        }
        Some(Kept {
            age: self.age(now),
            ttl: self.ttl,
            rcode: self.rcode,
            answers: self.answers,
            authorities: self.authorities,
            body_bytes: self.body_bytes,
            octets: self.octets.to_vec(),
        })
    }

    /// The entry, `downtime` later. `None` where it is nothing that we have written, or where it is over, and our clock
    /// cannot say since when: it may have begun later than the entry came.
    pub(in crate::resolve::cache) fn of_kept(kept: Kept, downtime: u32, now: Duration) -> Option<Self> {
        let age = kept.age.saturating_add(downtime);
        let stored = now.checked_sub(Duration::from_secs(age.into()));
        let mut entry = Self {
            stored: stored.unwrap_or(now),
            ttl: kept.ttl,
            failure: None,
            rcode: kept.rcode,
            is_fetched: AtomicBool::new(false),
            rests: AtomicU64::new(0),
            heat: AtomicU64::new(0),
            answers: kept.answers,
            authorities: kept.authorities,
            body_bytes: kept.body_bytes,
            octets: kept.octets.into(),
        };
        if entry.places().end > entry.octets.len() {
            return None;
        }
        if stored.is_none() {
            entry.ttl = entry.ttl.checked_sub(age).filter(|ttl| *ttl > 0)?;
            entry.lower_ttls(age)?;
        }
        Some(entry)
    }

    /// As if it had come with TTLs that are less by this.
    fn lower_ttls(&mut self, age: u32) -> Option<()> {
        let places: Vec<usize> = self.octets[self.places()]
            .chunks_exact(2)
            .map(|place| usize::from(u16::from_be_bytes([place[0], place[1]])))
            .collect();
        for place in places {
            let ttl = self.octets.get_mut(place..)?.first_chunk_mut::<4>()?;
            *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
        }
        Some(())
    }
}
