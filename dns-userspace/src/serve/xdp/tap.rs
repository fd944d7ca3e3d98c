//! What XDP programs show of their answers: one ring for each program that is loaded, read by one thread.
//!
//! ```text
//! Program::load ─ its ring ─► Taps ─ drain ─► the query log's thread
//! ```
//!
//! A program that another one has taken over from is gone; its ring is read to its end, and given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use dns_common::tap::{HEAD_BYTES, TapSettings, Tapped};

use super::{XdpError, maps};

/// Octets of a ring: 50 ms of a million answers a second.
const RING_BYTES: u32 = 8 << 20;
/// Octets of the ring of a program that shows nothing: the least.
const NO_RING_BYTES: u32 = 4096;

/// The rings of all programs.
#[derive(Clone, Default)]
pub struct Taps {
    rings: Arc<Mutex<Rings>>,
    /// Of new programs, until they are read. Who adds one does not wait for the reader, which may be long at it.
    added: Arc<Mutex<Vec<Ring>>>,
}

#[derive(Default)]
struct Rings {
    open: Vec<Ring>,
    /// Lost by programs that are gone.
    lost: u64,
}

struct Ring {
    records: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    program: Weak<()>,
}

/// What a program keeps for its ring to be read.
pub(super) type Alive = Arc<()>;

/// How large the ring of a program with these settings is.
pub(super) fn ring_bytes(settings: TapSettings) -> u32 {
    if settings.one_in == 0 {
        NO_RING_BYTES
    } else {
        RING_BYTES
    }
}

impl Taps {
    /// Reads the ring of this program too, as long as what is returned is kept.
    pub(super) fn add(&self, ebpf: &mut Ebpf) -> Result<Alive, XdpError> {
        let records = maps::take(ebpf, "TAP")?;
        let lost = maps::take(ebpf, "TAP_LOST")?;
        let alive = Alive::default();
        let program = Arc::downgrade(&alive);
        lock(&self.added).push(Ring { records, lost, program });
        Ok(alive)
    }

    /// Hands on what is in the rings, `most` records at most; how many that were.
    pub fn drain(&self, most: usize, mut each: impl FnMut(&Tapped, &[u8])) -> usize {
        let mut rings = lock(&self.rings);
        let Rings { open, lost } = &mut *rings;
        open.append(&mut lock(&self.added));
        let mut count = 0;
        open.retain_mut(|ring| {
            let is_alive = ring.program.strong_count() > 0;
            while count < most {
                let Some(record) = ring.records.next() else {
                    if !is_alive {
                        *lost += ring.lost();
                    }
                    return is_alive;
                };
                count += 1;
                if let Some((head, reply)) = read(&record) {
                    each(&head, reply);
                }
            }
            true
        });
        count
    }

    /// How many records found no room, since the start of the process.
    pub fn lost(&self) -> u64 {
        let rings = lock(&self.rings);
        rings.lost + rings.open.iter().map(Ring::lost).sum::<u64>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    fn lost(&self) -> u64 {
        self.lost.get(&0, 0).map_or(0, |values| values.iter().sum())
    }
}

/// A record's head, and the octets of the reply that were kept.
fn read(record: &[u8]) -> Option<(Tapped, &[u8])> {
    let (head, octets) = record.split_at_checked(HEAD_BYTES)?;
    let head: Tapped = bytemuck::pod_read_unaligned(head);
    Some((head, octets.get(..usize::from(head.kept_bytes))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_too_short_is_none() {
        let head = Tapped {
            time_ns: 1,
            client: [2, 3],
            server: [4, 5],
            client_port: [6, 7],
            server_port: [0, 53],
            message_bytes: 40,
            kept_bytes: 3,
        };
        let mut record = bytemuck::bytes_of(&head).to_vec();
        assert!(read(&record[1..]).is_none() && read(&record).is_none());
        record.extend_from_slice(b"abc padding");
        assert_eq!(read(&record), Some((head, &b"abc"[..])));
    }
}
