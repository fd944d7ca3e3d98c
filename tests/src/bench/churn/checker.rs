//! Asks names that change, one after the other, and knows which answers may come.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::feeder::{States, content};
use crate::bench::circuit::Circuit;
use crate::bench::load::Load;
use crate::frames::{Query, wire_name};

/// A reply that takes longer is missing.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the checkers saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Checks {
    /// Queries.
    pub(super) asked: u64,
    /// Replies of a state before the one that was being made.
    pub(super) older: u64,
    /// What was old, wrong or missing.
    pub(super) faults: Vec<String>,
}

impl Checks {
    pub(super) fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.older += other.older;
        self.faults.extend(other.faults);
    }
}

/// Asks until it is told to stop.
pub(super) fn check(circuit: &Circuit, load: &Load, states: &States, seed: u64, stop: &AtomicBool) -> Result<Checks> {
    let mut rng = StdRng::seed_from_u64(seed);
    let socket = circuit.client_socket(circuit.server_address(load))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut checks, mut reply) = (Checks::default(), [0; 4096]);
    while !stop.load(Relaxed) {
        let number = rng.random_range(0..states.count());
        let name = wire_name(&states.name(number));
        let query = Query {
            id: rng.random(),
            ..Query::new(&name, 1)
        }
        .build();
        let first = states.acknowledged(number);
        socket.send(&query).context("cannot send")?;
        let length = loop {
            match socket.recv(&mut reply) {
                Ok(length) if length >= 12 && reply[..2] == query[..2] => break Some(length),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        let last = states.begun(number);
        checks.asked += 1;
        let found = length.map(|length| read(&name, &reply[..length]));
        match found {
            Some(Ok(found)) if (first..=last).any(|state| content(state) == found) => {
                checks.older += u64::from(content(last) != found);
            }
            found => checks.faults.push(format!(
                "{} between the states {first} and {last}: {found:?}",
                states.name(number)
            )),
        }
    }
    Ok(checks)
}

/// The one address of a reply, or none where the name does not exist; an error shows any other reply.
fn read(name: &[u8], reply: &[u8]) -> Result<Option<Ipv4Addr>, String> {
    let other = || Err(format!("{reply:02x?}"));
    let (rcode, answers) = (reply[3] & 15, u16::from_be_bytes([reply[6], reply[7]]));
    let at = 12 + name.len() + 4;
    match (rcode, answers, reply.get(at..at + 16)) {
        (3, 0, _) => Ok(None),
        (0, 1, Some([0xC0, 12, 0, 1, 0, 1, _, _, _, _, 0, 4, a, b, c, d])) => Ok(Some(Ipv4Addr::new(*a, *b, *c, *d))),
        _ => other(),
    }
}
