//! The addresses that the program takes for ours: the map of all, and the table of those with a place of their own.
//!
//! What has no room is left out, whole addresses at a time: queries to them pass. What is said to be in the map is what
//! is in there, whatever failed on the way, so the next change sets right what one could not.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Array, HashMap, MapData, MapError};
use dns_common::address::{OWN_LINES, OwnKey, OwnLine, OwnValue, own_line};

use super::{Faults, Seam};

/// Entries by key.
pub type Entries = BTreeMap<OwnKey, OwnValue>;

/// What came of a change of the addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnReport {
    /// Addresses that the program answers for, each counted once for each interface and tag.
    pub held: usize,
    /// Those that it has no room for: userspace answers there.
    pub left_out: usize,
    /// Entries that there is room for: one for each port of an address, and one more.
    pub capacity: usize,
    /// Interfaces where the program still answers for an address that is not ours any more.
    pub stale: BTreeSet<u32>,
    /// What the kernel refused first.
    pub error: Option<String>,
}

pub(super) struct OwnMap {
    map: HashMap<MapData, [u8; size_of::<OwnKey>()], [u8; size_of::<OwnValue>()]>,
    table: Array<MapData, [u8; size_of::<OwnLine>()]>,
    /// What the table has.
    lines: Vec<OwnLine>,
    capacity: usize,
    /// What should be in there.
    wanted: Entries,
    /// What is.
    held: Entries,
}

impl OwnMap {
    pub(super) fn new(
        map: HashMap<MapData, [u8; size_of::<OwnKey>()], [u8; size_of::<OwnValue>()]>,
        table: Array<MapData, [u8; size_of::<OwnLine>()]>,
        capacity: usize,
    ) -> Self {
        Self {
            map,
            table,
            lines: vec![bytemuck::Zeroable::zeroed(); OWN_LINES],
            capacity,
            wanted: Entries::new(),
            held: Entries::new(),
        }
    }

    pub(super) fn wanted(&self) -> &Entries {
        &self.wanted
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes these the addresses, as far as there is room.
    pub(super) fn set(&mut self, wanted: Entries, faults: &mut Faults) -> OwnReport {
        let mut report = OwnReport {
            capacity: self.capacity,
            ..OwnReport::default()
        };
        let fitting = fitting(&self.held, &wanted, self.capacity);
        // The table leads to the map. What goes is taken out of both before anything comes.
        let stays = |key: &OwnKey| fitting.contains_key(key);
        let staying = self.held.iter().filter(|(key, _)| stays(key)).map(both).collect();
        self.write_table(&staying, faults, &mut report);
        let gone: Vec<OwnKey> = self.held.keys().filter(|key| !stays(key)).copied().collect();
        for key in gone {
            self.remove(&key, faults, &mut report);
        }
        let mut is_full = false;
        for address in addresses(&fitting) {
            let entries: Vec<_> = of_address(&fitting, address).map(both).collect();
            if entries.iter().all(|(key, value)| self.held.get(key) == Some(value)) {
                continue;
            }
            let put = |(key, value): &(OwnKey, OwnValue)| self.put(key, value, faults, &mut report);
            if is_full || !entries.iter().all(put) {
                // More of them would fail alike. Without one of its entries an address would be half ours.
                is_full = true;
                for (key, _) in &entries {
                    self.remove(key, faults, &mut report);
                }
            }
        }
        let held = self.held.clone();
        self.write_table(&held, faults, &mut report);
        let is_whole = |address: &OwnKey| of_address(&wanted, *address).all(|(key, value)| self.answers(key, value));
        let all = addresses(&wanted);
        report.held = all.iter().filter(|address| is_whole(address)).count();
        report.left_out = all.len() - report.held;
        let differs = |key: &OwnKey, value: &OwnValue| wanted.get(key) != Some(value);
        let stale = self.held.iter().filter(|(key, value)| differs(key, value));
        report.stale.extend(stale.map(|(key, _)| key.interface));
        let said = self
            .lines
            .iter()
            .filter(|line| line.state & own_line::MASK == own_line::HERE);
        let stale = said.filter(|line| differs(&line.key, &line.value));
        report.stale.extend(stale.map(|line| line.key.interface));
        self.wanted = wanted;
        report
    }

    /// The entries that the program finds: in the table of places, or in the map where that leads there.
    pub(super) fn answered(&self) -> impl Iterator<Item = &OwnKey> {
        let here = self
            .lines
            .iter()
            .filter(|line| line.state & own_line::MASK == own_line::HERE);
        let asks = |key: &&OwnKey| self.lines[key.place() as usize].state & own_line::MASK == own_line::ASK;
        here.map(|line| &line.key).chain(self.held.keys().filter(asks))
    }

    /// Whether the program finds just this.
    fn answers(&self, key: &OwnKey, value: &OwnValue) -> bool {
        let line = &self.lines[key.place() as usize];
        match line.state & own_line::MASK {
            own_line::EMPTY => false,
            own_line::HERE => line.key == *key && line.value == *value,
            _ => self.held.get(key) == Some(value),
        }
    }

    /// Whether it is in the map now.
    fn put(&mut self, key: &OwnKey, value: &OwnValue, faults: &mut Faults, report: &mut OwnReport) -> bool {
        let put = faults.before(Seam::OwnInsert, || {
            let key = bytemuck::cast_ref::<_, [u8; size_of::<OwnKey>()]>(key);
            let value = bytemuck::cast_ref::<_, [u8; size_of::<OwnValue>()]>(value);
            self.map.insert(key, value, 0)
        });
        match put {
            Ok(()) => {
                self.held.insert(*key, *value);
                true
            }
            Err(error) => {
                report.fails("an address cannot be given to the XDP program", &error);
                false
            }
        }
    }

    fn remove(&mut self, key: &OwnKey, faults: &mut Faults, report: &mut OwnReport) {
        if !self.held.contains_key(key) {
            return;
        }
        match faults.before(Seam::OwnRemove, || self.map.remove(bytemuck::cast_ref(key))) {
            Ok(()) | Err(MapError::KeyNotFound) => {
                self.held.remove(key);
            }
            Err(error) => report.fails("an address cannot be taken from the XDP program", &error),
        }
    }

    /// Brings the table of places in step with these entries of the map. A line that differs first says "ask the map".
    fn write_table(&mut self, entries: &Entries, faults: &mut Faults, report: &mut OwnReport) {
        let mut wanted: Vec<OwnLine> = vec![bytemuck::Zeroable::zeroed(); OWN_LINES];
        for (key, value) in entries {
            let line = &mut wanted[key.place() as usize];
            let state = if line.state == own_line::EMPTY {
                own_line::HERE
            } else {
                own_line::ASK
            };
            *line = OwnLine {
                state,
                unused: 0,
                key: *key,
                value: *value,
            };
        }
        for (place, (wanted, current)) in wanted.into_iter().zip(&mut self.lines).enumerate() {
            let same = (wanted.state, wanted.key, wanted.value)
                == (current.state & own_line::MASK, current.key, current.value);
            if same {
                continue;
            }
            let version = (current.state | own_line::MASK).wrapping_add(1);
            let asking = OwnLine {
                state: version | own_line::ASK,
                ..*current
            };
            let written = OwnLine {
                state: version | own_line::ASK,
                ..wanted
            };
            let done = OwnLine {
                state: version | wanted.state,
                ..wanted
            };
            for line in [asking, written, done] {
                let set = faults.before(Seam::OwnTable, || {
                    let line = bytemuck::cast_ref::<_, [u8; size_of::<OwnLine>()]>(&line);
                    self.table.set(place as u32, line, 0)
                });
                if let Err(error) = set {
                    report.fails("the XDP program's table of addresses cannot be written", &error);
                    break;
                }
                *current = line;
            }
        }
    }
}

impl OwnReport {
    fn fails(&mut self, what: &str, error: &MapError) {
        self.error.get_or_insert_with(|| match error {
            MapError::SyscallError(error) => format!("{what}: {}", error.io_error),
            error => format!("{what}: {error}"),
        });
    }
}

/// The addresses of these entries, each as its entry of port 0.
fn addresses(entries: &Entries) -> BTreeSet<OwnKey> {
    entries.keys().map(|key| OwnKey { port: 0, ..*key }).collect()
}

/// The entries of an address, which follow that of port 0: ports come last in the order of keys.
fn of_address(entries: &Entries, address: OwnKey) -> impl Iterator<Item = (&OwnKey, &OwnValue)> {
    let is_its = move |key: &OwnKey| OwnKey { port: 0, ..*key } == address;
    entries.range(address..).take_while(move |(key, _)| is_its(key))
}

fn both((key, value): (&OwnKey, &OwnValue)) -> (OwnKey, OwnValue) {
    (*key, *value)
}

/// As many whole addresses of those wanted as there is room for; those that are held already come first.
fn fitting(held: &Entries, wanted: &Entries, capacity: usize) -> Entries {
    if wanted.len() <= capacity {
        return wanted.clone();
    }
    let mut fitting = Entries::new();
    let (first, then): (Vec<OwnKey>, Vec<OwnKey>) = addresses(wanted)
        .into_iter()
        .partition(|address| held.contains_key(address));
    for address in first.into_iter().chain(then) {
        let entries: Vec<_> = of_address(wanted, address).map(both).collect();
        if fitting.len() + entries.len() <= capacity {
            fitting.extend(entries);
        }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use dns_common::address::mapped;

    use super::*;

    fn entries(addresses: impl IntoIterator<Item = u8>, ports: &[u16]) -> Entries {
        let mut entries = Entries::new();
        for last in addresses {
            for &port in [0].iter().chain(ports) {
                let key = OwnKey {
                    address: mapped([10, 0, 0, last]),
                    interface: 2,
                    outer_vlan: 0,
                    inner_vlan: 0,
                    port,
                    unused: [0; 3],
                };
                let value = OwnValue { mac: [2; 6], mtu: 1500 };
                entries.insert(key, value);
            }
        }
        entries
    }

    #[test]
    fn whole_addresses_fit_and_those_that_are_held_stay() {
        let all = entries(1..=4, &[53, 5353]);
        assert_eq!(fitting(&Entries::new(), &all, 12), all);
        for capacity in 6..9 {
            assert_eq!(
                fitting(&Entries::new(), &all, capacity),
                entries(1..=2, &[53, 5353]),
                "{capacity}"
            );
        }
        let held = entries([3, 4], &[53, 5353]);
        assert_eq!(fitting(&held, &all, 6), held);
        assert_eq!(fitting(&held, &all, 9), entries([1, 3, 4], &[53, 5353]));
        assert!(fitting(&held, &all, 2).is_empty(), "no half of an address");
    }
}
