//! `bench fuzz`: mutated packets through the loaded XDP program by `BPF_PROG_TEST_RUN`.
//!
//! ```text
//!   seed, number ─► Mutator ─► packet ─► TEST_RUN ─► check: passed unchanged, dropped, or a valid answer
//!                                                      └─► Oracle: the very bytes that the reference gives
//! ```
//!
//! Every case follows from the seed and its number alone: `--seed S --first N --count 1` runs a failed one again.

mod check;
pub(in crate::bench) mod mutate;
mod reference;

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use clap::Args;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use check::{Fate, check, query};
pub use mutate::{Mutator, Surface};
pub use reference::Reference;

use super::contestant::Contestant;
use super::load::{self, Features};
use crate::frames::{UdpFrame, wire_name};
use crate::testrun::{Outcome, TestRun};

/// What to run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many packets.
    #[arg(long, default_value_t = 1_000_000)]
    pub count: u64,
    /// The number of the first one.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// What they follow from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Knows what the program may do with a packet: the differential test's other side.
pub trait Oracle {
    /// An error says why this outcome, which has passed all checks of form, is wrong. An answer's frame is the
    /// query's with its ends swapped, and the answer as payload.
    fn judge(&mut self, packet: &[u8], fate: &Fate) -> Result<(), String>;
}

/// Accepts whatever is well-formed.
pub struct FormOnly;

impl Oracle for FormOnly {
    fn judge(&mut self, _: &[u8], _: &Fate) -> Result<(), String> {
        Ok(())
    }
}

/// How often each fate was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By name of the fate; answers also by RCODE.
    pub fates: BTreeMap<String, u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.fates.values().sum();
        for (fate, count) in &self.fates {
            writeln!(
                formatter,
                "{fate:<24} {count:>12} {:>7.3} %",
                *count as f64 * 100.0 / all.max(1) as f64
            )?;
        }
        Ok(())
    }
}

/// Runs the cases; the first wrong one ends it, with all that is needed to see it again.
pub fn fuzz(options: &Options, surface: &Surface, target: &TestRun<'_>, oracle: &mut dyn Oracle) -> Result<Tally> {
    let mut tally = Tally::default();
    for number in options.first..options.first + options.count {
        let packet = packet(options.seed, number, surface);
        let outcome = target
            .run(&packet)
            .with_context(|| describe(options, number, &packet, None))?;
        let judged = check(&packet, &outcome).and_then(|fate| oracle.judge(&packet, &fate).map(|()| fate));
        match judged {
            Ok(fate) => *tally.fates.entry(fate.name()).or_default() += 1,
            Err(fault) => bail!("{fault}\n{}", describe(options, number, &packet, Some(&outcome))),
        }
    }
    Ok(tally)
}

/// The packet of a case.
pub fn packet(seed: u64, number: u64, surface: &Surface) -> Vec<u8> {
    // SplitMix64's odd constant keeps neighbouring cases apart.
    let rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
    Mutator::new(rng, surface).packet()
}

fn describe(options: &Options, number: u64, packet: &[u8], outcome: Option<&Outcome>) -> String {
    let mut text = format!(
        "case {number} of seed {}: {:?}\nin  {}",
        options.seed,
        UdpFrame::parse(packet),
        hex(packet)
    );
    if let Some(outcome) = outcome {
        text += &format!("\nout {} ({:?})", hex(&outcome.packet), outcome.verdict);
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many names each zone has: small tables are fuzzed as well as large ones.
const NAMES: u64 = 300;

/// Fuzzes a running hotdns's own program, over its own tables, against the reference answerer.
pub fn run(options: &Options) -> Result<()> {
    let loads: Vec<_> = load::all(NAMES)
        .into_iter()
        .filter(|load| load.vlan.is_none() && load.features == Features::None)
        .collect();
    let mut zones = Vec::new();
    for load in &loads {
        if !zones.contains(&load.zone) {
            zones.push(load.zone.clone());
        }
    }
    let stage = Contestant::Hotdns.start(&zones, &loads)?;
    let (first, second) = (&stage.circuit.pair.first, &stage.circuit.pair.second);
    let surface = Surface {
        client_mac: first.mac,
        server_mac: second.mac,
        clients: first.addresses.clone(),
        servers: second.addresses.clone(),
        names: loads
            .iter()
            .flat_map(|load| (0..NAMES).step_by(30).map(|number| load.query(number).name))
            .collect(),
        apexes: zones.iter().map(|zone| wire_name(&zone.origin)).collect(),
    };
    let mut reference = Reference::new(&zones, stage.folder.path())?;
    let fd = stage.circuit.program()?.fd().context("cannot open the program")?;
    let mut target = TestRun::new(fd.as_fd());
    target.ingress_ifindex = second.index;
    // The interface's number is looked up in the namespace of the caller.
    let tally = stage
        .circuit
        .server
        .enter(|| fuzz(options, &surface, &target, &mut reference))?;
    println!(
        "{} packets of seed {}: each answer is the reference's\n{tally}",
        options.count, options.seed
    );
    if !tally.fates.keys().any(|fate| fate.starts_with("answered")) {
        bail!("not one packet was answered: nothing was tested");
    }
    Ok(())
}
