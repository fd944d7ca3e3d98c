//! Names that change, the states that they go through, and who changes them.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::{Origin, SourceId};
use dns_userspace::store::Change;

use crate::bench::site::Publication;
use crate::bench::zone::Zone;
use crate::zones::name;

/// Every so many states the name does not exist.
const ABSENT: u32 = 8;

/// The names, in blocks that change together.
pub(super) struct States {
    origin: String,
    blocks: Vec<Block>,
    block_names: u32,
}

/// The state that a block's names are being brought to, and the one that was acknowledged last.
#[derive(Default)]
struct Block {
    begun: AtomicU32,
    acknowledged: AtomicU32,
}

/// What was fed.
pub(super) struct Fed {
    changes: u64,
    elapsed: Duration,
    /// The longest time that a batch took.
    pub(super) longest: Duration,
}

impl Fed {
    /// Changes in a second.
    pub(super) fn rate(&self) -> f64 {
        self.changes as f64 / self.elapsed.as_secs_f64()
    }
}

/// What a name has in a state; none: it does not exist.
pub(super) fn content(state: u32) -> Option<Ipv4Addr> {
    (state % ABSENT != ABSENT - 1).then(|| Ipv4Addr::from_bits(0x0A00_0000 | (state & 0x00FF_FFFF)))
}

impl States {
    /// So many names below the zone, `block_names` of them in a block; all in state 0.
    pub(super) fn new(zone: &Zone, names: u32, block_names: u32) -> Self {
        let blocks = (0..names / block_names).map(|_| Block::default()).collect();
        Self {
            origin: zone.origin.clone(),
            blocks,
            block_names,
        }
    }

    /// How many names there are.
    pub(super) fn count(&self) -> u32 {
        self.blocks.len() as u32 * self.block_names
    }

    /// The name of a number.
    pub(super) fn name(&self, number: u32) -> String {
        format!("{number:08x}.churn.{}", self.origin)
    }

    /// The states that a reply may be of: from the one that was acknowledged when the query was sent.
    pub(super) fn acknowledged(&self, number: u32) -> u32 {
        self.block(number).acknowledged.load(Acquire)
    }

    /// To the one that was begun when the reply came.
    pub(super) fn begun(&self, number: u32) -> u32 {
        self.block(number).begun.load(Acquire)
    }

    fn block(&self, number: u32) -> &Block {
        &self.blocks[(number / self.block_names) as usize]
    }

    /// Brings all names to their first state.
    pub(super) fn first(&self) -> Vec<Change> {
        (0..self.count()).map(|number| self.change(number, 0)).collect()
    }

    /// Changes block after block, so many names a second, until it is told to stop.
    pub(super) fn feed(&self, mut publication: Publication<'_>, rate: u32, stop: &AtomicBool) -> Result<Fed> {
        let pause = Duration::from_secs_f64(f64::from(self.block_names) / f64::from(rate));
        let (start, mut batches, mut longest) = (Instant::now(), 0u32, Duration::ZERO);
        for (place, block) in self.blocks.iter().enumerate().cycle() {
            if stop.load(Relaxed) {
                break;
            }
            thread::sleep((pause * batches).saturating_sub(start.elapsed()));
            let began = Instant::now();
            let state = block.begun.load(Relaxed) + 1;
            block.begun.store(state, Release);
            let first = place as u32 * self.block_names;
            let changes = (first..first + self.block_names).map(|number| self.change(number, state));
            publication.apply(changes.collect())?;
            block.acknowledged.store(state, Release);
            longest = longest.max(began.elapsed());
            batches += 1;
        }
        Ok(Fed {
            changes: u64::from(batches) * u64::from(self.block_names),
            elapsed: start.elapsed(),
            longest,
        })
    }

    fn change(&self, number: u32, state: u32) -> Change {
        let owner = name(&self.name(number));
        match content(state) {
            None => Change::Delete {
                source: SourceId::api(),
                view: None,
                owner,
                rtype: RecordType::A,
            },
            Some(address) => Change::Put {
                source: SourceId::api(),
                view: None,
                owner,
                rrset: RrSet {
                    rtype: RecordType::A,
                    ttl: 60,
                    rdatas: [address.octets()].into(),
                    origin: Origin::api(),
                    handling: Handling::default(),
                }
                .into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_states_differ() {
        for state in 0..100 {
            assert_ne!(content(state), content(state + 1));
        }
        assert_eq!((0..16).filter(|state| content(*state).is_none()).count(), 2);
    }
}
