//! The cache on disk: written at the stop and from time to time, read at the start.
//!
//! ```text
//! magic │ SHA-256 of the rest │ postcard: when, views and sets by number, (key, entry) …
//! ```
//!
//! A file that is not what was written is not read. Entries have their age, and get that of the pause on top: by the
//! time of day, since a machine that was started anew has no other. Where that has gone back since, nobody knows how
//! old they are, and nothing is read. Views and sets of servers have other numbers after a change of the configuration;
//! an entry is kept where its set has the same name and servers as before, and its view the same name.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kept};
use super::key::with_numbers;
use super::{Cache, key};
use crate::host::{files, replace};

const MAGIC: &[u8] = b"hotdns cache 1\n";
const HASH_BYTES: usize = 32;

/// What entries belong to, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::resolve) struct Numbering {
    /// The name of each view, from 0, which has none.
    pub(in crate::resolve) views: Vec<String>,
    /// The name and servers of each set, from 0.
    pub(in crate::resolve) sets: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    /// Seconds of Unix time.
    at: u64,
    numbering: Numbering,
    entries: Vec<(Vec<u8>, Kept)>,
}

/// What was in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Entries that are in the cache again.
    pub entries: usize,
    /// Seconds since they were written.
    pub age: u32,
}

impl Cache {
    /// Writes all answers into a file. How many.
    pub(in crate::resolve) fn save(&self, path: &Path, numbering: Numbering) -> io::Result<usize> {
        let now = self.now();
        let max_age = self.config.stale.max_age;
        let entries = self.store.iter();
        let entries = entries.filter(|(_, entry)| entry.left(now).is_some() || entry.is_over_by(now) <= max_age);
        let entries: Vec<_> = entries
            .filter_map(|(key, entry)| Some((key.into_vec(), entry.to_kept(now)?)))
            .collect();
        let count = entries.len();
        let at = seconds(SystemTime::now());
        let saved = Saved { at, numbering, entries };
        let body = postcard::to_stdvec(&saved).map_err(io::Error::other)?;
        let mut octets = MAGIC.to_vec();
        octets.extend_from_slice(digest(&SHA256, &body).as_ref());
        octets.extend_from_slice(&body);
        replace::replace(path, &octets)?;
        Ok(count)
    }

    /// Reads what was written; `None` where there is no file.
    pub(in crate::resolve) fn restore(&self, path: &Path, numbering: &Numbering) -> io::Result<Option<Restored>> {
        let most = self.config.max_bytes.0.saturating_mul(2);
        let octets = match files::read(path, most) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        self.put_back(&octets, numbering, SystemTime::now()).map(Some)
    }

    fn put_back(&self, octets: &[u8], numbering: &Numbering, time: SystemTime) -> io::Result<Restored> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged, or of another version");
        let rest = octets.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (hash, body) = rest.split_first_chunk::<HASH_BYTES>().ok_or_else(damaged)?;
        if digest(&SHA256, body).as_ref() != hash {
            return Err(damaged());
        }
        let saved: Saved = postcard::from_bytes(body).map_err(|_| damaged())?;
        let downtime = seconds(time).checked_sub(saved.at).ok_or_else(|| {
            let problem = "it is from the future: the clock was set back, so nobody knows how old its answers are";
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        let age = u32::try_from(downtime).unwrap_or(u32::MAX);
        let place_of = |name: Option<&String>, now: &[String]| {
            let place = now.iter().position(|known| Some(known) == name)?;
            u16::try_from(place).ok()
        };
        let now = self.now();
        let mut entries = 0;
        for (old, kept) in saved.entries {
            let Some((view, set)) = key::numbers_of(&old) else {
                continue;
            };
            let view = place_of(saved.numbering.views.get(usize::from(view)), &numbering.views);
            let set = place_of(saved.numbering.sets.get(usize::from(set)), &numbering.sets);
            let (Some(view), Some(set)) = (view, set) else {
                continue;
            };
            let entry = Entry::of_kept(kept, age, now);
            let is_good =
                |entry: &Entry| entry.left(now).is_some() || entry.is_over_by(now) <= self.config.stale.max_age;
            if let Some(entry) = entry.filter(is_good) {
                self.store.insert(with_numbers(&old, view, set), Arc::new(entry));
                entries += 1;
            }
        }
        Ok(Restored { entries, age })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests;
